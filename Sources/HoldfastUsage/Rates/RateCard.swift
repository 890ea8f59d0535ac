// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

/// What one model of one provider costs.
///
/// Rates are whole micro-dollars per million tokens, so every published price is exact: $0.075 per million is
/// 75,000.
public struct RateCard: Sendable, Hashable {
  /// Micro-dollars per million tokens, by kind of token.
  public struct Rates: Sendable, Hashable {
    /// Prompt tokens outside any cache.
    public var input: Int64
    /// Prompt tokens read from a cache.
    public var cacheRead: Int64
    /// Prompt tokens written to the cache of the shorter life (Anthropic's 5 minutes, OpenAI's 30).
    public var cacheWrite5m: Int64
    /// Prompt tokens written to the cache of the longer life (Anthropic's hour).
    public var cacheWrite1h: Int64
    /// Tokens produced.
    public var output: Int64

    /// Rates; a kind of prompt token without a price of its own costs what input does.
    public init(
      input: Int64, output: Int64, cacheRead: Int64? = nil, cacheWrite5m: Int64? = nil,
      cacheWrite1h: Int64? = nil
    ) {
      self.input = input
      self.output = output
      self.cacheRead = cacheRead ?? input
      self.cacheWrite5m = cacheWrite5m ?? input
      self.cacheWrite1h = cacheWrite1h ?? cacheWrite5m ?? input
    }
  }

  /// The rates of a request whose whole prompt is longer than a bound: they hold for all its tokens, the
  /// output included, never for the part beyond alone.
  public struct LongContext: Sendable, Hashable {
    /// The longest prompt that still has the standard rates.
    public var aboveTokens: Int64
    /// What a longer one costs.
    public var rates: Rates

    /// Long-context rates.
    public init(aboveTokens: Int64, rates: Rates) {
      self.aboveTokens = aboveTokens
      self.rates = rates
    }
  }

  /// The standard rates.
  public var rates: Rates
  /// The rates of long prompts.
  public var longContext: LongContext?
  /// By how much a service tier or a speed changes the rates (`batch` by 1/2, `priority` by 2…).
  public var tiers: [String: PriceRatio]
  /// By how much the place of inference changes the rates.
  public var geographies: [String: PriceRatio]
  /// The hours at which the rates are higher.
  public var peak: PeakHours?
  /// Micro-dollars for a thousand web searches.
  public var webSearchPerThousand: Int64?
  /// Micro-dollars for a thousand requests, beside their tokens.
  public var requestPerThousand: Int64?
  /// What the version of a card begins with that a configuration has put there.
  public static let configuredPrefix = "config:"
  /// What the version of a card begins with whose prices a provider publishes.
  public static let publishedPrefix = "published:"

  /// Where the card is from and of when; a row keeps it beside its cost.
  public var version: String

  /// A card.
  public init(
    rates: Rates, longContext: LongContext? = nil, tiers: [String: PriceRatio] = [:],
    geographies: [String: PriceRatio] = [:], peak: PeakHours? = nil, webSearchPerThousand: Int64? = nil,
    requestPerThousand: Int64? = nil, version: String
  ) {
    self.rates = rates
    self.longContext = longContext
    self.tiers = tiers
    self.geographies = geographies
    self.peak = peak
    self.webSearchPerThousand = webSearchPerThousand
    self.requestPerThousand = requestPerThousand
    self.version = version
  }
}

extension RateCard {
  /// The tiers that are the standard one by another name.
  private static let standardTiers: Set<String> = [
    "", "standard", "standard_only", "default", "auto", "on_demand",
  ]
  private static let everywhere: Set<String> = ["", "global", "not_available", "default"]

  /// What a row's tokens cost, in micro-dollars; nil when it cannot be said.
  ///
  /// The sum of tokens × rate is exact; it is rounded once, at the end, half up. It cannot be said when the
  /// input or the output is unknown, and when the row names a tier, a speed, a place or a tool the card has no
  /// price for: never a guess.
  public func cost(of row: UsageRow) -> Int64? { charge(for: row)?.cost }

