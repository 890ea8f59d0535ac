// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine
import HoldfastTestKit
import Testing

@testable import HoldfastUsage

@Suite("The usage ledger on SQLite")
struct SQLiteUsageLedgerTests {
  private let directory: TemporaryDirectory
  private var home: String { directory.file("home") }
  private var path: String { home + "/usage.db" }

  init() throws { directory = try TemporaryDirectory() }

  private func row(
    _ uid: String? = nil, model: String = "claude-opus-4-8", input: Int64? = 1_000_000, output: Int64? = 0,
    time: String = "2026-11-21T09:30:00Z"
  ) -> UsageRow {
    var row = UsageRow(provider: "anthropic", model: model)
    (row.uid, row.inputTokens, row.outputTokens, row.time) = (uid, input, output, UTCInstant(time))
    (row.source, row.session) = ("claude-code", "s-1")
    return row
  }

  @Test("an accepted row is in the report, with its cost")
  func acceptedRowIsReported() async throws {
    let ledger = try await SQLiteUsageLedger.open(home: home)
    let uid = try ledger.accept(row())
    #expect(uid.count == 36)
    try await ledger.flush()
    let lines = try await ledger.report(UsageReportQuery(by: .model))
    let line = try #require(lines.first)
    #expect(lines.count == 1 && line.key == "claude-opus-4-8" && line.requests == 1)
    #expect(line.inputTokens == 1_000_000 && line.costMicrodollars == 5_000_000)
    let projects = try await ledger.report(UsageReportQuery(by: .project))
    #expect(projects.map(\.key) == [nil])
    let days = try await ledger.report(UsageReportQuery(by: .day))
    #expect(days.map(\.key) == ["2026-11-21"])
    let hours = try await ledger.report(UsageReportQuery(by: .hour))
    #expect(hours.map(\.key) == ["2026-11-21T09:00:00Z"])
    await ledger.close()
  }

