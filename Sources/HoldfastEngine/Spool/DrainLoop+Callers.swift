// SPDX-License-Identifier: Apache-2.0

/// Those who wait: flushes, closes, and the readers of the status.
extension DrainLoop {
  func publish() {
    let orphans = sources.filter(\.isOrphan)
    core.board.withLock { board in
      board.orphans = orphans.count
      board.orphanBytes = orphans.reduce(0) { $0 + $1.segment.size }
      board.orphanRecords = orphans.reduce(0) { $0 + $1.remaining }
      board.orphanOldest = orphans.compactMap(\.nextTime).min()
    }
  }

  mutating func merge(_ closing: SpoolCore.Closing) {
    for segment in closing.unused { segment.delete() }
    guard var merged = self.closing else {
      self.closing = closing
      return
    }
    merged.deadline = min(merged.deadline, closing.deadline)
    merged.waiters += closing.waiters
    self.closing = merged
  }

  mutating func answerFlushes() {
    if flushes.isEmpty { return }
    let settled = core.side.withLock { $0.settled }
    let now = clock.now
    // More than are held open at once are adopted in turns: none is left when no turn is due.
    let hasLeftovers = sources.contains(where: \.isOrphan) || nextAdoption.map { $0 <= now } ?? true
    let waiting = flushes
    flushes = []
    for flush in waiting {
      if settled >= flush.target, !(flush.leftovers && hasLeftovers) {
        flush.continuation.resume()
      } else if cancelled.contains(flush.id) {
        flush.continuation.resume(
          throwing: StoreError(.cancelled, "Waiting for the spool was cancelled; its records are kept."))
      } else if let deadline = flush.deadline, now >= deadline {
        flush.continuation.resume(throwing: late())
      } else {
        flushes.append(flush)
      }
    }
  }

  private func late() -> StoreError {
    let cause = core.board.withLock { $0.lastError }
    let reason = cause.map { " The last attempt failed: \($0.message)" } ?? ""
    return StoreError(
      .deadline,
      "The records of the spool \(core.configuration.stream) did not land in time; they are kept.\(reason)",
      path: core.directory.path, holders: cause?.holders ?? [], underlying: cause)
  }

  static func closedBeforeFlush(_ core: SpoolCore) -> StoreError {
    StoreError(
      .closed,
      "The spool \(core.configuration.stream) was closed before its records landed; the next drain has them.",
      path: core.directory.path)
  }

  mutating func abandon(_ mail: SpoolCore.Mail) {
    flushes += mail.flushes
    if let closing = mail.closing { merge(closing) }
    let spare = core.side.withLock { $0.close() }
    spare?.delete()
    finish()
  }

  /// Lets go of everything; what has not landed is left on disk, unlocked, for the next drain.
  mutating func finish() {
    // The batch may still commit after this: the cursor tells whoever adopts the segment.
    flight?.withdraw()
    let late = core.mail.withLock { mail in
      mail.isOver = true
      defer {
        mail.flushes = []
        mail.closing = nil
      }
      return (mail.flushes, mail.closing)
    }
    flushes += late.0
    if let closing = late.1 { merge(closing) }
    let own = core.side.withLock { side in
      side.extents().map { ($0.segment, isEmpty: $0.limit == SegmentFormat.headerBytes) }
    }
    for (segment, isEmpty) in own {
      if isEmpty { segment.delete() } else { segment.close() }
    }
    for source in sources where source.isOrphan { source.segment.close() }
    core.board.withLock { $0.draining = false }
    for flush in flushes { flush.continuation.resume(throwing: Self.closedBeforeFlush(core)) }
    for waiter in closing?.waiters ?? [] { waiter.resume() }
  }
}
