// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

/// Where a request for a model may go, best first: a pure function of what is known.
///
/// Those come first that do not cool down; among them the cheapest. What costs least is judged by three parts of
/// prompt to one of answer (3 × input + output); a price of nothing is the cheapest, an unknown price comes after all
/// known ones. Of equal ones the provider that such requests go to by default comes first, then the one with the
/// larger context, then the one whose name sorts first. Those that cool down come last, the one that is free soonest
/// before the others: a request is never refused because all of them failed a moment ago.
public struct RouteChoice: Sendable {
  /// The API a client speaks.
  public enum API: String, Sendable, Hashable, CaseIterable {
    /// Anthropic's `/v1/messages`.
    case messages
    /// OpenAI's `/v1/chat/completions`.
    case chatCompletions = "chat_completions"
    /// OpenAI's `/v1/responses`.
    case responses
    /// OpenAI's `/v1/embeddings`.
    case embeddings

    /// Whether a provider of this kind speaks it. Bodies are not translated.
    public func isSpoken(by kind: ProviderKind) -> Bool {
      self == .messages ? kind == .anthropic : kind.speaksOpenAI
    }
  }

  /// Why a candidate stands where it stands.
  public enum Reason: String, Codable, Sendable, Hashable {
    /// Nobody else has the model.
    case only
    /// Of those that have it this is the cheapest, by the order above.
    case cheapest
    /// Cheaper ones cool down, or all do.
    case cooldown
    /// The client named it.
    case pin
    /// For when the ones before it fail.
    case next
  }

  /// A provider that has the model.
  public struct Candidate: Sendable, Hashable {
    /// The model, as the provider lists it.
    public var model: CatalogModel
    /// What it was judged by; nil when nobody knows what it costs.
    public var prices: ModelPrices?
    /// Until when it cools down; nil when it does not.
    public var coolsUntil: UTCInstant?
    /// Why it stands where it stands.
    public var reason: Reason

    /// The provider's name.
    public var provider: String { model.provider }
  }

  /// What the providers offer.
  public var snapshot: CatalogSnapshot
  /// What failed lately.
  public var cooldowns: CooldownMachine
  /// The provider such requests go to by default.
  public var preferred: String?
  /// Whether requests can be sent to a provider: its API is the client's, and there is a key for it or it needs none.
  public var isUsable: @Sendable (_ provider: String, API) -> Bool
  /// What a model costs: the user's own word, what its provider publishes, or a table.
  public var prices: @Sendable (CatalogModel) -> ModelPrices?

  /// A choice.
  public init(
    snapshot: CatalogSnapshot, cooldowns: CooldownMachine = CooldownMachine(), preferred: String? = nil,
    isUsable: @escaping @Sendable (_ provider: String, API) -> Bool = { _, _ in true },
    prices: @escaping @Sendable (CatalogModel) -> ModelPrices? = { $0.prices }
  ) {
    (self.snapshot, self.cooldowns, self.preferred) = (snapshot, cooldowns, preferred)
    (self.isUsable, self.prices) = (isUsable, prices)
  }

  /// Those a request may be sent to, best first; none when the catalogue knows nobody.
  ///
  /// - Parameters:
  ///   - model: the name in the request, which is sent as it is: whoever is chosen knows the model by it.
  ///   - pin: the only provider that may be chosen, whatever it costs and whether it cools down or was disabled.
  ///   - now: the time.
  public func candidates(for model: String, _ api: API, pin: String? = nil, at now: UTCInstant) -> [Candidate]
  {
    var found: [Candidate] = []
    for listed in snapshot.lookup(model, includingDisabled: pin != nil) {
      if let pin, listed.provider != pin { continue }
      guard let entry = snapshot[listed.provider], api.isSpoken(by: entry.kind),
        isUsable(listed.provider, api)
      else { continue }
      found.append(
        Candidate(
          model: listed, prices: prices(listed),
          coolsUntil: cooldowns.until(RouteID(provider: listed.provider, model: listed.id), at: now),
          reason: pin == nil ? .next : .pin))
    }
    guard pin == nil, !found.isEmpty else { return found }
    let byPrice = found.sorted(by: isCheaper)
    var ordered = byPrice.filter { $0.coolsUntil == nil }
    // A stable sort: of those that are free at the same time the cheaper comes first.
    ordered += byPrice.enumerated().filter { $0.element.coolsUntil != nil }
      .sorted { left, right in
        guard let first = left.element.coolsUntil, let second = right.element.coolsUntil, first != second
        else { return left.offset < right.offset }
        return first < second
      }.map(\.element)
    ordered[0].reason =
      found.count == 1
      ? .only
      : ordered[0].provider == byPrice[0].provider && ordered[0].coolsUntil == nil
        ? .cheapest : .cooldown
    return ordered
  }

  private func isCheaper(_ left: Candidate, _ right: Candidate) -> Bool {
    switch (left.prices.map(Self.blend), right.prices.map(Self.blend)) {
    case (.some, nil): return true
    case (nil, .some): return false
    case (let first?, let second?) where first != second: return first < second
    default: break
    }
    if (left.provider == preferred) != (right.provider == preferred) { return left.provider == preferred }
    if left.model.context != right.model.context {
      return (left.model.context ?? 0) > (right.model.context ?? 0)
    }
    return left.provider < right.provider
  }

  /// Three parts of prompt to one of answer: agents send much more than they are sent. As a `Double`, since whatever a
  /// provider publishes must not overflow.
  private static func blend(_ prices: ModelPrices) -> Double {
    Double(prices.input) * 3 + Double(prices.output)
  }
}
