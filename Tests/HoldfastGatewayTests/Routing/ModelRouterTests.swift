// SPDX-License-Identifier: Apache-2.0

import HoldfastCatalog
import HoldfastEngine
import HoldfastUsage
import NIOCore
import Synchronization
import Testing

@testable import HoldfastGateway

private let start = UTCInstant(milliseconds: 1_763_000_000_000)

/// A wall clock that stands until it is moved.
private final class StoppedClock: Sendable {
  private let seconds = Mutex(Int64(0))

  var now: UTCInstant { start.advanced(by: .seconds(seconds.withLock { $0 })) }

  func move(_ count: Int64) { seconds.withLock { $0 += count } }
}

/// A director over a catalogue of a few providers.
private struct Bench {
  let clock = StoppedClock()
  let router: ModelRouter
  let director: GatewayDirector

  init(models: [String: [(id: String, input: Int64)]] = Bench.models, kinds: [String: ProviderKind] = [:])
    throws
  {
    var configuration = GatewayConfiguration(home: "/nowhere")
    for index in configuration.providers.indices {
      let name = configuration.providers[index].name
      // All but mistral have a key.
      if name != "mistral" { configuration.providers[index].credential = .bearer("key-of-\(name)") }
    }
    configuration.providers.append(
      Provider(
        name: "local", kind: .openAI, baseURL: try #require(BaseURL("http://127.0.0.1:8080/deep/v1"))))
    var keyed = Provider(
      name: "keyless", kind: .openAI, baseURL: try #require(BaseURL("http://10.0.0.1/v1")))
    keyed.expectsKey = true
    configuration.providers.append(keyed)
    let clock = self.clock
    router = ModelRouter(policy: try RoutingPolicy(configuration), now: { clock.now })
    director = GatewayDirector(
      gate: RequestGate(allowedHosts: []), routes: try #require(RouteTable(configuration.providers)),
      router: router, makeTap: { _, _ in nil })
    router.take(
      CatalogSnapshot(
        models.map { name, list in
          CatalogSnapshot.Entry(
            provider: name, kind: kinds[name] ?? (name == "anthropic" ? .anthropic : .openAI),
            models: list.map {
              CatalogModel(
                id: $0.id, provider: name, prices: ModelPrices(input: $0.input, output: $0.input),
                fetchedAt: start)
            }, fetchedAt: start)
        }))
  }

  static let models: [String: [(id: String, input: Int64)]] = [
    "anthropic": [("claude", 5)], "openai": [("gpt", 5), ("shared", 9)],
    "groq": [("shared", 2), ("llama", 1)],
    "together": [("shared", 3), ("a/b", 1)], "deepseek": [("shared", 1)], "mistral": [("shared", 0)],
    "keyless": [("shared", 0)], "local": [("shared", 4)],
  ]

  func disposition(_ target: String, _ fields: String = "", method: String = "POST") throws -> Disposition {
    director.disposition(of: try head(target, fields, method: method))
  }

  func head(_ target: String, _ fields: String = "", method: String = "POST") throws -> RequestHead {
    var input = ByteBuffer(string: "\(method) \(target) HTTP/1.1\r\nHost: localhost\r\n\(fields)\r\n")
    var parser = HeadParser()
    return try #require(try parser.request(from: &input))
  }

  /// Where a request with this body goes: the providers in order, and why.
  func goes(_ body: String, to target: String = "/v1/chat/completions") throws -> String {
    guard case .choose(let open) = try disposition(target) else { return "settled" }
    var peek = RequestPeek()
    peek.consume(Array(body.utf8))
    let plan = open.plan(peek)
    let hops = [plan.hop] + plan.alternatives
    return hops.map(\.upstream.name).joined(separator: " ") + " by \(plan.decision?.reason ?? "-")"
  }
}

@Suite struct ModelRouterTests {
  @Test func aModelGoesToTheCheapestThatCanBeUsedAndThenToTheNext() throws {
    let bench = try Bench()
    // mistral has no key, and keyless none where the configuration says that there is one.
    #expect(try bench.goes(#"{"model":"shared"}"#) == "deepseek groq together local by cheapest")
    #expect(try bench.goes(#"{"model":"a/b"}"#) == "together by only")
    #expect(try bench.goes(#"{"model":"claude"}"#, to: "/v1/messages") == "anthropic by only")
    #expect(try bench.goes(#"{"model":"shared"}"#, to: "/v1/embeddings").hasPrefix("deepseek"))
    #expect(
      try bench.goes(#"{"model":"shared","input":"x"}"#, to: "/v1/responses")
        == "groq local openai by cheapest",
      "vendors without that API are not asked")
  }

  @Test(arguments: [#"{"model":"unheard-of"}"#, #"{"model":"claude"}"#, "{}", #"{"model":7}"#])
  func whatNobodyIsKnownToHaveGoesToTheDefault(_ body: String) throws {
    #expect(try Bench().goes(body) == "openai by default")
  }

  @Test func whatAProviderKeepsStaysWithIt() throws {
    let bench = try Bench()
    for body in [
      #"{"model":"shared","previous_response_id":"resp_1"}"#,
      #"{"model":"shared","conversation":{"id":"c"}}"#,
      #"{"conversation":"conv_1","model":"shared"}"#,
    ] {
      #expect(try bench.goes(body, to: "/v1/responses") == "groq by cheapest")
    }
    bench.router.tried("groq", model: "shared", .failed(status: 429, retryAfter: 60))
    #expect(
      try bench.goes(#"{"model":"shared","previous_response_id":"r"}"#, to: "/v1/responses")
        == "groq by cheapest", "nobody else has the conversation")
    #expect(
      try bench.goes(#"{"model":"shared","previous_response_id":null}"#, to: "/v1/responses")
        == "local openai groq by cooldown")
    #expect(
      try bench.goes(#"{"model":"shared","background":true}"#, to: "/v1/responses") == "openai by default",
      "its answer is asked for later, by an id only the default provider is asked for")
  }

  @Test func theChosenProviderGetsItsOwnPathAndItsOwnKey() throws {
    let bench = try Bench()
    let head = try bench.head("/v1/chat/completions?a=1", "Authorization: Bearer holdfast\r\n")
    guard case .choose(let open) = bench.director.disposition(of: head) else {
      Issue.record("nothing was left open")
      return
    }
    var peek = RequestPeek()
    peek.consume(Array(#"{"model":"shared"}"#.utf8))
    let plan = open.plan(peek)
    func sent(_ hop: RelayHop) -> [Substring] {
      String(buffer: HeadRewriting.upstreamHead(head, hop: hop, allocator: ByteBufferAllocator()))
        .split(separator: "\r\n")
    }
    #expect(
      sent(plan.alternatives[0]) == [
        "POST /openai/v1/chat/completions?a=1 HTTP/1.1", "Host: api.groq.com",
        "Authorization: Bearer key-of-groq",
      ])
    #expect(
      sent(plan.alternatives[2]) == [
        "POST /deep/v1/chat/completions?a=1 HTTP/1.1", "Host: 127.0.0.1:8080",
        "Authorization: Bearer holdfast",
      ])
    #expect(plan.alternatives.map(\.model) == ["shared", "shared", "shared"])
  }

  @Test(arguments: [
    ("/v1/chat/completions", "Authorization: Bearer sk-mine\r\n"), ("/v1/messages", "x-api-key: sk-mine\r\n"),
    ("/groq/v1/chat/completions", ""), ("/v1/completions", ""), ("/v1/responses/compact", ""),
    ("/v1/chat/completions", "Content-Encoding: gzip\r\n"), ("/v1/audio/speech", ""),
    ("/groq/chat/completions", "x-holdfast-provider: openai\r\n"),
  ])
  func whatIsSettledIsNotHeld(_ target: String, _ fields: String) throws {
    guard case .relay(let plan) = try Bench().disposition(target, fields) else {
      Issue.record("\(target) was left open")
      return
    }
    #expect(plan.alternatives.isEmpty && plan.decision == nil)
    #expect(
      plan.hop.upstream.name
        == (target.hasPrefix("/groq") ? "groq" : target == "/v1/messages" ? "anthropic" : "openai"))
  }

  @Test func withoutACatalogueNothingIsHeld() throws {
    let bench = try Bench(models: [:])
    guard case .relay = try bench.disposition("/v1/chat/completions") else {
      Issue.record("there is nothing to choose from")
      return
    }
    guard case .relay = try bench.disposition("/v1/models", method: "GET") else {
      Issue.record("there is nothing to list")
      return
    }
  }

  @Test func aPinIsTheClientsWord() throws {
    let bench = try Bench()
    guard
      case .relay(let plan) = try bench.disposition(
        "/v1/chat/completions", "X-Holdfast-Provider: mistral\r\nAuthorization: Bearer sk-mine\r\n")
    else {
      Issue.record("a pin leaves nothing open")
      return
    }
    #expect(plan.hop.upstream.name == "mistral")
    #expect(plan.decision?.reason == "pin")
    #expect(plan.hop.added == nil, "the client's own key goes where the client says")
    for (fields, shape) in [("", "{\"error\""), ("anthropic-version: 1\r\n", "{\"type\":\"error\"")] {
      let target = shape.contains("type") ? "/v1/messages" : "/v1/chat/completions"
      guard
        case .refuse(let fault, let found) = try bench.disposition(
          target, fields + "x-holdfast-provider: no\"body\r\n")
      else {
        Issue.record("there is no such provider")
        return
      }
      #expect(fault.status == 400)
      #expect(fault.body(shape: found).hasPrefix(shape))
      #expect(fault.message.contains("“no\"body”") && fault.message.contains("anthropic, "))
    }
  }

  @Test func theListIsTheCataloguesUnlessAProviderIsMeant() throws {
    let bench = try Bench()
    for target in [
      "/v1/models", "/v1/models?limit=3", "/v1/models/shared", "/v1/models/a/b", "/v1/models/a%2Fb",
    ] {
      guard case .local = try bench.disposition(target, method: "GET") else {
        Issue.record("\(target) was relayed")
        continue
      }
    }
    for (target, fields, method) in [
      ("/v1/models", "Authorization: Bearer sk-mine\r\n", "GET"), ("/v1/models", "x-api-key: k\r\n", "GET"),
      ("/v1/models", "x-holdfast-provider: groq\r\n", "GET"), ("/groq/v1/models", "", "GET"),
      ("/v1/models/unheard-of", "", "GET"), ("/v1/models/shared", "", "DELETE"),
      ("/v1/models/claude", "", "GET"),
    ] {
      guard case .relay = try bench.disposition(target, fields, method: method) else {
        Issue.record("\(method) \(target) with \(fields) was not relayed")
        continue
      }
    }
  }

  @Test func whatFailsCoolsDownAndComesBack() throws {
    let bench = try Bench()
    let body = #"{"model":"shared"}"#
    bench.router.tried("deepseek", model: "shared", .failed(status: 500, retryAfter: nil))
    #expect(try bench.goes(body).hasPrefix("deepseek"), "one strike changes nothing")
    bench.router.tried("deepseek", model: "shared", .broken)
    #expect(try bench.goes(body) == "groq together local openai by cooldown")
    bench.clock.move(10)
    #expect(try bench.goes(body).hasPrefix("deepseek"))
    bench.router.tried("deepseek", model: "shared", .failed(status: 503, retryAfter: nil))
    bench.clock.move(19)
    #expect(try bench.goes(body).hasPrefix("groq"))
    bench.clock.move(1)
    bench.router.tried("deepseek", model: "shared", .answered(status: 200))
    #expect(bench.router.cooldowns == CooldownMachine())
  }

  @Test func aProviderThatCannotBeReachedOrRefusesTheKeyCoolsDownWhole() throws {
    for result in [
      TryResult.unreachable, .failed(status: 401, retryAfter: nil), .failed(status: 402, retryAfter: nil),
    ] {
      let bench = try Bench()
      bench.router.tried("groq", model: "llama", result)
      bench.router.tried("groq", model: "llama", result)
      #expect(try bench.goes(#"{"model":"shared"}"#) == "deepseek together local openai by cheapest")
      #expect(bench.router.cooldowns.current(at: start).map(\.model) == [nil])
    }
  }

  @Test(arguments: [400, 405, 409, 413, 415, 422])
  func theRequestsOwnFaultsTellNothingOfAProvider(_ status: Int) throws {
    let bench = try Bench()
    for _ in 0..<5 { bench.router.tried("deepseek", model: "shared", .failed(status: status, retryAfter: 9)) }
    #expect(bench.router.cooldowns == CooldownMachine())
  }

  @Test func aHugeRetryAfterIsBounded() throws {
    let bench = try Bench()
    bench.router.tried("deepseek", model: "shared", .failed(status: 429, retryAfter: .max))
    bench.clock.move(600)
    #expect(try bench.goes(#"{"model":"shared"}"#).hasPrefix("deepseek"))
  }

  @Test func changesAreToldOnceForMany() async throws {
    let bench = try Bench()
    for _ in 0..<10 { bench.router.tried("groq", model: "shared", .broken) }
    var changes = bench.router.changes.makeAsyncIterator()
    #expect(await changes.next() != nil)
    bench.router.tried("groq", model: "shared", .answered(status: 200))
    #expect(await changes.next() != nil)
  }
}
