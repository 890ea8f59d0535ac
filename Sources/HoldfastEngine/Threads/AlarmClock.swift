// SPDX-License-Identifier: Apache-2.0

/// One thread that calls back at a time, for deadlines that are most often taken back before.
///
/// To set and to cancel one costs a lock and wakes nobody, but for an alarm earlier than all others; a task that
/// sleeps would arm a timer of the kernel's each time.
final class AlarmClock: Sendable {
  static let shared = AlarmClock()

  /// An alarm that was set.
  struct Alarm: Hashable, Sendable {
    fileprivate var id: UInt64
  }

  private struct State {
    var alarms: [UInt64: (when: ContinuousClock.Instant, call: @Sendable () -> Void)] = [:]
    var nextID: UInt64 = 0
    /// When the thread looks next; nil before there is one.
    var look: ContinuousClock.Instant?
  }

  private let monitor = Monitor(State())

  /// Calls `body` at a time, on the clock's own thread: it must not block.
  func set(_ when: ContinuousClock.Instant, _ body: @escaping @Sendable () -> Void) -> Alarm {
    let (id, isFirst, isEarliest) = monitor.withLock { state in
      state.nextID += 1
      state.alarms[state.nextID] = (when, body)
      let look = state.look
      if when < look ?? .now + .seconds(7200) { state.look = when }
      return (state.nextID, look == nil, look.map { when < $0 } ?? false)
    }
    if isFirst { BlockingThread.start(named: "hf-alarms") { self.run() } }
    if isEarliest { monitor.signal() }
    return Alarm(id: id)
  }

  /// Takes an alarm back, if it has not been called yet.
  func cancel(_ alarm: Alarm) {
    monitor.withLock { _ = $0.alarms.removeValue(forKey: alarm.id) }
  }

  private func run() {
    while true {
      let next = monitor.withLock { state in
        // Alarms taken back are found here to be gone, once for all of them.
        let next = state.alarms.values.map(\.when).min() ?? .now + .seconds(3600)
        state.look = next
        return next
      }
      // Woken for an earlier one, or the time has come.
      _ = monitor.wait(until: next) { $0.look ?? next < next ? () : nil }
      let due = monitor.withLock { state in
        let now = ContinuousClock.now
        let ids = state.alarms.filter { $0.value.when <= now }.keys
        return ids.compactMap { state.alarms.removeValue(forKey: $0)?.call }
      }
      for call in due { call() }
    }
  }
}
