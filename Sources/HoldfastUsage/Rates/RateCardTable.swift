// SPDX-License-Identifier: Apache-2.0

/// The rate cards of all providers: the user's first, then those a provider publishes with its list of models, then
/// the built-in ones.
///
/// A card is found by the exact name of the model, or else by the name without its date
/// (`claude-opus-4-8-20260512`, `gpt-5.4-2026-03-05`); never by likeness. A model without a card has no cost.
public struct RateCardTable: Sendable {
  private typealias Cards = [String: [String: RateCard]]

  private var configured: Cards = [:]
  private var published: Cards = [:]
  private var builtIn: Cards
  /// The vendor whose built-in cards a provider of another name uses.
  private var vendors: [String: String]

  /// The built-in cards.
  public static let builtIn = RateCardTable(cards: BuiltInRates.cards)

  /// No cards at all.
  public static let empty = RateCardTable(cards: [:])

  private init(cards: [String: [String: RateCard]]) {
    builtIn = cards
    vendors = BuiltInRates.providerNames
  }

  /// The number of cards.
  public var count: Int {
    [configured, published, builtIn].reduce(0) { $0 + $1.values.reduce(0) { $0 + $1.count } }
  }

  /// Puts a card over any other for this provider and model.
  ///
  /// - Parameters:
  ///   - provider: the provider's name, as configured.
  ///   - model: the model's exact name, or its name without the date.
  public mutating func set(_ card: RateCard, provider: String, model: String) {
    configured[provider, default: [:]][model] = card
  }

  /// Puts the prices of a configuration over all others.
  ///
  /// - Throws: ``UsageError`` with code `invalidRates` naming the provider, the model and the price.
  public mutating func set(_ prices: [String: ConfiguredPrice], provider: String) throws(UsageError) {
    for (model, price) in prices { set(try price.card(provider, model), provider: provider, model: model) }
  }

  /// Puts what a provider publishes over the built-in cards, in place of what it published before.
  ///
  /// What it leaves out (caches, long prompts, tiers) is as on the built-in card of the model, in the same proportion.
  ///
  /// - Parameters:
  ///   - prices: by the exact name of the model.
  ///   - provider: the provider's name, as configured.
  public mutating func setPublished(_ prices: [String: PublishedRates], provider: String) {
    var cards: [String: RateCard] = [:]
    for (model, price) in prices { cards[model] = price.card(over: builtInCard(provider, model)) }
    published[provider] = cards.isEmpty ? nil : cards
  }

  /// Says that a provider's models are those of a vendor in the built-in table.
  ///
  /// - Parameters:
  ///   - vendor: `anthropic`, `openai`, `google`… as ``vendor(ofHost:)`` names it.
  ///   - provider: the provider's name, as configured.
  public mutating func setVendor(_ vendor: String, ofProvider provider: String) {
    vendors[provider] = vendor
  }

  /// The vendor whose API a host is, for ``setVendor(_:ofProvider:)``; nil for any other host.
  public static func vendor(ofHost host: String) -> String? { BuiltInRates.vendor(ofHost: host.lowercased()) }

  /// The card of a model, or nil when it has none.
  public func card(provider: String, model: String) -> RateCard? {
    for cards in [configured, published] {
      if let own = cards[provider], let card = Self.find(model, in: own, vendor: provider) { return card }
    }
    return builtInCard(provider, model)
  }

  private func builtInCard(_ provider: String, _ model: String) -> RateCard? {
    let vendor = vendors[provider] ?? provider
    return builtIn[vendor == "vertex-regional" ? "vertex" : vendor].flatMap {
      Self.find(model, in: $0, vendor: vendor)
    } ?? ResoldRates.card(of: model, at: vendor, vendors: builtIn)
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

  private static func find(_ model: String, in cards: [String: RateCard], vendor: String) -> RateCard? {
    if let card = cards[model] { return card }
    var name = model[...]
    // Google and Fireworks name their models by a path; some gateways put the vendor first.
    for prefix in ["models/", "accounts/fireworks/models/", vendor + "/"] where name.hasPrefix(prefix) {
      name = name.dropFirst(prefix.count)
    }
    // Claude Code's mark of the long context window, which has no price of its own.
    if name.hasSuffix("[1m]") { name = name.dropLast(4) }
    if let card = cards[String(name)] { return card }
    return ModelName.withoutDate(name).flatMap { cards[String($0)] }
  }
}

// MARK: - Listing

extension RateCardTable {
  /// A card in force.
  public struct Entry: Sendable, Hashable {
    /// The provider, or the vendor whose models it has.
    public var provider: String
    /// The model's name.
    public var model: String
    /// What it costs.
    public var card: RateCard

    /// A card in force.
    public init(provider: String, model: String, card: RateCard) {
      (self.provider, self.model, self.card) = (provider, model, card)
    }
  }

  /// The cards in force, by provider and model; one that another is put over is not among them.
  ///
  /// Names that follow from another by a rule (dates, regions of a cloud) are not listed; ``card(provider:model:)`` has
  /// them.
  public var entries: [Entry] {
    var cards = builtIn
    for layer in [published, configured] {
      for (provider, models) in layer { cards[provider, default: [:]].merge(models) { $1 } }
    }
    return cards.flatMap { provider, models in
      models.map { Entry(provider: provider, model: $0.key, card: $0.value) }
    }.sorted { ($0.provider, $0.model) < ($1.provider, $1.model) }
  }
}
