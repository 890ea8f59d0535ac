// SPDX-License-Identifier: Apache-2.0

/// The times a question may name: a UTC day, a UTC moment, or an age.
enum SearchTime {
  /// Milliseconds since 1970; nil when the text is no time.
  static func milliseconds(_ text: String, now: Int64) -> Int64? {
    age(text).map { now - $0 } ?? moment(text)
  }

  private static func age(_ text: String) -> Int64? {
    guard let unit = text.last, let number = Int64(text.dropLast()), (0...1_000_000).contains(number) else {
      return nil
    }
    switch unit {
    case "m": return number * 60_000
    case "h": return number * 3_600_000
    case "d": return number * 86_400_000
    case "w": return number * 604_800_000
    default: return nil
    }
  }

  private static func moment(_ text: String) -> Int64? {
    let bytes = Array(text.utf8)
    guard bytes.count >= 10, bytes[4] == 0x2D, bytes[7] == 0x2D,
      let year = number(bytes[0..<4]), let month = number(bytes[5..<7]), let day = number(bytes[8..<10]),
      (1...12).contains(month), (1...lastDay(of: month, in: year)).contains(day)
    else { return nil }
    let midnight = days(year, month, day) * 86_400_000
    if bytes.count == 10 { return midnight }
    guard bytes.count >= 16, bytes[10] == 0x54 || bytes[10] == 0x74, bytes[13] == 0x3A,
      let hour = number(bytes[11..<13]), let minute = number(bytes[14..<16]), hour < 24, minute < 60
    else { return nil }
    var rest = bytes[16...]
    if rest.last == 0x5A || rest.last == 0x7A { rest.removeLast() }
    var second: Int64 = 0
    if !rest.isEmpty {
      guard rest.count >= 3, rest.first == 0x3A, let value = number(rest.dropFirst().prefix(2)), value < 60
      else { return nil }
      let fraction = rest.dropFirst(3)
      guard fraction.isEmpty || fraction.first == 0x2E && number(fraction.dropFirst()) != nil else {
        return nil
      }
      second = value
    }
    return midnight + (hour * 3600 + minute * 60 + second) * 1000
  }

  private static func number(_ digits: ArraySlice<UInt8>) -> Int64? {
    guard !digits.isEmpty, digits.count <= 9, digits.allSatisfy({ (0x30...0x39).contains($0) }) else {
      return nil
    }
    return digits.reduce(0) { $0 * 10 + Int64($1 - 0x30) }
  }

  private static func lastDay(of month: Int64, in year: Int64) -> Int64 {
    switch month {
    case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
  }

  /// Days since 1970-01-01 in the Gregorian calendar, years counted from March.
  private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
    let shifted = month > 2 ? year : year - 1
    let era = (shifted >= 0 ? shifted : shifted - 399) / 400
    let yearOfEra = shifted - era * 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
  }
}
