// SPDX-License-Identifier: Apache-2.0

extension WriteLane {
  private enum Entry {
    case queueing
    case entered
    case failed(StoreError)
    /// The caller gave up; whoever gets the turn for it gives it back at once.
    case abandoned
  }

  /// Waits for the turn up to `deadline`. Blocks.
  ///
  /// A wait in the kernel cannot be given a deadline, and polling would never come first in a busy lane. So
  /// a thread queues on the caller's behalf and the caller waits for the thread.
  /// - Throws: ``StoreError`` with code `deadline` and the holders, or `io`.
  func enter(by deadline: ContinuousClock.Instant) throws(StoreError) {
    if try tryEnter() { return }
    let entry = Monitor(Entry.queueing)
    BlockingThread.start(named: "hf-queue") {
      let result: Entry
      do throws(StoreError) {
        try self.enter()
        result = .entered
      } catch {
        result = .failed(error)
      }
      let abandoned = entry.withLock { state in
        guard case .queueing = state else { return true }
        state = result
        return false
      }
      if abandoned, case .entered = result { self.leave() }
      entry.signal()
    }
    _ = entry.wait(until: deadline) { state -> Bool? in
      if case .queueing = state { nil } else { true }
    }
    let outcome = entry.withLock { state in
      if case .queueing = state { state = .abandoned }
      return state
    }
    switch outcome {
    case .entered: return
    case .failed(let error): throw error
    case .queueing, .abandoned:
      let database = String(file.path.dropLast("-lane".utf8.count))
      throw StoreError(
        .deadline,
        "Opening \(database.fileName) waited for its turn and gave up; nothing was done, try again.",
        path: database, holders: LockTable.holders(ofDatabaseAt: database))
    }
  }
}
