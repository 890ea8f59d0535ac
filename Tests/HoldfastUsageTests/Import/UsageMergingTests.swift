// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine
import HoldfastTestKit
import Testing

@testable import HoldfastUsage

@Suite("One request, several tellers")
struct UsageMergingTests {
  private func database() throws -> DatabaseQueue {
    let queue = try DatabaseQueue()
    try UsageSchema.migrations.migrate(queue)
    return queue
  }

  private func wire(_ outcome: UsageOutcome = .complete, input: Int64? = 10, output: Int64? = 50) -> UsageRow
  {
    var row = UsageRow(provider: "anthropic", model: "claude-sonnet-4-5", outcome: outcome)
    row.origin = .wire
    row.uid = "wire-1"
    row.time = UTCInstant("2026-11-20T09:59:58Z")
    (row.requestID, row.responseID) = ("req_1", "msg_1")
    (row.session, row.source) = ("s-1", "claude-code")
    (row.inputTokens, row.outputTokens) = (input, output)
    (row.cacheReadTokens, row.cacheWrite5mTokens, row.cacheWrite1hTokens) = (1000, 200, 0)
    (row.status, row.durationMilliseconds, row.endpoint) = (200, 4000, .anthropicMessages)
    RateCardTable.builtIn.price(&row)
    return row
  }

  /// A line of the log, `of` the response's usage so far.
  private func log(output: Int64, second: Int = 1, uid: String = "claude-code:msg_1:req_1") -> UsageRow {
    var row = UsageRow(provider: "anthropic", model: "claude-sonnet-4-5")
    row.origin = .log
    row.uid = uid
    row.time = UTCInstant("2026-11-20T10:00:0\(second)Z")
    (row.requestID, row.responseID) = ("req_1", "msg_1")
    (row.session, row.source, row.project) = ("s-1", "claude-code", "site")
    (row.inputTokens, row.outputTokens) = (10, output)
    (row.cacheReadTokens, row.cacheWrite5mTokens, row.cacheWrite1hTokens) = (1000, 200, 0)
    row.endpoint = .anthropicMessages
    if second > 1 { (row.tool, row.stopReason) = ("Bash", "tool_use") }
    return SQLiteUsageLedger.priced(row, .builtIn)
  }

  private func land(_ rows: [UsageRow], _ queue: DatabaseQueue) throws -> [UsageMerging.Landed] {
    try queue.write { db in
      // One after the other, as they come.
      try rows.flatMap { try UsageWriter.apply(db, rows: [$0]) }
    }
  }

  private func rows(_ queue: DatabaseQueue) throws -> [UsageRow] {
    try queue.read { db in
      try Row.fetchAll(db, sql: "SELECT \(UsageColumns.selection) FROM usage ORDER BY seq")
        .map { UsageColumns.row($0).row }
    }
  }

  /// That the sums are those of the rows.
  private func checkSums(_ queue: DatabaseQueue) throws {
    try queue.write { db in
      let kept = """
        SELECT dimension, hour, key, requests, input_tokens, cache_read_tokens, output_tokens, cost_microusd, unknown,
          incomplete, saved_microusd FROM usage_hourly WHERE requests <> 0 ORDER BY dimension, hour, key
        """
      let before = try Row.fetchAll(db, sql: kept)
      let strays =
        "SELECT count(*) FROM usage_hourly WHERE requests = 0 AND (input_tokens <> 0 OR cost_microusd <> 0)"
      #expect(try Int.fetchOne(db, sql: strays) == 0)
      try db.execute(
        sql: "CREATE TEMP TABLE copy AS SELECT * FROM usage; DELETE FROM usage; DELETE FROM usage_hourly")
      try db.execute(sql: "INSERT INTO usage SELECT * FROM copy; DROP TABLE copy")
      #expect(try Row.fetchAll(db, sql: kept) == before)
    }
  }

