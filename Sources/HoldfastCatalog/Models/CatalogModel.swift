// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

/// What one provider says of one of its models. Nothing in it is made up: what the provider does not publish is nil.
public struct CatalogModel: Codable, Sendable, Hashable {
  /// The name a request uses.
  public var id: String
  /// The provider that listed it.
  public var provider: String
  /// A name for people.
  public var displayName: String?
  /// The most tokens of prompt and answer together.
  public var context: Int?
  /// The most tokens of an answer.
  public var maxOutput: Int?
  /// What it takes: `text`, `image`, `audio`, `video`, `file`…; empty when not published.
  public var inputModalities: [String]
  /// What it makes; empty when not published.
  public var outputModalities: [String]
  /// What it costs, as its provider publishes it.
  public var prices: ModelPrices?
  /// Other names the provider takes for it.
  public var aliases: [String]
  /// When the provider made it.
  public var created: UTCInstant?
  /// When it was last listed.
  public var fetchedAt: UTCInstant

  /// A model.
  public init(
    id: String, provider: String, displayName: String? = nil, context: Int? = nil, maxOutput: Int? = nil,
    inputModalities: [String] = [], outputModalities: [String] = [], prices: ModelPrices? = nil,
    aliases: [String] = [], created: UTCInstant? = nil, fetchedAt: UTCInstant
  ) {
    self.id = id
    self.provider = provider
    self.displayName = displayName
    self.context = context
    self.maxOutput = maxOutput
    self.inputModalities = inputModalities
    self.outputModalities = outputModalities
    self.prices = prices
    self.aliases = aliases
    self.created = created
    self.fetchedAt = fetchedAt
  }

  private enum CodingKeys: String, CodingKey {
    case id, provider, context, prices, aliases, created
    case displayName = "display_name"
    case maxOutput = "max_output"
    case inputModalities = "input_modalities"
    case outputModalities = "output_modalities"
    case fetchedAt = "fetched_at"
  }
}

/// What a model costs, in micro-dollars per million tokens: $0.075 per million is 75,000.
public struct ModelPrices: Codable, Sendable, Hashable {
  /// Prompt tokens.
  public var input: Int64
  /// Tokens of the answer.
  public var output: Int64
  /// Prompt tokens read from a cache; nil when not published.
  public var cacheRead: Int64?
  /// Prompt tokens written to a cache; nil when not published.
  public var cacheWrite: Int64?
  /// Micro-dollars for a thousand web searches; nil when not published.
  public var webSearch: Int64?
  /// Micro-dollars for a thousand requests, beside their tokens; nil when not published.
  public var request: Int64?

  /// Prices.
  public init(
    input: Int64, output: Int64, cacheRead: Int64? = nil, cacheWrite: Int64? = nil, webSearch: Int64? = nil,
    request: Int64? = nil
  ) {
    (self.input, self.output, self.cacheRead, self.cacheWrite) = (input, output, cacheRead, cacheWrite)
    (self.webSearch, self.request) = (webSearch, request)
  }

  private enum CodingKeys: String, CodingKey {
    case input = "input_microusd"
    case output = "output_microusd"
    case cacheRead = "cache_read_microusd"
    case cacheWrite = "cache_write_microusd"
    case webSearch = "web_search_microusd"
    case request = "request_microusd"
  }
}
