// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

/// Where usage rows go, and where reports of them come from.
///
/// Implemented on SQLite by ``SQLiteUsageLedger``; callers hold it as `any UsageLedger`.
public protocol UsageLedger: Sendable {
  /// Accepts a row at memory speed: checked, priced, and safe from the death of the process when this returns.
  ///
  /// - Returns: the row's uid, minted when it brought none. A row whose uid is known already changes nothing.
  /// - Throws: ``UsageError``: `invalidRow` (with the reason), `spoolRefused` (full, or the disk failed),
  ///   `closed`. Refusals are counted in ``status()``.
  @discardableResult
  func accept(_ row: UsageRow) throws(UsageError) -> String

  /// Sums the rows of a span of time by one of their fields.
  func report(_ query: UsageReportQuery) async throws -> [UsageReportLine]

  /// Sums by hour or day, and within those by a field.
  func series(_ query: UsageSeriesQuery) async throws -> [UsageSeriesPoint]

  /// What a span of time came to, and the span of the same length before it.
  ///
  /// - Parameters:
  ///   - since: the first moment that counts; nil means from the beginning.
  ///   - until: the first moment that counts no more; nil means to the end.
  func overview(since: UTCInstant?, until: UTCInstant?) async throws -> UsageOverview

  /// The blocks of five hours that had not ended at a moment, the latest first.
  func blocks(since: UTCInstant) async throws -> [UsageBlock]

  /// Removes the rows before the hour that contains a moment, and keeps their sums.
  func prune(before moment: UTCInstant) async throws -> UsagePruneReport

  /// How far programs' logs have been read, by path: the marks of those of the paths that have been.
  func logMarks(_ paths: [String]) async throws -> [String: UsageLogMark]

  /// Lands what was read from programs' logs, rows and marks in one transaction.
  ///
  /// A row that is of a request the ledger has becomes one with it, so a piece may be landed again, by several at once
  /// and in any order. A mark never goes back within one file.
  ///
  /// - Returns: what became of the rows; and where another has read further, his mark instead of the piece's.
  func land(_ pieces: [UsageLogPiece]) async throws -> UsageLogLanding

  /// What landing rows would do.
  func preview(_ rows: [UsageRow]) async throws -> UsageLogCounts

  /// Waits until every row accepted before the call is in the database, or set aside with its reason.
  ///
  /// - Parameter within: how long at most; nil waits as long as it takes.
  func flush(within: Duration?) async throws

  /// What the ledger holds and what it refused; waits for nothing.
  func status() async -> UsageLedgerStatus

  /// Refuses further rows, lands what it can, and lets go of its files.
  func close() async
}

extension UsageLedger {
  /// Waits until every row accepted before the call is in the database, or set aside with its reason.
  public func flush() async throws { try await flush(within: nil) }
}

/// What a report sums by.
public enum UsageGrouping: String, Sendable, Hashable, Codable, CaseIterable {
  /// The model's name, whatever the provider.
  case model
  /// The program that asked.
  case source
  /// The caller's session.
  case session
  /// The caller's project.
  case project
  /// The provider's name.
  case provider
  /// The agent within the session.
  case agent
  /// The first tool the answer called.
  case tool
  /// The day in the question's time zone.
  case day
  /// The hour in the question's time zone.
  case hour
}

/// A question to the ledger.
public struct UsageReportQuery: Sendable, Hashable {
  /// What to sum by.
  public var grouping: UsageGrouping
  /// The first moment that counts; nil means from the beginning.
  public var since: UTCInstant?
  /// The first moment that counts no more; nil means to the end, rows stamped in the future included.
  public var until: UTCInstant?
  /// The most lines wanted; nil means all.
  public var limit: Int?
  /// Where days and hours begin.
  public var zone: CivilZone

  /// A question. Spans that begin and end on whole hours are answered from the hourly sums alone; others read
  /// the rows of the hours they cut.
  public init(
    by grouping: UsageGrouping = .model, since: UTCInstant? = nil, until: UTCInstant? = nil,
    limit: Int? = nil, zone: CivilZone = .utc
  ) {
    self.grouping = grouping
    self.since = since
    self.until = until
    self.limit = limit
    self.zone = zone
  }

