// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine
import HoldfastTestKit
import Testing

@testable import HoldfastUsage

@Suite("Sums over time, totals, blocks and retention")
struct UsageAnswersTests {
  private static let hour: Int64 = 3_600_000
  /// A midnight of UTC.
  private static let start: Int64 = 1_795_132_800_000

  /// The schema in memory: what is tested here is SQL alone.
  private func database(_ rows: [UsageRow] = []) throws -> DatabaseQueue {
    let queue = try DatabaseQueue()
    try UsageSchema.migrations.migrate(queue)
    try queue.write { db in _ = try UsageWriter.apply(db, rows: rows) }
    return queue
  }

  private func row(
    _ time: Int64, model: String = "m", cost: Int64 = 1, _ change: (inout UsageRow) -> Void = { _ in }
  )
    -> UsageRow
  {
    var row = UsageRow(provider: "p", model: model)
    (row.uid, row.time) = (UUID().uuidString, UTCInstant(milliseconds: time))
    (row.inputTokens, row.outputTokens, row.costMicrodollars) = (10, 5, cost)
    change(&row)
    return row
  }

  private func rows(_ count: Int, over span: Int64, _ generator: inout SeededGenerator) -> [UsageRow] {
    (0..<count).map { _ in
      row(
        Self.start + Int64.random(in: 0..<span, using: &generator),
        model: ["a", "b", "c"].randomElement(using: &generator)!,
        cost: Int64.random(in: 0...900, using: &generator)
      ) {
        $0.session = ["s1", "s2", nil].randomElement(using: &generator)!
        $0.durationMilliseconds = Int64.random(in: 0...30_000, using: &generator)
        $0.cacheReadTokens = Int64.random(in: 0...30, using: &generator)
      }
    }
  }

  @Test("a bucket is the same in SQL and in memory, and holds what is within its bounds")
  func bucketsAgree() throws {
    let values: [Int64] = LatencyBuckets.bounds.flatMap { [$0 - 1, $0, $0 + 1] } + [0, 7_000_000, 1 << 40]
    try database().write { db in
      for value in values {
        let sql = try String.fetchOne(
          db, sql: "SELECT \(LatencyBuckets.sql("v")) FROM (SELECT ? AS v)", arguments: [value])
        #expect(sql == LatencyBuckets.key(value))
      }
      #expect(try String.fetchOne(db, sql: "SELECT \(LatencyBuckets.sql("NULL"))") == LatencyBuckets.key(nil))
    }
    #expect(LatencyBuckets.bounds == LatencyBuckets.bounds.sorted())
    #expect(LatencyBuckets.key(30) == "30" && LatencyBuckets.key(31) == "50")
  }

  @Test("percentiles are right to the width of a bucket")
  func percentilesAreRight() throws {
    var generator = SeededGenerator(seed: 7)
    let values = (0..<5000).map { _ in Int64.random(in: 1...20_000, using: &generator) }.sorted()
    var counts: [String: Int64] = ["": 12]
    for value in values { counts[LatencyBuckets.key(value), default: 0] += 1 }
    let found = try #require(LatencyBuckets.percentiles(counts))
    for (share, value) in [(0.5, found.p50), (0.95, found.p95), (0.99, found.p99)] {
      let exact = Double(values[Int(share * 5000) - 1])
      // Evenly spread values are interpolated nearly exactly; a bucket's width would be a third.
      #expect(abs(value - exact) / exact < 0.05, "\(share): \(value), not \(exact)")
    }
    #expect(LatencyBuckets.percentiles(["": 3]) == nil)
    #expect(try #require(LatencyBuckets.percentiles(["inf": 1])).p50 == 1_200_000)
  }

