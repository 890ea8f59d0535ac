// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

/// A question for sums over time: by hour or day, and within it by a field.
public struct UsageSeriesQuery: Sendable, Hashable {
  /// How long each step is.
  public enum Step: String, Sendable, Hashable, Codable, CaseIterable {
    /// An hour of the zone's clock.
    case hour
    /// A day of the zone's calendar.
    case day
  }

  /// The field each step is split by; not `day` or `hour`, which split nothing.
  public var split: UsageGrouping
  /// How long each step is.
  public var step: Step
  /// The first moment that counts; nil means from the beginning.
  public var since: UTCInstant?
  /// The first moment that counts no more; nil means to the end.
  public var until: UTCInstant?
  /// Where days and hours begin. In a zone that is no whole number of hours from UTC an hour of UTC is counted to the
  /// step it begins in.
  public var zone: CivilZone

  /// A question.
  public init(
    by step: Step, split: UsageGrouping = .model, since: UTCInstant? = nil, until: UTCInstant? = nil,
    zone: CivilZone = .utc
  ) {
    self.step = step
    self.split = split
    self.since = since
    self.until = until
    self.zone = zone
  }
}

/// The sums of one field's value in one step.
public struct UsageSeriesPoint: Sendable, Hashable, Encodable {
  /// The step: a day on the wall (`2026-11-21`) or the moment an hour begins at (`2026-11-21T09:00:00Z`).
  public var time: String
  /// The field's value and its sums.
  public var line: UsageReportLine

  /// The sums of one value in one step.
  public init(time: String, line: UsageReportLine) { (self.time, self.line) = (time, line) }

  private enum CodingKeys: String, CodingKey { case time }

  /// Writes the line's fields, and the time beside them.
  public func encode(to encoder: any Encoder) throws {
    try line.encode(to: encoder)
    var fields = encoder.container(keyedBy: CodingKeys.self)
    try fields.encode(time, forKey: .time)
  }
}

/// What a span of time came to.
public struct UsageTotals: Sendable, Hashable, Encodable {
  /// The sums; their key is nil.
  public var line: UsageReportLine
  /// Sessions that asked for anything, requests without a session not counted.
  public var sessions: Int64
  /// How long requests took, from their first byte to the answer's last.
  public var latency: UsagePercentiles?
  /// How long the first piece of output took.
  public var firstToken: UsagePercentiles?

  /// What a span came to.
  public init(
    line: UsageReportLine, sessions: Int64 = 0, latency: UsagePercentiles? = nil,
    firstToken: UsagePercentiles? = nil
  ) {
    (self.line, self.sessions, self.latency, self.firstToken) = (line, sessions, latency, firstToken)
  }

  private enum CodingKeys: String, CodingKey {
    case sessions
    case cacheHitRatio = "cache_hit_ratio"
    case latency = "latency_ms"
    case firstToken = "first_token_ms"
  }

  /// Writes the line's fields, and the others beside them.
  public func encode(to encoder: any Encoder) throws {
    try line.encode(to: encoder)
    var fields = encoder.container(keyedBy: CodingKeys.self)
    try fields.encode(sessions, forKey: .sessions)
    try fields.encode(line.cacheHitRatio, forKey: .cacheHitRatio)
    try fields.encode(latency, forKey: .latency)
    try fields.encode(firstToken, forKey: .firstToken)
  }
}

/// What a span of time came to, beside the span of the same length before it.
public struct UsageOverview: Sendable, Hashable, Encodable {
  /// The first moment that counts; nil means from the beginning.
  public var since: UTCInstant?
  /// The first moment that counts no more; nil means to the end.
  public var until: UTCInstant?
  /// The span.
  public var current: UsageTotals
  /// The span before it; nil where the span has no beginning.
  public var previous: UsageTotals?

  /// What a span and the one before it came to.
  public init(
    since: UTCInstant? = nil, until: UTCInstant? = nil, current: UsageTotals, previous: UsageTotals? = nil
  ) {
    (self.since, self.until, self.current, self.previous) = (since, until, current, previous)
  }

  private enum CodingKeys: String, CodingKey { case since, until, current, previous }

  /// Writes every field, what is not there as null.
  public func encode(to encoder: any Encoder) throws {
    var fields = encoder.container(keyedBy: CodingKeys.self)
    try fields.encode(since, forKey: .since)
    try fields.encode(until, forKey: .until)
    try fields.encode(current, forKey: .current)
    try fields.encode(previous, forKey: .previous)
  }
}

extension UsageReportLine {
  /// Tokens of the prompts, those of caches included.
  public var promptTokens: Int64 { inputTokens + cacheReadTokens + cacheWrite5mTokens + cacheWrite1hTokens }

  /// All tokens.
  public var totalTokens: Int64 { promptTokens + outputTokens }

  /// The share of the prompts' tokens that came from a cache, 0…1; nil where there were none.
  public var cacheHitRatio: Double? {
    promptTokens > 0 ? Double(cacheReadTokens) / Double(promptTokens) : nil
  }
}

/// What removing old rows came to.
public struct UsagePruneReport: Sendable, Hashable, Codable {
  /// Rows removed; their sums stay.
  public var rows: Int64 = 0
  /// Rows of this moment and later are all there; nil when none were ever removed.
  public var since: UTCInstant?

  /// Nothing was removed.
  public init() {}
}
