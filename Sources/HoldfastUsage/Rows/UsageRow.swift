// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

/// How a request ended, as the ledger keeps it.
public enum UsageOutcome: String, Sendable, Hashable, Codable, CaseIterable {
  /// The whole answer was relayed.
  case complete
  /// The client went away before the end; the tokens are a lower bound.
  case clientLeft = "client_left"
  /// The upstream's connection ended before its answer did; the tokens are a lower bound.
  case upstreamDied = "upstream_died"
  /// The upstream answered with an error status.
  case upstreamError = "upstream_error"
  /// The upstream sent an error within an answer that had begun with status 200.
  case streamError = "stream_error"
  /// The upstream could not be reached.
  case upstreamUnreachable = "upstream_unreachable"
  /// The upstream did not answer in time, or stopped sending.
  case upstreamTimeout = "upstream_timeout"
  /// The gateway refused the request itself, or was stopped while it ran.
  case refused
}

/// The terminal record of one request: who asked what of whom, what came of it, and what it cost.
///
/// The token columns are disjoint (see ``WireUsage``): the prompt is the sum of ``inputTokens``,
/// ``cacheReadTokens``, ``cacheWrite5mTokens`` and ``cacheWrite1hTokens``. Unknown is nil, never 0.
/// In JSON the names are those of `holdfast usage record`: `input_tokens`, `cache_write_5m_tokens`…
public struct UsageRow: Sendable, Hashable {
  /// The row's identity; the same uid again is the same row. Nil until the ledger mints one.
  public var uid: String?
  /// When the request was made; nil means when it is accepted.
  public var time: UTCInstant?
  /// The provider's name, as configured.
  public var provider: String
  /// The model that answered, or else the one asked for.
  public var model: String
  /// The program that asked: `claude-code`, `codex`, `anthropic-python`…
  public var source: String?
  /// The caller's session.
  public var session: String?
  /// The caller's project.
  public var project: String?
  /// The agent within the session, and the one that started it.
  public var agent: String?
  /// The agent that started ``agent``.
  public var parentAgent: String?
  /// The provider's request id (the `request-id` or `x-request-id` response header); it joins log rows.
  public var requestID: String?
  /// The message's or response's id, from the body.
  public var responseID: String?
  /// The kind of request.
  public var endpoint: WireKind?
  /// The first tool the answer called; nil when it called none or nobody told.
  public var tool: String?
  /// Who saw the request.
  public var origin: Origin = .told
  /// Whether the answer was a stream.
  public var streaming: Bool?
  /// The HTTP status the client saw.
  public var status: Int?
  /// How the request ended.
  public var outcome: UsageOutcome
  /// The type or code of the error the provider named.
  public var errorType: String?
  /// Why the model stopped.
  public var stopReason: String?
  /// The providers it was sent to, in order, with what came of each: `groq=429, together=200`; nil when the client or the
  /// configuration had settled where it goes.
  public var route: String?
  /// Why it was sent there: `cheapest`, `only`, `cooldown`, `default`, `pin`.
  public var decision: String?
  /// From the request's first byte to the answer's last, in milliseconds.
  public var durationMilliseconds: Int64?
  /// From the request's first byte to the first piece of output, in milliseconds.
  public var firstTokenMilliseconds: Int64?

  /// Prompt tokens outside any cache.
  public var inputTokens: Int64?
  /// Prompt tokens read from a cache.
  public var cacheReadTokens: Int64?
  /// Prompt tokens written to a cache of five minutes.
  public var cacheWrite5mTokens: Int64?
  /// Prompt tokens written to a cache of one hour.
  public var cacheWrite1hTokens: Int64?
  /// Tokens produced, reasoning included.
  public var outputTokens: Int64?
  /// The part of ``outputTokens`` spent on reasoning.
  public var reasoningTokens: Int64?
  /// Web searches the provider made.
  public var webSearches: Int64?
  /// The service tier that served the request.
  public var serviceTier: String?
  /// Anthropic's speed mode.
  public var speed: String?
  /// Where inference ran.
  public var inferenceGeo: String?
  /// Why input or output is unknown, where it is.
  public var unknown: WireUsage.Unknown?

  /// The cost in micro-dollars; nil when the model has no price or the usage is unknown.
  public var costMicrodollars: Int64?
  /// The version of the rate card ``costMicrodollars`` was worked out with.
  public var rateCard: String?
  /// What caching saved, in micro-dollars: the prompt tokens read from and written to caches at the price of plain
  /// input, less what they cost. Below zero where a cache was written and not yet read; nil without a cost.
  public var savedMicrodollars: Int64?

  /// A row of which only the provider, the model and the outcome are known yet.
  public init(provider: String, model: String, outcome: UsageOutcome = .complete) {
    self.provider = provider
    self.model = model
    self.outcome = outcome
  }

  /// True when an answer to this request should have said its usage: it is of a billed kind and did not fail
  /// before it began.
  public var expectsUsage: Bool {
    if let endpoint, !endpoint.billsTokens { return false }
    if let status, status >= 400 { return false }
    switch outcome {
    case .complete, .clientLeft, .upstreamDied, .streamError: return true
    // With a status the answer had begun.
    case .upstreamTimeout: return status != nil
    case .upstreamError, .upstreamUnreachable, .refused: return false
    }
  }

  /// True when the request should say its usage and was cut short: what is counted of it is a lower bound.
  public var isIncomplete: Bool { expectsUsage && outcome != .complete }

  /// True when the request came to nothing for a reason other than its client's leaving.
  public var isFailed: Bool {
    if let status, status >= 400 { return true }
    switch outcome {
    case .complete, .clientLeft: return false
    case .upstreamDied, .upstreamError, .streamError, .upstreamUnreachable, .upstreamTimeout, .refused:
      return true
    }
  }

  /// True when the row should say its usage and does not.
  public var isUnknown: Bool { expectsUsage && (inputTokens == nil || outputTokens == nil) }
}

extension UsageRow {
  /// Who saw a request.
  public enum Origin: String, Sendable, Hashable, Codable, CaseIterable {
    /// The gateway, as it relayed it.
    case wire
    /// A program, in its own log.
    case log
    /// Both, and what they say is one row.
    case both
    /// Whoever wrote the row: `holdfast usage record`, or another program.
    case told
  }

  /// Takes over what the answer said of itself.
  ///
  /// The answer's model replaces the one asked for, and an error within an answer that began well becomes
  /// the outcome.
  public mutating func take(_ usage: WireUsage) {
    if let model = usage.model { self.model = model }
    responseID = usage.responseID ?? responseID
    inputTokens = usage.inputTokens
    cacheReadTokens = usage.cacheReadTokens
    cacheWrite5mTokens = usage.cacheWrite5mTokens
    cacheWrite1hTokens = usage.cacheWrite1hTokens
    outputTokens = usage.outputTokens
    reasoningTokens = usage.reasoningTokens
    webSearches = usage.webSearches
    serviceTier = usage.serviceTier ?? serviceTier
    speed = usage.speed
    inferenceGeo = usage.inferenceGeo
    stopReason = usage.stopReason
    tool = usage.tool
    errorType = usage.errorType ?? errorType
    unknown = usage.unknown
    if usage.finish == .error, outcome == .complete, (status ?? 200) < 400 { outcome = .streamError }
  }

  /// Takes over who asked.
  public mutating func take(_ origin: RequestOrigin) {
    source = origin.source
    session = origin.session
    project = origin.project
    agent = origin.agent
    parentAgent = origin.parentAgent
  }
}
