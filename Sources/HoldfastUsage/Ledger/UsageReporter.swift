// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine

/// Answers a report out of the hourly sums, and out of the rows for the hours a span cuts.
struct UsageReporter {
  private let query: UsageReportQuery

  init(_ query: UsageReportQuery) { self.query = query }

  /// Reads the lines: the costliest group first, or for days and hours the latest first.
  func lines(_ db: Database) throws -> [UsageReportLine] {
    if let since = query.since, let until = query.until, since >= until { return [] }
    let statement = try db.cachedStatement(sql: sql)
    return try Row.fetchAll(statement, arguments: arguments).map(line)
  }

  private static let hour: Int64 = 3_600_000

  private var since: Int64 { max(0, query.since?.milliseconds ?? 0) }
  /// Beyond any time a row may bear.
  private var until: Int64 {
    min(query.until?.milliseconds ?? .max, UTCInstant.supported.upperBound.milliseconds + 1)
  }
  /// The whole hours within the span, in hours since 1970.
  private var firstHour: Int64 { (since + Self.hour - 1) / Self.hour }
  private var endHour: Int64 { until / Self.hour }

  /// The parts of the span that are not whole hours, in milliseconds: at most two, under two hours in all.
  private var edges: [Range<Int64>] {
    guard firstHour < endHour else { return [since..<until] }
    return [since..<firstHour * Self.hour, endHour * Self.hour..<until].filter { !$0.isEmpty }
  }

  /// Any dimension holds every row once; the provider's has the fewest keys.
  private var dimension: String {
    switch query.grouping {
    case .day, .hour: "provider"
    default: query.grouping.rawValue
    }
  }

  private func group(hourly: Bool) -> String {
    switch query.grouping {
    case .day: hourly ? "hour / 24" : "u.time_ms / 86400000"
    case .hour: hourly ? "hour" : "u.time_ms / 3600000"
    default: hourly ? "key" : UsageSchema.key(of: dimension, in: "u")
    }
  }

  var sql: String {
    let columns = UsageSchema.measureColumns
    var parts = [
      """
      SELECT \(group(hourly: true)) AS k, \(columns.joined(separator: ", "))
      FROM usage_hourly WHERE dimension = ? AND hour >= ? AND hour < ?
      """
    ]
    let measures = zip(UsageSchema.measures(of: "u"), columns).map { "\($0) AS \($1)" }
    for _ in edges {
      parts.append(
        """
        SELECT \(group(hourly: false)) AS k, \(measures.joined(separator: ", "))
        FROM usage AS u WHERE u.time_ms >= ? AND u.time_ms < ?
        """)
    }
    let order =
      switch query.grouping {
      case .day, .hour: "k DESC"
      default: "cost_microusd DESC, requests DESC, k"
      }
    return """
      SELECT k, \(columns.map { "sum(\($0)) AS \($0)" }.joined(separator: ", "))
      FROM (\(parts.joined(separator: "\nUNION ALL\n")))
      GROUP BY k HAVING sum(requests) > 0 ORDER BY \(order) LIMIT ?
      """
  }

  var arguments: StatementArguments {
    var values: [any DatabaseValueConvertible] = [dimension, firstHour, max(endHour, firstHour)]
    for edge in edges { values += [edge.lowerBound, edge.upperBound] }
    values.append(query.limit ?? -1)
    return StatementArguments(values)
  }

  private func line(_ row: Row) -> UsageReportLine {
    UsageReportLine(
      key: key(row[0]), requests: row[1], inputTokens: row[2], cacheReadTokens: row[3],
      cacheWrite5mTokens: row[4], cacheWrite1hTokens: row[5], outputTokens: row[6], costMicrodollars: row[7],
      unpriced: row[8], unknown: row[9], incomplete: row[10])
  }

  private func key(_ value: DatabaseValue) -> String? {
    switch query.grouping {
    case .day:
      return Int64.fromDatabaseValue(value).map { UTCInstant(milliseconds: $0 * 24 * Self.hour).dayText }
    case .hour:
      return Int64.fromDatabaseValue(value).map {
        UTCInstant(milliseconds: $0 * Self.hour).rfc3339(wholeSeconds: true)
      }
    default:
      guard let text = String.fromDatabaseValue(value), !text.isEmpty else { return nil }
      return text
    }
  }
}
