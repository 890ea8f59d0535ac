// SPDX-License-Identifier: Apache-2.0

/// The rate cards of all providers: the built-in ones, and over them the user's.
///
/// A card is found by the exact name of the model, or else by the name without its date
/// (`claude-opus-4-8-20260512`, `gpt-5.4-2026-03-05`); never by likeness. A model without a card has no cost.
public struct RateCardTable: Sendable {
  private var cards: [String: [String: RateCard]]
  /// The vendor whose built-in cards a provider of another name uses.
  private var vendors: [String: String]

  /// The built-in cards.
  public static let builtIn = RateCardTable(cards: BuiltInRates.cards)

  /// No cards at all.
  public static let empty = RateCardTable(cards: [:])

  private init(cards: [String: [String: RateCard]]) {
    self.cards = cards
    vendors = BuiltInRates.providerNames
  }

  /// The number of cards.
  public var count: Int { cards.values.reduce(0) { $0 + $1.count } }

  /// Puts a card over any other for this provider and model.
  ///
  /// - Parameters:
  ///   - provider: the provider's name, as configured.
  ///   - model: the model's exact name, or its name without the date.
  public mutating func set(_ card: RateCard, provider: String, model: String) {
    cards[Self.overrideKey(provider), default: [:]][model] = card
  }

  /// Puts the prices of a configuration over the built-in ones.
  ///
  /// - Throws: ``UsageError`` with code `invalidRates` naming the provider, the model and the price.
  public mutating func set(_ prices: [String: ConfiguredPrice], provider: String) throws(UsageError) {
    for (model, price) in prices { set(try price.card(provider, model), provider: provider, model: model) }
  }

  /// Says that a provider's models are those of a vendor in the built-in table.
  ///
  /// - Parameters:
  ///   - vendor: `anthropic`, `openai`, `google`, `xai`, `deepseek` or `mistral`.
  ///   - provider: the provider's name, as configured.
  public mutating func setVendor(_ vendor: String, ofProvider provider: String) {
    vendors[provider] = vendor
  }

  /// The vendor whose API a host is, for ``setVendor(_:ofProvider:)``; nil for any other host.
  public static func vendor(ofHost host: String) -> String? { BuiltInRates.hosts[host.lowercased()] }

  /// The card of a model, or nil when it has none.
  public func card(provider: String, model: String) -> RateCard? {
    if let own = cards[Self.overrideKey(provider)], let card = Self.find(model, in: own, vendor: provider) {
      return card
    }
    let vendor = vendors[provider] ?? provider
    return cards[vendor].flatMap { Self.find(model, in: $0, vendor: vendor) }
  }

  /// Writes the row's cost, what caching saved and the version of its card, or nil for all when it has no price.
  public func price(_ row: inout UsageRow) {
    guard let card = card(provider: row.provider, model: row.model), let charge = card.charge(for: row) else {
      row.costMicrodollars = nil
      row.savedMicrodollars = nil
      row.rateCard = nil
      return
    }
    row.costMicrodollars = charge.cost
    row.savedMicrodollars = charge.saved
    row.rateCard = card.version
  }

  /// Keeps the user's cards apart from the vendors'.
  private static func overrideKey(_ provider: String) -> String { "\u{1}" + provider }

  private static func find(_ model: String, in cards: [String: RateCard], vendor: String) -> RateCard? {
    if let card = cards[model] { return card }
    var name = model[...]
    // Google names its models `models/…`; some gateways put the vendor first.
    for prefix in ["models/", vendor + "/"] where name.hasPrefix(prefix) {
      name = name.dropFirst(prefix.count)
    }
    // Claude Code's mark of the long context window, which has no price of its own.
    if name.hasSuffix("[1m]") { name = name.dropLast(4) }
    if let card = cards[String(name)] { return card }
    return withoutDate(name).flatMap { cards[String($0)] }
  }

  /// The name without `-20260512`, `-2026-05-12` or `@20260512` at its end; nil when it has none.
  private static func withoutDate(_ name: Substring) -> Substring? {
    let bytes = Array(name.utf8)
    for (shape, marks) in [("########", ["-", "@"]), ("####-##-##", ["-"])] {
      let tail = shape.utf8.count
      guard bytes.count > tail + 1, marks.contains(String(UnicodeScalar(bytes[bytes.count - tail - 1])))
      else {
        continue
      }
      let matches = zip(bytes.suffix(tail), shape.utf8).allSatisfy { byte, expected in
        expected == UInt8(ascii: "#") ? (0x30...0x39).contains(byte) : byte == expected
      }
      if matches, bytes[bytes.count - tail] == UInt8(ascii: "2") { return name.dropLast(tail + 1) }
    }
    return nil
  }
}

/// A model's prices as a configuration writes them: dollars per million tokens.
///
/// ```yaml
/// prices: { "llama3.2": { input: 0, output: 0 }, "my-model": { input: 0.5, output: 2, cache_read: 0.05 } }
/// ```
/// A kind of prompt token without a price costs what input does.
public struct ConfiguredPrice: Sendable, Hashable, Codable {
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
  /// Factors on the rates by service tier or speed.
  public var tiers: [String: Double]?

  private enum CodingKeys: String, CodingKey {
    case input, output, tiers
    case cacheRead = "cache_read"
    case cacheWrite5m = "cache_write_5m"
    case cacheWrite1h = "cache_write_1h"
    case webSearch = "web_search"
  }

  /// Prices in dollars per million tokens.
  public init(
    input: Double, output: Double, cacheRead: Double? = nil, cacheWrite5m: Double? = nil,
    cacheWrite1h: Double? = nil, webSearch: Double? = nil, tiers: [String: Double]? = nil
  ) {
    self.input = input
    self.output = output
    self.cacheRead = cacheRead
    self.cacheWrite5m = cacheWrite5m
    self.cacheWrite1h = cacheWrite1h
    self.webSearch = webSearch
    self.tiers = tiers
  }

  fileprivate func card(_ provider: String, _ model: String) throws(UsageError) -> RateCard {
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
    var ratios: [String: PriceRatio] = [:]
    for (name, factor) in tiers ?? [:] {
      guard let millionths = try amount("tiers.\(name)", factor) else { continue }
      ratios[name.lowercased()] = PriceRatio(millionths, 1_000_000)
    }
    let search = try amount("web_search", webSearch)
    return RateCard(
      rates: rates, tiers: ratios, webSearchPerThousand: search, version: version(rates, search))
  }

  /// The version says what the prices are, so that a row costed with others is told apart.
  private func version(_ rates: RateCard.Rates, _ search: Int64?) -> String {
    let amounts = [rates.input, rates.cacheRead, rates.cacheWrite5m, rates.cacheWrite1h, rates.output]
    return RateCard.configuredPrefix + (amounts + [search ?? 0]).map(String.init).joined(separator: "/")
  }
}