  @Test("the wire and the lines of a log come to one row in every order")
  func everyOrderComesToTheSame() throws {
    let shapes: [(UsageRow, [Int64?], String)] = [
      (wire(), [10, 1000, 200, 0, 50], "whole"),
      // The gateway saw the beginning only: the log has the rest.
      (wire(.clientLeft, output: 1), [10, 1000, 200, 0, 60], "cut short"),
      // It could not read the usage at all.
      (wire(input: nil, output: nil), [10, 1000, 200, 0, 60], "not told"),
    ]
    for (wire, counts, name) in shapes {
      let tellers = [wire, log(output: 2), log(output: 60, second: 3), wire, log(output: 60, second: 3)]
      var found: Set<UsageRow> = []
      for order in Self.orders(Array(tellers.indices)) {
        let queue = try database()
        let landed = try land(order.map { tellers[$0] }, queue)
        #expect(landed.filter { $0 == .new }.count == 1)
        let rows = try rows(queue)
        #expect(rows.count == 1)
        found.formUnion(rows)
        try checkSums(queue)
      }
      let row = try #require(found.first)
      #expect(found.count == 1, "\(name): \(found)")
      #expect(row.counts == counts, "\(name)")
      #expect(row.origin == .both && row.uid == "wire-1" && row.durationMilliseconds == 4000)
      #expect(row.project == "site" && row.tool == "Bash" && row.time == wire.time)
      #expect(
        row.costMicrodollars
          == RateCardTable.builtIn.card(provider: "anthropic", model: row.model)?.cost(of: row))
      #expect(row.outcome == wire.outcome && row.unknown == nil)
    }
  }

  private static func orders(_ items: [Int]) -> [[Int]] {
    guard items.count > 1 else { return [items] }
    return items.indices.flatMap { index in
      var rest = items
      let first = rest.remove(at: index)
      return orders(rest).map { [first] + $0 }
    }
  }

  @Test("a copy in a fork, stamped later, changes neither counts nor whose the request is")
  func theEarliestSessionKeepsARequest() throws {
    var copy = log(output: 60, second: 9)
    copy.session = "fork"
    for order in [[log(output: 60), copy], [copy, log(output: 60)]] {
      let queue = try database()
      _ = try land(order, queue)
      let rows = try rows(queue)
      #expect(rows.map(\.session) == ["s-1"] && rows.map(\.outputTokens) == [60])
      try checkSums(queue)
    }
  }

  @Test("two requests the gateway saw stay two, whatever ids their server gave them")
  func wireRowsNeverMerge() throws {
    var second = wire()
    second.uid = "wire-2"
    let queue = try database()
    #expect(try land([wire(), second, log(output: 50), wire()], queue) == [.new, .new, .merged, .unchanged])
    #expect(try rows(queue).map(\.origin) == [.both, .wire])
  }

  @Test("the same response of another request-id, or hours away, is another request")
  func likeIdsAreNotEnough() throws {
    var retried = log(output: 50, uid: "other")
    retried.requestID = "req_2"
    var late = log(output: 50, uid: "late")
    late.time = UTCInstant("2026-11-20T17:30:00Z")
    let queue = try database()
    #expect(try land([wire(), retried, late], queue) == [.new, .new, .new])
  }

  @Test("a row that somebody told is one with the log's and keeps its cost")
  func toldRowsMerge() throws {
    var told = wire()
    (told.origin, told.uid, told.costMicrodollars, told.rateCard) = (.told, "told", 77, nil)
    for order in [[told, log(output: 60)], [log(output: 60), told]] {
      let queue = try database()
      _ = try land(order, queue)
      let rows = try rows(queue)
      #expect(rows.count == 1 && rows[0].origin == .both && rows[0].costMicrodollars == 77)
    }
  }

  @Test("what was removed for its age does not come back out of its log, by whatever it is told")
  func expiredRowsStayCounted() throws {
    let queue = try database()
    _ = try land([wire(), log(output: 50), log(output: 9, uid: "claude-code:msg_2")], queue)
    var other = log(output: 9, uid: "claude-code:msg_2")
    (other.requestID, other.responseID) = (nil, "msg_2")
    _ = try land([other], queue)
    let sums = "SELECT * FROM usage_hourly ORDER BY dimension, hour, key"
    try queue.write { db in
      let before = try Row.fetchAll(db, sql: sums)
      try db.execute(
        sql: """
          INSERT INTO usage_batch DEFAULT VALUES; DELETE FROM usage; DELETE FROM usage_batch;
          INSERT INTO usage_horizon(id, hour) VALUES (1, 1000000)
          """)
      #expect(try Row.fetchAll(db, sql: sums) == before)
    }
    var never = log(output: 1, uid: "claude-code:msg_3")
    (never.requestID, never.responseID) = ("req_3", "msg_3")
    let before = try queue.read { db in try Row.fetchAll(db, sql: sums) }
    #expect(try land([log(output: 50), other, never], queue) == [.unchanged, .unchanged, .expired])
    #expect(try queue.read { db in try Row.fetchAll(db, sql: sums) } == before)
  }
}
