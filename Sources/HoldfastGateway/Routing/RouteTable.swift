// SPDX-License-Identifier: Apache-2.0

import HoldfastCatalog
import HoldfastUsage

/// Which provider a path belongs to, and what becomes of the path.
///
/// | The client's path | Provider | Sent upstream |
/// |---|---|---|
/// | `/v1/messages…`, `/v1/complete` | the default of kind anthropic | base URL + path |
/// | `/v1/models…`, and paths under `/v1/` both APIs have | by the client's shape | as its kind |
/// | any other `/v1/…` | the default of kind openai | base URL + path without `/v1` |
/// | `/NAME/…` | the provider called NAME | as its kind, after `/NAME` |
///
/// A base URL is what an SDK of that kind takes: OpenAI's ends in `/v1` and the SDK adds `/chat/completions`;
/// Anthropic's has no path and the SDK adds `/v1/messages`. So one leading `/v1` of the client's path is dropped where
/// the base URL has its own: `/v1/x`, `/NAME/v1/x` and `/NAME/x` reach the same place.
struct RouteTable: Sendable {
  /// A provider's place in the data path.
  struct Target: Sendable {
    var provider: Provider
    var upstream: Upstream
  }

  /// Where a request goes.
  struct Route: Sendable {
    var target: Target
    /// How many bytes of the client's target are replaced by the base URL's path.
    var dropped: Int
    var kind: WireKind
    var shape: ClientShape
    /// Whether the path itself names the provider.
    var isNamed = false
    /// The API asked, where another provider of the same API could answer as well.
    var api: RouteChoice.API?
    /// Whether it asks for the list of models, or for one entry of it.
    var listsModels = false
  }

  private let targets: [String: Target]
  private let anthropic: Target
  private let openAI: Target

  /// - Parameters:
  ///   - providers: by name; the names are unique.
  ///   - anthropic: the name of the provider for `/v1/messages`.
  ///   - openAI: the name of the provider for the other `/v1/…` routes.
  /// - Returns: nil when a default is not among the providers.
  init?(_ providers: [Provider], anthropic: String = "anthropic", openAI: String = "openai") {
    var targets: [String: Target] = [:]
    for provider in providers {
      let base = provider.baseURL
      targets[provider.name] = Target(
        provider: provider,
        upstream: Upstream(name: provider.name, host: base.host, port: base.port, usesTLS: base.usesTLS))
    }
    guard let first = targets[anthropic], let second = targets[openAI] else { return nil }
    self.targets = targets
    self.anthropic = first
    self.openAI = second
  }

  /// Names that are paths of the gateway's own.
  static let reserved: Set<String> = ["v1", "api", "health", "ready", "metrics", "assets", "favicon.ico"]

  /// Whether `name` may be a provider's: one path segment that needs no escaping.
  static func isName(_ name: String) -> Bool {
    !name.isEmpty && name.utf8.count <= 64 && !reserved.contains(name) && name != "." && name != ".."
      && name.utf8.allSatisfy { byte in
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
          true
        default: false
        }
      }
  }

  /// All the providers.
  var providers: [Provider] { targets.values.map(\.provider) }

  /// The route of a request, or nil when its path is not the proxy's.
  ///
  /// - Parameters:
  ///   - target: path and query, as the client sent them.
  ///   - looksAnthropic: the client's fields are an Anthropic SDK's.
  func route(method: String, target: String, looksAnthropic: Bool) -> Route? {
    let path = target.prefix { $0 != "?" }
    guard path.hasPrefix("/") else { return nil }
    let first = path.dropFirst().prefix { $0 != "/" }
    let kind = WireKind(method: method, target: String(path))
    if first == "v1" {
      let rest = path.dropFirst(3)
      guard rest.hasPrefix("/") else { return nil }
      let isAnthropic = isAnthropicPath(rest) ?? looksAnthropic
      let target = isAnthropic ? anthropic : openAI
      let isList = rest == "/models" || rest.hasPrefix("/models/")
      return Route(
        target: target, dropped: hasOwnVersion(target.provider) ? 3 : 0, kind: kind,
        shape: isAnthropic ? .anthropic : .openAI, api: method == "POST" ? Self.api(rest) : nil,
        listsModels: isList)
    }
    guard let target = targets[String(first)] else { return nil }
    var dropped = 1 + first.utf8.count
    let rest = path.dropFirst(1 + first.count)
    if hasOwnVersion(target.provider), rest == "/v1" || rest.hasPrefix("/v1/") { dropped += 3 }
    let speaksAnthropic =
      kind == .anthropicMessages || kind == .anthropicCountTokens || target.provider.kind == .anthropic
    return Route(
      target: target, dropped: dropped, kind: kind, shape: speaksAnthropic ? .anthropic : .openAI,
      isNamed: true)
  }

  /// The same request to the provider called `name` instead; nil when there is none.
  ///
  /// - Parameter route: that of a path without a provider's name.
  func route(_ route: Route, to name: String) -> Route? {
    guard let target = targets[name] else { return nil }
    var route = route
    route.target = target
    route.dropped = hasOwnVersion(target.provider) ? 3 : 0
    return route
  }

  /// Requests that are whole in themselves: what they ask for is done by whoever has their model.
  private static func api(_ rest: Substring) -> RouteChoice.API? {
    switch rest {
    case "/messages", "/messages/count_tokens": .messages
    case "/chat/completions": .chatCompletions
    case "/responses": .responses
    case "/embeddings": .embeddings
    default: nil
    }
  }

  /// True or false for paths only one of the APIs has; nil for those that both have.
  private func isAnthropicPath(_ rest: Substring) -> Bool? {
    let segment = rest.dropFirst().prefix { $0 != "/" }
    switch segment {
    case "messages", "complete": return true
    case "models", "files", "organizations", "skills": return nil
    default: return false
    }
  }

  /// Whether the base URL brings the version, so that the client's own is dropped.
  private func hasOwnVersion(_ provider: Provider) -> Bool {
    switch provider.kind {
    case .openAI, .ollama, .gemini: !provider.baseURL.path.isEmpty
    case .anthropic: provider.baseURL.path.hasSuffix("/v1")
    }
  }
}
