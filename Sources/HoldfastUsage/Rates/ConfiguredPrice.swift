// SPDX-License-Identifier: Apache-2.0

/// A model's prices as a configuration writes them: dollars per million tokens.
///
/// ```yaml
/// prices:
///   "llama3.2": { input: 0, output: 0 }
///   "my-model": { input: 0.5, output: 2, cache_read: 0.05, tiers: { batch: 0.5 },
///                 long_context: { above: 200000, input: 1, output: 3 } }
/// ```
/// A kind of prompt token without a price costs what input does.
public struct ConfiguredPrice: Sendable, Hashable, Codable {
  /// The prices of a request whose whole prompt is longer than a bound; they hold for all its tokens.
  public struct LongContext: Sendable, Hashable, Codable {
    /// The longest prompt, in tokens, that still has the standard prices.
    public var above: Int64
    /// Dollars per million prompt tokens.
    public var input: Double
    /// Dollars per million tokens produced.
    public var output: Double
    /// Dollars per million tokens read from a cache.
    public var cacheRead: Double?
    /// Dollars per million tokens written to a cache of five minutes.
    public var cacheWrite5m: Double?
    /// Dollars per million tokens written to a cache of one hour.
    public var cacheWrite1h: Double?

    private enum CodingKeys: String, CodingKey {
      case above, input, output
      case cacheRead = "cache_read"
      case cacheWrite5m = "cache_write_5m"
      case cacheWrite1h = "cache_write_1h"
    }

    /// Prices of long prompts.
    public init(
      above: Int64, input: Double, output: Double, cacheRead: Double? = nil, cacheWrite5m: Double? = nil,
      cacheWrite1h: Double? = nil
    ) {
      (self.above, self.input, self.output) = (above, input, output)
      (self.cacheRead, self.cacheWrite5m, self.cacheWrite1h) = (cacheRead, cacheWrite5m, cacheWrite1h)
    }
  }

  /// Dollars per million prompt tokens.
  public var input: Double
  /// Dollars per million tokens produced.
  public var output: Double
  /// Dollars per million tokens read from a cache.
  public var cacheRead: Double?
  /// Dollars per million tokens written to a cache of five minutes.
  public var cacheWrite5m: Double?
  /// Dollars per million tokens written to a cache of one hour.
  public var cacheWrite1h: Double?
  /// Dollars per thousand web searches.
  public var webSearch: Double?
  /// Dollars per thousand requests, beside their tokens.
  public var request: Double?
  /// Factors on the rates by service tier or speed.
  public var tiers: [String: Double]?
  /// What long prompts cost.
  public var longContext: LongContext?

  private enum CodingKeys: String, CodingKey {
    case input, output, tiers, request
    case cacheRead = "cache_read"
    case cacheWrite5m = "cache_write_5m"
    case cacheWrite1h = "cache_write_1h"
    case webSearch = "web_search"
    case longContext = "long_context"
  }

  /// Prices in dollars per million tokens.
  public init(
    input: Double, output: Double, cacheRead: Double? = nil, cacheWrite5m: Double? = nil,
    cacheWrite1h: Double? = nil, webSearch: Double? = nil, request: Double? = nil,
    tiers: [String: Double]? = nil, longContext: LongContext? = nil
  ) {
    self.input = input
    self.output = output
    self.cacheRead = cacheRead
    self.cacheWrite5m = cacheWrite5m
    self.cacheWrite1h = cacheWrite1h
    self.webSearch = webSearch
    self.request = request
    self.tiers = tiers
    self.longContext = longContext
  }

  /// The card these prices are.
  ///
  /// - Throws: ``UsageError`` with code `invalidRates` naming the provider, the model and the price.
  func card(_ provider: String, _ model: String) throws(UsageError) -> RateCard {
    func amount(_ name: String, _ dollars: Double?) throws(UsageError) -> Int64? {
      guard let dollars else { return nil }
      guard let amount = MicroDollars.of(dollars: dollars) else {
        throw UsageError(
          .invalidRates,
          "The price \(name) of \(model) at \(provider) is \(dollars), which is no amount of dollars.")
      }
      return amount
    }
    let rates = RateCard.Rates(
      input: try amount("input", input) ?? 0, output: try amount("output", output) ?? 0,
      cacheRead: try amount("cache_read", cacheRead),
      cacheWrite5m: try amount("cache_write_5m", cacheWrite5m),
      cacheWrite1h: try amount("cache_write_1h", cacheWrite1h))
    var card = RateCard(rates: rates, version: "")
    for (name, factor) in tiers ?? [:] {
      guard let millionths = try amount("tiers.\(name)", factor) else { continue }
      card.tiers[name.lowercased()] = PriceRatio(millionths, 1_000_000)
    }
    card.webSearchPerThousand = try amount("web_search", webSearch)
    card.requestPerThousand = try amount("request", request)
    if let long = longContext {
      guard (1...UsageLimits.maximumTokens).contains(long.above) else {
        throw UsageError(
          .invalidRates,
          "The bound long_context.above of \(model) at \(provider) is \(long.above), which is no number of tokens."
        )
      }
      card.longContext = RateCard.LongContext(
        aboveTokens: long.above,
        rates: RateCard.Rates(
          input: try amount("long_context.input", long.input) ?? 0,
          output: try amount("long_context.output", long.output) ?? 0,
          cacheRead: try amount("long_context.cache_read", long.cacheRead),
          cacheWrite5m: try amount("long_context.cache_write_5m", long.cacheWrite5m),
          cacheWrite1h: try amount("long_context.cache_write_1h", long.cacheWrite1h)))
    }
    card.version = RateCard.configuredPrefix + card.amounts
    guard card.version.utf8.count <= UsageLimits.maximumTextBytes else {
      throw UsageError(
        .invalidRates,
        "The prices of \(model) at \(provider) have more tiers than a row can name; leave some out.")
    }
    return card
  }
}
