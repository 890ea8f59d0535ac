// SPDX-License-Identifier: Apache-2.0

/// What one answer said of its own cost, read from the wire.
///
/// The token columns are disjoint: every token of the prompt is in exactly one of ``inputTokens``,
/// ``cacheReadTokens``, ``cacheWrite5mTokens`` and ``cacheWrite1hTokens``; ``reasoningTokens`` is a part of
/// ``outputTokens``. What the provider did not say is nil, never 0.
public struct WireUsage: Sendable, Hashable {
  /// How the answer ended, by its own marks.
  public enum Finish: String, Sendable, Hashable, Codable {
    /// The format's own end was seen (`message_stop`, `[DONE]`, a whole JSON body…).
    case complete
    /// The bytes ended before the format's own end: the tokens are a lower bound.
    case incomplete
    /// The answer says it failed: an error body, an `error` event after status 200, `response.failed`.
    case error
  }

  /// Why ``inputTokens`` or ``outputTokens`` is not known.
  public enum Unknown: String, Sendable, Hashable, Codable {
    /// The answer is well formed and carries no usage, as OpenAI's streams do unless asked.
    case notReported = "not-reported"
    /// The answer ended before its usage came.
    case cutShort = "cut-short"
    /// The answer is not in the format it should have.
    case malformed
    /// A count was negative, no whole number, or beyond ``UsageLimits/maximumTokens``.
    case absurd
    /// The body was compressed in a way that was not decoded.
    case compressed
    /// This kind of request is not billed by tokens, or nothing of it is read.
    case notApplicable = "not-applicable"
  }

  /// The model that answered, as the provider names it.
  public var model: String?
  /// The message's or response's id.
  public var responseID: String?
  /// Prompt tokens that were neither read from nor written to a cache.
  public var inputTokens: Int64?
  /// Prompt tokens read from a cache.
  public var cacheReadTokens: Int64?
  /// Prompt tokens written to a cache that lives five minutes (or as long as the provider likes).
  public var cacheWrite5mTokens: Int64?
  /// Prompt tokens written to a cache that lives one hour.
  public var cacheWrite1hTokens: Int64?
  /// Tokens the model produced, reasoning included.
  public var outputTokens: Int64?
  /// The part of ``outputTokens`` spent on reasoning.
  public var reasoningTokens: Int64?
  /// The service tier that served the request, as the provider names it.
  public var serviceTier: String?
  /// Anthropic's `speed`: `standard` or `fast`.
  public var speed: String?
  /// Where inference ran, as Anthropic's `inference_geo` says it.
  public var inferenceGeo: String?
  /// Web searches the provider made for this answer.
  public var webSearches: Int64?
  /// The first tool the answer called.
  public var tool: String?
  /// Why the model stopped, in the provider's words (`end_turn`, `stop`, `max_output_tokens`…).
  public var stopReason: String?
  /// The type or code of the error the answer carries.
  public var errorType: String?
  /// How the answer ended.
  public var finish: Finish
  /// nil when both the input and the output are known; else why not.
  public var unknown: Unknown?

  /// An answer of which nothing is known, and why.
  public init(unknown: Unknown, finish: Finish = .complete) {
    self.unknown = unknown
    self.finish = finish
  }
}
