// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

/// When something is to be run: five fields, as crontab(5) has them.
///
/// ```
/// minute 0-59   hour 0-23   day of month 1-31   month 1-12 or jan-dec   day of week 0-7 or sun-sat (0 and 7: Sunday)
/// ```
///
/// A field is `*`, a number or name, a range `a-b` (which may wrap: `22-2`, `fri-mon`), any of these with a step
/// (`*/15`, `9-17/2`, `5/15` for from 5 on), or several with commas; `?` is `*` for the two kinds of days. `L` is the
/// last day of the month, `fri#3` its third Friday, `L5` its last. When both kinds of days are restricted, a day that
/// is either will do, as POSIX has it. `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly`, `@yearly` and
/// `@annually` stand for what they say.
///
/// Where clocks change: a time that is skipped is run at the first moment after; a time that comes twice is run the
/// first time only. Schedules of every hour (`*`) are as they would be by the hour: no time skipped is made up for, and
/// a repeated hour is an hour like any other.
public struct CronExpression: Sendable, Hashable {
  /// As it was written.
  public let text: String
  /// Bit n: the minute n.
  var minutes: UInt64 = 0
  /// Bit n: the hour n.
  var hours: UInt64 = 0
  /// Bit n: the day n.
  var days: UInt64 = 0
  var hasLastDay = false
  /// Bit n: the month n.
  var months: UInt64 = 0
  /// Bit n: the weekday n, Sunday being 0.
  var weekdays: UInt64 = 0
  /// Weekdays that count only as the nth of their month.
  var ordinalWeekdays: Set<OrdinalWeekday> = []
  var restrictsDays = false
  var restrictsWeekdays = false

  /// As the third Friday of a month.
  struct OrdinalWeekday: Hashable, Sendable {
    /// 0 for Sunday.
    var weekday: Int
    /// 1…5; nil for the last.
    var ordinal: Int?
  }

  /// Reads an expression.
  ///
  /// - Throws: ``MailboxError`` `invalid`: what is wrong with which field, or that no day fits (30 February).
  public init(_ text: String) throws(MailboxError) {
    self.text = text
    var parser = CronParser(text)
    try parser.read(into: &self)
    guard isEverDue else {
      throw MailboxError(
        .invalid, "The schedule “\(text)” names a day that no month has; correct its day or its month.")
    }
  }

  /// Whether it is run at every hour of the day, so that its hours are no times of day.
  var isOfEveryHour: Bool { hours == 1 << 24 - 1 }

  /// Whether it is run on a day.
  func includes(_ date: CivilDate) -> Bool {
    guard months & 1 << UInt64(date.month) != 0 else { return false }
    switch (restrictsDays, restrictsWeekdays) {
    case (false, false): return true
    case (true, false): return includesDayOfMonth(date)
    case (false, true): return includesWeekday(date)
    case (true, true): return includesDayOfMonth(date) || includesWeekday(date)
    }
  }

  private func includesDayOfMonth(_ date: CivilDate) -> Bool {
    days & 1 << UInt64(date.day) != 0
      || hasLastDay && date.day == CivilDate.length(ofMonth: date.month, date.year)
  }

  private func includesWeekday(_ date: CivilDate) -> Bool {
    let weekday = date.weekday
    if weekdays & 1 << UInt64(weekday) != 0 { return true }
    guard !ordinalWeekdays.isEmpty else { return false }
    let isLast = date.day + 7 > CivilDate.length(ofMonth: date.month, date.year)
    return ordinalWeekdays.contains(.init(weekday: weekday, ordinal: (date.day - 1) / 7 + 1))
      || isLast && ordinalWeekdays.contains(.init(weekday: weekday, ordinal: nil))
  }

  /// A day of the month may be one that none of the months has; every other combination comes.
  private var isEverDue: Bool {
    guard restrictsDays, !restrictsWeekdays, !hasLastDay else { return true }
    let first = days.trailingZeroBitCount
    // 2024 is a leap year.
    return (1...12).contains { months & 1 << UInt64($0) != 0 && CivilDate.length(ofMonth: $0, 2024) >= first }
  }
}
