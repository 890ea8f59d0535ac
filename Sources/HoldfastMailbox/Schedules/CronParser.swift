// SPDX-License-Identifier: Apache-2.0

/// Reads the five fields of a ``CronExpression``.
struct CronParser {
  private struct Field {
    var name: String
    var range: ClosedRange<Int>
    var names: [String] = []
    /// The number of the first name.
    var firstName = 0
    /// Whether `?` may stand for all.
    var isOfDays = false
  }

  private static let fields = [
    Field(name: "minute", range: 0...59),
    Field(name: "hour", range: 0...23),
    Field(name: "day of month", range: 1...31, isOfDays: true),
    Field(
      name: "month", range: 1...12,
      names: ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
      firstName: 1),
    Field(
      name: "day of week", range: 0...7, names: ["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
      isOfDays: true),
  ]

  private static let nicknames = [
    "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
  ]

  private let text: String

  init(_ text: String) { self.text = text }

  mutating func read(into cron: inout CronExpression) throws(MailboxError) {
    let written = text.lowercased().split(whereSeparator: \.isWhitespace).map(String.init)
    var parts = written
    if written.count == 1, written[0].hasPrefix("@") {
      guard let meaning = Self.nicknames[written[0]] else {
        throw fault("“\(written[0])” is none of \(Self.nicknames.keys.sorted().joined(separator: ", "))")
      }
      parts = meaning.split(separator: " ").map(String.init)
    }
    guard parts.count == Self.fields.count else {
      throw fault(
        "it has \(parts.count) fields and needs five: minute, hour, day of month, month, day of week")
    }
    cron.minutes = try bits(parts[0], Self.fields[0])
    cron.hours = try bits(parts[1], Self.fields[1])
    try readDays(parts[2], into: &cron)
    cron.months = try bits(parts[3], Self.fields[3])
    try readWeekdays(parts[4], into: &cron)
  }

  private func readDays(_ part: String, into cron: inout CronExpression) throws(MailboxError) {
    let items = list(part)
    cron.hasLastDay = items.contains("l")
    let numbers = items.filter { $0 != "l" }
    if !numbers.isEmpty { cron.days = try bits(numbers, Self.fields[2]) }
    cron.restrictsDays = cron.days != (1 << 32) - 2
  }

  private func readWeekdays(_ part: String, into cron: inout CronExpression) throws(MailboxError) {
    let field = Self.fields[4]
    var numbers: [String] = []
    for item in list(part) {
      let sides = item.split(separator: "#", omittingEmptySubsequences: false).map(String.init)
      if sides.count == 2 {
        guard let ordinal = Int(sides[1]), (1...5).contains(ordinal) else {
          throw fault("“\(item)” in its \(field.name) is not the first to fifth of a month")
        }
        cron.ordinalWeekdays.insert(.init(weekday: try number(sides[0], field) % 7, ordinal: ordinal))
      } else if item.hasPrefix("l") {
        cron.ordinalWeekdays.insert(
          .init(weekday: try number(String(item.dropFirst()), field) % 7, ordinal: nil))
      } else {
        numbers.append(item)
      }
    }
    if !numbers.isEmpty { cron.weekdays = try bits(numbers, field) }
    // Both 0 and 7 are Sunday.
    if cron.weekdays & 1 << 7 != 0 { cron.weekdays |= 1 }
    cron.weekdays &= 0b111_1111
    cron.restrictsWeekdays = cron.weekdays != 0b111_1111
  }

  private func list(_ part: String) -> [String] {
    part.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
  }

  private func bits(_ part: String, _ field: Field) throws(MailboxError) -> UInt64 {
    try bits(list(part), field)
  }

  private func bits(_ items: [String], _ field: Field) throws(MailboxError) -> UInt64 {
    var all: UInt64 = 0
    for item in items { all |= try bits(ofItem: item, field) }
    return all
  }

  private func bits(ofItem item: String, _ field: Field) throws(MailboxError) -> UInt64 {
    let sides = item.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    var step = 1
    if sides.count == 2 {
      guard let wanted = Int(sides[1]), wanted >= 1 else {
        throw fault("the step of “\(item)” in its \(field.name) is no number from 1 on")
      }
      step = wanted
    } else if sides.count > 2 {
      throw fault("“\(item)” in its \(field.name) has more than one step")
    }
    // Sunday is 0 in a range of all days, and 7 when it ends one.
    let whole = field.range.upperBound == 7 ? 0...6 : field.range
    let range = sides[0]
    if range == "*" || range == "?" && field.isOfDays {
      return numbers(from: whole.lowerBound, to: whole.upperBound, by: step, in: whole)
    }
    let ends = range.split(separator: "-", omittingEmptySubsequences: false).map(String.init)
    guard ends.count <= 2 else { throw fault("“\(item)” in its \(field.name) is no range") }
    let first = try number(ends[0], field)
    if ends.count == 1 {
      let last = sides.count == 2 ? whole.upperBound : first
      return numbers(from: first, to: last, by: step, in: field.range)
    }
    let last = try number(ends[1], field)
    let wraps = first > last
    return numbers(from: first, to: last, by: step, in: wraps ? whole : field.range)
  }

  /// The numbers of a range, which may wrap.
  private func numbers(from first: Int, to last: Int, by step: Int, in range: ClosedRange<Int>) -> UInt64 {
    let length = range.count
    let count = first <= last ? last - first : last + length - first
    var all: UInt64 = 0
    var place = 0
    while place <= count {
      let value = first + place
      all |= 1 << UInt64(value > range.upperBound ? value - length : value)
      place += step
    }
    return all
  }

  private func number(_ word: String, _ field: Field) throws(MailboxError) -> Int {
    if let index = field.names.firstIndex(of: word) { return index + field.firstName }
    let isNumber = !word.isEmpty && word.utf8.allSatisfy { (0x30...0x39).contains($0) }
    guard isNumber, let value = Int(word), field.range.contains(value) else {
      throw fault(
        "“\(word)” in its \(field.name) is not \(field.range.lowerBound) to \(field.range.upperBound)"
          + (field.names.isEmpty ? "" : " nor a name as “\(field.names[1])”"))
    }
    return value
  }

  private func fault(_ what: String) -> MailboxError {
    MailboxError(.invalid, "The schedule “\(text)” is wrong: \(what); see crontab(5).")
  }
}
