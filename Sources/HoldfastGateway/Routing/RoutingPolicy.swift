// SPDX-License-Identifier: Apache-2.0

public import HoldfastCatalog
import HoldfastUsage

/// What a configuration says of choosing providers: which can be used for what, and what their models cost.
public struct RoutingPolicy: Sendable {
  private let providers: [String: Provider]
  private let rates: RateCardTable
  private let anthropic: String
  private let openAI: String

  /// The policy of a configuration.
  ///
  /// - Throws: ``GatewayError`` with code `configuration` for a price that cannot be used.
  public init(_ configuration: GatewayConfiguration) throws(GatewayError) {
    providers = Dictionary(
      configuration.providers.map { ($0.name, $0) }, uniquingKeysWith: { _, last in last })
    rates = try configuration.rates()
    (anthropic, openAI) = (configuration.anthropicProvider, configuration.openAIProvider)
  }

  /// The choice among what is known now, for requests to an API.
  public func choice(
    for api: RouteChoice.API, snapshot: CatalogSnapshot, cooldowns: CooldownMachine
  ) -> RouteChoice {
    RouteChoice(
      snapshot: snapshot, cooldowns: cooldowns, preferred: api == .messages ? anthropic : openAI,
      isUsable: { isUsable($0, api: $1) }, prices: { prices(of: $0) })
  }

  /// Whether requests without a key of their own can be sent to a provider: there is one for it, or it is none of the
  /// vendors', and so needs none unless the configuration names one.
  public func isUsable(_ name: String, api: RouteChoice.API) -> Bool {
    guard let provider = providers[name], api.isSpoken(by: provider.kind) else { return false }
    if api == .responses, Self.withoutResponses.contains(provider.baseURL.host) { return false }
    return provider.credential != nil
      || !(provider.expectsKey || provider.isVendor)
  }

  /// What a model costs: what the configuration says, or else what its provider publishes, or else the vendor's list.
  public func prices(of model: CatalogModel) -> ModelPrices? {
    let card = rates.card(provider: model.provider, model: model.id)
    let isOwn = card?.version.hasPrefix(RateCard.configuredPrefix) ?? false
    if !isOwn, let published = model.prices { return published }
    return card.map {
      ModelPrices(
        input: $0.rates.input, output: $0.rates.output, cacheRead: $0.rates.cacheRead,
        cacheWrite: $0.rates.cacheWrite5m)
    }
  }

  /// Vendors that speak OpenAI's API, but not that part of it.
  private static let withoutResponses: Set<String> = [
    "api.mistral.ai", "api.deepseek.com", "api.together.xyz", "api.cerebras.ai",
    "generativelanguage.googleapis.com",
  ]
}
