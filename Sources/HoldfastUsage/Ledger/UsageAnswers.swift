// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine

/// Answers the questions that are no plain report, out of the same sums.
enum UsageAnswers {
  /// The earliest step first, and within it the costliest value.
  static func series(_ query: UsageSeriesQuery, _ db: Database) throws -> [UsageSeriesPoint] {
    let wall = WallGrouping(zone: query.zone, isDaily: query.step == .day)
    let span = UsageSpan(
      since: query.since, until: query.until, horizon: try UsageSpan.horizon(db),
      usesDays: query.step == .day && query.zone == .utc)
    let dimension = query.split.rawValue
    let key = UsageSchema.key(of: dimension, in: "u")
    let (source, arguments) = span.source(
      dimension, daily: "key AS k, day * 24 AS h", hourly: "key AS k, hour AS h",
      edge: "\(key) AS k, u.time_ms / 3600000 AS h")
    let rows = try Row.fetchAll(
      db.cachedStatement(
        sql: "SELECT k, \(UsageReporter.sums), h FROM (\(source))\nGROUP BY h, k HAVING sum(requests) > 0"),
      arguments: arguments)
    struct Slot: Hashable {
      var step: Int
      var key: String?
    }
    var lines: [Slot: UsageReportLine] = [:]
    for row in rows {
      let key = UsageReporter.text(row[0])
      let hour: Int = row["h"]
      let slot = Slot(step: wall.slot(hour * 4), key: key)
      lines[slot, default: UsageReportLine(emptyFor: key)].add(UsageReporter.line(row, key: key))
    }
    let order = lines.sorted { left, right in
      (left.key.step, -left.value.costMicrodollars, left.key.key ?? "")
        < (right.key.step, -right.value.costMicrodollars, right.key.key ?? "")
    }
    return order.map { UsageSeriesPoint(time: wall.name($0.key.step), line: $0.value) }
  }

  /// What a span came to, and the one of the same length before it.
  static func overview(since: UTCInstant?, until: UTCInstant?, now: UTCInstant, _ db: Database) throws
    -> UsageOverview
  {
    let horizon = try UsageSpan.horizon(db)
    var overview = UsageOverview(
      since: since, until: until, current: try totals(since, until, horizon, db), previous: nil)
    if let since {
      let length = max(0, (until ?? now).milliseconds - since.milliseconds)
      let before = UTCInstant(milliseconds: max(0, since.milliseconds - length))
      overview.previous = try totals(before, since, horizon, db)
    }
    return overview
  }

  private static func totals(
    _ since: UTCInstant?, _ until: UTCInstant?, _ horizon: Int64, _ db: Database
  ) throws -> UsageTotals {
    let span = UsageSpan(since: since, until: until, horizon: horizon, usesDays: true)
    let (source, arguments) = span.source(
      "provider", daily: "NULL AS k", hourly: "NULL AS k", edge: "NULL AS k")
    let row = try Row.fetchOne(
      db.cachedStatement(sql: "SELECT NULL, \(UsageReporter.sums) FROM (\(source)) HAVING sum(requests) > 0"),
      arguments: arguments)
    let sessions = try counts("session", span, db).count { !$0.key.isEmpty }
    return UsageTotals(
      line: row.map { UsageReporter.line($0, key: nil) } ?? UsageReportLine(emptyFor: nil),
      sessions: Int64(sessions),
      latency: LatencyBuckets.percentiles(try counts("latency", span, db)),
      firstToken: LatencyBuckets.percentiles(try counts("first_token", span, db)))
  }

  /// How many requests each value of a dimension has.
  private static func counts(_ dimension: String, _ span: UsageSpan, _ db: Database) throws -> [String: Int64]
  {
    let (source, arguments) = span.source(
      dimension, daily: "key AS k", hourly: "key AS k",
      edge: "\(UsageSchema.key(of: dimension, in: "u")) AS k")
    let rows = try Row.fetchAll(
      db.cachedStatement(
        sql: "SELECT k, sum(requests) FROM (\(source))\nGROUP BY k HAVING sum(requests) > 0"),
      arguments: arguments)
    return Dictionary(uniqueKeysWithValues: rows.map { ($0[0], $0[1]) })
  }

  /// How far before a question its blocks are followed back: where the first begins depends on those before it.
  private static let lookBack: Int64 = 30 * 24

  /// The blocks that had not ended at `since`, the latest first.
  static func blocks(since: UTCInstant, now: UTCInstant, _ db: Database) throws -> [UsageBlock] {
    let first = since.milliseconds / UsageSpan.hour
    let rows = try Row.fetchAll(
      db.cachedStatement(
        sql: """
          SELECT hour, \(UsageReporter.sums) FROM usage_hourly WHERE dimension = 'quarter' AND hour >= ?
          GROUP BY hour HAVING sum(requests) > 0 ORDER BY hour
          """), arguments: [first - lookBack])
    let hours = rows.map { row -> (hour: Int64, line: UsageReportLine) in
      (row[0], UsageReporter.line(row, key: nil))
    }
    var blocks = UsageBlock.blocks(of: hours, now: now).filter { $0.end > since }
    for index in blocks.indices {
      let (start, end) = (blocks[index].start.milliseconds, blocks[index].end.milliseconds)
      blocks[index].first = try moment("min", start, end, db)
      blocks[index].last = try moment("max", start, end, db)
      blocks[index].project(now: now)
    }
    return blocks.reversed()
  }

  private static func moment(
    _ which: String, _ start: Int64, _ end: Int64, _ db: Database
  ) throws -> UTCInstant? {
    let statement = try db.cachedStatement(
      sql: "SELECT \(which)(time_ms) FROM usage WHERE time_ms >= ? AND time_ms < ?")
    return try Int64.fetchOne(statement, arguments: [start, end]).map(UTCInstant.init(milliseconds:))
  }
}
