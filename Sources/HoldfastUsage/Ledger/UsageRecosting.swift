// SPDX-License-Identifier: Apache-2.0

import GRDB
public import HoldfastEngine

/// What a recosting came to.
public struct UsageRecostReport: Sendable, Hashable, Codable {
  /// Rows looked at.
  public var rows: Int64 = 0
  /// Rows whose cost, or the version behind it, is another now.
  public var changed: Int64 = 0
  /// Rows whose usage is known and whose model still has no price.
  public var unpriced: Int64 = 0
  /// What the rows cost before, in micro-dollars.
  public var beforeMicrodollars: Int64 = 0
  /// What they cost now.
  public var afterMicrodollars: Int64 = 0

  enum CodingKeys: String, CodingKey {
    case rows, changed, unpriced
    case beforeMicrodollars = "before_microusd"
    case afterMicrodollars = "after_microusd"
  }

  /// A report of nothing.
  public init() {}

  fileprivate mutating func add(_ other: UsageRecostReport) {
    rows += other.rows
    changed += other.changed
    unpriced += other.unpriced
    beforeMicrodollars += other.beforeMicrodollars
    afterMicrodollars += other.afterMicrodollars
  }
}

/// Applies rate cards to rows already kept, in slices so small that no writer waits long (failure A11).
struct UsageRecosting: Sendable {
  /// Rows looked at between two writers' turns; a slice holds the file for a few milliseconds.
  static let slice = 250

  private let rates: RateCardTable
  private let since: Int64
  private let until: Int64

  init(rates: RateCardTable, since: UTCInstant?, until: UTCInstant?) {
    self.rates = rates
    self.since = since?.milliseconds ?? 0
    self.until = until?.milliseconds ?? UTCInstant.supported.upperBound.milliseconds + 1
  }

  /// What one slice found.
  struct Slice: Sendable {
    var report = UsageRecostReport()
    /// Where the next slice begins; nil at the end.
    var next: Int64?
    /// How much of the table lies before that, 0 … 1.
    var share = 1.0
    fileprivate var changes: [(seq: Int64, cost: Int64, saved: Int64?, card: String)] = []
  }

  /// Looks at the rows from `seq` on, changing nothing.
  func look(_ db: Database, from seq: Int64) throws -> Slice {
    let statement = try db.cachedStatement(sql: Self.selection)
    let rows = try Row.fetchAll(statement, arguments: [seq, since, until, Self.slice])
    var slice = Slice()
    for row in rows {
      slice.report.rows += 1
      let known: Int64? = row["cost_microusd"]
      let card: String? = row["rate_card"]
      slice.report.beforeMicrodollars += known ?? 0
      // A cost without a card was told by whoever wrote the row, and is theirs.
      if let known, card == nil {
        slice.report.afterMicrodollars += known
        continue
      }
      var usage = Self.usage(row)
      rates.price(&usage)
      guard let cost = usage.costMicrodollars, let version = usage.rateCard else {
        // A model that has no card any more keeps what it was costed with.
        if known == nil, usage.inputTokens != nil, usage.outputTokens != nil { slice.report.unpriced += 1 }
        slice.report.afterMicrodollars += known ?? 0
        continue
      }
      slice.report.afterMicrodollars += cost
      if cost != known || version != card || usage.savedMicrodollars != row["saved_microusd"] {
        slice.changes.append((row["seq"], cost, usage.savedMicrodollars, version))
      }
    }
    slice.report.changed = Int64(slice.changes.count)
    if rows.count == Self.slice, let last = rows.last {
      let next: Int64 = last["seq"] + 1
      slice.next = next
      let bounds = try Row.fetchOne(db, sql: "SELECT min(seq), max(seq) FROM usage")
      if let first: Int64 = bounds?[0], let end: Int64 = bounds?[1], end > first {
        slice.share = min(1, Double(next - first) / Double(end - first + 1))
      }
    }
    return slice
  }

  /// Looks at the same rows once more, in a write transaction, and writes what is to be changed.
  func apply(_ db: Database, from seq: Int64) throws -> Slice {
    let slice = try look(db, from: seq)
    let statement = try db.cachedStatement(
      sql: "UPDATE usage SET cost_microusd = ?, saved_microusd = ?, rate_card = ? WHERE seq = ?")
    for change in slice.changes {
      try statement.execute(arguments: [change.cost, change.saved, change.card, change.seq])
    }
    return slice
  }

  // The plus signs keep SQLite from sorting the whole span for each slice.
  private static let selection = """
    SELECT seq, time_ms, provider, model, input_tokens, cache_read_tokens, cache_write_5m_tokens,
      cache_write_1h_tokens, output_tokens, web_searches, service_tier, speed, inference_geo, cost_microusd,
      saved_microusd, rate_card
    FROM usage WHERE seq >= ? AND +time_ms >= ? AND +time_ms < ? ORDER BY seq LIMIT ?
    """

  private static func usage(_ row: Row) -> UsageRow {
    var usage = UsageRow(provider: row["provider"], model: row["model"])
    usage.time = UTCInstant(milliseconds: row["time_ms"])
    usage.inputTokens = row["input_tokens"]
    usage.cacheReadTokens = row["cache_read_tokens"]
    usage.cacheWrite5mTokens = row["cache_write_5m_tokens"]
    usage.cacheWrite1hTokens = row["cache_write_1h_tokens"]
    usage.outputTokens = row["output_tokens"]
    usage.webSearches = row["web_searches"]
    usage.serviceTier = row["service_tier"]
    usage.speed = row["speed"]
    usage.inferenceGeo = row["inference_geo"]
    return usage
  }
}

extension SQLiteUsageLedger {
  /// Applies the ledger's rate cards to the rows already in the database, those of foreign writers included.
  ///
  /// It works in slices of a few milliseconds and rests four times as long after each that wrote, so writers
  /// hardly notice; rows that come meanwhile are costed as they come. Stopping it half way leaves every row with
  /// one whole cost, and running it again goes on from there.
  ///
  /// - Parameters:
  ///   - since: the first moment that counts; nil means from the beginning.
  ///   - until: the first moment that counts no more; nil means to the end.
  ///   - isDryRun: whether nothing is written: the report is of what would be.
  ///   - progress: told after each slice what has been done so far, and which share of the table that is, 0 … 1.
  /// - Throws: `StoreError`, or `CancellationError`.
  @discardableResult
  public func recost(
    since: UTCInstant? = nil, until: UTCInstant? = nil, isDryRun: Bool = false,
    progress: (@Sendable (UsageRecostReport, Double) -> Void)? = nil
  ) async throws -> UsageRecostReport {
    let file = try await openFile()
    let work = UsageRecosting(rates: rates, since: since, until: until)
    let clock = ContinuousClock()
    var report = UsageRecostReport()
    var next: Int64? = .min
    while let seq = next {
      try Task.checkCancellation()
      var slice = try await file.read { db in try work.look(db, from: seq) }
      if slice.report.changed > 0, !isDryRun {
        let start = clock.now
        slice = try await file.write { db in try work.apply(db, from: seq) }
        try await Task.sleep(for: start.duration(to: clock.now) * 4)
      }
      report.add(slice.report)
      next = slice.next
      progress?(report, slice.share)
    }
    return report
  }
}
