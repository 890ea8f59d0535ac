// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

/// A message that is written while it is still being said.
///
/// Its pieces reach the store together, about every 33 ms, so that a model's hundreds of deltas cost a few
/// commits; the end is durable when ``finish(_:)`` returns. While the store is locked the pieces wait in memory.
/// When this process dies, what was written stays, marked as `streaming`.
public actor MessageStream {
  /// What the store calls the message.
  public nonisolated let uid: String
  /// Its place in the session.
  public nonisolated let seq: Int64

  /// How long pieces are gathered.
  static let interval = Duration.milliseconds(33)

  private let store: SQLiteSessionStore
  private let session: String
  /// Pieces that are not in the store yet, in order.
  private var pieces: [String] = []
  /// Bytes of the text the store has; tells a piece that is there already from one that is not.
  private var written: Int
  private var writing: Task<Void, Never>?
  private var isFinishing = false
  private var isFinished = false

  init(_ store: SQLiteSessionStore, session: String, _ acknowledgement: MessageAcknowledgement, written: Int)
  {
    (self.store, self.session, self.written) = (store, session, written)
    (uid, seq) = (acknowledgement.uid, acknowledgement.seq)
  }

  /// Takes another piece of the text; returns at once. Ignored once the message is finished.
  public func add(_ piece: String) {
    guard !isFinished, !piece.isEmpty else { return }
    pieces.append(TextRepair.withoutNUL(piece) ?? piece)
    guard writing == nil, !isFinishing else { return }
    writing = Task { await self.writePieces() }
  }

  /// Writes until nothing is left or the message is to be finished; the only one who writes meanwhile.
  private func writePieces() async {
    while !pieces.isEmpty, !isFinishing {
      try? await Task.sleep(for: Self.interval)
      let taken = pieces.count
      let text = pieces.joined()
      do {
        try await store.extend(uid, of: session, from: written, with: text)
      } catch is SessionError {
        // The message is gone; the end tells.
        break
      } catch {
        // Kept, and written with the next pieces or with the end, which tells why it cannot be.
        continue
      }
      pieces.removeFirst(taken)
      written += text.utf8.count
    }
    writing = nil
  }

  /// Writes what is left and ends the message; it is durable when this returns.
  ///
  /// - Parameter end: what is known at the end: finish reason, counts, cost, tool calls. Its content, when it is
  ///   not empty, replaces what was gathered.
  /// - Throws: the store's error when it could not be written; the stream can be finished again then.
  @discardableResult
  public func finish(_ end: NewMessage? = nil) async throws -> MessageAcknowledgement {
    isFinishing = true
    defer { isFinishing = false }
    await writing?.value
    let taken = pieces.count
    let text = pieces.joined()
    try await store.finishStreaming(uid, of: session, from: written, adding: text, end)
    isFinished = true
    pieces.removeFirst(taken)
    written += text.utf8.count
    return MessageAcknowledgement(uid: uid, seq: seq)
  }
}
