// SPDX-License-Identifier: Apache-2.0

import HoldfastCatalog
import HoldfastUsage

/// The gateway's answer to "what is done with this request": gate, then routes, then credentials.
struct GatewayDirector: ProxyDirector {
  let gate: RequestGate
  let routes: RouteTable
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
    guard
      let route = routes.route(
        method: head.methodText, target: head.targetText, looksAnthropic: looksAnthropic)
    else { return .local }

    let provider = route.target.provider
    var dropped = ownCredentials
    var added: (name: String, value: String)?
    if let credential = provider.credential, !sendsCredentials(head, except: ownCredentials) {
      added = (credential.field, credential.value)
      dropped += Self.credentialFields
    }
    return .relay(
      RelayPlan(
        upstream: route.target.upstream,
        targetPrefix: provider.baseURL.path,
        targetTail: head.target.lowerBound + route.dropped..<head.target.upperBound,
        dropped: dropped, added: added, shape: route.shape,
        tap: makeTap(head, route)))
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
