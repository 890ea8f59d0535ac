// SPDX-License-Identifier: Apache-2.0

/// Models that are sold elsewhere at their vendor's own prices, or at those times a factor.
///
/// Sources: platform.claude.com/docs/en/about-claude/pricing (“third-party platform pricing”), aws.amazon.com/bedrock/
/// pricing, cloud.google.com/vertex-ai/generative-ai/pricing and openrouter.ai/docs (“no markup on inference”), held
/// against LiteLLM's table of the same day as ``BuiltInRates``.
enum ResoldRates {
  /// The card a model is sold by, where that follows from its vendor's.
  ///
  /// - Parameters:
  ///   - host: whose name for the model it is: `bedrock`, `vertex`, `vertex-regional`, `openrouter`, or `anthropic`,
  ///     whose own tools know Bedrock's names, too.
  ///   - vendors: the vendors' own cards.
  static func card(of model: String, at host: String, vendors: [String: [String: RateCard]]) -> RateCard? {
    switch host {
    case "bedrock", "anthropic": bedrock(model, vendors["anthropic"] ?? [:])
    case "vertex", "vertex-regional": vertex(model, isRegional: host == "vertex-regional", vendors)
    case "openrouter": openRouter(model, vendors)
    default: nil
    }
  }

  /// By how much inference kept in one part of the world costs more, for models since Claude 4.5.
  private static let places: [String: PriceRatio] = [
    "us": PriceRatio(11, 10), "eu": PriceRatio(11, 10), "apac": PriceRatio(11, 10), "au": PriceRatio(11, 10),
    "jp": PriceRatio(11, 10), "us-gov": PriceRatio(6, 5), "global": .one,
  ]

  /// Models that cost the same wherever they run.
  private static let placeless: Set<String> = [
    "claude-opus-4-1", "claude-opus-4", "claude-sonnet-4", "claude-3-7-sonnet", "claude-3-5-sonnet",
    "claude-3-5-haiku", "claude-3-opus",
  ]
  private static let placelessRegions: Set<String> = ["us", "eu", "apac", "global"]

  /// Models whose long prompts still cost more there: above 200,000 tokens twice, and the output half as much again.
  private static let longContext: Set<String> = ["claude-sonnet-4", "claude-sonnet-4-5"]

  /// Models that are sold at prices of their own there.
  private static let exceptions: Set<String> = ["claude-mythos-preview", "claude-3-haiku"]

  /// `us.anthropic.claude-sonnet-4-5-20250929-v1:0`, also within an ARN.
  private static func bedrock(_ model: String, _ cards: [String: RateCard]) -> RateCard? {
    var name = model[...]
    if name.hasPrefix("arn:aws"), let slash = name.lastIndex(of: "/") {
      name = name[name.index(after: slash)...]
    }
    var place = ""
    if !name.hasPrefix("anthropic."), let dot = name.firstIndex(of: ".") {
      place = String(name[..<dot])
      name = name[name.index(after: dot)...]
    }
    guard name.hasPrefix("anthropic.") else { return nil }
    name = withoutRevision(name.dropFirst("anthropic.".count))
    if let plain = ModelName.withoutDate(name) { name = plain }
    let base = String(name)
    guard let card = cards[base], !exceptions.contains(base) else { return nil }
    if placeless.contains(base) {
      guard place.isEmpty || placelessRegions.contains(place) else { return nil }
      return resold(card, base, .one)
    }
    guard let factor = place.isEmpty ? .one : places[place] else { return nil }
    return resold(card, base, factor)
  }

  /// `claude-sonnet-4-5@20250929`; Gemini's names are those of Google's own API.
  private static func vertex(
    _ model: String, isRegional: Bool, _ vendors: [String: [String: RateCard]]
  ) -> RateCard? {
    var name = model[...]
    for prefix in ["anthropic/", "google/"] where name.hasPrefix(prefix) {
      name = name.dropFirst(prefix.count)
    }
    if name.hasSuffix("@default") { name = name.dropLast("@default".count) }
    if let plain = ModelName.withoutDate(name) { name = plain }
    let base = String(name)
    if base.hasPrefix("gemini-") { return vendors["google"]?[base].map { plain($0, keeping: ["batch"]) } }
    guard let card = vendors["anthropic"]?[base], !exceptions.contains(base), !placeless.contains(base) else {
      return nil
    }
    return resold(card, base, isRegional ? PriceRatio(11, 10) : .one)
  }

  /// `anthropic/claude-opus-4.5`; only of vendors that nobody else serves, so that there is one price.
  private static func openRouter(_ model: String, _ vendors: [String: [String: RateCard]]) -> RateCard? {
    for (prefix, vendor) in [("openai/", "openai"), ("google/", "google"), ("x-ai/", "xai")]
    where model.hasPrefix(prefix) {
      return vendors[vendor]?[String(model.dropFirst(prefix.count))].map { plain($0, keeping: []) }
    }
    guard model.hasPrefix("anthropic/") else { return nil }
    let name = String(model.dropFirst("anthropic/".count).map { $0 == "." ? "-" : $0 })
    return vendors["anthropic"]?[name].map { plain($0, keeping: []) }
  }

  private static func resold(_ card: RateCard, _ name: String, _ factor: PriceRatio) -> RateCard {
    var card = plain(card, keeping: ["batch"])
    if longContext.contains(name) {
      card.longContext = RateCard.LongContext(
        aboveTokens: 200_000, rates: card.rates.times(prompt: PriceRatio(2, 1), output: PriceRatio(3, 2)))
    }
    card.rates = card.rates.times(prompt: factor, output: factor)
    if var long = card.longContext {
      long.rates = long.rates.times(prompt: factor, output: factor)
      card.longContext = long
    }
    return card
  }

  /// The card without what only the vendor itself sells.
  private static func plain(_ card: RateCard, keeping tiers: Set<String>) -> RateCard {
    var card = card
    card.tiers = card.tiers.filter { tiers.contains($0.key) }
    card.geographies = [:]
    card.webSearchPerThousand = nil
    return card
  }

  /// The name without `-v1:0` or `-v1` at its end.
  private static func withoutRevision(_ name: Substring) -> Substring {
    guard let dash = name.lastIndex(of: "-") else { return name }
    let tail = name[name.index(after: dash)...]
    let parts = tail.dropFirst().split(separator: ":", omittingEmptySubsequences: false)
    guard tail.first == "v", (1...2).contains(parts.count),
      parts.allSatisfy({ (1...3).contains($0.count) && $0.allSatisfy { ("0"..."9").contains($0) } })
    else { return name }
    return name[..<dash]
  }
}
