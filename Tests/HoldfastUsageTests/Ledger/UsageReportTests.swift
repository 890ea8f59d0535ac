// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine
import HoldfastTestKit
import Testing

@testable import HoldfastUsage

@Suite("Reports and the hourly sums")
struct UsageReportTests {
  /// The schema in memory: what is tested here is SQL alone.
  private func database() throws -> DatabaseQueue {
    let queue = try DatabaseQueue()
    try UsageSchema.migrations.migrate(queue)
    return queue
  }

  /// One way of changing the table, as any program might.
  private func statement(_ generator: inout SeededGenerator) -> String {
    func pick(_ values: [String]) -> String { values.randomElement(using: &generator)! }
    func tokens() -> String {
      pick(["NULL", "0", "7", "1000", String(Int.random(in: 0...99_999, using: &generator))])
    }
    let uid = "'u\(Int.random(in: 0..<60, using: &generator))'"
    let time = Int.random(in: 0..<80 * 3_600_000, using: &generator) + 1_795_000_000_000
    let values = """
      \(uid), \(time), \(pick(["'p'", "'q'"])), \(pick(["'m1'", "'m2'", "'m3'"])), \(pick(["NULL", "'src'", "''"])),
      \(pick(["NULL", "'s1'", "'s2'"])), NULL, \(tokens()), \(tokens()), \(tokens()), \(tokens()), \(tokens()),
      \(pick(["NULL", "5", "12345"])), \(pick(["0", "1"])), \(pick(["'complete'", "'client_left'", "'refused'"])),
      \(pick(["NULL", "'a1'"])), \(pick(["NULL", "'Bash'", "'Read'"])), \(pick(["NULL", "200", "529"])),
      \(pick(["NULL", "0", "1", "12", "1300", "5000000"])), \(pick(["NULL", "-40", "900"]))
      """
    let columns = """
      uid, time_ms, provider, model, source, session, project, input_tokens, output_tokens, cache_read_tokens,
      cache_write_5m_tokens, cache_write_1h_tokens, cost_microusd, expects_usage, outcome,
      agent, tool, status, duration_ms, saved_microusd
      """
    switch Int.random(in: 0..<10, using: &generator) {
    case 0: return "DELETE FROM usage WHERE uid = \(uid)"
    case 1: return "UPDATE usage SET cost_microusd = 77, input_tokens = \(tokens()) WHERE uid = \(uid)"
    case 2:
      let agent = pick(["NULL", "'a2'"])
      return
        "UPDATE usage SET session = 's3', agent = \(agent), time_ms = \(time), status = 500 WHERE uid = \(uid)"
    case 3: return "INSERT OR REPLACE INTO usage(\(columns)) VALUES (\(values))"
    case 4: return "INSERT OR IGNORE INTO usage(\(columns)) VALUES (\(values))"
    case 5: return "DELETE FROM usage WHERE time_ms % 17 = 3"
    default: return "INSERT INTO usage(\(columns)) VALUES (\(values)) ON CONFLICT(uid) DO NOTHING"
    }
  }

  /// The same report worked out from the rows alone.
  private func expected(_ query: UsageReportQuery, _ db: Database) throws -> [String?: UsageReportLine] {
    // Foundation's calendar, which the reporter does not use.
    var calendar = Calendar(identifier: .gregorian)
    calendar.timeZone = try #require(TimeZone(identifier: query.zone.name))
    var lines: [String?: UsageReportLine] = [:]
    for row in try Row.fetchAll(db, sql: "SELECT * FROM usage") {
      let time = UTCInstant(milliseconds: row["time_ms"])
      if let since = query.since, time < since { continue }
      if let until = query.until, time >= until { continue }
      var key: String?
      switch query.grouping {
      case .day:
        let day = calendar.dateComponents([.year, .month, .day], from: Date(time))
        key = String(format: "%04d-%02d-%02d", day.year!, day.month!, day.day!)
      case .hour:
        let past =
          calendar.component(.minute, from: Date(time)) * 60 + calendar.component(.second, from: Date(time))
        let start = time.milliseconds - time.milliseconds % 1000 - Int64(past) * 1000
        key = UTCInstant(milliseconds: start).rfc3339(wholeSeconds: true)
      default: key = row[query.grouping.rawValue]
      }
      if key == "" { key = nil }
      let input: Int64? = row["input_tokens"]
      let output: Int64? = row["output_tokens"]
      let cost: Int64? = row["cost_microusd"]
      let expects: Bool = row["expects_usage"]
      let outcome: String = row["outcome"]
      var line = lines[key] ?? UsageReportLine(emptyFor: key)
      line.requests += 1
      line.inputTokens += input ?? 0
      line.outputTokens += output ?? 0
      line.cacheReadTokens += row["cache_read_tokens"] ?? 0
      line.cacheWrite5mTokens += row["cache_write_5m_tokens"] ?? 0
      line.cacheWrite1hTokens += row["cache_write_1h_tokens"] ?? 0
      line.costMicrodollars += cost ?? 0
      if cost == nil, input != nil, output != nil { line.unpriced += 1 }
      if expects, input == nil || output == nil { line.unknown += 1 }
      if expects, outcome != "complete" { line.incomplete += 1 }
      line.savedMicrodollars += row["saved_microusd"] ?? 0
      let status: Int = row["status"] ?? 0
      if status >= 400 || outcome == "refused" { line.errors += 1 }
      lines[key] = line
    }
    return lines
  }

