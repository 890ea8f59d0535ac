// SPDX-License-Identifier: Apache-2.0

import GRDB
public import HoldfastEngine

extension SQLiteUsageLedger: BudgetLedger {
  /// What was spent under each budget in its period, in one reading.
  public func reading(
    of budgets: [Budget], spans: [Range<UTCInstant>], at now: UTCInstant
  ) async throws -> BudgetReading {
    // Before the reading begins: what is settled by now, it has.
    let mark = spool?.mark()
    return try await openFile().read { [spool] db in
      let landed = try mark.flatMap { try spool?.landed(in: db, since: $0) } ?? 0
      var sums: [BudgetSums: [BudgetSums.Line]] = [:]
      var spends: [BudgetReading.Spend] = []
      for (budget, span) in zip(budgets, spans) {
        let sum = BudgetSums(dimension: budget.scope.dimension, span: span)
        if sums[sum] == nil { sums[sum] = try sum.lines(db) }
        var spend = BudgetReading.Spend(span: span, microdollars: 0)
        for line in sums[sum] ?? [] where budget.scope.covers(line.key) {
          spend.microdollars += line.cost
          spend.unpriced += line.unpriced
        }
        spends.append(spend)
      }
      return BudgetReading(
        time: now, spends: spends, landed: landed,
        crossings: try BudgetCrossings.of(spans, db), nextNotice: try BudgetCrossings.nextNotice(db))
    }
  }

  /// Writes crossings into `usage_budget_crossings`; those that are there already stay as they are.
  public func record(_ crossings: [BudgetCrossing], told: Set<String>) async throws {
    try await openFile().write { db in
      for crossing in crossings {
        try BudgetCrossings.record(crossing, isTold: told.contains(crossing.budget), db)
      }
    }
  }

  /// Takes crossings that are due, sixteen at most.
  public func claimNotices(at now: UTCInstant, patience: Duration) async throws -> [BudgetNotice] {
    try await openFile().write { db in
      try BudgetCrossings.claim(at: now, until: now.advanced(by: patience), db)
    }
  }

  /// Writes down what became of telling.
  public func settle(_ notice: BudgetNotice, _ outcome: BudgetNoticeOutcome, at now: UTCInstant) async throws
  {
    try await openFile().write { db in try BudgetCrossings.settle(notice.id, outcome, at: now, db) }
  }
}

/// What was spent in a span, by the names of one dimension.
private struct BudgetSums: Hashable {
  struct Line {
    var key: String
    var cost: Int64
    var unpriced: Int64
  }

  var dimension: String
  var span: Range<UTCInstant>

  func lines(_ db: Database) throws -> [Line] {
    let parts = UsageSpan(
      since: span.lowerBound, until: span.upperBound, horizon: try UsageSpan.horizon(db), usesDays: true)
    let source = parts.source(
      dimension, daily: "key AS k", hourly: "key AS k",
      edge: "\(UsageSchema.key(of: dimension, in: "u")) AS k")
    let statement = try db.cachedStatement(
      sql: "SELECT k, sum(cost_microusd), sum(unpriced) FROM (\(source.sql)) GROUP BY k")
    return try Row.fetchAll(statement, arguments: source.arguments).map {
      Line(key: $0[0] ?? "", cost: $0[1] ?? 0, unpriced: $0[2] ?? 0)
    }
  }
}

/// The table of crossings.
enum BudgetCrossings {
  static let schema = """
    -- Thresholds of budgets that were crossed, each once for a period and a limit, whoever saw it first.
    CREATE TABLE usage_budget_crossings(
      seq INTEGER PRIMARY KEY,
      budget TEXT NOT NULL,                  -- its name in config.yaml
      start_ms INTEGER NOT NULL,             -- the period, in UTC: from here
      end_ms INTEGER NOT NULL,               -- to before here
      threshold INTEGER NOT NULL,            -- per cent of the limit
      limit_microusd INTEGER NOT NULL,
      spent_microusd INTEGER NOT NULL,       -- when it was seen
      time_ms INTEGER NOT NULL,              -- when that was
      next_ms INTEGER,                       -- when somebody is told next; NULL: never, or no more
      attempts INTEGER NOT NULL DEFAULT 0,
      told_ms INTEGER,                       -- when it was heard; NULL: it was not
      error TEXT,                            -- why the last attempt failed
      UNIQUE (budget, start_ms, end_ms, threshold, limit_microusd)
    ) STRICT;
    CREATE INDEX usage_budget_notices ON usage_budget_crossings(next_ms) WHERE next_ms IS NOT NULL;
    """