  @Test("sums over time are those of the rows", arguments: 0..<12 as Range<UInt64>)
  func seriesIsThatOfTheRows(_ seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let rows = rows(300, over: 100 * Self.hour, &generator)
    let name = ["UTC", "Europe/Berlin", "America/New_York"].randomElement(using: &generator)!
    let zone = try #require(CivilZone(name))
    var calendar = Calendar(identifier: .gregorian)
    calendar.timeZone = try #require(TimeZone(identifier: name))
    let since = UTCInstant(milliseconds: Self.start + Int64.random(in: 0...50 * Self.hour, using: &generator))
    for step in UsageSeriesQuery.Step.allCases {
      var expected: [String: Int64] = [:]
      for row in rows where row.time! >= since {
        let seconds = Double(row.time!.milliseconds / 1000)
        let parts = calendar.dateComponents(
          [.year, .month, .day], from: Date(timeIntervalSince1970: seconds))
        let time =
          step == .hour
          ? row.time!.startOfHour.rfc3339(wholeSeconds: true)
          : String(format: "%04d-%02d-%02d", parts.year!, parts.month!, parts.day!)
        expected["\(time) \(row.model)", default: 0] += row.costMicrodollars!
      }
      let points = try database(rows).read { db in
        try UsageAnswers.series(UsageSeriesQuery(by: step, since: since, zone: zone), db)
      }
      let found = Dictionary(
        points.map { ("\($0.time) \($0.line.key!)", $0.line.costMicrodollars) }, uniquingKeysWith: +)
      #expect(found == expected)
      #expect(found.count == points.count && points.map(\.time) == points.map(\.time).sorted())
    }
  }

  @Test("an overview has the span and the one before it")
  func overviewHasBoth() throws {
    let rows = [
      row(Self.start - 1, cost: 100) { $0.session = "s0" },
      row(Self.start, cost: 1) { ($0.session, $0.durationMilliseconds, $0.cacheReadTokens) = ("s1", 40, 30) },
      row(Self.start + 5, cost: 2) { ($0.session, $0.status, $0.outcome) = ("s1", 529, .upstreamError) },
      row(Self.start + 2 * Self.hour, cost: 4),
    ]
    let now = UTCInstant(milliseconds: Self.start + Self.hour)
    let overview = try database(rows).read { db in
      try UsageAnswers.overview(since: UTCInstant(milliseconds: Self.start), until: now, now: now, db)
    }
    #expect(overview.current.line.requests == 2 && overview.current.line.costMicrodollars == 3)
    #expect(overview.current.line.errors == 1 && overview.current.sessions == 1)
    #expect(overview.current.line.cacheHitRatio == 0.6)
    let latency = try #require(overview.current.latency)
    #expect(latency.p50 > 30 && latency.p99 <= 50 && overview.current.firstToken == nil)
    #expect(overview.previous?.line.costMicrodollars == 100 && overview.previous?.sessions == 1)
    let all = try database(rows).read { db in
      try UsageAnswers.overview(since: nil, until: nil, now: now, db)
    }
    #expect(all.current.line.requests == 4 && all.previous == nil)
  }

  @Test(
    "a block begins with the hour of its first request, and the next with that of the first after its end")
  func blocksFollowEachOther() throws {
    let minutes = [130, 131, 429, 430, 735, 2000]
    let rows = minutes.map { row(Self.start + Int64($0) * 60_000) }
    let now = UTCInstant(milliseconds: Self.start + 2030 * 60_000)
    try database(rows).write { db in
      let blocks = try UsageAnswers.blocks(since: UTCInstant(milliseconds: Self.start), now: now, db)
      // 2:00–7:00, then 7:00 (minute 429 is 7:09) … 12:00, then 12:15 begins another at 12:00.
      #expect(blocks.map { ($0.start.milliseconds - Self.start) / Self.hour } == [33, 12, 7, 2])
      #expect(blocks.map(\.line.requests) == [1, 1, 2, 2])
      #expect(blocks.map(\.isActive) == [true, false, false, false])
      let active = try #require(blocks.first)
      #expect(active.first?.milliseconds == Self.start + 2000 * 60_000 && active.first == active.last)
      let burn = try #require(active.burn)
      // 15 tokens and a micro-dollar in 30 minutes; 250 minutes are left.
      #expect(abs(burn.tokensPerMinute - 0.5) < 1e-9 && abs(burn.costMicrodollarsPerHour - 2) < 1e-9)
      #expect(active.projection == UsageBlock.Projection(tokens: 15 + 125, costMicrodollars: 1 + 8))
      #expect(blocks[1].burn == nil && blocks[1].projection == nil)
      // Asked from the middle of a block, the block is whole.
      let late = try UsageAnswers.blocks(
        since: UTCInstant(milliseconds: Self.start + 5 * Self.hour), now: now, db)
      #expect(late.map(\.line.requests) == [1, 1, 2, 2])
      // Rows that are gone for their age leave the block's sums.
      try UsagePruning.moveHorizon(to: Self.start / Self.hour + 10, db)
      #expect(try UsagePruning.remove(before: Self.start / Self.hour + 10, db) == 4)
      let pruned = try UsageAnswers.blocks(since: UTCInstant(milliseconds: Self.start), now: now, db)
      #expect(pruned.map(\.line.requests) == [1, 1, 2, 2] && pruned.last?.first == nil)
    }
  }

