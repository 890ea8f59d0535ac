// SPDX-License-Identifier: Apache-2.0

import HoldfastCatalog
import HoldfastEngine
import HoldfastUsage
import Synchronization

/// Chooses a provider for each request that names none, out of what is in memory, and learns from how that goes.
///
/// Asked on event loops: one short lock, no input or output. What it learns is written down elsewhere, later.
final class ModelRouter: RouteWatch {
  private struct State {
    var snapshot = CatalogSnapshot.empty
    var cooldowns = CooldownMachine()
  }

  /// The most providers one request is sent to.
  static let mostTries = 4

  private let state = Mutex(State())
  private let policy: RoutingPolicy
  private let now: @Sendable () -> UTCInstant
  /// Yields when cool-downs have changed.
  let changes: AsyncStream<Void>
  private let changed: AsyncStream<Void>.Continuation

  init(policy: RoutingPolicy, now: @escaping @Sendable () -> UTCInstant = { .now }) {
    (self.policy, self.now) = (policy, now)
    (changes, changed) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
  }

  /// What the providers offer.
  var snapshot: CatalogSnapshot { state.withLock { $0.snapshot } }

  /// What failed lately.
  var cooldowns: CooldownMachine { state.withLock { $0.cooldowns } }

  /// Takes what the providers offer from now on.
  func take(_ snapshot: CatalogSnapshot) { state.withLock { $0.snapshot = snapshot } }

  /// Takes what failed before this process began.
  func recall(_ earlier: CooldownMachine) { state.withLock { $0.cooldowns.recall(earlier) } }

  /// Whether there is anything to choose from.
  var isEmpty: Bool { state.withLock { $0.snapshot.isEmpty } }

  /// Those a model may be asked of now, best first.
  func candidates(
    for model: String, _ api: RouteChoice.API, ignoringCooldowns: Bool = false
  ) -> [RouteChoice.Candidate] {
    let (snapshot, cooldowns) = state.withLock { ($0.snapshot, $0.cooldowns) }
    return policy.choice(
      for: api, snapshot: snapshot, cooldowns: ignoringCooldowns ? CooldownMachine() : cooldowns
    ).candidates(for: model, api, at: now())
  }

  /// The models that requests without a key of their own can use through an API.
  func usableModels(_ api: RouteChoice.API) -> [CatalogModel] {
    snapshot.entries.filter { $0.isEnabled && policy.isUsable($0.provider, api: api) }.flatMap(\.models)
  }

  /// Whether a provider can be chosen at all for requests without a key of their own.
  func isUsable(_ provider: String) -> Bool {
    guard let entry = snapshot[provider], entry.isEnabled else { return false }
    return policy.isUsable(provider, api: entry.kind == .anthropic ? .messages : .chatCompletions)
  }

  /// What a model costs.
  func prices(of model: CatalogModel) -> ModelPrices? { policy.prices(of: model) }

  /// The choice for one request, to be made once its model is known; nil when there is nothing to choose from.
  ///
  /// - Parameters:
  ///   - fallback: where it goes when nobody is known to have its model.
  ///   - hop: the place of a provider.
  func open(
    _ api: RouteChoice.API, fallback: RelayPlan, hop: @escaping (_ provider: String) -> RelayHop?
  ) -> OpenRoute? {
    guard !isEmpty else { return nil }
    return OpenRoute(fallback: fallback, needsWholeBody: api == .responses) { [self] body in
      var plan = fallback
      plan.decision = RouteDecision(reason: "default")
      // What runs on after its answer is asked about later, at the default provider.
      guard let model = body.model, body.background != true else { return plan }
      // A conversation the provider keeps goes on where it was: at the one that would be chosen if nothing failed.
      let isBound = body.continuesStored
      let candidates = candidates(for: model, api, ignoringCooldowns: isBound)
      var hops: [RelayHop] = []
      for candidate in candidates.prefix(isBound ? 1 : Self.mostTries) {
        guard var hop = hop(candidate.provider) else { continue }
        hop.model = candidate.model.id
        hops.append(hop)
      }
      guard let first = hops.first, let reason = candidates.first?.reason else { return plan }
      plan.hop = first
      plan.alternatives = Array(hops.dropFirst())
      plan.decision = RouteDecision(reason: reason.rawValue, watch: self)
      return plan
    }
  }

  func tried(_ provider: String, model: String, _ result: TryResult) {
    let route = RouteID(provider: provider, model: model)
    let now = self.now()
    let hasChanged = state.withLock { state in
      switch result {
      case .answered:
        return state.cooldowns.success(route)
      case .failed(let status, let retryAfter):
        switch status {
        case 401, 402:
          // The gateway's own key, or its account.
          state.cooldowns.failure(.everything(of: provider), at: now)
        case 403, 404, 408, 429, 500...599:
          state.cooldowns.failure(route, at: now, retryAfter: retryAfter.map { .seconds(min($0, 86_400)) })
        default:
          // The request's own fault: it tells nothing of the provider.
          return false
        }
      case .unreachable:
        state.cooldowns.failure(.everything(of: provider), at: now)
      case .broken:
        state.cooldowns.failure(route, at: now)
      }
      return true
    }
    if hasChanged { changed.yield() }
  }
}
