// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

/// A message that is being written to `sessions.db`.
///
/// Its pieces reach the file together, about every 33 ms, so that a model's hundreds of deltas cost a few commits.
actor SQLiteMessageStream: MessageStream {
  nonisolated let uid: String
  nonisolated let seq: Int64

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

  func add(_ piece: String) {
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

  func finish(_ end: NewMessage?) async throws -> MessageAcknowledgement {
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
