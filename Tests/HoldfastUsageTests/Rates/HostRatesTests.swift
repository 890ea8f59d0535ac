// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastUsage
import Testing

@Suite("What a request costs: hosts of others' models")
struct HostRatesTests {
  private func cost(
    _ provider: String, _ model: String, input: Int64 = 0, read: Int64? = nil, write5m: Int64? = nil,
    write1h: Int64? = nil, output: Int64 = 0, tier: String? = nil, searches: Int64? = nil,
    speed: String? = nil,
    in table: RateCardTable = .builtIn
  ) -> Int64? {
    var row = UsageRow(provider: provider, model: model)
    (row.inputTokens, row.outputTokens, row.cacheReadTokens) = (input, output, read)
    (row.cacheWrite5mTokens, row.cacheWrite1hTokens) = (write5m, write1h)
    (row.serviceTier, row.webSearches, row.speed) = (tier, searches, speed)
    table.price(&row)
    return row.costMicrodollars
  }

  private static let million: Int64 = 1_000_000

  @Test("the vendors' own worked examples, to the micro-dollar")
  func workedExamples() {
    // platform.claude.com/docs/en/about-claude/pricing, a session of Claude Opus 4.6: 50,000 tokens in are $0.25,
    // 15,000 out $0.375; with 40,000 of them read from the cache $0.05 + $0.02 + $0.375.
    #expect(cost("anthropic", "claude-opus-4-6", input: 50_000, output: 15_000) == 625_000)
    #expect(cost("anthropic", "claude-opus-4-6", input: 10_000, read: 40_000, output: 15_000) == 445_000)
    // The same page: a cache write is 1.25 times the input, of an hour twice, a read a tenth; $10 per 1,000 searches.
    #expect(cost("anthropic", "claude-opus-4-6", write5m: Self.million) == 6_250_000)
    #expect(cost("anthropic", "claude-opus-4-6", write1h: Self.million) == 10_000_000)
    #expect(cost("anthropic", "claude-opus-4-6", searches: 1000) == 10_000_000)
    #expect(cost("anthropic", "claude-opus-4-6", searches: 1) == 10_000)
    // The same page, batch: half. Fast: twice.
    #expect(
      cost("anthropic", "claude-opus-4-6", input: Self.million, output: Self.million, tier: "batch")
        == 15_000_000)
    #expect(
      cost("anthropic", "claude-opus-5", input: Self.million, output: Self.million, speed: "fast")
        == 60_000_000)
    // developers.openai.com/api/docs/pricing, GPT-5.4: $2.50, $0.25 and $15; flex half, priority twice; above 272,000
    // the input twice and the output half as much again, for the whole request.
    #expect(cost("openai", "gpt-5.4", input: Self.million / 10, output: 1000) == 265_000)
    #expect(cost("openai", "gpt-5.4", input: Self.million / 10, output: 1000, tier: "flex") == 132_500)
    #expect(cost("openai", "gpt-5.4", input: Self.million / 10, output: 1000, tier: "priority") == 530_000)
    #expect(cost("openai", "gpt-5.4", input: 272_000, output: 1000) == 695_000)
    #expect(cost("openai", "gpt-5.4", input: 272_001, output: 1000) == 1_382_505)
    #expect(cost("openai", "gpt-5.4", input: 272_001, output: 1000, tier: "flex") == 691_253)
    // ai.google.dev/gemini-api/docs/pricing, Gemini 2.5 Pro: $1.25 and $10 up to 200,000, $2.50 and $15 above.
    #expect(cost("gemini", "gemini-2.5-pro", input: 200_000, output: 10_000) == 350_000)
    #expect(cost("gemini", "gemini-2.5-pro", input: 200_001, output: 10_000) == 650_003)
    #expect(cost("gemini", "gemini-2.5-pro", searches: 2) == 70_000)
  }

  @Test("Groq, Cohere, Perplexity, Amazon and the hosts of Llama")
  func hosts() {
    let both = { (provider: String, model: String) in
      cost(provider, model, input: Self.million, output: Self.million)
    }
    #expect(both("groq", "openai/gpt-oss-120b") == 750_000)
    #expect(cost("groq", "openai/gpt-oss-20b", read: Self.million) == 37_500)
    #expect(cost("groq", "llama-3.3-70b-versatile", input: Self.million, tier: "flex") == 590_000)
    #expect(cost("groq", "llama-3.3-70b-versatile", input: Self.million, tier: "on_demand") == 590_000)
    #expect(cost("groq", "llama-3.1-8b-instant", input: Self.million, tier: "batch") == 25_000)
    #expect(both("cohere", "command-r7b-12-2024") == 187_500)
    #expect(both("perplexity", "pplx-embed-v1-4b") == 30_000)
    // Its fee by request is on no row.
    #expect(both("perplexity", "sonar-pro") == nil)
    #expect(both("bedrock", "us.amazon.nova-pro-v1:0") == 4_000_000)
    #expect(cost("bedrock", "eu.amazon.nova-lite-v1:0", read: Self.million) == 19_500)
    #expect(cost("bedrock", "amazon.nova-pro-v1:0", input: Self.million, tier: "priority") == 1_400_000)
    #expect(both("amazon-nova", "nova-micro-v1") == 175_000)
    #expect(both("bedrock", "us.meta.llama4-maverick-17b-instruct-v1:0") == 1_210_000)
    #expect(both("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo") == 2_080_000)
    #expect(both("fireworks", "accounts/fireworks/models/llama-v3p3-70b-instruct") == 1_800_000)
    #expect(both("cerebras", "llama3.1-8b") == 200_000)
    #expect(both("vertex", "meta/llama-3.3-70b-instruct-maas") == 1_440_000)
    #expect(both("openrouter", "meta-llama/llama-3.3-70b-instruct") == nil)
  }

  @Test(
    "Claude on Bedrock costs what it does at Anthropic, a tenth more where it stays in a region",
    arguments: [
      ("anthropic.claude-opus-4-8", 30_000_000), ("global.anthropic.claude-opus-4-8", 30_000_000),
      ("us.anthropic.claude-opus-4-8", 33_000_000), ("eu.anthropic.claude-opus-4-8", 33_000_000),
      ("us-gov.anthropic.claude-opus-4-8", 36_000_000), ("anthropic.claude-opus-4-6-v1", 30_000_000),
      ("us.anthropic.claude-haiku-4-5-20251001-v1:0", 6_600_000),
      ("anthropic.claude-opus-4-1-20250805-v1:0", 90_000_000),
      ("us.anthropic.claude-opus-4-1-20250805-v1:0", 90_000_000),
      (
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-opus-4-8", 33_000_000
      ),
      // Another price there, an unknown region, an unknown model.
      ("us.anthropic.claude-mythos-preview", nil), ("mars.anthropic.claude-opus-4-8", nil),
      ("us.anthropic.claude-opus-9", nil), ("anthropic.", nil), ("us.claude-opus-4-8", nil),
    ] as [(String, Int64?)])
  func bedrockNames(_ model: String, _ expected: Int64?) {
    for provider in ["bedrock", "amazon-bedrock", "anthropic"] {
      #expect(
        cost(provider, model, input: Self.million, output: Self.million) == expected, "\(provider)")
    }
    // What only Anthropic itself sells has no price there.
    #expect(cost("bedrock", model, input: 1, tier: "priority") == nil)
    #expect(cost("bedrock", model, input: 1, searches: 1) == nil)
  }

  @Test("long prompts of Claude Sonnet 4.5 on Bedrock and Vertex still cost more")
  func longPromptsElsewhere() {
    let model = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
    #expect(cost("bedrock", model, input: 200_000, output: 1000) == 676_500)
    #expect(cost("bedrock", model, input: 200_001, output: 1000) == 1_344_757)
    #expect(cost("vertex", "claude-sonnet-4-5@20250929", input: 200_001, output: 1000) == 1_222_506)
    #expect(cost("anthropic", "claude-sonnet-4-5", input: 200_001, output: 1000) == 615_003)
  }

  @Test("Vertex and OpenRouter")
  func vertexAndOpenRouter() throws {
    #expect(cost("vertex", "claude-opus-4-8@default", input: Self.million) == 5_000_000)
    #expect(cost("vertex_ai", "claude-opus-4-8", input: Self.million) == 5_000_000)
    #expect(cost("google-vertex", "google/gemini-2.5-flash", input: Self.million) == 300_000)
    var table = RateCardTable.builtIn
    table.setVendor(
      try #require(RateCardTable.vendor(ofHost: "europe-west1-aiplatform.googleapis.com")), ofProvider: "v")
    #expect(cost("v", "claude-opus-4-8@20260401", input: Self.million, in: table) == 5_500_000)
    table.setVendor(
      try #require(RateCardTable.vendor(ofHost: "bedrock-runtime.us-west-2.amazonaws.com")), ofProvider: "b")
    #expect(cost("b", "us.anthropic.claude-opus-4-8", input: Self.million, in: table) == 5_500_000)
    #expect(cost("openrouter", "anthropic/claude-opus-4.8", input: Self.million) == 5_000_000)
    #expect(cost("openrouter", "openai/gpt-5.4", read: Self.million) == 500_000)
    #expect(cost("openrouter", "x-ai/grok-4.7", output: Self.million) == 6_000_000)
    #expect(cost("openrouter", "anthropic/claude-opus-4.8:online", input: 1) == nil)
    #expect(cost("openrouter", "deepseek/deepseek-v4-pro", input: 1) == nil)
  }
}

@Suite("What a request costs: who says so")
struct RatePrecedenceTests {
  private func row(_ provider: String, _ model: String) -> UsageRow {
    var row = UsageRow(provider: provider, model: model)
    (row.inputTokens, row.outputTokens) = (1_000_000, 0)
    return row
  }

  @Test("the configuration comes before the provider, and that before the built-in table")
  func precedence() throws {
    var table = RateCardTable.builtIn
    var request = row("groq", "llama-3.1-8b-instant")
    table.price(&request)
    #expect(request.costMicrodollars == 50_000 && request.rateCard?.hasPrefix("builtin-") == true)
    table.setPublished(
      ["llama-3.1-8b-instant": PublishedRates(input: 40_000, output: 70_000)], provider: "groq")
    table.price(&request)
    #expect(request.costMicrodollars == 40_000)
    #expect(request.rateCard?.hasPrefix("published:40000/") == true)
    #expect(table.card(provider: "groq", model: "llama-3.1-8b-instant")?.origin == .published)
    // Another provider's model of the same name is not meant.
    #expect(table.card(provider: "local", model: "llama-3.1-8b-instant") == nil)
    try table.set(["llama-3.1-8b-instant": ConfiguredPrice(input: 1, output: 1)], provider: "groq")
    table.price(&request)
    #expect(request.costMicrodollars == 1_000_000 && request.rateCard?.hasPrefix("config:") == true)
    // What is published no longer is in force no longer.
    table.setPublished([:], provider: "groq")
    #expect(table.card(provider: "groq", model: "llama-3.1-8b-instant")?.origin == .config)
    #expect(table.card(provider: "groq", model: "openai/gpt-oss-20b")?.origin == .builtIn)
    let listed = table.entries.filter { $0.provider == "groq" && $0.model == "llama-3.1-8b-instant" }
    #expect(listed.map(\.card.origin) == [.config])
  }

  @Test("what a provider leaves out is in the same proportion as on the built-in card")
  func publishedPricesKeepTheRest() throws {
    var table = RateCardTable.builtIn
    // xAI publishes no price for long prompts: half as cheap as built in, and twice that above 200,000.
    table.setPublished(
      ["grok-4.7": PublishedRates(input: 1_000_000, output: 3_000_000, cacheRead: 300_000)], provider: "xai")
    let card = try #require(table.card(provider: "xai", model: "grok-4.7"))
    #expect(card.longContext?.aboveTokens == 199_999)
    #expect(card.longContext?.rates.input == 2_000_000 && card.longContext?.rates.output == 6_000_000)
    #expect(card.longContext?.rates.cacheRead == 600_000 && card.tiers["batch"] == PriceRatio(4, 5))
    // OpenRouter says what a short cache write costs; the long one is 1.6 times that, as at Anthropic.
    table.setPublished(
      [
        "anthropic/claude-opus-4.8": PublishedRates(
          input: 5_000_000, output: 25_000_000, cacheRead: 500_000, cacheWrite: 6_250_000),
        "perplexity/sonar": PublishedRates(
          input: 1_000_000, output: 1_000_000, webSearchPerThousand: 5_000_000, requestPerThousand: 8_000_000),
      ], provider: "openrouter")
    let opus = try #require(table.card(provider: "openrouter", model: "anthropic/claude-opus-4.8"))
    #expect(opus.rates.cacheWrite1h == 10_000_000 && opus.rates.cacheRead == 500_000)
    // A fee for the request itself: $8 per thousand.
    var sonar = row("openrouter", "perplexity/sonar")
    sonar.webSearches = 2
    table.price(&sonar)
    #expect(sonar.costMicrodollars == 1_018_000)
  }

  @Test("a configuration may say what long prompts and tiers cost")
  func configuredLongContext() throws {
    var table = RateCardTable.empty
    let long = ConfiguredPrice.LongContext(above: 1000, input: 2, output: 3, cacheRead: 0.2)
    try table.set(
      ["m": ConfiguredPrice(input: 1, output: 2, request: 1, tiers: ["batch": 0.5], longContext: long)],
      provider: "p")
    var request = UsageRow(provider: "p", model: "m")
    (request.inputTokens, request.outputTokens) = (1000, 10)
    table.price(&request)
    #expect(request.costMicrodollars == 2020)
    (request.inputTokens, request.cacheReadTokens, request.serviceTier) = (901, 100, "batch")
    table.price(&request)
    // (901 × 2 + 100 × 0.2 + 10 × 3) / 2, and the request's own thousandth of a dollar, which no tier halves.
    #expect(request.costMicrodollars == 1926)
    let version = try #require(request.rateCard)
    #expect(
      version.contains(";above=1000:") && version.contains(";batch=1:2") && version.contains(";request="))
    let bad = ConfiguredPrice.LongContext(above: 0, input: 2, output: 3)
    let error = try #require(throws: UsageError.self) {
      try table.set(["m": ConfiguredPrice(input: 1, output: 2, longContext: bad)], provider: "p")
    }
    #expect(error.code == .invalidRates && error.message.contains("long_context.above of m at p"))
  }
}
