// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

/// How long a budget lasts before it begins anew.
public enum BudgetPeriod: String, Sendable, Hashable, Codable, CaseIterable {
  /// A whole hour of UTC.
  case hour
  /// Five hours, counted from 1970 in UTC.
  case fiveHours = "5h"
  /// A day on the wall: 23 to 25 hours where clocks change.
  case day
  /// From Monday on.
  case week
  /// A month on the wall.
  case month

  /// As `a day` in a sentence.
  public var phrase: String {
    switch self {
    case .hour: "an hour"
    case .fiveHours: "five hours"
    case .day: "a day"
    case .week: "a week"
    case .month: "a month"
    }
  }

  /// The period a moment is in: from its first moment up to the first of the next one.
  ///
  /// Every moment is in exactly one, also where a day begins twice, or at one o'clock.
  public func span(containing instant: UTCInstant, in zone: CivilZone) -> Range<UTCInstant> {
    switch self {
    case .hour: return Self.span(instant, seconds: 3600)
    case .fiveHours: return Self.span(instant, seconds: 5 * 3600)
    case .day, .week, .month: break
    }
    let seconds = Int(instant.milliseconds / 1000)
    var first = first(ofDay: (seconds + zone.offset(at: seconds)) / 86_400)
    while Self.start(ofDay: first, zone) > seconds { first = self.first(ofDay: first - 1) }
    var next = day(after: first)
    while Self.start(ofDay: next, zone) <= seconds { (first, next) = (next, day(after: next)) }
    return UTCInstant(
      seconds: Self.start(ofDay: first, zone))..<UTCInstant(
        seconds: Self.start(ofDay: next, zone))
  }

  private static func span(_ instant: UTCInstant, seconds: Int64) -> Range<UTCInstant> {
    let length = seconds * 1000
    let start = instant.milliseconds - instant.milliseconds % length
    return UTCInstant(milliseconds: start)..<UTCInstant(milliseconds: start + length)
  }

  /// The first day of the period a day (since 1970) is in.
  private func first(ofDay day: Int) -> Int {
    switch self {
    case .hour, .fiveHours, .day: return day
    case .week:
      // 1970-01-01 was a Thursday; 0 is Monday.
      return day - ((day + 3) % 7 + 7) % 7
    case .month:
      var date = CivilDate(day: day)
      date.day = 1
      return date.daysSince1970
    }
  }

  /// The first day of the period after the one that begins with `first`.
  private func day(after first: Int) -> Int {
    switch self {
    case .hour, .fiveHours, .day: return first + 1
    case .week: return first + 7
    case .month:
      let date = CivilDate(day: first)
      return first + CivilDate.length(ofMonth: date.month, date.year)
    }
  }

  /// The first second at which the wall shows a day: not always midnight, which clocks may be put over.
  private static func start(ofDay day: Int, _ zone: CivilZone) -> Int {
    let wall = day * 86_400
    // Zones are 12 hours behind UTC to 14 ahead.
    var (before, after) = (wall - 15 * 3600, wall + 13 * 3600)
    // Clocks seldom change near a day's beginning.
    for guess in [wall - zone.offset(at: before), wall - zone.offset(at: after)]
    where guess + zone.offset(at: guess) == wall && guess - 1 + zone.offset(at: guess - 1) < wall {
      return guess
    }
    while after - before > 1 {
      let middle = before + (after - before) / 2
      if middle + zone.offset(at: middle) >= wall { after = middle } else { before = middle }
    }
    return after
  }
}

extension UTCInstant {
  fileprivate init(seconds: Int) { self.init(milliseconds: Int64(seconds) * 1000) }
}