  private static let columns =
    "seq, budget, start_ms, end_ms, threshold, limit_microusd, spent_microusd, time_ms, attempts"
  /// So many are told at a time.
  private static let mostAtATime = 16

  static func of(_ spans: [Range<UTCInstant>], _ db: Database) throws -> [BudgetCrossing] {
    let statement = try db.cachedStatement(
      sql: "SELECT \(columns) FROM usage_budget_crossings WHERE start_ms = ? AND end_ms = ?")
    return try Set(spans).flatMap { span in
      try Row.fetchAll(
        statement, arguments: [span.lowerBound.milliseconds, span.upperBound.milliseconds]
      ).map(crossing)
    }
  }

  static func nextNotice(_ db: Database) throws -> UTCInstant? {
    let statement = try db.cachedStatement(
      sql: "SELECT min(next_ms) FROM usage_budget_crossings WHERE next_ms IS NOT NULL")
    return try Int64.fetchOne(statement).map { UTCInstant(milliseconds: $0) }
  }

  static func record(_ crossing: BudgetCrossing, isTold: Bool, _ db: Database) throws {
    let statement = try db.cachedStatement(
      sql: """
        INSERT INTO usage_budget_crossings(
          budget, start_ms, end_ms, threshold, limit_microusd, spent_microusd, time_ms, next_ms)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
        """)
    let time = crossing.time.milliseconds
    try statement.execute(arguments: [
      crossing.budget, crossing.span.lowerBound.milliseconds, crossing.span.upperBound.milliseconds,
      crossing.threshold, crossing.limitMicrodollars, crossing.spentMicrodollars, time, isTold ? time : nil,
    ])
  }

  static func claim(at now: UTCInstant, until end: UTCInstant, _ db: Database) throws -> [BudgetNotice] {
    let rows = try Row.fetchAll(
      db.cachedStatement(
        sql: """
          SELECT \(columns) FROM usage_budget_crossings WHERE next_ms <= ? ORDER BY next_ms, seq
          LIMIT \(mostAtATime)
          """), arguments: [now.milliseconds])
    let update = try db.cachedStatement(
      sql: "UPDATE usage_budget_crossings SET attempts = attempts + 1, next_ms = ? WHERE seq = ?")
    return try rows.map { row in
      try update.execute(arguments: [end.milliseconds, row[0] as Int64])
      return BudgetNotice(id: row[0], crossing: crossing(row), attempt: row[8] + 1 as Int)
    }
  }

  static func settle(
    _ id: Int64, _ outcome: BudgetNoticeOutcome, at now: UTCInstant, _ db: Database
  ) throws {
    var (next, told, error): (Int64?, Int64?, String?)
    switch outcome {
    case .told: told = now.milliseconds
    case .again(let time, let reason): (next, error) = (time.milliseconds, reason)
    case .givenUp(let reason): error = reason
    }
    let statement = try db.cachedStatement(
      sql: "UPDATE usage_budget_crossings SET next_ms = ?, told_ms = ?, error = ? WHERE seq = ?")
    try statement.execute(arguments: [next, told, error, id])
  }

  private static func crossing(_ row: Row) -> BudgetCrossing {
    let start: Int64 = row[2]
    let end: Int64 = row[3]
    return BudgetCrossing(
      budget: row[1],
      span: UTCInstant(milliseconds: start)..<UTCInstant(milliseconds: max(start, end)),
      threshold: row[4], limitMicrodollars: row[5], spentMicrodollars: row[6],
      time: UTCInstant(milliseconds: row[7]))
  }
}
