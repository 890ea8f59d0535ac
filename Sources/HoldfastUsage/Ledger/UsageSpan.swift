// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine

/// A span of time as the sums cover it: its whole days out of one table, its whole hours before and after those out of
/// another, and what is left of it, under two hours, out of the rows themselves.
struct UsageSpan {
  static let hour: Int64 = 3_600_000

  /// From the first millisecond that counts up to the first that counts no more.
  let milliseconds: Range<Int64>
  /// Days since 1970.
  let days: Range<Int64>
  /// Hours since 1970: at most two ranges.
  let hours: [Range<Int64>]
  /// At most two ranges of milliseconds.
  let edges: [Range<Int64>]

  /// - Parameters:
  ///   - horizon: the hour (since 1970) before which rows may be gone. A span that cuts an hour before it is taken to
  ///     begin with that hour, or to end with it: its sums are all there is.
  ///   - usesDays: whether whole days are taken as such; otherwise their hours are.
  init(since: UTCInstant?, until: UTCInstant?, horizon: Int64, usesDays: Bool) {
    var first = max(0, since?.milliseconds ?? 0)
    // Beyond any time a row may bear.
    var last = min(until?.milliseconds ?? .max, UTCInstant.supported.upperBound.milliseconds + 1)
    if first < horizon * Self.hour { first -= first % Self.hour }
    if last < horizon * Self.hour, last > first { last = (last + Self.hour - 1) / Self.hour * Self.hour }
    milliseconds = first..<max(first, last)
    let begin = (first + Self.hour - 1) / Self.hour
    let end = last / Self.hour
    guard begin < end else {
      (days, hours, edges) = (0..<0, [], milliseconds.isEmpty ? [] : [milliseconds])
      return
    }
    edges = [first..<begin * Self.hour, end * Self.hour..<last].filter { !$0.isEmpty }
    let firstDay = (begin + 23) / 24
    let lastDay = end / 24
    guard usesDays, firstDay < lastDay else {
      (days, hours) = (0..<0, [begin..<end])
      return
    }
    days = firstDay..<lastDay
    hours = [begin..<firstDay * 24, lastDay * 24..<end].filter { !$0.isEmpty }
  }

  /// The hour before which rows may be gone; 0 when all are there.
  static func horizon(_ db: Database) throws -> Int64 {
    try Int64.fetchOne(db.cachedStatement(sql: "SELECT hour FROM usage_horizon")) ?? 0
  }

  /// A query over the parts of the span.
  ///
  /// - Parameters:
  ///   - dimension: what the sums are kept by.
  ///   - daily: the columns that say what a row of `usage_daily` is counted to: `key AS k`.
  ///   - hourly: the same for a row of `usage_hourly`.
  ///   - edge: the same for a row `u` of `usage`.
  /// - Returns: a subquery with those columns and the measures, and its arguments.
  func source(
    _ dimension: String, daily: String, hourly: String, edge: String
  ) -> (sql: String, arguments: StatementArguments) {
    let columns = UsageSchema.measureColumns.joined(separator: ", ")
    var parts: [String] = []
    var arguments = StatementArguments()
    func add(_ sql: String, _ values: [any DatabaseValueConvertible]) {
      parts.append(sql)
      arguments += StatementArguments(values)
    }
    if !days.isEmpty {
      add(
        "SELECT \(daily), \(columns) FROM usage_daily WHERE dimension = ? AND day >= ? AND day < ?",
        [dimension, days.lowerBound, days.upperBound])
    }
    for hours in hours {
      add(
        "SELECT \(hourly), \(columns) FROM usage_hourly WHERE dimension = ? AND hour >= ? AND hour < ?",
        [dimension, hours.lowerBound, hours.upperBound])
    }
    let measures = zip(UsageSchema.measures(of: "u"), UsageSchema.measureColumns).map { "\($0) AS \($1)" }
      .joined(separator: ", ")
    for range in edges {
      add(
        "SELECT \(edge), \(measures) FROM usage AS u WHERE u.time_ms >= ? AND u.time_ms < ?",
        [range.lowerBound, range.upperBound])
    }
    if parts.isEmpty {
      // A span of nothing still has columns.
      add("SELECT \(daily), \(columns) FROM usage_daily WHERE false AND dimension = ?", [dimension])
    }
    return (parts.joined(separator: "\nUNION ALL\n"), arguments)
  }
}
