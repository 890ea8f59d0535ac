// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastGateway
import HoldfastUsage

/// `holdfast usage prices`.
struct UsagePrices: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "prices",
    abstract: "The prices in force, and who says so.",
    discussion: """
      Examples:
        holdfast usage prices
        holdfast usage prices claude-opus
        holdfast usage prices us.anthropic.claude-opus-4-8-v1:0 --provider bedrock

      Dollars per million tokens. config.yaml comes first, then what a provider
      publishes with its list of models, then the built-in table. Names that follow
      from another by a rule (a date, a cloud's region) are found by their whole name.
      """)

  @Argument(help: "Only models with this in their name.")
  var model: String?

  @Option(name: .long, help: ArgumentHelp("Only this provider, or vendor.", valueName: "name"))
  var provider: String?

  @OptionGroup var common: CommonOptions

  private struct Line: Encodable {
    let entry: RateCardTable.Entry

    private struct LongContext: Encodable {
      let long: RateCard.LongContext

      func encode(to encoder: any Encoder) throws {
        var fields = encoder.container(keyedBy: CodingKeys.self)
        try fields.encode(long.aboveTokens, forKey: .above)
        try UsagePrices.Line.encode(long.rates, to: &fields)
      }
    }

    enum CodingKeys: String, CodingKey {
      case provider, model, origin, version, tiers, above
      case input = "input_microusd"
      case output = "output_microusd"
      case cacheRead = "cache_read_microusd"
      case cacheWrite5m = "cache_write_5m_microusd"
      case cacheWrite1h = "cache_write_1h_microusd"
      case webSearch = "web_search_microusd"
      case request = "request_microusd"
      case longContext = "long_context"
    }

    static func encode(_ rates: RateCard.Rates, to fields: inout KeyedEncodingContainer<CodingKeys>) throws {
      try fields.encode(rates.input, forKey: .input)
      try fields.encode(rates.output, forKey: .output)
      try fields.encode(rates.cacheRead, forKey: .cacheRead)
      try fields.encode(rates.cacheWrite5m, forKey: .cacheWrite5m)
      try fields.encode(rates.cacheWrite1h, forKey: .cacheWrite1h)
    }

    /// What is not on the card is null.
    func encode(to encoder: any Encoder) throws {
      var fields = encoder.container(keyedBy: CodingKeys.self)
      let card = entry.card
      try fields.encode(entry.provider, forKey: .provider)
      try fields.encode(entry.model, forKey: .model)
      try fields.encode(card.origin, forKey: .origin)
      try fields.encode(card.version, forKey: .version)
      try Self.encode(card.rates, to: &fields)
      try fields.encode(card.longContext.map(LongContext.init), forKey: .longContext)
      let tiers = card.tiers.merging(card.geographies) { tier, _ in tier }
      try fields.encode(tiers.mapValues(\.text), forKey: .tiers)
      try fields.encode(card.webSearchPerThousand, forKey: .webSearch)
      try fields.encode(card.requestPerThousand, forKey: .request)
    }
  }

  func run() async throws {
    let table = try await common.rates()
    let entries = Self.entries(table, model: model, provider: provider)
    if common.json {
      for entry in entries { Console.print(try JSONLine.text(Line(entry: entry))) }
    } else {
      Console.print(Self.text(entries))
    }
    if entries.isEmpty, model != nil || provider != nil { Process.leave(ExitStatus.noInput) }
  }

  private static func entries(
    _ table: RateCardTable, model: String?, provider: String?
  ) -> [RateCardTable.Entry] {
    var found = table.entries
    if let provider { found.removeAll { $0.provider != provider } }
    guard let model else { return found }
    let text = model.lowercased()
    found.removeAll { !$0.model.lowercased().contains(text) }
    if let provider, !found.contains(where: { $0.model == model }),
      let card = table.card(provider: provider, model: model)
    {
      found.insert(RateCardTable.Entry(provider: provider, model: model, card: card), at: 0)
    }
    return found
  }

  private static func text(_ entries: [RateCardTable.Entry]) -> String {
    guard !entries.isEmpty else { return "No such model has a price; `prices:` in config.yaml gives it one." }
    var table = Table([
      .init(title: "provider"), .init(title: "model"), .init(title: "input", isNumber: true),
      .init(title: "cache read", isNumber: true), .init(title: "cache write", isNumber: true),
      .init(title: "1 h", isNumber: true), .init(title: "output", isNumber: true), .init(title: "long"),
      .init(title: "tiers"), .init(title: "says"),
    ])
    for entry in entries {
      let card = entry.card
      let rates = card.rates
      table.add(
        [entry.provider, entry.model]
          + [rates.input, rates.cacheRead, rates.cacheWrite5m, rates.cacheWrite1h, rates.output].map {
            Amount.price($0)
          } + [
            card.longContext.map { "> \(Amount.tokens(Int($0.aboveTokens)))" } ?? "",
            card.tiers.merging(card.geographies) { tier, _ in tier }.sorted { $0.key < $1.key }
              .map { "\($0.key) ×\($0.value.text)" }.joined(separator: " "),
            card.origin == .builtIn ? card.version : card.origin.rawValue,
          ])
    }
    return table.lines.joined(separator: "\n")
  }
}

extension PriceRatio {
  /// `1.75`, or `5/3` where no few decimals say it.
  fileprivate var text: String {
    let (whole, rest) = numerator.quotientAndRemainder(dividingBy: denominator)
    guard rest > 0 else { return String(whole) }
    let (thousandths, more) = (rest * 1000).quotientAndRemainder(dividingBy: denominator)
    guard more == 0 else { return "\(numerator)/\(denominator)" }
    var digits = String(1000 + thousandths).dropFirst()
    while digits.last == "0" { digits.removeLast() }
    return "\(whole).\(digits)"
  }
}
