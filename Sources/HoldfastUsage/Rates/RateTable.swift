// SPDX-License-Identifier: Apache-2.0

/// Reads the built-in prices, which are written as a table that can be held against the vendors' pages.
struct RateTable {
  private let text: String
  private let tiers: [String: PriceRatio]
  private let search: Int64?

  /// - Parameters:
  ///   - tiers: the factors all models of the vendor have (`batch=0.5`).
  ///   - search: dollars for a thousand web searches.
  init(_ text: String, tiers: String, search: String?) {
    self.text = text
    self.tiers = Dictionary(uniqueKeysWithValues: tiers.split(separator: " ").map(Self.factor))
    self.search = search.map(Self.dollars)
  }

  /// The cards by model; a line that cannot be read is a fault of this program.
  func cards(version: String) -> [String: RateCard] {
    var cards: [String: RateCard] = [:]
    for line in text.split(separator: "\n") {
      let fields = line.split(separator: " ")
      precondition(fields.count >= 6, "The built-in price line “\(line)” has too few fields.")
      let card = Self.card(fields[1...], tiers: tiers, search: search, version: version)
      for name in fields[0].split(separator: "|") {
        let previous = cards.updateValue(card, forKey: String(name))
        precondition(previous == nil, "The built-in price of \(name) is given twice.")
      }
    }
    return cards
  }

  private static func card(
    _ fields: ArraySlice<Substring>, tiers: [String: PriceRatio], search: Int64?, version: String
  ) -> RateCard {
    let prices = fields.prefix(5).map { $0 == "-" ? nil : dollars($0) }
    let rates = RateCard.Rates(
      input: prices[0]!, output: prices[4]!, cacheRead: prices[1], cacheWrite5m: prices[2],
      cacheWrite1h: prices[3])
    var card = RateCard(rates: rates, tiers: tiers, webSearchPerThousand: search, version: version)
    for option in fields.dropFirst(5) {
      if option.hasPrefix("long=") {
        card.longContext = longContext(option.dropFirst(5), rates)
      } else if option.hasPrefix("search=") {
        card.webSearchPerThousand = dollars(option.dropFirst(7))
      } else {
        let (name, ratio) = factor(option)
        if name == "us" { card.geographies[name] = ratio } else { card.tiers[name] = ratio }
      }
    }
    return card
  }

  /// `272000:2:1.5`: above 272,000 tokens the prompt's rates are doubled and the output's half as much again.
  private static func longContext(_ text: Substring, _ rates: RateCard.Rates) -> RateCard.LongContext {
    let parts = text.split(separator: ":")
    guard parts.count == 3, let above = Int64(parts[0]), let prompt = PriceRatio(parts[1]),
      let output = PriceRatio(parts[2])
    else { preconditionFailure("The built-in long-context price “\(text)” cannot be read.") }
    return RateCard.LongContext(
      aboveTokens: above,
      rates: rates.times(prompt: prompt, output: output))
  }

  private static func factor(_ text: Substring) -> (String, PriceRatio) {
    let parts = text.split(separator: "=")
    guard parts.count == 2, let ratio = PriceRatio(parts[1]) else {
      preconditionFailure("The built-in price factor “\(text)” cannot be read.")
    }
    return (String(parts[0]), ratio)
  }

  private static func dollars(_ text: some StringProtocol) -> Int64 {
    guard let amount = MicroDollars.parse(text) else {
      preconditionFailure("The built-in price “\(text)” cannot be read.")
    }
    return amount
  }
}
