// SPDX-License-Identifier: Apache-2.0

/// The built-in rate cards of the hosts: who serves models of others', and who has few of their own.
///
/// Sources and date as of ``BuiltInRates``; for models that Groq and Cohere have withdrawn since, the last price they
/// had, as in LiteLLM 1.80.0. Claude on other clouds is in ``ResoldRates``. Left out, and so without a cost:
///
/// - Perplexity's Sonar models: each request bears a fee that depends on how much context it had searched for, which
///   no row knows. `request:` in a configured price is for those who always ask for the same.
/// - models whose price on a host depends on who of several serves them, as OpenRouter's Llama does: what is published
///   with the list of models is their price.
enum HostRates {
  static func cards(version: String) -> [String: [String: RateCard]] {
    [
      // Flex is served as there is room, at the price of on demand.
      "groq": RateTable(groq, tiers: "batch=0.5 flex=1", search: nil).cards(version: version),
      "cohere": RateTable(cohere, tiers: "", search: nil).cards(version: version),
      "perplexity": RateTable(perplexity, tiers: "", search: nil).cards(version: version),
      "amazon-nova": RateTable(nova, tiers: "", search: nil).cards(version: version),
      "bedrock": RateTable(bedrock, tiers: "", search: nil).cards(version: version),
      "vertex": RateTable(vertex, tiers: "batch=0.5", search: nil).cards(version: version),
      "together": RateTable(together, tiers: "", search: nil).cards(version: version),
      "fireworks": RateTable(fireworks, tiers: "", search: nil).cards(version: version),
      "cerebras": RateTable(cerebras, tiers: "", search: nil).cards(version: version),
    ]
  }

  private static let groq = """
    openai/gpt-oss-120b                            0.15   0.075   -  -  0.6   search=5
    openai/gpt-oss-20b                             0.075  0.0375  -  -  0.3   search=5
    openai/gpt-oss-safeguard-20b                   0.075  0.037   -  -  0.3   search=5
    qwen/qwen3.8-27b                               0.8    -       -  -  4
    qwen/qwen3-32b                                 0.29   -       -  -  0.59
    moonshotai/kimi-k2-instruct-0905               1      0.5     -  -  3
    meta-llama/llama-4-maverick-17b-128e-instruct  0.2    -       -  -  0.6
    meta-llama/llama-4-scout-17b-16e-instruct      0.11   -       -  -  0.34
    llama-3.3-70b-versatile                        0.59   -       -  -  0.79
    llama-3.1-8b-instant                           0.05   -       -  -  0.08
    llama-guard-3-8b                               0.2    -       -  -  0.2
    meta-llama/llama-prompt-guard-2-86m            0.04   -       -  -  0.04
    meta-llama/llama-prompt-guard-2-22m            0.03   -       -  -  0.03
    """

  private static let cohere = """
    command-a-03-2025                 2.5     -  -  -  10
    command-r-plus|command-r-plus-08-2024  2.5  -  -  -  10
    command-r|command-r-08-2024       0.15    -  -  -  0.6
    command-r7b-12-2024               0.0375  -  -  -  0.15
    c4ai-aya-expanse-32b              0.5     -  -  -  1.5
    embed-v5.0-pro                    0.12    -  -  -  0
    embed-v5.0-fast                   0.08    -  -  -  0
    embed-v4.0                        0.12    -  -  -  0
    embed-english-v3.0|embed-english-light-v3.0|embed-multilingual-v3.0  0.1  -  -  -  0
    """

  private static let perplexity = """
    pplx-embed-v1-0.6b          0.004  -  -  -  0
    pplx-embed-v1-4b            0.03   -  -  -  0
    pplx-embed-context-v1-0.6b  0.008  -  -  -  0
    pplx-embed-context-v1-4b    0.05   -  -  -  0
    """

  /// Amazon's own API.
  private static let nova = """
    nova-micro-v1    0.035  -  -  -  0.14
    nova-lite-v1     0.06   -  -  -  0.24
    nova-pro-v1      0.8    -  -  -  3.2
    nova-premier-v1  2.5    -  -  -  12.5
    """