  @Test("whatever anybody does to the rows, the sums follow", arguments: 0..<25 as Range<UInt64>)
  func sumsFollowEveryChange(_ seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    try database().write { db in
      for _ in 0..<120 { try db.execute(sql: statement(&generator)) }
      for grouping in UsageGrouping.allCases {
        for _ in 0..<12 {
          let zones = ["UTC", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "Asia/Kathmandu"]
          let zone = try #require(CivilZone(zones.randomElement(using: &generator)!))
          var query = UsageReportQuery(by: grouping, zone: zone)
          let bounds = (0..<2).map { _ -> UTCInstant in
            let time = UTCInstant(
              milliseconds: 1_795_000_000_000
                + Int64.random(in: -3_600_000...81 * 3_600_000, using: &generator))
            return Bool.random(using: &generator) ? time.startOfHour : time
          }.sorted()
          if Bool.random(using: &generator) { query.since = bounds[0] }
          if Bool.random(using: &generator) { query.until = bounds[1] }
          let lines = try UsageReporter(query).lines(db)
          let keyed = Dictionary(lines.map { ($0.key, $0) }, uniquingKeysWith: { first, _ in first })
          #expect(keyed.count == lines.count)
          #expect(try keyed == expected(query, db), "\(query)")
        }
      }
    }
  }

  /// A row of any kind, sometimes one seen before.
  private func row(_ generator: inout SeededGenerator) -> UsageRow {
    func pick<T>(_ values: [T]) -> T { values.randomElement(using: &generator)! }
    func tokens() -> Int64? { pick([nil, 0, 5, Int64.random(in: 0...1_000_000, using: &generator)]) }
    var row = UsageRow(
      provider: pick(["p", "q"]), model: pick(["m1", "m2"]), outcome: pick(UsageOutcome.allCases))
    row.uid = "u\(Int.random(in: 0..<40, using: &generator))"
    row.time = UTCInstant(
      milliseconds: 1_795_000_000_000 + Int64.random(in: 0...4 * 3_600_000, using: &generator))
    (row.source, row.session) = (pick([nil, "", "src"]), pick([nil, "s1", "s2"]))
    (row.status, row.endpoint) = (pick([nil, 200, 529]), pick([nil, .anthropicMessages, .models]))
    (row.inputTokens, row.outputTokens, row.cacheReadTokens) = (tokens(), tokens(), tokens())
    (row.cacheWrite5mTokens, row.cacheWrite1hTokens, row.costMicrodollars) = (tokens(), tokens(), tokens())
    (row.agent, row.tool, row.savedMicrodollars) = (
      pick([nil, "", "a"]), pick([nil, "Bash"]), pick([nil, -3, 40])
    )
    row.durationMilliseconds = pick([nil, 0, 1, 2, Int64.random(in: 0...2_000_000, using: &generator)])
    row.firstTokenMilliseconds = pick([nil, Int64.random(in: 0...5000, using: &generator)])
    return row
  }

  @Test("the sums of a batch are those of the trigger", arguments: 0..<40 as Range<UInt64>)
  func batchesSumAsTheTriggerDoes(_ seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let rows = (0..<60).map { _ in row(&generator) }
    let sums = [
      "SELECT * FROM usage_hourly ORDER BY dimension, hour, key",
      "SELECT * FROM usage_daily ORDER BY dimension, day, key",
    ]
    try database().write { db in
      var rest = rows[...]
      while !rest.isEmpty {
        let batch = rest.prefix(Int.random(in: 1...20, using: &generator))
        rest = rest.dropFirst(batch.count)
        try UsageWriter.apply(db, rows: Array(batch))
      }
      let batched = try sums.map { try Row.fetchAll(db, sql: $0) }
      #expect(!batched.contains { $0.isEmpty })
      #expect(try Int.fetchOne(db, sql: "SELECT count(*) FROM usage_batch") == 0)
      // The same rows once more, by whoever writes them one at a time.
      try db.execute(
        sql: "CREATE TEMP TABLE copy AS SELECT * FROM usage; DELETE FROM usage; DELETE FROM usage_hourly")
      try db.execute(sql: "DELETE FROM usage_daily")
      try db.execute(sql: "INSERT INTO usage SELECT * FROM copy")
      #expect(try sums.map { try Row.fetchAll(db, sql: $0) } == batched)
    }
  }

