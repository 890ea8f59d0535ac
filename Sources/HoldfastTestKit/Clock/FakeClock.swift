// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

/// A clock that stands still until a test moves it.
///
/// Whoever sleeps on it wakes in the order of the deadlines, when ``advance(by:)`` or ``advance(to:)`` passes
/// them, and sees its own deadline as the time.
public final class FakeClock: Clock, Sendable {
  /// A moment of a fake clock: how long after its start.
  public struct Instant: InstantProtocol, Hashable, Sendable {
    /// The time since the clock was made.
    public var sinceStart: Duration

    /// A moment this long after the clock's start.
    public init(sinceStart: Duration) {
      self.sinceStart = sinceStart
    }

    /// The moment `duration` later.
    public func advanced(by duration: Duration) -> Instant { Instant(sinceStart: sinceStart + duration) }

    /// How long it is from here to `other`.
    public func duration(to other: Instant) -> Duration { other.sinceStart - sinceStart }

    /// Whether `left` is earlier.
    public static func < (left: Instant, right: Instant) -> Bool { left.sinceStart < right.sinceStart }
  }

  private struct Sleeper {
    let id: UInt64
    let deadline: Instant
    let continuation: CheckedContinuation<Void, any Error>
  }

  private struct State {
    var now = Instant(sinceStart: .zero)
    var nextID: UInt64 = 0
    var sleepers: [Sleeper] = []
    var cancelled: Set<UInt64> = []
    var watchers: [(count: Int, continuation: CheckedContinuation<Void, Never>)] = []
  }

  private let state = Monitor(State())

  /// A clock at its start.
  public init() {}

  /// What it shows.
  public var now: Instant { state.withLock { $0.now } }

  /// Nothing is too short to be told apart.
  public var minimumResolution: Duration { .zero }

  /// Sleeps until a test has moved the clock to `deadline`; tolerance is ignored.
  ///
  /// - Throws: `CancellationError` when the task is cancelled.
  public func sleep(until deadline: Instant, tolerance: Duration? = nil) async throws {
    let id = state.withLock { state in
      state.nextID += 1
      return state.nextID
    }
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
        enum Answer { case sleep([CheckedContinuation<Void, Never>]), over, cancelled }
        let answer = state.withLock { state -> Answer in
          if state.cancelled.remove(id) != nil { return .cancelled }
          if deadline <= state.now { return .over }
          state.sleepers.append(Sleeper(id: id, deadline: deadline, continuation: continuation))
          let ready = state.watchers.filter { $0.count <= state.sleepers.count }.map(\.continuation)
          state.watchers.removeAll { $0.count <= state.sleepers.count }
          return .sleep(ready)
        }
        switch answer {
        case .sleep(let watchers): for watcher in watchers { watcher.resume() }
        case .over: continuation.resume()
        case .cancelled: continuation.resume(throwing: CancellationError())
        }
      }
    } onCancel: {
      let sleeper = state.withLock { state -> Sleeper? in
        guard let index = state.sleepers.firstIndex(where: { $0.id == id }) else {
          state.cancelled.insert(id)
          return nil
        }
        return state.sleepers.remove(at: index)
      }
      sleeper?.continuation.resume(throwing: CancellationError())
    }
    state.withLock { _ = $0.cancelled.remove(id) }
  }

  /// Moves the clock on, waking those whose time has come, one deadline after the other.
  public func advance(by duration: Duration) {
    advance(to: now.advanced(by: duration))
  }

  /// Moves the clock to `instant`; a moment in the past moves it back and wakes nobody (row D02).
  public func advance(to instant: Instant) {
    while true {
      let sleeper = state.withLock { state -> Sleeper? in
        let due = state.sleepers.filter { $0.deadline <= instant }
        guard let first = due.min(by: { ($0.deadline, $0.id) < ($1.deadline, $1.id) }) else {
          state.now = instant
          return nil
        }
        state.sleepers.removeAll { $0.id == first.id }
        state.now = max(state.now, first.deadline)
        return first
      }
      guard let sleeper else { return }
      sleeper.continuation.resume()
    }
  }

  /// Waits until at least `count` sleep on this clock, so that an advance meets them.
  public func sleepers(_ count: Int) async {
    await withCheckedContinuation { continuation in
      let isReached = state.withLock { state in
        if state.sleepers.count >= count { return true }
        state.watchers.append((count, continuation))
        return false
      }
      if isReached { continuation.resume() }
    }
  }
}
