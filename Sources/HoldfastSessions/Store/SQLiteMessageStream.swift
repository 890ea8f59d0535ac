// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

/// Where a stream's pieces go: the store, or what a test puts before it.
protocol MessageStreamSink: Sendable {
  /// Adds a piece to a message that is streamed, behind its first `length` bytes; what of it is there already is
  /// not added again.
  func extend(_ uid: String, of session: String, from length: Int, with piece: String) async throws

  /// Ends a message that is streamed.
  ///
  /// - Parameter mayBeEnded: whether it may have been ended by a commit that was told as uncertain.
  func finishStreaming(
    _ uid: String, of session: String, from length: Int, adding piece: String, _ end: NewMessage?,
    mayBeEnded: Bool
  ) async throws
}

/// A message that is being written to `sessions.db`.
///
/// Its pieces reach the file together, about every 33 ms, so that a model's hundreds of deltas cost a few commits.
actor SQLiteMessageStream: MessageStream {
  nonisolated let uid: String
  nonisolated let seq: Int64

  /// How long pieces are gathered.
  static let interval = Duration.milliseconds(33)

  private let sink: any MessageStreamSink
  private let session: String
  private let clock: any Clock<Duration>
  /// Pieces that are not in the store yet, in order.
  private var pieces: [String] = []
  /// Bytes of the text the store has; tells a piece that is there already from one that is not.
  private var written: Int
  /// Fields of which something could not be stored.
  private var repaired: Set<String>
  private var writing: Task<Void, Never>?
  private var gathering: Task<Void, Never>?
  private var isFinishing = false
  private var isFinished = false
  private var mayBeEnded = false

  init(
    _ sink: any MessageStreamSink, clock: any Clock<Duration>, session: String,
    _ acknowledgement: MessageAcknowledgement, written: Int
  ) {
    (self.sink, self.clock, self.session, self.written) = (sink, clock, session, written)
    (uid, seq) = (acknowledgement.uid, acknowledgement.seq)
    repaired = Set(acknowledgement.repaired ?? [])
  }

  func add(_ piece: String) {
    guard !isFinished, !piece.isEmpty else { return }
    let mended = TextRepair.withoutNUL(piece)
    if mended != nil { repaired.insert("content") }
    pieces.append(mended ?? piece)
    guard writing == nil, !isFinishing else { return }
    writing = Task { await self.writePieces() }
  }

  /// Writes until nothing is left or the message is to be finished; the only one who writes meanwhile.
  private func writePieces() async {
    while !pieces.isEmpty, !isFinishing {
      let pause = Task { [clock] in _ = try? await clock.sleep(for: Self.interval) }
      gathering = pause
      await pause.value
      gathering = nil
      guard !isFinishing else { break }
      let taken = pieces.count
      let text = pieces.joined()
      do {
        try await sink.extend(uid, of: session, from: written, with: text)
      } catch {
        // The message is gone, or the store is closed: the end tells.
        if error is SessionError || (error as? StoreError)?.code == .closed { break }
        // Kept, and written with the next pieces or with the end, which tells why it cannot be.
        continue
      }
      pieces.removeFirst(taken)
      written += text.utf8.count
    }
    writing = nil
  }

  @discardableResult
  func finish(_ end: NewMessage?) async throws -> MessageAcknowledgement {
    var end = end
    if let given = end {
      let (prepared, mended) = try given.storable()
      end = prepared
      repaired.formUnion(mended)
    }
    isFinishing = true
    defer { isFinishing = false }
    // What is gathered goes with the end, now.
    gathering?.cancel()
    await writing?.value
    let taken = pieces.count
    let text = pieces.joined()
    do {
      try await sink.finishStreaming(
        uid, of: session, from: written, adding: text, end, mayBeEnded: mayBeEnded)
    } catch {
      if let failure = error as? StoreError, failure.outcome != .notApplied { mayBeEnded = true }
      throw error
    }
    (isFinished, mayBeEnded) = (true, false)
    pieces.removeFirst(taken)
    written += text.utf8.count
    return MessageAcknowledgement(uid: uid, seq: seq, repaired: repaired.isEmpty ? nil : repaired.sorted())
  }
}