  @Test("every field of a row is in its columns")
  func everyFieldIsStored() async throws {
    let ledger = try await SQLiteUsageLedger.open(home: home)
    try ledger.accept(UsageRow.full)
    try await ledger.flush()
    await ledger.close()
    let peer = try ForeignConnection(path)
    let columns = """
      uid, time_ms, provider, model, source, session, project, agent, parent_agent, request_id, response_id,
      endpoint, streaming, status, outcome, error_type, stop_reason, duration_ms, first_token_ms, input_tokens,
      cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, output_tokens, reasoning_tokens,
      web_searches, service_tier, speed, inference_geo, unknown_reason, expects_usage, cost_microusd, rate_card,
      route, decision, tool, origin, saved_microusd
      """
    let joined = columns.split(separator: ",").joined(separator: " || '|' || ")
    #expect(
      try peer.text("SELECT \(joined) FROM usage") == """
        u-1|1795253412045|anthropic|claude-opus-4-8|claude-code|s-1 世界|proj|a|p|req_011|msg_1|messages|1|200|\
        client_left|overloaded_error|end_turn|1234|56|0|1|549755813888|128|300|200|2|standard|fast|us|cut-short|1|\
        1000000|builtin|groq=429, anthropic=200|cheapest|Bash|both|-7
        """)
    #expect(try peer.text("PRAGMA integrity_check") == "ok")
  }

  @Test("a home of the first version opens with its rows, and takes the new columns")
  func anOlderHomeOpens_C16() async throws {
    try FileManager.default.createDirectory(atPath: home, withIntermediateDirectories: true)
    do {
      let old = try DatabaseQueue(path: path)
      try UsageSchema.migrations.migrate(old, upTo: "usage 1")
      try await old.write { db in
        try db.execute(
          sql:
            "INSERT INTO usage(uid, provider, model, input_tokens, output_tokens) VALUES ('old', 'p', 'm', 7, 1)"
        )
      }
      try old.close()
    }
    let ledger = try await SQLiteUsageLedger.open(home: home)
    var routed = row("new", model: "m")
    (routed.route, routed.decision) = ("groq=200", "only")
    try ledger.accept(routed)
    try await ledger.flush()
    // Its sums are made anew, for what the first version did not sum by as well.
    for grouping in [UsageGrouping.model, .tool, .day] {
      let lines = try await ledger.report(UsageReportQuery(by: grouping))
      let line = lines.reduce(into: UsageReportLine(emptyFor: nil)) { $0.add($1) }
      #expect(line.requests == 2 && line.inputTokens == 1_000_007)
    }
    await ledger.close()
    let peer = try ForeignConnection(path)
    #expect(
      try peer.text(
        "SELECT group_concat(uid || ifnull(route, '-') || ifnull(decision, '-'), ' ') FROM (SELECT * FROM usage ORDER BY seq)"
      )
        == "old-- newgroq=200only")
  }

  @Test("closing right after the first rows waits for the file to open, and lands them")
  func closingLandsWhatWasAccepted_B09() async throws {
    let ledger = try await SQLiteUsageLedger.open(home: home)
    for number in 0..<200 { try ledger.accept(row("u\(number)")) }
    await ledger.close(within: .seconds(600))
    #expect(try ForeignConnection(path).text("SELECT count(*) FROM usage") == "200")
  }

  @Test("the same uid again changes nothing")
  func sameUidIsCountedOnce() async throws {
    let ledger = try await SQLiteUsageLedger.open(home: home)
    for _ in 0..<3 { #expect(try ledger.accept(row("same")) == "same") }
    try ledger.accept(row("same", input: 7))
    try await ledger.flush()
    let line = try #require(try await ledger.report(UsageReportQuery()).first)
    #expect(line.requests == 1 && line.inputTokens == 1_000_000)
    await ledger.close()
  }

  @Test("unknown usage, missing prices and cut answers are counted, not guessed")
  func whatIsNotKnownIsCounted() async throws {
    let ledger = try await SQLiteUsageLedger.open(home: home)
    try ledger.accept(row(input: nil))
    try ledger.accept(row(output: nil))
    try ledger.accept(row(model: "claude-of-tomorrow"))
    var left = row()
    left.outcome = .clientLeft
    try ledger.accept(left)
    var failed = row(input: nil, output: nil)
    (failed.status, failed.outcome) = (529, .upstreamError)
    try ledger.accept(failed)
    var counted = row(input: nil, output: nil)
    counted.endpoint = .anthropicCountTokens
    try ledger.accept(counted)
    try await ledger.flush()
    let total = try #require(try await ledger.report(UsageReportQuery(by: .provider)).first)
    #expect(total.requests == 6 && total.unknown == 2 && total.unpriced == 1 && total.incomplete == 1)
    #expect(total.costMicrodollars == 5_000_000)
    let status = await ledger.status()
    #expect(status.accepted == 6 && status.unknown == 2 && status.unpriced == 1 && status.depth == 0)
    await ledger.close()
  }

  @Test("a row that cannot be true is refused and counted")
  func absurdRowsAreRefused_D15() async throws {
    let ledger = try await SQLiteUsageLedger.open(home: home)
    let error = #expect(throws: UsageError.self) { try ledger.accept(row(input: -1)) }
    #expect(error?.code == .invalidRow && error?.message.contains("negative") == true)
    #expect(throws: UsageError.self) { try ledger.accept(row(output: 1_000_000_000_001)) }
    try await ledger.flush()
    let status = await ledger.status()
    #expect(status.invalid == 2 && status.accepted == 0)
    #expect(try await ledger.report(UsageReportQuery()).isEmpty)
    await ledger.close()
    #expect(throws: UsageError.self) { try ledger.accept(row()) }
  }

  @Test("rows are accepted while the database is locked, from its opening on, and land when it is free")
  func lockedDatabaseDelaysNoRow_A08() async throws {
    try await SQLiteUsageLedger.open(home: home).close()
    let peer = try await preparedPeer()
    try peer.run("BEGIN EXCLUSIVE")
    let ledger = try await SQLiteUsageLedger.open(home: home)
    for index in 0..<200 { try ledger.accept(row("r-\(index)")) }
    await #expect(throws: StoreError.self) { try await ledger.flush(within: .milliseconds(1)) }
    #expect(await ledger.status().depth == 200)
    try peer.run("COMMIT")
    try await ledger.flush()
    let line = try #require(try await ledger.report(UsageReportQuery()).first)
    #expect(line.requests == 200)
    #expect(await ledger.status().depth == 0)
    await ledger.close()
    try peer.run("SELECT 1")
  }

  /// A foreign connection to a database that has its schema.
  private func preparedPeer() async throws -> ForeignConnection {
    let ledger = try await SQLiteUsageLedger.open(home: home)
    try await ledger.flush()
    _ = try await ledger.report(UsageReportQuery())
    await ledger.close()
    return try ForeignConnection(path)
  }

  @Test("a database that cannot be opened holds no row up, and is tried again")
  func unusableDatabaseIsTriedAgain_A06() async throws {
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    let ledger = try await SQLiteUsageLedger.open(home: home)
    try ledger.accept(row("kept"))
    await #expect(throws: (any Error).self) { try await ledger.report(UsageReportQuery()) }
    #expect(await ledger.status().fault != nil)
    try FileManager.default.removeItem(atPath: path)
    #expect(await eventually { (try? await ledger.report(UsageReportQuery()))?.count == 1 })
    #expect(await ledger.status().fault == nil)
    await ledger.close()
  }

  @Test("what a ledger left in its spool lands when the home is opened again")
  func leftoversLand_G08() async throws {
    let spool = try Spool.open(.init(directory: home + "/spool", stream: "usage"))
    for index in 0..<50 {
      var left = row("left-\(index)")
      left.costMicrodollars = 1
      try spool.append(left.encodedRecord())
    }
    await spool.close(within: .zero)
    let ledger = try await SQLiteUsageLedger.open(home: home)
    try await ledger.flush(within: nil, includingLeftovers: true)
    #expect(try await ledger.report(UsageReportQuery()).first?.requests == 50)
    #expect(await ledger.status().depth == 0)
    await ledger.close()
  }

  @Test("the leftovers of more processes than are taken over at once are all waited for")
  func manyLeftoversLand_B10() async throws {
    for index in 0..<150 {
      let spool = try Spool.open(
        .init(directory: home + "/spool", stream: "usage", capacity: 128 << 10, segmentBytes: 32 << 10))
      try spool.append(row("left-\(index)").encodedRecord())
      await spool.close(within: .zero)
    }
    let ledger = try await SQLiteUsageLedger.open(home: home)
    try await ledger.flush(within: nil, includingLeftovers: true)
    #expect(try await ledger.report(UsageReportQuery()).first?.requests == 150)
    await ledger.close()
  }

  @Test("a record that is no row is kept with its bytes and its reason, and the rest land")
  func undecodableRecordIsSetAside_D14() async throws {
    let spool = try Spool.open(.init(directory: home + "/spool", stream: "usage"))
    var invalid = row("invalid")
    invalid.inputTokens = -5
    try spool.append(row("before").encodedRecord())
    try spool.append([9, 1, 2, 3])
    try spool.append(invalid.encodedRecord())
    try spool.append(row("after").encodedRecord())
    await spool.close(within: .zero)
    let ledger = try await SQLiteUsageLedger.open(home: home)
    try await ledger.flush(within: nil, includingLeftovers: true)
    #expect(try await ledger.report(UsageReportQuery()).first?.requests == 2)
    await ledger.close()
    let peer = try ForeignConnection(path)
    #expect(try peer.text("SELECT group_concat(hex(record)) FROM usage_rejected WHERE seq = 1") == "09010203")
    #expect(try peer.text("SELECT reason FROM usage_rejected WHERE seq = 1")?.contains("format 9") == true)
    #expect(try peer.text("SELECT reason FROM usage_rejected WHERE seq = 2")?.contains("negative") == true)
    #expect(try peer.text("SELECT count(*) FROM usage_rejected") == "2")
  }

  @Test("a row the table itself refuses is set aside as well")
  func constraintOfTheTableSetsAside_F05() async throws {
    let peer = try await preparedPeer()
    try peer.run(
      """
      CREATE TRIGGER no_tuesday BEFORE INSERT ON usage WHEN NEW.session = 'tuesday'
      BEGIN SELECT RAISE(ABORT, 'not on a Tuesday'); END
      """)
    let ledger = try await SQLiteUsageLedger.open(home: home)
    var refused = row("refused")
    refused.session = "tuesday"
    try ledger.accept(refused)
    try ledger.accept(row("taken"))
    try await ledger.flush()
    #expect(try await ledger.report(UsageReportQuery()).first?.requests == 1)
    #expect(try peer.text("SELECT reason FROM usage_rejected") == "not on a Tuesday")
    await ledger.close()
    try peer.run("SELECT 1")
  }

  @Test("a ledger for reports opens no spool and accepts nothing")
  func reportingAcceptsNothing() async throws {
    let ledger = try await SQLiteUsageLedger.open(home: home, for: .reporting)
    #expect(try await ledger.report(UsageReportQuery()).isEmpty)
    #expect(throws: UsageError.self) { try ledger.accept(row()) }
    #expect(!FileManager.default.fileExists(atPath: home + "/spool"))
    try await ledger.flush()
    await ledger.close()
    await #expect(throws: StoreError.self) { try await ledger.report(UsageReportQuery()) }
  }

  @Test("the home is private")
  func homeIsPrivate_C12() async throws {
    try await SQLiteUsageLedger.open(home: home).close()
    let mode = try FileManager.default.attributesOfItem(atPath: home)[.posixPermissions] as? Int
    #expect(mode == 0o700)
    await #expect(throws: StoreError.self) {
      _ = try await SQLiteUsageLedger.open(home: directory.file("missing/parent"))
    }
  }

  @Test("prices may be changed while the ledger is open")
  func pricesMayBeChanged() async throws {
    let ledger = try await SQLiteUsageLedger.open(home: home, rates: .empty)
    try ledger.accept(row("free"))
    ledger.setRates(.builtIn)
    try ledger.accept(row("priced"))
    try await ledger.flush()
    let line = try #require(try await ledger.report(UsageReportQuery()).first)
    #expect(line.unpriced == 1 && line.costMicrodollars == 5_000_000)
    await ledger.close()
  }

  @Test("many tasks of two ledgers on one home")
  func twoLedgersShareAHome_A09() async throws {
    let ledgers = [
      try await SQLiteUsageLedger.open(home: home), try await SQLiteUsageLedger.open(home: home),
    ]
    try await withThrowingTaskGroup(of: Void.self) { group in
      for task in 0..<16 {
        group.addTask {
          for index in 0..<25 {
            // Each uid is sent through both ledgers.
            for ledger in ledgers { try ledger.accept(row("t\(task)-\(index)")) }
          }
        }
      }
      try await group.waitForAll()
    }
    for ledger in ledgers { try await ledger.flush() }
    #expect(try await ledgers[0].report(UsageReportQuery()).first?.requests == 400)
    for ledger in ledgers { await ledger.close() }
  }
}
