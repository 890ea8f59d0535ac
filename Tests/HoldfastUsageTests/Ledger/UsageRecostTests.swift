// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastTestKit
import HoldfastUsage
import Testing

@Suite("Costing history again")
struct UsageRecostTests {
  private let directory: TemporaryDirectory
  private var home: String { directory.file("home") }

  init() throws { directory = try TemporaryDirectory() }

  private func row(_ index: Int, model: String = "gpt-5") -> UsageRow {
    var row = UsageRow(provider: "openai", model: model)
    (row.inputTokens, row.outputTokens) = (1_000_000, 0)
    row.time = UTCInstant(milliseconds: 1_795_000_000_000 + Int64(index) * 60_000)
    return row
  }

  @Test("rows get today's cost, the sums with them, and a second time changes nothing")
  func historyIsCostedAgain() async throws {
    let ledger = try await SQLiteUsageLedger.open(home: home, rates: .empty)
    for index in 0..<600 { try ledger.accept(row(index)) }
    try ledger.accept(row(601, model: "gpt-of-tomorrow"))
    var told = row(602)
    told.costMicrodollars = 42
    try ledger.accept(told)
    try await ledger.flush()
    #expect(try await ledger.report(UsageReportQuery(by: .provider)).first?.unpriced == 601)

    ledger.setRates(.builtIn)
    let slices = Monitor<[Int64]>([])
    let planned = try await ledger.recost(isDryRun: true)
    #expect(try await ledger.report(UsageReportQuery(by: .provider)).first?.unpriced == 601)
    let report = try await ledger.recost { done, share in
      slices.withLock { $0.append(done.rows) }
      #expect(share > 0 && share <= 1)
    }
    #expect(report == planned)
    #expect(report.rows == 602 && report.changed == 600 && report.unpriced == 1)
    #expect(report.beforeMicrodollars == 42 && report.afterMicrodollars == 600 * 1_250_000 + 42)
    #expect(slices.withLock { $0 } == [250, 500, 602])
    let line = try #require(try await ledger.report(UsageReportQuery(by: .provider)).first)
    #expect(line.costMicrodollars == 600 * 1_250_000 + 42 && line.unpriced == 1)

    let again = try await ledger.recost()
    #expect(again.changed == 0 && again.beforeMicrodollars == again.afterMicrodollars)
    // A model that is in no table any more keeps its cost.
    ledger.setRates(.empty)
    #expect(try await ledger.recost().changed == 0)
    #expect(try await ledger.report(UsageReportQuery(by: .provider)).first == line)
    await ledger.close()
  }

  @Test("a span of time is costed alone, and a foreign row with the others")
  func spansAndForeignRows_B05() async throws {
    let ledger = try await SQLiteUsageLedger.open(home: home, rates: .empty)
    for index in 0..<10 { try ledger.accept(row(index)) }
    try await ledger.flush()
    let peer = try ForeignConnection(home + "/usage.db", busyTimeout: 10_000)
    try peer.run(
      """
      INSERT INTO usage(provider, model, time_ms, input_tokens, output_tokens)
      VALUES ('openai', 'gpt-5', 1795000000000, 2000000, 0)
      """)
    ledger.setRates(.builtIn)
    let until = try #require(row(5).time)
    let report = try await ledger.recost(until: until)
    #expect(report.rows == 6 && report.changed == 6)
    #expect(try peer.text("SELECT sum(cost_microusd) FROM usage") == String(7 * 1_250_000))
    await ledger.close()
    try peer.run("SELECT 1")
  }
}
