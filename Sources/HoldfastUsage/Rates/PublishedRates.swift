// SPDX-License-Identifier: Apache-2.0

/// What a provider publishes of a model's price, in micro-dollars per million tokens; what it leaves out is nil.
public struct PublishedRates: Sendable, Hashable {
  /// Prompt tokens.
  public var input: Int64
  /// Tokens produced.
  public var output: Int64
  /// Prompt tokens read from a cache.
  public var cacheRead: Int64?
  /// Prompt tokens written to the cache of the shorter life.
  public var cacheWrite: Int64?
  /// Micro-dollars for a thousand web searches.
  public var webSearchPerThousand: Int64?
  /// Micro-dollars for a thousand requests, beside their tokens.
  public var requestPerThousand: Int64?

  /// Published prices.
  public init(
    input: Int64, output: Int64, cacheRead: Int64? = nil, cacheWrite: Int64? = nil,
    webSearchPerThousand: Int64? = nil, requestPerThousand: Int64? = nil
  ) {
    (self.input, self.output, self.cacheRead, self.cacheWrite) = (input, output, cacheRead, cacheWrite)
    (self.webSearchPerThousand, self.requestPerThousand) = (webSearchPerThousand, requestPerThousand)
  }

  /// The card of these prices.
  ///
  /// - Parameter base: the built-in card of the model; what is not published is in the same proportion as there.
  func card(over base: RateCard?) -> RateCard {
    func proportion(_ part: Int64, of whole: Int64, in amount: Int64) -> Int64? {
      whole > 0 ? PriceRatio(part, whole).applied(to: amount) : nil
    }
    let known = base?.rates
    func like(_ kind: KeyPath<RateCard.Rates, Int64>) -> Int64? {
      known.flatMap { proportion($0[keyPath: kind], of: $0.input, in: input) }
    }
    let rates = RateCard.Rates(
      input: input, output: output, cacheRead: cacheRead ?? like(\.cacheRead),
      cacheWrite5m: cacheWrite ?? like(\.cacheWrite5m),
      cacheWrite1h: known.flatMap {
        cacheWrite == nil || $0.cacheWrite5m == 0
          ? like(\.cacheWrite1h) : proportion($0.cacheWrite1h, of: $0.cacheWrite5m, in: cacheWrite ?? 0)
      })
    var card = RateCard(
      rates: rates, tiers: base?.tiers ?? [:], geographies: base?.geographies ?? [:], peak: base?.peak,
      webSearchPerThousand: webSearchPerThousand ?? base?.webSearchPerThousand,
      requestPerThousand: requestPerThousand.flatMap { $0 > 0 ? $0 : nil } ?? base?.requestPerThousand,
      version: "")
    if let known, let long = base?.longContext {
      func raised(_ kind: KeyPath<RateCard.Rates, Int64>) -> Int64 {
        let from = known[keyPath: kind]
        return proportion(long.rates[keyPath: kind], of: from, in: rates[keyPath: kind])
          ?? rates[keyPath: kind]
      }
      card.longContext = RateCard.LongContext(
        aboveTokens: long.aboveTokens,
        rates: RateCard.Rates(
          input: raised(\.input), output: raised(\.output), cacheRead: raised(\.cacheRead),
          cacheWrite5m: raised(\.cacheWrite5m), cacheWrite1h: raised(\.cacheWrite1h)))
    }
    card.version = RateCard.publishedPrefix + card.amounts
    return card
  }
}
