// SPDX-License-Identifier: Apache-2.0

/// The built-in rate cards.
///
/// Sources, read on 2026-11-21: the vendors' own pages (platform.claude.com/docs/en/about-claude/pricing,
/// developers.openai.com/api/docs/pricing, ai.google.dev/gemini-api/docs/pricing, docs.x.ai/developers/models,
/// api-docs.deepseek.com/quick_start/pricing, mistral.ai/pricing), as collected and compared by
/// LiteLLM's `model_prices_and_context_window.json` 1.109.1 (MIT).
enum BuiltInRates {
  /// The version the rows keep.
  static let version = "builtin-2026-11-21"

  /// The cards by vendor and model.
  static let cards: [String: [String: RateCard]] = [
    "anthropic": RateTable(anthropic, tiers: "batch=0.5", search: "10").cards(version: version),
    "openai": RateTable(openAI, tiers: "batch=0.5", search: "10").cards(version: version),
    "google": RateTable(google, tiers: "batch=0.5 flex=0.5 priority=1.8", search: "14").cards(
      version: version),
    "xai": RateTable(xAI, tiers: "batch=0.8", search: nil).cards(version: version),
    "deepseek": RateTable(deepSeek, tiers: "", search: nil).cards(version: version).mapValues(deepSeekPeak),
    "mistral": RateTable(mistral, tiers: "batch=0.5", search: nil).cards(version: version),
  ].merging(HostRates.cards(version: version)) { own, _ in own }

  /// Providers of another name with the vendor's models.
  static let providerNames = [
    "gemini": "google", "x-ai": "xai", "grok": "xai", "claude": "anthropic", "codex": "openai",
    "amazon-bedrock": "bedrock", "aws-bedrock": "bedrock", "amazon_nova": "amazon-nova",
    "nova": "amazon-nova",
    "vertex-ai": "vertex", "vertex_ai": "vertex", "google-vertex": "vertex",
    "google-vertex-anthropic": "vertex", "together-ai": "together", "together_ai": "together",
    "togetherai": "together", "fireworks-ai": "fireworks", "fireworks_ai": "fireworks",
  ]

  /// The vendors' API hosts.
  private static let hosts = [
    "api.anthropic.com": "anthropic", "api.openai.com": "openai",
    "generativelanguage.googleapis.com": "google",
    "api.x.ai": "xai", "api.deepseek.com": "deepseek", "api.mistral.ai": "mistral",
    "api.groq.com": "groq", "api.cohere.com": "cohere", "api.cohere.ai": "cohere",
    "api.perplexity.ai": "perplexity", "api.nova.amazon.com": "amazon-nova",
    "api.together.xyz": "together", "api.together.ai": "together", "api.fireworks.ai": "fireworks",
    "api.cerebras.ai": "cerebras", "openrouter.ai": "openrouter", "aiplatform.googleapis.com": "vertex",
  ]

  /// The vendor whose API a host is; nil for any other.
  static func vendor(ofHost host: String) -> String? {
    if let vendor = hosts[host] { return vendor }
    if host.hasPrefix("bedrock-runtime."), host.hasSuffix(".amazonaws.com") { return "bedrock" }
    // Inference kept in a region costs more there.
    if host.hasSuffix("-aiplatform.googleapis.com") { return "vertex-regional" }
    return nil
  }

  /// Monday to Friday, 01–04 and 06–10 UTC, twice the price. China's public holidays, when it is not, are not
  /// known here: those days are costed as if they were working days.
  private static func deepSeekPeak(_ card: RateCard) -> RateCard {
    guard !retiredDeepSeek.contains(card.rates) else { return card }
    var card = card
    card.peak = PeakHours(hours: [1..<4, 6..<10], weekdaysOnly: true, ratio: PriceRatio(2, 1))
    return card
  }

  /// deepseek-chat and -reasoner were retired before peak hours began.
  private static let retiredDeepSeek: Set<RateCard.Rates> = [
    RateCard.Rates(input: 280_000, output: 420_000, cacheRead: 28_000)
  ]

  // Each line: the model and its other names; input, cache read, short write, long write, output in dollars per
  // million tokens, `-` where there is no price of its own; then the factors of its tiers, `us` for inference in
  // the United States, `long` for prompts above a bound (by how much the prompt's rates rise, and the output's),
  // and `search` for a thousand web searches where it is not the vendor's usual price.