  @Test("a foreign INSERT of four columns is a whole row")
  func foreignRowsAreCounted_B05() throws {
    try database().write { db in
      for _ in 0..<3 {
        try db.execute(
          sql: "INSERT INTO usage(provider, model, input_tokens, output_tokens) VALUES ('p', 'm', 5, 6)")
      }
      let now = UTCInstant.now.milliseconds
      let time = try #require(try Int64.fetchOne(db, sql: "SELECT max(time_ms) FROM usage"))
      #expect(abs(now - time) < 60_000)
      #expect(try Int.fetchOne(db, sql: "SELECT count(DISTINCT uid) FROM usage") == 3)
      let line = try #require(try UsageReporter(UsageReportQuery()).lines(db).first)
      #expect(line.requests == 3 && line.inputTokens == 15 && line.unpriced == 3)
    }
  }

  @Test(
    "the table itself refuses what cannot be true",
    arguments: [
      "input_tokens = -1", "output_tokens = 1000000000001", "time_ms = -1", "status = 42", "provider = ''",
      "cost_microusd = -1", "input_tokens = 'many'", "streaming = 2", "uid = ''",
    ])
  func tableRefusesTheAbsurd_D15(_ change: String) throws {
    try database().write { db in
      try db.execute(sql: "INSERT INTO usage(provider, model) VALUES ('p', 'm')")
      #expect(throws: DatabaseError.self) { try db.execute(sql: "UPDATE usage SET \(change)") }
    }
  }

  @Test("the costliest come first, the latest hours first, and no more than the limit")
  func linesAreOrderedAndLimited() throws {
    try database().write { db in
      for (index, cost) in [3, 9, 1, 7].enumerated() {
        try db.execute(
          sql: "INSERT INTO usage(provider, model, time_ms, cost_microusd) VALUES ('p', ?, ?, ?)",
          arguments: ["m\(index)", index * 3_600_000, cost])
      }
      #expect(try UsageReporter(UsageReportQuery(limit: 3)).lines(db).map(\.key) == ["m1", "m3", "m0"])
      #expect(
        try UsageReporter(UsageReportQuery(by: .hour, limit: 2)).lines(db).map(\.key)
          == ["1970-01-01T03:00:00Z", "1970-01-01T02:00:00Z"])
      #expect(try UsageReporter(UsageReportQuery(by: .day)).lines(db).map(\.requests) == [4])
    }
  }

  @Test("a report reads ranges of an index, never the table")
  func reportsReadRanges() throws {
    try database().write { db in
      let query = UsageReportQuery(
        by: .session, since: UTCInstant(milliseconds: 1), until: UTCInstant(milliseconds: 200_000_000))
      let (sql, arguments) = UsageReporter(query).statement(horizon: 0)
      let plan = try Row.fetchAll(db, sql: "EXPLAIN QUERY PLAN " + sql, arguments: arguments).map {
        row -> String in
        row["detail"]
      }
      #expect(plan.contains("SEARCH usage_daily USING PRIMARY KEY (dimension=? AND day>? AND day<?)"))
      let hours = "SEARCH usage_hourly USING PRIMARY KEY (dimension=? AND hour>? AND hour<?)"
      #expect(plan.count { $0 == hours } == 2)
      #expect(plan.count { $0.contains("SEARCH u USING INDEX usage_by_time (time_ms>? AND time_ms<?)") } == 2)
      #expect(!plan.contains { $0.hasPrefix("SCAN u") })
    }
  }

  @Test("the last days begin on the hour, and so need no rows")
  func lastDaysBeginOnTheHour() {
    let now = UTCInstant("2026-11-21T09:30:12.045Z")!
    let query = UsageReportQuery.last(.seconds(7 * 86_400), by: .day, now: now)
    #expect(query.since?.description == "2026-11-14T09:00:00.000Z" && query.until == nil)
  }

  @Test("an empty or inverted span has no lines")
  func emptySpansHaveNoLines() throws {
    try database().write { db in
      try db.execute(sql: "INSERT INTO usage(provider, model, time_ms) VALUES ('p', 'm', 5000)")
      let moment = UTCInstant(milliseconds: 5000)
      let later = UTCInstant(milliseconds: 5001)
      #expect(try UsageReporter(UsageReportQuery(since: moment, until: moment)).lines(db).isEmpty)
      #expect(try UsageReporter(UsageReportQuery(since: later, until: moment)).lines(db).isEmpty)
      #expect(try UsageReporter(UsageReportQuery(since: moment, until: later)).lines(db).count == 1)
    }
  }
}

extension Date {
  fileprivate init(_ time: UTCInstant) { self.init(timeIntervalSince1970: Double(time.milliseconds / 1000)) }
}