  /// The same question about the same time before; without a beginning there is none, and it is the same.
  public func before(_ now: UTCInstant) -> UsageReportQuery {
    guard let since else { return self }
    var query = self
    let length = max(0, min(until ?? now, now).milliseconds - since.milliseconds)
    (query.since, query.until) = (UTCInstant(milliseconds: max(0, since.milliseconds - length)), since)
    query.limit = nil
    return query
  }

  /// A question about the time up to now: from the beginning of the hour that lies `duration` back.
  ///
  /// Beginning on the hour keeps its cost the same at any number of rows.
  public static func last(
    _ duration: Duration, by grouping: UsageGrouping = .model, now: UTCInstant = .now, limit: Int? = nil
  ) -> UsageReportQuery {
    UsageReportQuery(by: grouping, since: now.advanced(by: .zero - duration).startOfHour, limit: limit)
  }
}

/// The sums of one group.
public struct UsageReportLine: Sendable, Hashable, Codable {
  /// The group: a name, a day on the wall (`2026-11-21`) or the moment an hour begins at (`2026-11-21T09:00:00Z`); nil
  /// for the rows that name none.
  public var key: String?
  /// Requests, of whatever outcome.
  public var requests: Int64
  /// Prompt tokens outside any cache, of the requests that said so.
  public var inputTokens: Int64
  /// Prompt tokens read from a cache.
  public var cacheReadTokens: Int64
  /// Prompt tokens written to a cache of five minutes.
  public var cacheWrite5mTokens: Int64
  /// Prompt tokens written to a cache of one hour.
  public var cacheWrite1hTokens: Int64
  /// Tokens produced.
  public var outputTokens: Int64
  /// The cost of the requests that have one, in micro-dollars.
  public var costMicrodollars: Int64
  /// Requests whose usage is known and whose price is not.
  public var unpriced: Int64
  /// Requests that should have said their usage and did not.
  public var unknown: Int64
  /// Requests cut short: what is counted of them is a lower bound.
  public var incomplete: Int64
  /// What caching saved, in micro-dollars; below zero where caches were written and not read.
  public var savedMicrodollars: Int64
  /// Requests that came to nothing for a reason other than their client's leaving.
  public var errors: Int64

  enum CodingKeys: String, CodingKey {
    case key, requests, unpriced, unknown, incomplete, errors
    case inputTokens = "input_tokens"
    case cacheReadTokens = "cache_read_tokens"
    case cacheWrite5mTokens = "cache_write_5m_tokens"
    case cacheWrite1hTokens = "cache_write_1h_tokens"
    case outputTokens = "output_tokens"
    case costMicrodollars = "cost_microusd"
    case savedMicrodollars = "saved_microusd"
  }

  /// Writes every field, the key as null where there is none.
  public func encode(to encoder: any Encoder) throws {
    var fields = encoder.container(keyedBy: CodingKeys.self)
    try fields.encode(key, forKey: .key)
    try fields.encode(requests, forKey: .requests)
    try fields.encode(inputTokens, forKey: .inputTokens)
    try fields.encode(cacheReadTokens, forKey: .cacheReadTokens)
    try fields.encode(cacheWrite5mTokens, forKey: .cacheWrite5mTokens)
    try fields.encode(cacheWrite1hTokens, forKey: .cacheWrite1hTokens)
    try fields.encode(outputTokens, forKey: .outputTokens)
    try fields.encode(costMicrodollars, forKey: .costMicrodollars)
    try fields.encode(unpriced, forKey: .unpriced)
    try fields.encode(unknown, forKey: .unknown)
    try fields.encode(incomplete, forKey: .incomplete)
    try fields.encode(savedMicrodollars, forKey: .savedMicrodollars)
    try fields.encode(errors, forKey: .errors)
  }
}
