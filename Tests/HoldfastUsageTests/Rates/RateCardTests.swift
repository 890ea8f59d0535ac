// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastEngine
import HoldfastUsage
import Testing

@Suite("What a request costs")
struct RateCardTests {
  private func row(
    _ provider: String, _ model: String, input: Int64? = 0, read: Int64? = nil, write5m: Int64? = nil,
    write1h: Int64? = nil, output: Int64? = 0
  ) -> UsageRow {
    var row = UsageRow(provider: provider, model: model)
    (row.inputTokens, row.outputTokens, row.cacheReadTokens) = (input, output, read)
    (row.cacheWrite5mTokens, row.cacheWrite1hTokens) = (write5m, write1h)
    return row
  }

  private func cost(_ row: UsageRow) -> Int64? {
    var priced = row
    RateCardTable.builtIn.price(&priced)
    return priced.costMicrodollars
  }

  @Test("the published prices, a million tokens at a time")
  func publishedPrices() {
    let million: Int64 = 1_000_000
    // platform.claude.com, Claude Opus 4.8: $5, $0.50, $6.25, $10, $25.
    #expect(cost(row("anthropic", "claude-opus-4-8", input: million)) == 5_000_000)
    #expect(cost(row("anthropic", "claude-opus-4-8", read: million)) == 500_000)
    #expect(cost(row("anthropic", "claude-opus-4-8", write5m: million)) == 6_250_000)
    #expect(cost(row("anthropic", "claude-opus-4-8", write1h: million)) == 10_000_000)
    #expect(cost(row("anthropic", "claude-opus-4-8", output: million)) == 25_000_000)
    // The prompt caching page's example: a cache hit on Claude Haiku 4.5 is a tenth of its dollar.
    #expect(cost(row("anthropic", "claude-haiku-4-5", read: million)) == 100_000)
    #expect(cost(row("openai", "gpt-5", input: million, output: million)) == 11_250_000)
    #expect(cost(row("openai", "gpt-4o-mini", read: million)) == 75_000)
    #expect(cost(row("openai", "text-embedding-3-small", input: million)) == 20_000)
    #expect(cost(row("gemini", "models/gemini-2.5-pro", input: 200_000)) == 250_000)
    #expect(cost(row("mistral", "mistral-large-4", output: million)) == 4_180_000)
  }

