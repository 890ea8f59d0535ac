// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine

/// Answers a report out of the sums, and out of the rows for the hours a span cuts.
struct UsageReporter {
  private let query: UsageReportQuery

  init(_ query: UsageReportQuery) { self.query = query }

  /// Reads the lines: the costliest group first, or for days and hours the latest first.
  func lines(_ db: Database) throws -> [UsageReportLine] {
    if let since = query.since, let until = query.until, since >= until { return [] }
    let (sql, arguments) = statement(horizon: try UsageSpan.horizon(db))
    let rows = try Row.fetchAll(db.cachedStatement(sql: sql), arguments: arguments)
    guard let wall else { return rows.map { Self.line($0, key: Self.text($0[0])) } }
    return wall.lines(rows, limit: query.limit)
  }

  /// How hours and days are made of the quarters of hours; nil for what is grouped by SQL alone.
  private var wall: WallGrouping? {
    switch query.grouping {
    case .hour: WallGrouping(zone: query.zone, isDaily: false)
    case .day: WallGrouping(zone: query.zone, isDaily: true)
    default: nil
    }
  }

  func statement(horizon: Int64) -> (sql: String, arguments: StatementArguments) {
    let span = UsageSpan(
      since: query.since, until: query.until, horizon: horizon, usesDays: wall == nil || isUTCDay)
    var (sql, arguments) = source(span)
    sql = "SELECT k, \(Self.sums) FROM (\(sql))\nGROUP BY k HAVING sum(requests) > 0"
    guard wall == nil else { return (sql, arguments) }
    arguments += [query.limit ?? -1]
    return (sql + " ORDER BY cost_microusd DESC, requests DESC, k LIMIT ?", arguments)
  }

  private var isUTCDay: Bool { query.grouping == .day && query.zone == .utc }

  private func source(_ span: UsageSpan) -> (sql: String, arguments: StatementArguments) {
    guard wall != nil else {
      let dimension = query.grouping.rawValue
      return span.source(
        dimension, daily: "key AS k", hourly: "key AS k",
        edge: "\(UsageSchema.key(of: dimension, in: "u")) AS k")
    }
    // Quarters of an hour since 1970: what no zone's days cut.
    return span.source(
      "quarter", daily: "day * 96 AS k", hourly: "hour * 4 + CAST(key AS INTEGER) AS k",
      edge: "u.time_ms / 900000 AS k")
  }

  /// The sums of the measures.
  static let sums = UsageSchema.measureColumns.map { "sum(\($0)) AS \($0)" }.joined(separator: ", ")

  /// A line of a row that has a key and then the measures.
  static func line(_ row: Row, key: String?) -> UsageReportLine {
    UsageReportLine(
      key: key, requests: row[1], inputTokens: row[2], cacheReadTokens: row[3], cacheWrite5mTokens: row[4],
      cacheWrite1hTokens: row[5], outputTokens: row[6], costMicrodollars: row[7], unpriced: row[8],
      unknown: row[9], incomplete: row[10], savedMicrodollars: row[11], errors: row[12])
  }

  /// The name in a row; none where it is empty.
  static func text(_ value: DatabaseValue) -> String? {
    guard let text = String.fromDatabaseValue(value), !text.isEmpty else { return nil }
    return text
  }
}

/// Makes hours and days of a zone out of quarters of hours.
struct WallGrouping {
  private static let quarter = 900

  let zone: CivilZone
  let isDaily: Bool

  /// What a quarter (since 1970) is counted to: the number of its day on the wall, or the moment its hour begins at, in
  /// seconds since 1970. An hour that the wall shows twice is two.
  func slot(_ quarter: Int) -> Int {
    let moment = quarter * Self.quarter
    let offset = zone.offset(at: moment)
    let wall = moment + offset
    return isDaily ? wall.flooringQuotient(86_400) : wall.flooringQuotient(3600) * 3600 - offset
  }

  /// What a slot is called: its date, or the moment it begins at.
  func name(_ slot: Int) -> String {
    isDaily
      ? CivilDate(day: slot).text : UTCInstant(milliseconds: Int64(slot) * 1000).rfc3339(wholeSeconds: true)
  }

  /// The latest first.
  func lines(_ rows: [Row], limit: Int?) -> [UsageReportLine] {
    var lines: [Int: UsageReportLine] = [:]
    for row in rows {
      let slot = slot(row[0])
      lines[slot, default: UsageReportLine(emptyFor: nil)].add(UsageReporter.line(row, key: nil))
    }
    return lines.sorted { $0.key > $1.key }.prefix(limit ?? lines.count).map { slot, sums in
      var line = sums
      line.key = name(slot)
      return line
    }
  }
}

extension Int {
  fileprivate func flooringQuotient(_ divisor: Int) -> Int {
    self >= 0 ? self / divisor : -((divisor - 1 - self) / divisor)
  }
}
