// SPDX-License-Identifier: Apache-2.0

/// When the drain writes, how much at once, and how it goes on after a failure: decisions only, no I/O.
///
/// States and where they go:
///
/// - `resting`: nothing is pending. A pending record → `lingering`, or `landing` when it is urgent.
/// - `lingering(until)`: few records are pending and company may come. The time is up, a whole batch is
///   there, or it is urgent → `landing`.
/// - `landing`: one batch is in flight, never two, so the drain takes one turn in the writers' queue at a
///   time. Landed, or the cursor was elsewhere → `resting`. A record refused by the caller's own code →
///   `resting` with the batch halved. The database failed → `backingOff`.
/// - `backingOff(until)`: only the time ends it, or somebody new who waits.
///
/// A record that cannot be applied is found by halving the batch until it stands alone; alone, it is set
/// aside by the transaction itself and counts as landed. So nothing ever blocks what lies behind it.
struct DrainMachine<Instant: InstantProtocol> where Instant.Duration == Duration {
  /// The most records of one batch.
  static var mostRecords: Int { 512 }
  /// What a batch may take of the writers' time before it is made smaller.
  static var longestHold: Duration { .milliseconds(5) }
  static var firstPause: Duration { .milliseconds(10) }
  static var longestPause: Duration { .seconds(1) }

  enum State: Equatable {
    case resting
    case lingering(until: Instant)
    case landing
    case backingOff(until: Instant)
  }

  enum Action: Equatable {
    /// Sleep until something happens, or until the instant given.
    case rest(until: Instant?)
    /// Put a batch of at most `limit` records in flight and report how it ended.
    case land(limit: Int)
  }

  private(set) var state = State.resting
  /// The size of the next batch.
  private(set) var limit = mostRecords
  private var pause = firstPause
  private let linger: Duration

  init(linger: Duration) {
    self.linger = linger
  }

  /// What to do now.
  ///
  /// - Parameters:
  ///   - pending: records that are there and not in flight.
  ///   - urgent: somebody waits for them (a flush, a close): company is not waited for.
  ///   - retry: somebody has come since the last attempt: a pause ends at once, for this one attempt. Whoever
  ///     keeps waiting does not make a database that cannot write be asked without a pause.
  mutating func next(at now: Instant, pending: Int, urgent: Bool, retry: Bool = false) -> Action {
    switch state {
    case .landing:
      return .rest(until: nil)
    case .backingOff(let until):
      if !retry, now < until { return .rest(until: until) }
    case .lingering(let until):
      if !urgent, now < until, pending < limit { return pending == 0 ? settle() : .rest(until: until) }
    case .resting:
      if !urgent, pending > 0, linger > .zero, pending < limit {
        let until = now.advanced(by: linger)
        state = .lingering(until: until)
        return .rest(until: until)
      }
    }
    guard pending > 0 else { return settle() }
    state = .landing
    return .land(limit: limit)
  }

  /// The batch is committed. `hold` is what applying its `count` records took inside the transaction.
  mutating func landed(count: Int, hold: Duration) {
    leaveLanding(for: .resting)
    pause = Self.firstPause
    if hold > Self.longestHold {
      limit = max(1, min(limit, count) / 2)
    } else if hold * 2 < Self.longestHold {
      limit = min(Self.mostRecords, limit * 2)
    }
  }

  /// Nothing was written: the cursor in the database was not where it was taken to be. Try again from there.
  mutating func cursorMoved() {
    leaveLanding(for: .resting)
  }

  /// Nothing was written: one of the `count` records cannot be applied.
  mutating func refused(count: Int) {
    precondition(count > 1, "a record alone is set aside by its transaction, never refused")
    leaveLanding(for: .resting)
    limit = max(1, count / 2)
  }

  /// The database could not take it, whatever was in the batch. Whether it was written may be unknown: the
  /// cursor tells the next attempt.
  mutating func failed(at now: Instant) {
    leaveLanding(for: .backingOff(until: now.advanced(by: pause)))
    pause = min(Self.longestPause, pause * 2)
  }

  private mutating func settle() -> Action {
    state = .resting
    return .rest(until: nil)
  }

  private mutating func leaveLanding(for next: State) {
    precondition(state == .landing, "a batch ended that was not in flight")
    state = next
  }
}