  @Test("a mixed request is summed exactly and rounded once, half up")
  func sumsAreRoundedOnce() {
    // 3 × $5 + 1 × $0.50 + 2 × $6.25 + 7 × $25 per million = 203 µ$.
    #expect(
      cost(row("anthropic", "claude-opus-4-8", input: 3, read: 1, write5m: 2, output: 7)) == 203)
    // One token at $0.50 per million is half a micro-dollar: up. At $0.10 it is a tenth: down.
    #expect(cost(row("anthropic", "claude-opus-4-8", read: 1)) == 1)
    #expect(cost(row("anthropic", "claude-sonnet-5-5", read: 1)) == 0)
    // 4 + 4 tenths of a micro-dollar would be 0 rounded one by one, and are 1 together.
    #expect(cost(row("anthropic", "claude-sonnet-5-5", read: 5)) == 1)
    #expect(cost(row("anthropic", "claude-opus-4-8", input: 0, output: 0)) == 0)
  }

  @Test("any counts cost what arithmetic without a bound says", arguments: 0..<200 as Range<UInt64>)
  func costsAreExact(_ seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    func tokens() -> Int64 { Int64.random(in: 0...50_000_000, using: &generator) }
    let request = row(
      "openai", "gpt-6-sol", input: tokens(), read: tokens(), write5m: tokens(), write1h: tokens(),
      output: tokens())
    let prompt =
      try #require(request.inputTokens) + request.cacheReadTokens! + request.cacheWrite5mTokens!
      + request.cacheWrite1hTokens!
    let isLong = prompt > 272_000
    // $2, $0.20, $2.50, $5 and $10, as Decimal, which is exact here.
    let rates: [(Int64?, Decimal)] = [
      (request.inputTokens, 2), (request.cacheReadTokens, Decimal(string: "0.2")!),
      (request.cacheWrite5mTokens, Decimal(string: "2.5")!), (request.cacheWrite1hTokens, 5),
    ]
    var sum = rates.reduce(Decimal(0)) { $0 + Decimal($1.0!) * $1.1 } * (isLong ? 2 : 1)
    sum += Decimal(request.outputTokens!) * 10 * (isLong ? Decimal(string: "1.5")! : 1)
    // No more than one decimal is left, so a half added and the rest cut off rounds half up.
    sum += Decimal(string: "0.5")!
    #expect(cost(request) == (sum as NSDecimalNumber).int64Value)
  }

  @Test("the whole prompt chooses the long-context card, which holds for every token")
  func longContextIsChosenByTheWholePrompt() {
    // Claude Haiku 5.5: up to 100,000 prompt tokens $0.10 / $0.50, beyond it $0.50 / $2.50.
    #expect(cost(row("anthropic", "claude-haiku-5-5", input: 100_000, output: 1000)) == 10_500)
    #expect(cost(row("anthropic", "claude-haiku-5-5", input: 100_001, output: 1000)) == 52_501)
    #expect(cost(row("anthropic", "claude-haiku-5-5", input: 1, read: 100_000, output: 1000)) == 7501)
    // xAI counts a prompt of 200,000 as long.
    #expect(cost(row("xai", "grok-4.7", input: 199_999)) == 399_998)
    #expect(cost(row("xai", "grok-4.7", input: 200_000)) == 800_000)
  }

  @Test("tiers, speeds and places are factors of the model's own card")
  func tiersAreFactors() {
    var batch = row("anthropic", "claude-opus-5-5", input: 1_000_000)
    batch.serviceTier = "batch"
    #expect(cost(batch) == 2_000_000)
    var fast = row("anthropic", "claude-opus-5-5", input: 1_000_000)
    (fast.serviceTier, fast.speed, fast.inferenceGeo) = ("standard", "fast", "us")
    #expect(cost(fast) == 8_800_000)
    fast.inferenceGeo = "global"
    #expect(cost(fast) == 8_000_000)
    var priority = row("openai", "gpt-5.5", input: 100_000)
    priority.serviceTier = "priority"
    #expect(cost(priority) == 1_250_000)
    priority.model = "gpt-4o-mini"
    #expect(cost(priority) == 25_000)
  }

  @Test("what has no price has no cost, never a default")
  func unknownIsNeverGuessed() {
    #expect(cost(row("anthropic", "claude-opus-9", input: 1, output: 1)) == nil)
    #expect(cost(row("anthropic", "claude-opus-4-8-turbo", input: 1, output: 1)) == nil)
    #expect(cost(row("local", "gpt-5", input: 1, output: 1)) == nil)
    #expect(cost(row("openai", "gpt-5", input: nil, output: 1)) == nil)
    #expect(cost(row("openai", "gpt-5", input: 1, output: nil)) == nil)
    var tier = row("openai", "gpt-4.1", input: 1, output: 1)
    tier.serviceTier = "flex"
    #expect(cost(tier) == nil)
    var place = row("anthropic", "claude-opus-5", input: 1, output: 1)
    place.inferenceGeo = "mars"
    #expect(cost(place) == nil)
    var searches = row("mistral", "mistral-large-4", input: 1, output: 1)
    searches.webSearches = 1
    #expect(cost(searches) == nil)
    // Beyond any believable amount.
    #expect(cost(row("openai", "gpt-5.4-pro", output: 1_000_000_000_000)) == nil)
  }

  @Test("web searches are priced by the thousand")
  func webSearchesArePriced() {
    var request = row("anthropic", "claude-opus-5-5", input: 1_000_000)
    request.webSearches = 3
    request.serviceTier = "batch"
    #expect(cost(request) == 2_030_000)
  }

  @Test(
    "a dated name is the name without its date",
    arguments: [
      ("anthropic", "claude-opus-4-8-20260512"), ("anthropic", "claude-opus-4-8@20260512"),
      ("anthropic", "claude-opus-4-8[1m]"), ("anthropic", "anthropic/claude-opus-4-8"),
      ("anthropic", "claude-3-5-haiku-20241022"), ("openai", "gpt-5.4-2026-03-05"),
      ("openai", "gpt-4o-2024-08-06"),
      ("openai", "o3-2025-04-16"), ("gemini", "models/gemini-3.8-flash"), ("xai", "grok-4.20-0309-reasoning"),
    ])
  func datedNamesAreFound(_ provider: String, _ model: String) {
    #expect(RateCardTable.builtIn.card(provider: provider, model: model) != nil)
  }

  @Test("a dated name with prices of its own keeps them")
  func exactNamesComeFirst() {
    #expect(cost(row("openai", "gpt-4o-2024-05-13", input: 1_000_000)) == 5_000_000)
    #expect(cost(row("openai", "gpt-4o-2024-11-20", input: 1_000_000)) == 2_500_000)
  }

  @Test(
    "names that are merely alike are not found",
    arguments: [
      "claude-opus-4-8-2026", "claude-opus-4-8-99999999", "claude-opus-4-8-", "-20260512", "",
      "Claude Opus 4.8",
      "xclaude-opus-4-8", "claude-opus-4-8-20260512-20260512",
    ])
  func likenessIsNotEnough(_ model: String) {
    #expect(RateCardTable.builtIn.card(provider: "anthropic", model: model) == nil)
  }

  @Test("DeepSeek's hours")
  func peakHours() {
    var request = row("deepseek", "deepseek-v4-pro", input: 1_000_000)
    for (time, expected) in [
      ("2026-11-20T00:59:59Z", 660_000), ("2026-11-20T01:00:00Z", 1_320_000),
      ("2026-11-20T03:59:59Z", 1_320_000),
      ("2026-11-20T04:00:00Z", 660_000), ("2026-11-20T09:59:59Z", 1_320_000),
      ("2026-11-20T10:00:00Z", 660_000),
      // A Saturday.
      ("2026-11-21T02:00:00Z", 660_000),
    ] as [(String, Int64)] {
      request.time = UTCInstant(time)
      #expect(cost(request) == expected, "\(time)")
    }
  }

  @Test("the user's prices come first, and the row says whose they are")
  func configuredPricesWin() throws {
    var table = RateCardTable.builtIn
    try table.set(["llama3.2": ConfiguredPrice(input: 0, output: 0)], provider: "local")
    try table.set(
      ["gpt-5": ConfiguredPrice(input: 0.075, output: 1, tiers: ["Flex": 0.5])], provider: "openai")
    var free = row("local", "llama3.2", input: 5, read: 7, output: 9)
    table.price(&free)
    #expect(free.costMicrodollars == 0 && free.rateCard?.hasPrefix("config:") == true)
    var own = row("openai", "gpt-5-2025-08-07", input: 1_000_000, read: 1_000_000)
    own.serviceTier = "flex"
    table.price(&own)
    #expect(own.costMicrodollars == 75_000)
    var other = row("openai", "gpt-5-mini", input: 1_000_000)
    table.price(&other)
    #expect(other.costMicrodollars == 250_000 && other.rateCard == "builtin-2026-11-21")
  }

  @Test(
    "a configured price that is no price is refused", arguments: [-1, .nan, .infinity, 1e300] as [Double])
  func absurdPricesAreRefused_D15(_ price: Double) throws {
    var table = RateCardTable.empty
    let error = try #require(throws: UsageError.self) {
      try table.set(["m": ConfiguredPrice(input: 1, output: price)], provider: "p")
    }
    #expect(error.code == .invalidRates && error.message.contains("output of m at p"))
  }

  @Test("a provider of another name may have a vendor's models")
  func vendorsMayBeNamed() throws {
    var table = RateCardTable.builtIn
    let vendor = try #require(RateCardTable.vendor(ofHost: "API.Anthropic.com"))
    table.setVendor(vendor, ofProvider: "work")
    #expect(table.card(provider: "work", model: "claude-opus-5-5") != nil)
    #expect(RateCardTable.vendor(ofHost: "localhost") == nil)
    #expect(table.count > 100)
  }

  @Test(
    "dollars are read exactly",
    arguments: [
      ("0.075", 75_000), ("12", 12_000_000), ("0.0028", 2800), ("0.000001", 1), ("1.", nil), (".5", nil),
      ("0.0000001", nil), ("-1", nil), ("1e3", nil), ("", nil),
    ] as [(String, Int64?)])
  func dollarsAreRead(_ text: String, _ amount: Int64?) {
    #expect(MicroDollars.parse(text) == amount)
  }
}
