// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

/// What becomes of the times at which nobody was there to run a schedule: the host was down, or its machine slept.
public enum MissedRuns: String, Sendable, Hashable, Codable, CaseIterable {
  /// They are left out.
  case skip
  /// One run for all of them.
  case latest
  /// A run for each, the latest ones up to the schedule's cap.
  case all
}

/// What is to be done for a schedule at a moment: a pure decision.
struct ScheduleTurn: Equatable, Sendable {
  /// The times to run it for, in order; most often none or one.
  var runs: [UTCInstant] = []
  /// Times that came and are not run for.
  var leftOut = 0
  /// When it is due again; nil when the calendar has no such day.
  var next: UTCInstant?

  /// Being later than this is having missed the time: a host that is up looks every second.
  static let tolerance = Duration.seconds(60)
  /// A schedule whose next time lies further ahead than the rule says, by more than this, was put off by a clock
  /// that has been wrong.
  static let clockFault = Duration.seconds(3600)

  /// Nothing to run, and when it is due.
  init(next: UTCInstant?) { self.next = next }

  /// Decides.
  ///
  /// - Parameters:
  ///   - due: when it was to run next.
  ///   - isWaiting: whether an earlier run's message still waits; then one more says nothing new, unless every
  ///     missed time is wanted.
  init(
    _ cron: CronExpression, in zone: ScheduleZone, due: UTCInstant, now: UTCInstant, missed: MissedRuns,
    cap: Int, isWaiting: Bool
  ) {
    let following = cron.next(after: now, in: zone)
    guard due <= now else {
      // Runs have their times as identity, so one that was done is not done again.
      let isWrong = following.map { $0.advanced(by: Self.clockFault) < due } ?? false
      next = isWrong ? following : due
      return
    }
    next = following
    var times = [due]
    while let last = times.last, let another = cron.next(after: last, in: zone), another <= now {
      times.append(another)
      // Years of minutes: only the last ones can be wanted.
      if times.count > max(1, cap) + 1024 {
        leftOut += 1024
        times.removeFirst(1024)
      }
    }
    let wanted: Int
    switch missed {
    case .skip:
      let isLate = times[times.count - 1].advanced(by: Self.tolerance) < now
      wanted = isLate || isWaiting ? 0 : 1
    case .latest: wanted = isWaiting ? 0 : 1
    case .all: wanted = min(times.count, max(1, cap))
    }
    leftOut += times.count - wanted
    runs = Array(times.suffix(wanted))
  }
}
