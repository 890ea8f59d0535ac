// SPDX-License-Identifier: Apache-2.0

import HoldfastCatalog
import NIOCore
import Testing

@testable import HoldfastGateway

func requestHead(_ text: String) throws -> RequestHead {
  var parser = HeadParser()
  var input = ByteBuffer(string: text + "\r\n")
  return try #require(try parser.request(from: &input))
}

@Suite struct RequestGateTests {
  private let gate = RequestGate(allowedHosts: ["gateway.lan"], allowedOrigins: ["app://notes.example"])

  private func status(_ fields: String, target: String = "/v1/messages", method: String = "POST") throws
    -> Int
  {
    switch gate.verdict(on: try requestHead("\(method) \(target) HTTP/1.1\r\n\(fields)")) {
    case .pass, .passWithToken: 200
    case .refuse(let fault): fault.status
    }
  }

  @Test(arguments: [
    "127.0.0.1:4141", "localhost", "LOCALHOST:1", "[::1]:4141", "127.8.9.1", "gateway.lan:80",
  ])
  func ownNamesPass_G06(_ host: String) throws { #expect(try status("Host: \(host)\r\n") == 200) }

  @Test(arguments: [
    "evil.test", "localhost.evil.test", "127.0.0.1.evil.test", "192.168.1.5", "0x7f.1", "[::2]", "",
    "localhost:x",
    "localhost@evil.test", "127.0.0.256",
  ])
  func foreignHostsAreRefused_G06(_ host: String) throws { #expect(try status("Host: \(host)\r\n") == 403) }

  @Test(arguments: [
    ("http://127.0.0.1:4141", 200), ("http://localhost:4141", 403), ("http://127.0.0.1:1", 403),
    ("null", 403),
    ("https://evil.test", 403), ("app://notes.example", 200), ("", 403),
    ("http://127.0.0.1:4141.evil.test", 403),
  ])
  func originsAreJudged_G06(_ origin: String, _ expected: Int) throws {
    #expect(try status("Host: 127.0.0.1:4141\r\nOrigin: \(origin)\r\n") == expected)
  }

  @Test func crossSiteRequestsAreRefusedAndLinksFromNextDoorAreNot_G06() throws {
    let host = "Host: 127.0.0.1:4141\r\nSec-Fetch-Site: "
    #expect(try status(host + "cross-site\r\n") == 403)
    #expect(
      try status(host + "cross-site\r\nSec-Fetch-Mode: navigate\r\n", target: "/", method: "GET") == 403)
    #expect(try status(host + "same-site\r\n") == 403)
    #expect(try status(host + "same-site\r\nSec-Fetch-Mode: navigate\r\n", target: "/", method: "GET") == 200)
    #expect(try status(host + "same-origin\r\n") == 200)
    #expect(try status(host + "none\r\n") == 200)
  }

  @Test func wholeURLsAreNoTargets_G06() throws {
    #expect(try status("Host: localhost\r\n", target: "http://evil.test/v1/messages") == 400)
  }

  @Test func withAWildcardBindingAddressesPassAndNamesDoNot_G06() throws {
    let open = RequestGate(allowedHosts: [], allowsAddresses: true)
    for (host, passes) in [("192.168.1.5:4141", true), ("[fe80::1]", true), ("evil.test", false)] {
      let verdict = open.verdict(on: try requestHead("GET / HTTP/1.1\r\nHost: \(host)\r\n"))
      #expect((verdict == .pass) == passes, "\(host)")
    }
  }
}

@Suite struct TokenTests {
  private static let secret = "0123456789abcdef"

  private func verdict(_ fields: String, target: String = "/v1/messages") throws -> RequestGate.Verdict {
    let gate = RequestGate(allowedHosts: [], token: GatewayToken(Self.secret))
    return gate.verdict(on: try requestHead("POST \(target) HTTP/1.1\r\nHost: localhost\r\n\(fields)"))
  }

  @Test(arguments: [
    ("X-Holdfast-Token: 0123456789abcdef\r\n", ["x-holdfast-token"]),
    ("Authorization: Bearer 0123456789abcdef\r\n", ["authorization"]),
    ("authorization: bearer  0123456789abcdef\r\n", ["authorization"]),
    ("Authorization: Basic eDowMTIzNDU2Nzg5YWJjZGVm\r\n", ["authorization"]),
    ("x-api-key: 0123456789abcdef\r\n", ["x-api-key"]),
  ])
  func theTokenOpensWhereverAClientCanPutIt_G06(_ fields: String, _ found: [String]) throws {
    #expect(try verdict(fields) == .passWithToken(in: found))
  }

