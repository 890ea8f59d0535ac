// SPDX-License-Identifier: Apache-2.0

import HoldfastCatalog
import HoldfastUsage

/// The gateway's answer to "what is done with this request": gate, then routes, then credentials, then the choice of a
/// provider where the client left it open.
struct GatewayDirector: ProxyDirector {
  let gate: RequestGate
  let routes: RouteTable
  /// nil when requests without a provider always go to the default one.
  var router: ModelRouter?
  /// nil when no budget refuses anything.
  var budgets: BudgetWatch?
  /// Makes what records an exchange; nil for requests that make no usage row.
  let makeTap: @Sendable (RequestHead, RouteTable.Route) -> (any ExchangeTap)?

  func disposition(of head: RequestHead) -> Disposition {
    let looksAnthropic = head.fields.contains(.anthropicVersion) || head.fields.contains(.apiKey)
    var ownCredentials: [FieldName] = []
    switch gate.verdict(on: head) {
    case .pass: break
    case .passWithToken(let fields): ownCredentials = fields.map { FieldName($0) }
    case .refuse(let fault): return .refuse(fault, looksAnthropic ? .anthropic : .openAI)
    }
    let target = head.targetText
    guard var route = routes.route(method: head.methodText, target: target, looksAnthropic: looksAnthropic)
    else { return .local }

    var isPinned = false
    // A provider in the path is the client's last word.
    if !route.isNamed, head.fields.hasGatewayFields, let name = head.fields.first(.holdfastProvider) {
      guard let pinned = routes.route(route, to: name) else { return .refuse(unknown(name), route.shape) }
      route = pinned
      isPinned = true
    }
    let sendsKey = sendsCredentials(head, except: ownCredentials)
    let isOpen = !route.isNamed && !isPinned && !sendsKey
    if isOpen, let router, route.listsModels, lists(head, target, route, router) { return .local }

    var plan = RelayPlan(
      hop: hop(route, head, dropping: ownCredentials, sendsKey: sendsKey), shape: route.shape,
      tap: makeTap(head, route))
    if isPinned { plan.decision = RouteDecision(reason: RouteChoice.Reason.pin.rawValue) }
    let isReadable = ContentDecoder.Coding(head.fields.first(.contentEncoding)) == .identity
    let admission = admission(head, route)
    if isReadable { plan.admission = admission }
    var open: OpenRoute?
    if isOpen, isReadable, let router, let api = route.api {
      open = router.open(
        api, fallback: plan,
        hop: { [self, route, ownCredentials] name in
          routes.route(route, to: name).map { hop($0, head, dropping: ownCredentials, sendsKey: false) }
        })
    }
    // Where it goes is settled but for requests that are chosen for; which model it asks for is never known yet.
    if let fault = admission?.fault(model: nil, provider: open == nil ? route.target.provider.name : nil) {
      (plan.refusal, plan.admission) = (fault, nil)
      return .relay(plan)
    }
    guard let open else { return .relay(plan) }
    return .choose(open)
  }

  /// Who says whether a request may go by its model; nil when no budget refuses anything just now.
  private func admission(_ head: RequestHead, _ route: RouteTable.Route) -> BudgetAdmission? {
    guard let budgets, route.kind.billsTokens, budgets.refusesAny else { return nil }
    let fields = head.fields
    let origin = RequestOrigin(
      headers: fields.fields.lazy.map { (name: fields.name($0), value: fields.value($0)) })
    return BudgetAdmission(watch: budgets, source: origin.source, project: origin.project)
  }

  /// The route's place for this request, with the provider's own key where the client sent none.
  private func hop(
    _ route: RouteTable.Route, _ head: RequestHead, dropping own: [FieldName], sendsKey: Bool
  ) -> RelayHop {
    let provider = route.target.provider
    var hop = RelayHop(
      upstream: route.target.upstream, targetPrefix: provider.baseURL.path,
      targetTail: head.target.lowerBound + route.dropped..<head.target.upperBound, dropped: own)
    if let credential = provider.credential, !sendsKey {
      hop.added = (credential.field, credential.value)
      hop.dropped += Self.credentialFields
    }
    return hop
  }

  /// Whether the list of models, or this model's entry, is the catalogue's to give.
  private func lists(
    _ head: RequestHead, _ target: String, _ route: RouteTable.Route, _ router: ModelRouter
  ) -> Bool {
    guard head.methodText == "GET", !router.isEmpty else { return false }
    guard let id = ModelPath.id(ofPath: target.prefix { $0 != "?" }) else { return true }
    return router.item(id, for: route.shape) != nil
  }

  private func unknown(_ name: String) -> ProxyFault {
    // A client's text goes back into its own answer: cut short, and quoted there.
    let known = routes.providers.map(\.name).sorted().joined(separator: ", ")
    return ProxyFault(
      .unknownProvider,
      "x-holdfast-provider names “\(name.prefix(64))”, which is no provider here; known are \(known).")
  }

  private static let credentialFields: [FieldName] = [.authorization, .apiKey, .azureKey, .googleKey]

  /// Whether the client has a key of its own. SDKs cannot be made without one, so an empty key and the word
  /// `holdfast` stand for none.
  private func sendsCredentials(_ head: RequestHead, except own: [FieldName]) -> Bool {
    for name in Self.credentialFields where !own.contains(where: { $0.lowercased == name.lowercased }) {
      guard let value = head.fields.first(name) else { continue }
      let key =
        value.lowercased().hasPrefix("bearer") ? value.dropFirst(6).trimmingOptionalWhitespace() : value[...]
      if !key.isEmpty, key != "holdfast" { return true }
    }
    return false
  }
}