  @Test("removing rows for their age changes no sum", arguments: 0..<8 as Range<UInt64>)
  func pruningKeepsTheSums_A11(_ seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let count = UsagePruning.slice + 200
    let rows = rows(count, over: 60 * Self.hour, &generator)
    let horizon = Self.start / Self.hour + Int64.random(in: 1...60, using: &generator)
    func answers(_ db: Database) throws -> [[UsageReportLine]] {
      try UsageGrouping.allCases.flatMap { grouping in
        try [
          UsageReporter(UsageReportQuery(by: grouping)).lines(db),
          UsageReporter(
            UsageReportQuery(by: grouping, since: UTCInstant(milliseconds: Self.start + 7 * Self.hour))
          ).lines(db),
        ]
      }
    }
    try database(rows).write { db in
      let before = try answers(db)
      try UsagePruning.moveHorizon(to: horizon, db)
      var removed = 0
      while true {
        let slice = try UsagePruning.remove(before: horizon, db)
        removed += slice
        if slice < UsagePruning.slice { break }
      }
      #expect(removed == rows.count { $0.time!.milliseconds < horizon * Self.hour })
      #expect(try Int.fetchOne(db, sql: "SELECT count(*) FROM usage") == count - removed)
      #expect(try Int.fetchOne(db, sql: "SELECT count(*) FROM usage_batch") == 0)
      #expect(try answers(db) == before)
      // A span that cuts an hour whose rows are gone has the whole of it.
      let cut = UTCInstant(milliseconds: (horizon - 1) * Self.hour + 1_234_567)
      let whole = UsageReportQuery(since: cut.startOfHour)
      #expect(
        try UsageReporter(UsageReportQuery(since: cut)).lines(db) == UsageReporter(whole).lines(db))
      // The horizon never moves back.
      try UsagePruning.moveHorizon(to: 1, db)
      #expect(try UsageSpan.horizon(db) == horizon)
    }
  }

  @Test("a day begins at midnight, or where clocks are put forward over it, right after")
  func daysBeginWhereTheClockSays() throws {
    for name in [
      "UTC", "Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Cairo",
    ] {
      let zone = try #require(CivilZone(name))
      var calendar = Calendar(identifier: .gregorian)
      calendar.timeZone = try #require(TimeZone(identifier: name))
      // 2018: São Paulo put its clocks forward at midnight; 2026: Cairo does.
      for day in Array(17_500..<17_900) + Array(20_450..<20_830) {
        let noon = Date(
          timeIntervalSince1970: Double(day) * 86_400 + 43_200 - Double(zone.offset(at: day * 86_400)))
        let start = calendar.startOfDay(for: noon)
        #expect(
          zone.start(ofDay: day).milliseconds == Int64(start.timeIntervalSince1970) * 1000,
          "\(name), day \(day)")
        #expect(zone.day(of: zone.start(ofDay: day)) == day)
      }
    }
    #expect(CivilZone("CET+1") == nil && CivilZone("Mars/Olympus") == nil)
    #expect(CivilZone("Europe/Berlin")?.wallText(UTCInstant("2026-07-01T10:05:00Z")!) == "2026-07-01 12:05")
  }

  @Test("what caching saved is what the cached tokens would have cost more")
  func savingsAreExact() throws {
    var row = UsageRow(provider: "anthropic", model: "claude-opus-4-8")
    (row.inputTokens, row.outputTokens) = (0, 0)
    row.cacheReadTokens = 1_000_000
    RateCardTable.builtIn.price(&row)
    // $5 without a cache, $0.50 with it.
    #expect(row.costMicrodollars == 500_000 && row.savedMicrodollars == 4_500_000)
    (row.cacheReadTokens, row.cacheWrite1hTokens) = (nil, 1_000_000)
    RateCardTable.builtIn.price(&row)
    #expect(row.costMicrodollars == 10_000_000 && row.savedMicrodollars == -5_000_000)
    row.serviceTier = "batch"
    RateCardTable.builtIn.price(&row)
    #expect(row.costMicrodollars == 5_000_000 && row.savedMicrodollars == -2_500_000)
    row.model = "nobody's"
    RateCardTable.builtIn.price(&row)
    #expect(row.costMicrodollars == nil && row.savedMicrodollars == nil)
  }
}
