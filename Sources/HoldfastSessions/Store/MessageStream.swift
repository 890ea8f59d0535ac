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
  private var gathered = ""
  private var writing: Task<Void, Never>?
  private var isFinished = false

  init(_ store: SQLiteSessionStore, session: String, _ acknowledgement: MessageAcknowledgement) {
    (self.store, self.session) = (store, session)
    (uid, seq) = (acknowledgement.uid, acknowledgement.seq)
  }

  /// Takes another piece of the text; returns at once.
  public func add(_ piece: String) {
    guard !isFinished, !piece.isEmpty else { return }
    gathered += TextRepair.withoutNUL(piece) ?? piece
    guard writing == nil else { return }
    writing = Task { [interval = Self.interval] in
      try? await Task.sleep(for: interval)
      await self.write()
    }
  }

  private func write() async {
    writing = nil
    let piece = gathered
    guard !isFinished, !piece.isEmpty else { return }
    do {
      try await store.extend(uid, of: session, with: piece)
      gathered.removeFirst(piece.count)
    } catch {
      // Kept, and written with the next piece or with the end, which tells why it cannot be.
    }
  }

  /// Writes what is left and ends the message; it is durable when this returns.
  ///
  /// - Parameter end: what is known at the end: finish reason, counts, cost, tool calls. Its content, when it is
  ///   not empty, replaces what was gathered.
  /// - Throws: the store's error when it could not be written; the stream can be finished again then.
  @discardableResult
  public func finish(_ end: NewMessage? = nil) async throws -> MessageAcknowledgement {
    let running = writing
    running?.cancel()
    await running?.value
    let piece = gathered
    try await store.finishStreaming(uid, of: session, adding: piece, end)
    isFinished = true
    gathered = ""
    return MessageAcknowledgement(uid: uid, seq: seq)
  }
}