  private static let bedrock = """
    amazon.nova-micro-v1:0|us.amazon.nova-micro-v1:0      0.035   0.00875  -  -  0.14   batch=0.5
    amazon.nova-lite-v1:0|us.amazon.nova-lite-v1:0        0.06    0.015    -  -  0.24   batch=0.5
    amazon.nova-pro-v1:0|us.amazon.nova-pro-v1:0          0.8     0.2      -  -  3.2    batch=0.5 flex=0.5 priority=1.75
    amazon.nova-premier-v1:0                              2.5     0.625    -  -  12.5   batch=0.5 priority=1.75
    amazon.nova-2-lite-v1:0|global.amazon.nova-2-lite-v1:0  0.3   0.075    -  -  2.5    batch=0.5 priority=1.75
    us.amazon.nova-2-lite-v1:0                            0.33    0.0825   -  -  2.75   batch=0.5 flex=0.5 priority=1.75
    jp.amazon.nova-2-lite-v1:0                            0.396   0.099    -  -  3.311  batch=0.5 flex=0.5 priority=1.75
    apac.amazon.nova-2-lite-v1:0                          0.396   0.099    -  -  3.311
    eu.amazon.nova-2-lite-v1:0                            0.429   0.10725  -  -  3.597
    apac.amazon.nova-micro-v1:0                           0.037   0.00925  -  -  0.148
    apac.amazon.nova-lite-v1:0                            0.063   0.01575  -  -  0.252
    apac.amazon.nova-pro-v1:0                             0.84    0.21     -  -  3.36   flex=0.5
    eu.amazon.nova-micro-v1:0                             0.046   0.0115   -  -  0.184
    eu.amazon.nova-lite-v1:0                              0.078   0.0195   -  -  0.312
    eu.amazon.nova-pro-v1:0                               1.05    0.2625   -  -  4.2    flex=0.5
    meta.llama4-maverick-17b-instruct-v1:0|us.meta.llama4-maverick-17b-instruct-v1:0  0.24  -  -  -  0.97  batch=0.5
    meta.llama4-scout-17b-instruct-v1:0|us.meta.llama4-scout-17b-instruct-v1:0        0.17  -  -  -  0.66  batch=0.5
    meta.llama3-3-70b-instruct-v1:0|us.meta.llama3-3-70b-instruct-v1:0                0.72  -  -  -  0.72  batch=0.5
    meta.llama3-2-90b-instruct-v1:0|us.meta.llama3-2-90b-instruct-v1:0                0.72  -  -  -  0.72
    meta.llama3-2-11b-instruct-v1:0|us.meta.llama3-2-11b-instruct-v1:0                0.16  -  -  -  0.16
    meta.llama3-2-3b-instruct-v1:0|us.meta.llama3-2-3b-instruct-v1:0                  0.15  -  -  -  0.15
    meta.llama3-2-1b-instruct-v1:0|us.meta.llama3-2-1b-instruct-v1:0                  0.1   -  -  -  0.1
    meta.llama3-1-405b-instruct-v1:0|us.meta.llama3-1-405b-instruct-v1:0              2.4   -  -  -  2.4
    meta.llama3-1-70b-instruct-v1:0|us.meta.llama3-1-70b-instruct-v1:0                0.72  -  -  -  0.72  batch=0.5
    meta.llama3-1-8b-instruct-v1:0|us.meta.llama3-1-8b-instruct-v1:0                  0.22  -  -  -  0.22  batch=0.5
    """

  private static let vertex = """
    meta/llama-4-maverick-17b-128e-instruct-maas  0.35  -  -  -  1.15
    meta/llama-4-scout-17b-16e-instruct-maas      0.25  -  -  -  0.7
    meta/llama-3.3-70b-instruct-maas              0.72  -  -  -  0.72
    """

  private static let together = """
    meta-llama/Llama-3.3-70B-Instruct-Turbo           1.04  -  -  -  1.04
    meta-llama/Llama-4-Scout-17B-16E-Instruct         0.18  -  -  -  0.59
    meta-llama/Meta-Llama-3.1-70B-Instruct-Turbo      0.88  -  -  -  0.88
    meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo       0.18  -  -  -  0.18
    meta-llama/Llama-3.2-3B-Instruct                  0.06  -  -  -  0.06
    openai/gpt-oss-120b                               0.15  -  -  -  0.6
    """

  private static let fireworks = """
    llama4-maverick-instruct-basic  0.22  -  -  -  0.88
    llama4-scout-instruct-basic     0.15  -  -  -  0.6
    llama-v3p3-70b-instruct         0.9   -  -  -  0.9
    llama-v3p1-405b-instruct        3     -  -  -  3
    llama-v3p1-70b-instruct         0.9   -  -  -  0.9
    llama-v3p1-8b-instruct          0.1   -  -  -  0.1
    """

  private static let cerebras = """
    llama3.1-8b    0.1   -  -  -  0.1
    llama-3.3-70b  0.85  -  -  -  1.2
    gpt-oss-120b   0.35  -  -  -  0.75
    qwen-3.8-27b   0.99  -  -  -  1.49
    gemma-4-31b    0.99  -  -  -  1.49
    """
}
