// SPDX-License-Identifier: Apache-2.0

import HoldfastCatalog
import NIOCore
import Testing

@testable import HoldfastGateway

@Suite struct RouteTableTests {
  private func sent(
    _ target: String, base: String, kind: ProviderKind, name: String, looksAnthropic: Bool = false
  ) throws -> String? {
    var providers = GatewayConfiguration(home: "/nowhere").providers.filter { $0.name != name }
    let url = try #require(BaseURL(base))
    providers.append(Provider(name: name, kind: kind, baseURL: url))
    let table = try #require(RouteTable(providers))
    guard let route = table.route(method: "POST", target: target, looksAnthropic: looksAnthropic) else {
      return nil
    }
    let own = route.target.provider.baseURL
    return own.description.replacing(own.path, with: "") + own.path + target.dropFirst(route.dropped)
  }

  @Test(arguments: [
    (
      "/v1/chat/completions?a=%2F", "https://api.openai.com/v1",
      "https://api.openai.com/v1/chat/completions?a=%2F"
    ),
    ("/v1/responses", "https://api.openai.com/v1/", "https://api.openai.com/v1/responses"),
    ("/v1/responses", "https://host.test", "https://host.test/v1/responses"),
    ("/v1/chat/completions", "https://g.test/v1beta/openai", "https://g.test/v1beta/openai/chat/completions"),
    ("/v1/whatever/else", "http://127.0.0.1:11434/v1", "http://127.0.0.1:11434/v1/whatever/else"),
    ("/openai/chat/completions", "https://api.openai.com/v1", "https://api.openai.com/v1/chat/completions"),
    (
      "/openai/v1/chat/completions", "https://api.openai.com/v1", "https://api.openai.com/v1/chat/completions"
    ),
    ("/openai/v1beta/x", "https://api.openai.com/v1", "https://api.openai.com/v1/v1beta/x"),
    ("/openai", "https://api.openai.com/v1", "https://api.openai.com/v1"),
  ])
  func anOpenAIBaseURLMeansWhatItMeansToAnSDK(_ target: String, _ base: String, _ expected: String) throws {
    #expect(try sent(target, base: base, kind: .openAI, name: "openai") == expected)
  }

  @Test(arguments: [
    (
      "/v1/messages?beta=true", "https://api.anthropic.com", "https://api.anthropic.com/v1/messages?beta=true"
    ),
    ("/v1/messages/count_tokens", "https://a.test/proxy", "https://a.test/proxy/v1/messages/count_tokens"),
    ("/v1/messages", "https://a.test/v1", "https://a.test/v1/messages"),
    ("/anthropic/v1/messages", "https://api.anthropic.com", "https://api.anthropic.com/v1/messages"),
  ])
  func anAnthropicBaseURLMeansWhatItMeansToAnSDK(_ target: String, _ base: String, _ expected: String) throws
  {
    #expect(try sent(target, base: base, kind: .anthropic, name: "anthropic") == expected)
  }

  @Test func pathsBothAPIsHaveGoByTheClientsShape() throws {
    let table = try #require(RouteTable(GatewayConfiguration(home: "/nowhere").providers))
    for looksAnthropic in [true, false] {
      let route = try #require(
        table.route(method: "GET", target: "/v1/models?limit=1", looksAnthropic: looksAnthropic))
      #expect(route.target.provider.name == (looksAnthropic ? "anthropic" : "openai"))
    }
    #expect(table.route(method: "POST", target: "/v1/messages", looksAnthropic: false)?.shape == .anthropic)
    #expect(table.route(method: "POST", target: "/v1/embeddings", looksAnthropic: true)?.shape == .openAI)
  }

  @Test(arguments: [
    "/", "/health", "/ready", "/metrics", "/api/usage", "/assets/app.js", "/v1", "/nobody/x", "*", "v1/x",
  ])
  func otherPathsAreNotTheProxys(_ target: String) throws {
    let table = try #require(RouteTable(GatewayConfiguration(home: "/nowhere").providers))
    #expect(table.route(method: "GET", target: target, looksAnthropic: false) == nil)
  }

  @Test func namesThatCannotBePathsAreRefused() {
    for name in ["", "v1", "api", "health", "a/b", "a b", "..", "ü", "metrics", "assets"] {
      #expect(!RouteTable.isName(name), "\(name)")
    }
    for name in ["openai", "my-llm_2.0", "A"] { #expect(RouteTable.isName(name), "\(name)") }
  }

  @Test(arguments: [
    "ftp://a", "a.test", "https://", "http://a b", "http://u@h", "http://a?q", "http://a:0", "http://a:x",
  ])
  func whatIsNoBaseURLIsRefused(_ text: String) { #expect(BaseURL(text) == nil) }

  @Test func baseURLsAreReadInParts() throws {
    let six = try #require(BaseURL("http://[::1]:8080/v1/"))
    #expect(six.host == "::1")
    #expect(six.port == 8080)
    #expect(six.path == "/v1")
    #expect(six.description == "http://[::1]:8080/v1")
    #expect(BaseURL("HTTPS://API.test")?.description == "https://api.test")
  }
}
