// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import Logging

/// Values that wait to be written: one a key, the last that was given.
///
/// The first to come starts the delay; when it is over everything that is there goes into one commit. What cannot be
/// written for a reason that passes waits on and is tried again; what a constraint refuses is lost, counted and told.
actor LaterWrites {
  /// Writes a batch in one commit; returns why single ones of it were refused.
  typealias Write = @Sendable ([StateEdit]) async throws -> [StateKey: any Error]

  private struct State {
    var edits: [StateKey: StateEdit] = [:]
    var bytes = 0
    /// Whether somebody is on the way to write them.
    var isDue = false
    var isClosed = false
    /// What the next flush tells.
    var untold: (any Error)?
    var lost: UInt64 = 0
    var lastLoss: String?
    var delay: String?
    /// Those in the commit that is being made.
    var inFlight: Set<StateKey> = []
  }

  /// The most values and bytes that wait.
  static let mostEdits = 65_536
  static let mostBytes = 64 << 20

  private let state = Monitor(State())
  private let write: Write
  private let delay: Duration
  private let sleep: @Sendable (Duration) async throws -> Void
  private let logger: Logger
  private var running: Task<Void, Never>?
  private var failures = 0

  init(
    delay: Duration, logger: Logger, sleep: @escaping @Sendable (Duration) async throws -> Void,
    write: @escaping Write
  ) {
    (self.delay, self.logger, self.sleep, self.write) = (delay, logger, sleep, write)
  }

  /// Takes a value; never blocks.
  nonisolated func add(_ edit: StateEdit) throws(CatalogError) {
    let startsDelay = try state.withLock { state throws(CatalogError) in
      guard !state.isClosed else { throw CatalogError(.closed, "The state store is closed.") }
      let freed = state.edits[edit.key].map(Self.size) ?? 0
      let size = Self.size(edit)
      guard state.edits.count < Self.mostEdits || state.edits[edit.key] != nil,
        state.bytes - freed + size <= Self.mostBytes
      else {
        throw CatalogError(
          .writesLost,
          "\(edit.key) was not taken: \(state.edits.count) values wait to be written already"
            + (state.delay.map { " (\($0))" } ?? "") + ".")
      }
      state.bytes += size - freed
      state.edits[edit.key] = edit
      defer { state.isDue = true }
      return !state.isDue
    }
    if startsDelay { startDelay(delay) }
  }

  /// Whether one of these waits or is being written.
  nonisolated func holds(_ keys: some Sequence<StateKey>) -> Bool {
    state.withLock { state in keys.contains { state.edits[$0] != nil || state.inFlight.contains($0) } }
  }

  nonisolated func fill(_ status: inout StateStoreStatus) {
    state.withLock { state in
      status.waiting = state.edits.count + state.inFlight.count
      (status.lost, status.lastLoss, status.delay) = (state.lost, state.lastLoss, state.delay)
    }
  }

  private nonisolated static func size(_ edit: StateEdit) -> Int {
    let key = edit.key.namespace.utf8.count + edit.key.key.utf8.count + 128
    return if case .set(let value) = edit.change { key + value.json.utf8.count } else { key }
  }

  private nonisolated func startDelay(_ duration: Duration) {
    Task { [sleep] in
      try? await sleep(duration)
      await self.land()
    }
  }

  /// Writes all that waits now, and waits for it; what fails is noted.
  func land() async {
    // Only one batch at a time: a later value must not be overtaken by an earlier one.
    while let running { await running.value }
    let batch = state.withLock { state in
      let batch = state.edits
      state.edits = [:]
      state.bytes = 0
      state.isDue = false
      state.inFlight = Set(batch.keys)
      return batch
    }
    guard !batch.isEmpty else { return }
    let task = Task {
      await perform(batch)
      running = nil
    }
    running = task
    await task.value
  }

  private func perform(_ batch: [StateKey: StateEdit]) async {
    do {
      let refused = try await write(batch.values.sorted { $0.key < $1.key })
      failures = 0
      state.withLock { state in
        state.inFlight = []
        state.delay = nil
        for (key, error) in refused.sorted(by: { $0.key < $1.key }) {
          state.lost += 1
          state.lastLoss = "\(key): \(error)"
          state.untold = state.untold ?? error
        }
      }
      for (key, error) in refused {
        logger.error("a value was lost", metadata: ["key": "\(key)", "reason": "\(error)"])
      }
    } catch {
      failures += 1
      let pause = min(delay * (1 << min(failures, 10)), .seconds(5))
      let isClosed = state.withLock { state in
        state.inFlight = []
        state.delay = "\(error)"
        state.untold = state.untold ?? error
        if state.isClosed { return true }
        for (key, edit) in batch where state.edits[key] == nil {
          state.edits[key] = edit
          state.bytes += Self.size(edit)
        }
        return false
      }
      if isClosed {
        lose(batch.count, error)
      } else {
        let starts = state.withLock { state in
          defer { state.isDue = true }
          return !state.isDue
        }
        if starts { startDelay(max(pause, delay)) }
      }
    }
  }

  private func lose(_ count: Int, _ error: any Error) {
    state.withLock { state in
      state.lost += UInt64(count)
      state.lastLoss = "\(error)"
    }
    logger.error("values were lost", metadata: ["count": "\(count)", "reason": "\(error)"])
  }

  /// Waits until what was given before the call is written or was refused.
  ///
  /// - Throws: what went wrong since the last call.
  func flush() async throws {
    await land()
    let error = state.withLock { state in
      defer { state.untold = nil }
      return state.untold
    }
    if let error { throw error }
  }

  /// Takes no more, and writes what waits; what cannot be written in time is told as lost.
  func close(within bound: Duration) async {
    let isFirst = state.withLock { state in
      defer { state.isClosed = true }
      return !state.isClosed
    }
    guard isFirst else { return }
    // Twice: a batch that failed while this was being closed was put back by then.
    try? await Deadline.wait(bound, for: "values were not written") {
      await self.land()
      await self.land()
    }
    let left = state.withLock { $0.edits.count + $0.inFlight.count }
    if left > 0 { lose(left, CatalogError(.closed, "The state store was closed before they were written.")) }
  }
}
