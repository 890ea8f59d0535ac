// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastTestKit
import HoldfastUsage
import Testing

@Suite("Budgets: the ledger's part")
struct BudgetLedgerTests {
  private let directory: TemporaryDirectory
  private var home: String { directory.file("home") }
  private static let noon = UTCInstant(milliseconds: 1_795_348_800_000)  // 2026-11-22T12:00:00Z

  init() throws { directory = try TemporaryDirectory() }

  private func row(_ cost: Int64, hours: Double = 0, source: String = "s", model: String = "m") -> UsageRow {
    var row = UsageRow(provider: "p", model: model)
    (row.inputTokens, row.outputTokens, row.costMicrodollars) = (1, 1, cost)
    (row.source, row.time) = (source, Self.noon.advanced(by: .seconds(hours * 3600)))
    return row
  }

  private func spent(_ ledger: SQLiteUsageLedger, _ budgets: [Budget]) async throws -> [Int64] {
    var machine = BudgetMachine(budgets, at: Self.noon)
    return try await ledger.reading(of: budgets, spans: machine.spans(at: Self.noon), at: Self.noon).spends
      .map(
        \.microdollars)
  }

  @Test("each budget's sum is that of its names and its period, to the half-hour of its zone")
  func sumsByScopeAndPeriod() async throws {
    let ledger = try await SQLiteUsageLedger.open(home: home, rates: .empty)
    try ledger.accept(row(1, hours: -0.5, source: "ci", model: "opus-20260101"))
    try ledger.accept(row(10, hours: 0.5, source: "ci-2", model: "opus"))
    try ledger.accept(row(100, hours: -11.9, source: "ci", model: "sonnet"))
    try ledger.accept(row(1000, hours: -17.4))
    try ledger.accept(row(10_000, hours: -17.6))
    try ledger.accept(row(100_000, hours: -24 * 21.4))
    var unpriced = row(0, hours: -1)
    unpriced.costMicrodollars = nil
    try ledger.accept(unpriced)
    try await ledger.flush()
    func budget(_ scope: Budget.Scope, _ period: BudgetPeriod, _ zone: String = "UTC") throws -> Budget {
      Budget(
        name: "b", scope: scope, period: period, zone: try #require(CivilZone(zone)), limitMicrodollars: 1)
    }
    let budgets = [
      try budget(.all, .hour), try budget(.all, .day), try budget(.source("ci"), .day),
      try budget(.source("ci*"), .day), try budget(.model("opus"), .day), try budget(.provider("q"), .month),
      // The day began there at 18:30 UTC the day before.
      try budget(.all, .day, "Asia/Kolkata"), try budget(.all, .month), try budget(.project("x"), .day),
    ]
    #expect(try await spent(ledger, budgets) == [10, 111, 101, 111, 11, 0, 1111, 111_111, 0])
    var machine = BudgetMachine(budgets, at: Self.noon)
    let reading = try await ledger.reading(of: budgets, spans: machine.spans(at: Self.noon), at: Self.noon)
    #expect(reading.spends[1].unpriced == 1 && reading.spends[0].unpriced == 0)
    #expect(reading.landed == 8)
    await ledger.close()
  }

  @Test("a reading says which rows it has, while rows land and others hold the file")
  func readingsKnowTheirRows() async throws {
    let ledger = try await SQLiteUsageLedger.open(home: home, rates: .empty)
    let accepted = Monitor<[UInt64]>([])
    ledger.setAcceptanceObserver { _, sequence in accepted.withLock { $0.append(sequence) } }
    try ledger.accept(row(1))
    try await ledger.flush()
    let budgets = [Budget(name: "b", period: .day, limitMicrodollars: 1)]
    var machine = BudgetMachine(budgets, at: Self.noon)
    let spans = machine.spans(at: Self.noon)
    let peer = try ForeignConnection(home + "/usage.db", busyTimeout: 60_000)
    try peer.run("BEGIN IMMEDIATE")
    for _ in 0..<5 { try ledger.accept(row(1)) }
    let held = try await ledger.reading(of: budgets, spans: spans, at: Self.noon)
    #expect(held.landed == 2 && held.spends[0].microdollars == 1)
    try peer.run("COMMIT")
    // Whenever it reads, what it has and what it says it has are the same: each row costs one.
    let writing = Task {
      for _ in 0..<3000 {
        try ledger.accept(row(1))
        await Task.yield()
      }
    }
    var readings = 0
    while accepted.withLock({ $0.count }) < 3006 || readings < 20 {
      let found = try await ledger.reading(of: budgets, spans: spans, at: Self.noon)
      #expect(Int64(found.landed) - 1 == found.spends[0].microdollars)
      readings += 1
    }
    try await writing.value
    try await ledger.flush()
    let last = try await ledger.reading(of: budgets, spans: spans, at: Self.noon)
    #expect(last.landed == 3007 && last.spends[0].microdollars == 3006)
    #expect(accepted.withLock { $0 } == Array(1...3006))
    await ledger.close()
    try peer.run("SELECT 1")
  }

  @Test("a crossing is written once over all processes, and told by one of them at a time until it is heard")
  func crossingsAreWrittenOnce() async throws {
    let first = try await SQLiteUsageLedger.open(home: home, rates: .empty)
    let second = try await SQLiteUsageLedger.open(home: home, rates: .empty)
    let span = BudgetPeriod.day.span(containing: Self.noon, in: .utc)
    func crossing(_ threshold: Int, _ budget: String = "b", limit: Int64 = 10) -> BudgetCrossing {
      BudgetCrossing(
        budget: budget, span: span, threshold: threshold, limitMicrodollars: limit, spentMicrodollars: 9,
        time: Self.noon)
    }
    try await first.record([crossing(80), crossing(80, "quiet")], told: ["b"])
    try await second.record([crossing(80), crossing(100)], told: ["b"])
    let budgets = [Budget(name: "b", period: .day, limitMicrodollars: 10)]
    let reading = try await second.reading(of: budgets, spans: [span], at: Self.noon)
    #expect(Set(reading.crossings) == [crossing(80), crossing(80, "quiet"), crossing(100)])
    #expect(reading.nextNotice == Self.noon)

    async let one = first.claimNotices(at: Self.noon, patience: .seconds(30))
    async let other = second.claimNotices(at: Self.noon, patience: .seconds(30))
    let claimed = try await one + other
    #expect(Set(claimed.map(\.crossing)) == [crossing(80), crossing(100)] && claimed.count == 2)
    let heard = try #require(claimed.first { $0.crossing.threshold == 80 })
    let failed = try #require(claimed.first { $0.crossing.threshold == 100 })
    try await first.settle(heard, .told, at: Self.noon)
    let later = Self.noon.advanced(by: .seconds(5))
    try await first.settle(failed, .again(at: later, error: "HTTP 500"), at: Self.noon)
    #expect(try await second.claimNotices(at: Self.noon, patience: .seconds(30)).isEmpty)
    let again = try await second.claimNotices(at: later, patience: .seconds(30))
    #expect(again.map(\.attempt) == [2])
    // Its process died: somebody else takes it up when its patience is over.
    #expect(
      try await first.claimNotices(at: later.advanced(by: .seconds(29)), patience: .seconds(30)).isEmpty)
    let taken = try await first.claimNotices(at: later.advanced(by: .seconds(30)), patience: .seconds(30))
    #expect(taken.map(\.attempt) == [3])
    try await first.settle(taken[0], .givenUp(error: "HTTP 404"), at: later)
    #expect(try await second.reading(of: budgets, spans: [span], at: later).nextNotice == nil)
    // A higher limit is news.
    try await first.record([crossing(80, limit: 20), crossing(80)], told: ["b"])
    #expect(
      try await second.claimNotices(at: later, patience: .seconds(1)).map(\.crossing.limitMicrodollars) == [
        20
      ])
    await first.close()
    await second.close()
  }
}