  private static let anthropic = """
    claude-fable-5-1              10    0.25  12.5   20    50    us=1.1
    claude-mythos-5-1             10    0.25  12.5   20    50    us=1.1
    claude-fable-5                10    1     12.5   20    50    us=1.1
    claude-mythos-5               10    1     12.5   20    50    us=1.1
    claude-mythos-preview         10    1     12.5   20    50    us=1.1
    claude-opus-5-5               4     0.2   5      8     20    us=1.1 fast=2
    claude-opus-5                 5     0.5   6.25   10    25    us=1.1 fast=2
    claude-opus-4-8               5     0.5   6.25   10    25    us=1.1 fast=2
    claude-opus-4-7               5     0.5   6.25   10    25    us=1.1
    claude-opus-4-6               5     0.5   6.25   10    25    us=1.1
    claude-opus-4-5               5     0.5   6.25   10    25
    claude-opus-4-1               15    1.5   18.75  30    75
    claude-opus-4|claude-opus-4-0 15    1.5   18.75  30    75
    claude-sonnet-5-5             2     0.1   2.5    4     10    us=1.1
    claude-sonnet-5               2     0.2   2.5    4     10    us=1.1
    claude-sonnet-4-6             3     0.3   3.75   6     15    us=1.1
    claude-sonnet-4-5             3     0.3   3.75   6     15
    claude-sonnet-4|claude-sonnet-4-0               3     0.3   3.75  6    15
    claude-haiku-5-5              0.1   0.01  0.125  0.2   0.5   us=1.1 long=100000:5:5
    claude-haiku-4-5              1     0.1   1.25   2     5
    claude-3-7-sonnet|claude-3-7-sonnet-latest      3     0.3   3.75  6    15
    claude-3-5-sonnet|claude-3-5-sonnet-latest      3     0.3   3.75  6    15
    claude-3-5-haiku|claude-3-5-haiku-latest        0.8   0.08  1     1.6  4
    claude-3-opus|claude-3-opus-latest              15    1.5   18.75 30   75
    claude-3-haiku                0.25  0.03  0.3    0.5   1.25
    """

  private static let openAI = """
    gpt-6.2-astra        8      0.4    10     20    40    flex=0.5 priority=2 fast=2 long=272000:2:1.5
    gpt-6.2-sol          2      0.1    2.5    5     10    flex=0.5 priority=2 fast=2 long=272000:2:1.5
    gpt-6.1-terra        1      0.05   1.25   2.5   5     flex=0.5 priority=2 fast=2 long=272000:2:1.5
    gpt-6.1-sol          2      0.1    2.5    5     10    flex=0.5 priority=2 fast=2 ultrafast=6 long=272000:2:1.5
    gpt-6-astra          10     1      12.5   25    50    flex=0.5 priority=2 fast=2 ultrafast=6 long=272000:2:1.5
    gpt-6-sol            2      0.2    2.5    5     10    flex=0.5 priority=2 fast=2 long=272000:2:1.5
    gpt-6-luna           0.1    0.01   0.125  0.25  0.5   flex=0.5 priority=2 fast=2 long=272000:2:1.5
    gpt-5.6|gpt-5.6-sol  4      0.4    5      10    20    flex=0.5 priority=2 fast=2 long=272000:2:1.5
    gpt-5.6-terra        2      0.2    2.5    5     12    flex=0.5 priority=2 fast=2 long=272000:2:1.5
    gpt-5.6-luna         0.2    0.02   0.25   0.5   1.2   flex=0.5 priority=2 fast=2 long=272000:2:1.5
    gpt-5.5              5      0.5    -      -     30    flex=0.5 priority=2.5 long=272000:2:1.5
    gpt-5.5-pro          30     -      -      -     180   flex=0.5 long=272000:2:1.5
    gpt-5.4              2.5    0.25   -      -     15    flex=0.5 priority=2 long=272000:2:1.5
    gpt-5.4-pro          30     -      -      -     180   flex=0.5 long=272000:2:1.5
    gpt-5.4-mini         0.75   0.075  -      -     4.5   flex=0.5 priority=2
    gpt-5.4-nano         0.2    0.02   -      -     1.25  flex=0.5
    gpt-5.3-codex        1.75   0.175  -      -     14    priority=2
    gpt-5.3-chat-latest  1.75   0.175  -      -     14
    gpt-5.2|gpt-5.2-chat-latest|gpt-5.2-codex  1.75  0.175  -  -  14  flex=0.5 priority=2
    gpt-5.2-pro          21     -      -      -     168
    gpt-5.1|gpt-5.1-chat-latest|gpt-5.1-codex|gpt-5.1-codex-max  1.25  0.125  -  -  10  flex=0.5 priority=2
    gpt-5.1-codex-mini   0.25   0.025  -      -     2
    gpt-5|gpt-5-chat|gpt-5-chat-latest|gpt-5-codex  1.25  0.125  -  -  10  flex=0.5 priority=2
    gpt-5-pro            15     -      -      -     120
    gpt-5-mini           0.25   0.025  -      -     2     flex=0.5 priority=1.8
    gpt-5-nano           0.05   0.005  -      -     0.4   flex=0.5
    gpt-4.1              2      0.5    -      -     8     priority=1.75 search=25
    gpt-4.1-mini         0.4    0.1    -      -     1.6   priority=1.75 search=25
    gpt-4.1-nano         0.1    0.025  -      -     0.4   priority=2
    gpt-4o               2.5    1.25   -      -     10    priority=1.7 search=25
    gpt-4o-2024-05-13    5      -      -      -     15    priority=1.75
    gpt-4o-mini          0.15   0.075  -      -     0.6   priority=5/3 search=25
    gpt-4-turbo          10     -      -      -     30
    gpt-4                30     -      -      -     60
    gpt-3.5-turbo        0.5    -      -      -     1.5
    o1                   15     7.5    -      -     60
    o3                   2      0.5    -      -     8     flex=0.5 priority=1.75
    o3-pro               20     -      -      -     80
    o3-mini              1.1    0.55   -      -     4.4
    o4-mini              1.1    0.275  -      -     4.4   flex=0.5 priority=20/11
    codex-mini-latest    1.5    0.375  -      -     6
    text-embedding-3-large                           0.13 - - - 0
    text-embedding-3-small                           0.02 - - - 0
    text-embedding-ada-002|text-embedding-ada-002-v2 0.1  - - - 0
    """

