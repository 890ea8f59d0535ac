// SPDX-License-Identifier: Apache-2.0

public import HoldfastCatalog
public import HoldfastUsage

extension RateCardTable {
  /// The table with what providers publish with their lists of models between the configuration's prices and the
  /// built-in ones.
  ///
  /// An alias has the price of its model, unless another model goes by that name.
  public func publishing(_ snapshot: CatalogSnapshot) -> RateCardTable {
    var table = self
    for entry in snapshot.entries {
      var prices: [String: PublishedRates] = [:]
      for model in entry.models {
        guard let price = model.prices.map(PublishedRates.init) else { continue }
        for alias in model.aliases where prices[alias] == nil { prices[alias] = price }
      }
      for model in entry.models { prices[model.id] = model.prices.map(PublishedRates.init) }
      table.setPublished(prices, provider: entry.provider)
    }
    return table
  }
}

extension PublishedRates {
  fileprivate init(_ prices: ModelPrices) {
    self.init(
      input: prices.input, output: prices.output, cacheRead: prices.cacheRead, cacheWrite: prices.cacheWrite,
      webSearchPerThousand: prices.webSearch, requestPerThousand: prices.request)
  }
}