  @Test(arguments: [
    "", "X-Holdfast-Token: 0123456789abcdeF\r\n", "X-Holdfast-Token: 0123456789abcdef0\r\n",
    "X-Holdfast-Token: 0123456789abcde\r\n", "X-Holdfast-Token:\r\n", "Authorization: 0123456789abcdef\r\n",
    "Authorization: Basic !!!\r\n", "Authorization: Bearer\r\n",
  ])
  func anythingElseIsRefused_G06(_ fields: String) throws {
    guard case .refuse(let fault) = try verdict(fields) else {
      Issue.record("let through")
      return
    }
    #expect(fault.status == 401)
    #expect(!fault.message.contains(Self.secret))
  }

  @Test func livenessNeedsNoToken() throws {
    #expect(try verdict("", target: "/health") == .pass)
    #expect(try verdict("", target: "/healthy") != .pass)
  }

  @Test func shortTokensAreRefusedAndTokensAreNeverPrinted() throws {
    #expect(GatewayToken("short") == nil)
    #expect(GatewayToken("with a space in it") == nil)
    #expect("\(try #require(GatewayToken(Self.secret)))" == "…")
    #expect("\(Provider.Credential.bearer("sk-secret"))" == "Authorization: …")
  }
}

@Suite struct CredentialTests {
  private func plan(_ fields: String, key: String? = "sk-env", token: String? = nil) throws -> RelayPlan {
    var providers = GatewayConfiguration(home: "/nowhere").providers
    for index in providers.indices where providers[index].name == "anthropic" {
      providers[index].credential = key.map { .apiKey($0) }
    }
    let director = GatewayDirector(
      gate: RequestGate(allowedHosts: [], token: token.flatMap { GatewayToken($0) }),
      routes: try #require(RouteTable(providers)), makeTap: { _, _ in nil })
    let head = try requestHead("POST /v1/messages HTTP/1.1\r\nHost: localhost\r\n\(fields)")
    guard case .relay(let plan) = director.disposition(of: head) else {
      throw ProxyFault(.badRequest, "not relayed")
    }
    return plan
  }

  private func sent(_ fields: String, key: String? = "sk-env", token: String? = nil) throws -> String {
    let head = try requestHead("POST /v1/messages HTTP/1.1\r\nHost: localhost\r\n\(fields)")
    let plan = try plan(fields, key: key, token: token)
    let bytes = HeadRewriting.upstreamHead(head, hop: plan.hop, allocator: ByteBufferAllocator())
    return String(String(buffer: bytes).split(separator: "\r\n").dropFirst(2).joined(separator: "\n"))
  }

  @Test func aClientsOwnKeyPassesAndTheEnvironmentsStaysHome() throws {
    #expect(try sent("x-api-key: sk-client\r\n") == "x-api-key: sk-client")
    #expect(try sent("Authorization: Bearer sub\r\n") == "Authorization: Bearer sub")
  }

  @Test func theEnvironmentsKeyIsUsedWhenTheClientHasNone() throws {
    #expect(try sent("") == "x-api-key: sk-env")
    #expect(try sent("x-api-key:\r\n") == "x-api-key: sk-env")
    #expect(try sent("Authorization: Bearer holdfast\r\n") == "x-api-key: sk-env")
    #expect(try sent("", key: nil) == "")
  }

  @Test func theGatewaysTokenNeverGoesUpstream_G06() throws {
    let token = "0123456789abcdef"
    #expect(try sent("x-api-key: \(token)\r\n", token: token) == "x-api-key: sk-env")
    #expect(try sent("x-api-key: \(token)\r\n", key: nil, token: token) == "")
    #expect(
      try sent("x-holdfast-token: \(token)\r\nx-api-key: sk-client\r\n", token: token)
        == "x-api-key: sk-client")
    #expect(
      try sent("Authorization: Bearer \(token)\r\nx-api-key: sk-client\r\n", token: token)
        == "x-api-key: sk-client")
  }
}