  /// What a row's tokens cost, and what its cached tokens would have cost more outside any cache; nil when it cannot
  /// be said, as for ``cost(of:)``.
  func charge(for row: UsageRow) -> (cost: Int64, saved: Int64)? {
    guard let input = row.inputTokens, let output = row.outputTokens else { return nil }
    guard let factor = factor(for: row) else { return nil }
    let read = row.cacheReadTokens ?? 0
    let write5m = row.cacheWrite5mTokens ?? 0
    let write1h = row.cacheWrite1hTokens ?? 0
    var rates = rates
    let prompt = Int128(input) + Int128(read) + Int128(write5m) + Int128(write1h)
    if let longContext, prompt > Int128(longContext.aboveTokens) { rates = longContext.rates }
    var sum = Int128(input) * Int128(rates.input)
    sum += Int128(read) * Int128(rates.cacheRead)
    sum += Int128(write5m) * Int128(rates.cacheWrite5m)
    sum += Int128(write1h) * Int128(rates.cacheWrite1h)
    sum += Int128(output) * Int128(rates.output)
    var numerator = sum * Int128(factor.numerator)
    if let searches = row.webSearches, searches > 0 {
      // A search is priced by the thousand and by no tier.
      guard let webSearchPerThousand else { return nil }
      numerator += Int128(searches) * Int128(webSearchPerThousand) * 1000 * Int128(factor.denominator)
    }
    if let requestPerThousand {
      numerator += Int128(requestPerThousand) * 1000 * Int128(factor.denominator)
    }
    let denominator = Int128(factor.denominator) * 1_000_000
    let cost = (numerator * 2 + denominator) / (denominator * 2)
    guard cost <= Int128(UsageLimits.maximumCostMicrodollars) else { return nil }
    let plain = (Int128(read) + Int128(write5m) + Int128(write1h)) * Int128(rates.input)
    let cached =
      Int128(read) * Int128(rates.cacheRead) + Int128(write5m) * Int128(rates.cacheWrite5m)
      + Int128(write1h) * Int128(rates.cacheWrite1h)
    let difference = (plain - cached) * Int128(factor.numerator)
    let magnitude = (Int128(difference.magnitude) * 2 + denominator) / (denominator * 2)
    guard magnitude <= Int128(UsageLimits.maximumCostMicrodollars) else { return nil }
    return (Int64(cost), difference < 0 ? -Int64(magnitude) : Int64(magnitude))
  }

  /// All that multiplies the rates for this row, or nil when a part of it is not on the card.
  private func factor(for row: UsageRow) -> PriceRatio? {
    var factor = PriceRatio.one
    for name in [row.serviceTier, row.speed] {
      guard let name = name?.lowercased(), !Self.standardTiers.contains(name) else { continue }
      guard let tier = tiers[name] else { return nil }
      factor = factor * tier
    }
    if !geographies.isEmpty, let place = row.inferenceGeo?.lowercased(), !Self.everywhere.contains(place) {
      guard let geography = geographies[place] else { return nil }
      factor = factor * geography
    }
    if let peak, peak.contains(row.time ?? .now) { factor = factor * peak.ratio }
    return factor
  }
}

extension RateCard {
  /// Who says what a model costs.
  public enum Origin: String, Sendable, Hashable, Codable {
    /// The configuration.
    case config
    /// The provider, with its list of models.
    case published
    /// The table of this build.
    case builtIn = "built-in"
  }

  /// Who says what this card says.
  public var origin: Origin {
    if version.hasPrefix(Self.configuredPrefix) { return .config }
    return version.hasPrefix(Self.publishedPrefix) ? .published : .builtIn
  }

  /// What the prices are, in a word, so that a row costed with others is told apart.
  var amounts: String {
    func list(_ rates: Rates) -> String {
      [rates.input, rates.cacheRead, rates.cacheWrite5m, rates.cacheWrite1h, rates.output].map(String.init)
        .joined(separator: "/")
    }
    var text = list(rates) + "/\(webSearchPerThousand ?? 0)"
    if let longContext { text += ";above=\(longContext.aboveTokens):" + list(longContext.rates) }
    if let requestPerThousand { text += ";request=\(requestPerThousand)" }
    for (tier, ratio) in tiers.sorted(by: { $0.key < $1.key }) {
      text += ";\(tier)=\(ratio.numerator)" + (ratio.denominator == 1 ? "" : ":\(ratio.denominator)")
    }
    return text
  }
}

extension RateCard.Rates {
  /// The rates by factors, each to the nearest micro-dollar.
  func times(prompt: PriceRatio, output factor: PriceRatio) -> RateCard.Rates {
    RateCard.Rates(
      input: prompt.applied(to: input), output: factor.applied(to: output),
      cacheRead: prompt.applied(to: cacheRead), cacheWrite5m: prompt.applied(to: cacheWrite5m),
      cacheWrite1h: prompt.applied(to: cacheWrite1h))
  }
}
