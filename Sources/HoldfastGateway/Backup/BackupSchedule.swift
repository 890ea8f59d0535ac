// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

/// The moments at which backups are due: one an hour, a day or a week, in UTC. A pure value.
///
/// UTC has no hour that comes twice or never, and retention counts in it too.
public struct BackupSchedule: Hashable, Sendable {
  /// How often.
  public enum Interval: String, Hashable, Sendable, CaseIterable {
    /// Every hour.
    case hourly
    /// Every day.
    case daily
    /// Every week, on Mondays.
    case weekly

    var nanoseconds: Int64 {
      switch self {
      case .hourly: 3_600_000_000_000
      case .daily: 24 * 3_600_000_000_000
      case .weekly: 7 * 24 * 3_600_000_000_000
      }
    }

    /// Where the first interval begins; the epoch was a Thursday.
    fileprivate var origin: Int64 { self == .weekly ? 4 * 24 * 3_600_000_000_000 : 0 }
  }

  /// How often.
  public var interval: Interval
  /// The minute of the day; of the hour for an hourly one.
  public var minute: Int

  /// - Parameter minute: the minute of the day, from 0 to 1439; only its part of the hour counts for an hourly one.
  public init(_ interval: Interval, minute: Int) {
    precondition((0..<1440).contains(minute), "a day has 1440 minutes")
    self.interval = interval
    self.minute = interval == .hourly ? minute % 60 : minute
  }

  /// The first moment of the schedule that is later than `time`.
  public func next(after time: UnixTime) -> UnixTime {
    let length = interval.nanoseconds
    let first = interval.origin + Int64(minute) * 60_000_000_000
    let (quotient, remainder) = (time.nanoseconds - first).quotientAndRemainder(dividingBy: length)
    return UnixTime(nanoseconds: first + (quotient + (remainder < 0 ? 0 : 1)) * length)
  }
}

/// Decides when the next scheduled backup is made: a pure value, driven with the time of the wall clock.
///
/// A machine that slept, or was off, through any number of moments of its schedule makes one backup for all of them,
/// a minute after the daemon has come up. What failed is tried again after five minutes, then ten, up to an hour. A
/// clock that is set back makes nothing wait for a moment that lies years ahead.
struct BackupScheduleMachine: Hashable, Sendable {
  enum Action: Hashable, Sendable {
    case wait(until: UnixTime)
    case run
  }

  static let startDelay = Duration.seconds(60)
  static let firstRetry = Duration.seconds(300)
  static let lastRetry = Duration.seconds(3600)

  let schedule: BackupSchedule
  let started: UnixTime
  /// When the last backup that succeeded was begun; nil when there is none.
  private(set) var lastSuccess: UnixTime?
  private(set) var failures = 0
  private var notBefore: UnixTime

  init(_ schedule: BackupSchedule, lastSuccess: UnixTime?, started: UnixTime) {
    self.schedule = schedule
    self.lastSuccess = lastSuccess
    self.started = started
    notBefore = started + Self.startDelay
  }

  /// What to do at this moment.
  mutating func action(now: UnixTime) -> Action {
    // The clock was set back since that was decided.
    notBefore = min(notBefore, now + Self.lastRetry)
    let moment = max(due(now: now), notBefore)
    return moment <= now ? .run : .wait(until: moment)
  }

  /// When the next backup is due by the schedule alone; `now` when it is.
  func due(now: UnixTime) -> UnixTime {
    guard let last = lastSuccess, !isFromTheFuture(last, now) else { return now }
    return schedule.next(after: last)
  }

  /// What the backups themselves say of the last success: anybody may have made one, or removed it.
  mutating func found(lastSuccess: UnixTime?) { self.lastSuccess = lastSuccess }

  /// One that began at `time` was made.
  mutating func succeeded(began time: UnixTime) {
    lastSuccess = time
    failures = 0
    notBefore = time
  }

  /// One failed at `now`.
  mutating func failed(now: UnixTime) {
    failures += 1
    let doublings = min(failures - 1, 10)
    notBefore = now + min(Self.lastRetry, Self.firstRetry * (1 << doublings))
  }

  /// Somebody else makes one; no failure.
  mutating func postponed(now: UnixTime) { notBefore = now + Self.firstRetry }

  /// Whether a whole interval has passed in which one should have been made, and this daemon was there to make it.
  func isOverdue(now: UnixTime) -> Bool {
    let length = Duration.nanoseconds(schedule.interval.nanoseconds)
    guard let last = lastSuccess, !isFromTheFuture(last, now) else { return started + length < now }
    return max(schedule.next(after: last), started) + length < now
  }

  private func isFromTheFuture(_ time: UnixTime, _ now: UnixTime) -> Bool {
    now + .nanoseconds(schedule.interval.nanoseconds) < time
  }
}

extension UnixTime {
  static func + (time: UnixTime, duration: Duration) -> UnixTime {
    let (seconds, attoseconds) = duration.components
    return UnixTime(nanoseconds: time.nanoseconds + seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
  }

  func duration(to other: UnixTime) -> Duration { .nanoseconds(other.nanoseconds - nanoseconds) }
}