  private static let google = """
    gemini-4-argon           2     0.1    -  -  10
    gemini-3.8-flash|gemini-flash-latest            0.75  0.075  -  -  3.75
    gemini-3.7-flash         0.75  0.075  -  -  3.75
    gemini-3.6-flash         0.75  0.075  -  -  3.75
    gemini-3.5-flash         1.5   0.15   -  -  9
    gemini-3.5-flash-lite|gemini-flash-lite-latest  0.3   0.03   -  -  2.5
    gemini-3.1-pro-preview|gemini-3.1-pro-preview-customtools|gemini-pro-latest 2 0.2 - - 12 long=200000:2:1.5
    gemini-3.1-flash-lite|gemini-3.1-flash-lite-preview  0.25  0.025  -  -  1.5
    gemini-3-flash-preview   0.5   0.05   -  -  3
    gemini-2.5-pro           1.25  0.125  -  -  10    long=200000:2:1.5 search=35
    gemini-2.5-flash         0.3   0.03   -  -  2.5   search=35
    gemini-2.5-flash-lite    0.1   0.01   -  -  0.4   search=35
    gemini-embedding-001     0.15  -      -  -  0
    gemini-embedding-2|gemini-embedding-2-preview  0.2  -  -  -  0
    """

  private static let xAI = """
    grok-4.7                     2     0.5  -  -  6    long=199999:2:2
    grok-4.6                     2     0.5  -  -  6    long=199999:2:2
    grok-4.5|grok-4.5-latest     2     0.5  -  -  6    long=199999:2:2
    grok-4.3|grok-4.3-latest     1.25  0.2  -  -  2.5  long=199999:2:2
    grok-4.20|grok-4.20-0309|grok-4.20-reasoning|grok-4.20-0309-reasoning  1.25 0.2 - - 2.5 long=199999:2:2
    grok-4.20-non-reasoning|grok-4.20-0309-non-reasoning  1.25 0.2 - - 2.5 long=199999:2:2
    grok-4.20-multi-agent|grok-4.20-multi-agent-0309      1.25 0.2 - - 2.5 long=199999:2:2
    grok-build-0.1               1     0.2  -  -  2    long=199999:2:2
    """

  private static let deepSeek = """
    deepseek-flash|deepseek-v4-flash|deepseek-v4-flash-vision-exp  0.15  0.003  -  -  0.6
    deepseek-v4-pro                   0.66  0.022  -  -  1.98
    deepseek-chat|deepseek-reasoner   0.28  0.028  -  -  0.42
    """

  private static let mistral = """
    mistral-large-4|mistral-large-4-0                          1.36  0.14   -  -  4.18
    mistral-large-3|mistral-large-2512|mistral-large-latest    0.5   0.05   -  -  1.5
    mistral-medium-3-5|mistral-medium-3.5|mistral-medium-2604  1.5   0.15   -  -  7.5
    mistral-medium|mistral-medium-latest                       1.5   0.15   -  -  7.5
    mistral-small-2603|mistral-small-latest                    0.15  0.015  -  -  0.6
    magistral-medium-latest                                    1.5   0.15   -  -  7.5
    magistral-small-latest                                     0.15  0.015  -  -  0.6
    devstral-latest|devstral-medium-latest                     0.4   0.04   -  -  2
    devstral-small-latest                                      0.1   0.01   -  -  0.3
    codestral-latest|codestral-2508                            0.3   0.03   -  -  0.9
    ministral-14b-latest|ministral-14b-2512                    0.2   0.02   -  -  0.2
    ministral-8b-latest|ministral-8b-2512                      0.15  0.015  -  -  0.15
    ministral-3b-latest|ministral-3b-2512                      0.1   0.01   -  -  0.1
    open-mistral-nemo                                          0.3   0.03   -  -  0.3
    pixtral-large-latest                                       2     0.2    -  -  6
    mistral-embed|mistral-embed-2312                           0.1   -      -  -  0
    codestral-embed|codestral-embed-2505                       0.15  0.015  -  -  0
    """
}
