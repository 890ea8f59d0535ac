// SPDX-License-Identifier: Apache-2.0

/// A day of the Gregorian calendar (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
package struct CivilDate: Sendable, Hashable {
  /// As people count them.
  package var year: Int
  /// 1…12
  package var month: Int
  /// 1…31
  package var day: Int

  /// nil for a day that is in no calendar.
  package init?(year: Int, month: Int, day: Int) {
    guard (1...12).contains(month), (1...Self.length(ofMonth: month, year)).contains(day) else { return nil }
    (self.year, self.month, self.day) = (year, month, day)
  }

  /// The day so many days after 1970-01-01.
  package init(day count: Int) {
    let shifted = count + 719_468
    let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
    month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
  }

  /// How many days a month has.
  package static func length(ofMonth month: Int, _ year: Int) -> Int {
    let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
    return [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1]
  }

  /// Days since 1970-01-01.
  package var daysSince1970: Int {
    let shifted = month <= 2 ? year - 1 : year
    let era = (shifted >= 0 ? shifted : shifted - 399) / 400
    let yearOfEra = shifted - era * 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    return era * 146_097 + dayOfEra - 719_468
  }

  /// 0 for Sunday … 6 for Saturday.
  package var weekday: Int {
    // 1970-01-01 was a Thursday.
    let rest = (daysSince1970 + 4) % 7
    return rest < 0 ? rest + 7 : rest
  }

  /// `2026-11-21`
  package var text: String {
    UTCInstant.padded(year, 4) + "-" + UTCInstant.padded(month, 2) + "-" + UTCInstant.padded(day, 2)
  }
}
