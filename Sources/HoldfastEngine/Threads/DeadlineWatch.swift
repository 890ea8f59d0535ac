// SPDX-License-Identifier: Apache-2.0

/// One thread of the process that fires the deadlines of all job queues.
final class DeadlineWatch: Sendable {
  static let shared = DeadlineWatch()

  private struct Entry {
    weak var queue: JobQueue?
    var when: ContinuousClock.Instant
  }

  private struct State {
    var entries: [ObjectIdentifier: Entry] = [:]
    var isRunning = false
  }

  private let monitor = Monitor(State())

  private init() {}

  /// Asks for a look at `queue` at `when`, or earlier if that was asked before.
  func look(at queue: JobQueue, when: ContinuousClock.Instant) {
    let start = monitor.withLock { state in
      let key = ObjectIdentifier(queue)
      let known = state.entries[key]
      if let known, known.queue != nil, known.when <= when { return false }
      state.entries[key] = Entry(queue: queue, when: when)
      defer { state.isRunning = true }
      return !state.isRunning
    }
    if start { BlockingThread.start(named: "hf-deadlines") { self.run() } }
    monitor.signal()
  }

  private func run() {
    while true {
      let next = monitor.withLock { $0.entries.values.map(\.when).min() } ?? .now + .seconds(3600)
      let due: [JobQueue] =
        monitor.wait(until: next) { state in
          // Woken for an earlier alarm, or to look at the list anew.
          guard let earliest = state.entries.values.map(\.when).min(), earliest < next else { return nil }
          return []
        }
        ?? monitor.withLock { state in
          let now = ContinuousClock.now
          let keys = state.entries.filter { $0.value.when <= now || $0.value.queue == nil }.map(\.key)
          return keys.compactMap { state.entries.removeValue(forKey: $0)?.queue }
        }
      for queue in due {
        if let again = queue.expire(at: .now) { look(at: queue, when: again) }
      }
    }
  }
}
