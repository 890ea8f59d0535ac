// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastEngine
import HoldfastUsage

/// Rows to ask a ledger with, and what its answers must be: summed up here one by one, by Foundation's calendar.
struct UsageSample {
  /// A midnight of UTC.
  static let start = UTCInstant(milliseconds: 1_795_132_800_000)

  var rows: [UsageRow]

  /// A row that is whole, has a cost of its own, and is the same for the same number.
  static func row(_ number: Int, source: String? = nil) -> UsageRow {
    var row = UsageRow(provider: "test", model: "model")
    (row.uid, row.source) = ("row-\(number)", source)
    row.time = UTCInstant(milliseconds: start.milliseconds + Int64(number) * 1000)
    (row.inputTokens, row.outputTokens, row.costMicrodollars) = (10, 5, 1)
    return row
  }

  /// Rows over four days, with every field at every value, those that are missing included.
  init(seed: UInt64, count: Int) {
    var generator = SplitMix64(seed: seed)
    func pick<T>(_ values: [T]) -> T { values.randomElement(using: &generator)! }
    rows = (0..<count).map { number in
      var row = UsageRow(
        provider: pick(["p", "q"]), model: pick(["a", "b", "c"]),
        outcome: pick([.complete, .complete, .clientLeft]))
      row.uid = "row-\(number)"
      row.time = UTCInstant(
        milliseconds: Self.start.milliseconds + Int64.random(in: 0..<4 * 86_400_000, using: &generator))
      (row.source, row.session, row.project) = (
        pick([nil, "s"]), pick([nil, "x", "y"]), pick([nil, "", "z"])
      )
      (row.agent, row.tool) = (pick([nil, "agent"]), pick([nil, "Bash", "Read"]))
      (row.status, row.endpoint) = (pick([nil, 200, 529]), .anthropicMessages)
      (row.inputTokens, row.outputTokens) = (pick([nil, 0, 1000]), pick([nil, 7]))
      (row.cacheReadTokens, row.cacheWrite5mTokens) = (pick([nil, 300]), pick([nil, 40]))
      row.costMicrodollars = Int64.random(in: 0...5000, using: &generator)
      row.durationMilliseconds = pick([nil, Int64.random(in: 0...40_000, using: &generator)])
      return row
    }
  }

  func rows(since: UTCInstant?, until: UTCInstant?) -> [UsageRow] {
    rows.filter { row in
      guard let time = row.time else { return false }
      return since.map { time >= $0 } ?? true && until.map { time < $0 } ?? true
    }
  }

  /// What a row is counted to.
  static func key(_ row: UsageRow, _ grouping: UsageGrouping, _ zone: CivilZone) -> String? {
    let name: String? =
      switch grouping {
      case .model: row.model
      case .provider: row.provider
      case .source: row.source
      case .session: row.session
      case .project: row.project
      case .agent: row.agent
      case .tool: row.tool
      case .day, .hour: wall(row, isDaily: grouping == .day, zone)
      }
    return name?.isEmpty == true ? nil : name
  }

  private static func wall(_ row: UsageRow, isDaily: Bool, _ zone: CivilZone) -> String {
    var calendar = Calendar(identifier: .gregorian)
    calendar.timeZone = TimeZone(identifier: zone.name) ?? .gmt
    let seconds = (row.time?.milliseconds ?? 0) / 1000
    let parts = calendar.dateComponents(
      [.year, .month, .day, .minute, .second], from: Date(timeIntervalSince1970: Double(seconds)))
    if isDaily { return String(format: "%04d-%02d-%02d", parts.year ?? 0, parts.month ?? 0, parts.day ?? 0) }
    let past = Int64((parts.minute ?? 0) * 60 + (parts.second ?? 0))
    return UTCInstant(milliseconds: (seconds - past) * 1000).rfc3339(wholeSeconds: true)
  }

  /// The sums of rows.
  static func sum(_ rows: [UsageRow], key: String?) -> UsageReportLine {
    var line = UsageReportLine(emptyFor: key)
    for row in rows {
      line.requests += 1
      line.inputTokens += row.inputTokens ?? 0
      line.cacheReadTokens += row.cacheReadTokens ?? 0
      line.cacheWrite5mTokens += row.cacheWrite5mTokens ?? 0
      line.cacheWrite1hTokens += row.cacheWrite1hTokens ?? 0
      line.outputTokens += row.outputTokens ?? 0
      line.costMicrodollars += row.costMicrodollars ?? 0
      line.savedMicrodollars += row.savedMicrodollars ?? 0
      if row.isUnknown { line.unknown += 1 }
      if row.isIncomplete { line.incomplete += 1 }
      if row.isFailed { line.errors += 1 }
    }
    return line
  }

  /// The lines of a report, by their keys.
  func lines(_ query: UsageReportQuery) -> [String?: UsageReportLine] {
    Dictionary(grouping: rows(since: query.since, until: query.until)) { row in
      Self.key(row, query.grouping, query.zone)
    }.reduce(into: [:]) { lines, group in lines[group.key] = Self.sum(group.value, key: group.key) }
  }
}
