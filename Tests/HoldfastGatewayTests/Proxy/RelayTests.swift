// SPDX-License-Identifier: Apache-2.0

import NIOCore
import NIOEmbedded
import Testing

@testable import HoldfastGateway

private let streamed = """
  event: message_start\r
  data: {"type":"message_start","text":"Grüße, 世界 🌍"}\r
  \r
  data: one\n\ndata: two\r\rdata: [DONE]\n\n
  """

@Suite struct RelayTests {
  @Test func requestAndResponseHeadsGoAcrossVerbatim() throws {
    let bench = try RelayBench()
    try bench.clientSends(
      "POST /v1/messages?beta=true&q=%2F%c3%bc HTTP/1.1\r\nhOsT: gateway:4141\r\nX-b:  two  words \r\nX-B: again\r\n"
        + "anthropic-beta: a,b\r\nAuthorization: Bearer k\r\nTE: trailers\r\nConnection: keep-alive, X-Hop\r\n"
        + "X-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authorization: secret\r\nUpgrade: h2c\r\n"
        + "X-Holdfast-Project: mine\r\nContent-Length: 2\r\n\r\n{}")
    #expect(
      try bench.upstreamReceived()
        == "POST /v1/messages?beta=true&q=%2F%c3%bc HTTP/1.1\r\nhOsT: upstream.test:8080\r\nX-b:  two  words \r\n"
        + "X-B: again\r\nanthropic-beta: a,b\r\nAuthorization: Bearer k\r\nContent-Length: 2\r\n\r\n{}")
    try bench.upstreamSends(
      "HTTP/1.1 529 Site is overloaded!\r\nretry-after: 7\r\nRequest-Id: req_1\r\nSet-Cookie: a\r\nset-cookie: b\r\n"
        + "Connection: X-Inner\r\nX-Inner: no\r\nKeep-Alive: timeout=9\r\nContent-Length: 5\r\n\r\n{\"a\"}")
    #expect(
      try bench.clientReceived()
        == "HTTP/1.1 529 Site is overloaded!\r\nretry-after: 7\r\nRequest-Id: req_1\r\nSet-Cookie: a\r\n"
        + "set-cookie: b\r\nContent-Length: 5\r\n\r\n{\"a\"}")
    #expect(bench.tap.ends.map(\.outcome) == [.complete])
    #expect(bench.tap.ends.map(\.status) == [529])
  }

  @Test func aStreamIsRelayedByteForByteAtEverySplit_G01() throws {
    let body = Array(streamed.utf8)
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    let wire =
      Array(head.utf8) + Array(String(body.count, radix: 16).utf8) + Array("\r\n".utf8) + body
      + Array("\r\n0\r\n\r\n".utf8)
    for split in 0...wire.count {
      let bench = try RelayBench()
      try bench.clientSends("POST /v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
      if split > 0 { try bench.upstreamSends(Array(wire[..<split])) }
      if split < wire.count { try bench.upstreamSends(Array(wire[split...])) }
      let response = try ReadResponse(RelayBench.drain(bench.client))
      #expect(response.isWhole)
      #expect(response.body == body)
      #expect(Array(bench.tap.response.readableBytesView) == body)
      #expect(bench.tap.ends.map(\.outcome) == [.complete])
    }
  }

  @Test func eachReadOfAStreamIsOneWriteAtOnce() throws {
    let bench = try RelayBench()
    try bench.clientSends("POST /v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    try bench.upstreamSends("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    _ = try bench.clientReceived()
    for event in ["data: 1\n\n", "data: 2\n\n"] {
      try bench.upstreamSends("9\r\n\(event)\r\n")
      let write = try #require(try bench.client.readOutbound(as: ByteBuffer.self))
      #expect(String(buffer: write) == "9\r\n\(event)\r\n")
      #expect(try bench.client.readOutbound(as: ByteBuffer.self) == nil)
    }
  }

  @Test func aChunkedRequestBodyGoesAcrossInChunks() throws {
    let bench = try RelayBench()
    try bench.clientSends("POST /v1/messages HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    try bench.clientSends("3\r\nabc\r\n")
    try bench.clientSends("2\r\nde\r\n0\r\n\r\n")
    let sent = try bench.upstreamReceived()
    #expect(sent.hasSuffix("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"))
    #expect(String(buffer: bench.tap.request) == "abcde")
  }

  @Test func aRequestWaitsForItsUpstreamWithoutLosingABytes() throws {
    let bench = try RelayBench()
    bench.connector.isHeld = true
    try bench.clientSends("POST /v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc")
    try bench.clientSends("def")
    bench.connector.release()
    bench.loop.run()
    #expect(try bench.upstreamReceived().hasSuffix("\r\n\r\nabcdef"))
  }

  @Test func headHasNoBodyWhateverItsLengthSays() throws {
    let bench = try RelayBench()
    try bench.clientSends("HEAD /v1/models HTTP/1.1\r\nHost: a\r\n\r\n")
    try bench.upstreamSends("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n")
    #expect(try bench.clientReceived() == "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n")
    #expect(bench.tap.ends.map(\.outcome) == [.complete])
  }

  @Test func interimResponsesAreRelayed() throws {
    let bench = try RelayBench()
    try bench.clientSends(
      "POST /v1/messages HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    #expect(try bench.upstreamReceived().contains("Expect: 100-continue\r\n"))
    try bench.upstreamSends("HTTP/1.1 100 Continue\r\n\r\n")
    #expect(try bench.clientReceived() == "HTTP/1.1 100 Continue\r\n\r\n")
    try bench.clientSends("{}")
    #expect(try bench.upstreamReceived() == "{}")
    try bench.upstreamSends("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    #expect(try bench.clientReceived().hasSuffix("\r\n\r\nok"))
    #expect(bench.tap.heads == [200])
  }

  @Test func aRestingConnectionIsUsedAgain() throws {
    let bench = try RelayBench()
    for _ in 0..<3 {
      try bench.clientSends("GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n")
      _ = try bench.upstreamReceived()
      try bench.upstreamSends("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
      #expect(try bench.clientReceived().hasSuffix("ok"))
    }
    #expect(bench.connector.channels.count == 1)
    #expect(bench.tap.ends.count == 1)
  }

  @Test func aConnectionThatClosesWhileRestingIsReplaced() throws {
    let bench = try RelayBench()
    try bench.clientSends("POST /v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    try bench.upstreamSends("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    bench.upstream().close(promise: nil)
    bench.loop.run()
    try bench.clientSends("POST /v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    try bench.upstreamSends("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", on: 1)
    #expect(try bench.clientReceived().hasSuffix("ok"))
    #expect(bench.director.taps.flatMap(\.ends).map(\.outcome) == [.complete, .complete])
  }

  @Test func restingConnectionsAreClosedInTime() throws {
    let bench = try RelayBench()
    try bench.clientSends("GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n")
    try bench.upstreamSends("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    #expect(bench.proxy.pool.restingCount == 1)
    bench.loop.advanceTime(by: .seconds(6))
    #expect(bench.proxy.pool.restingCount == 0)
    #expect(!bench.upstream().isActive)
  }

  @Test func pipelinedRequestsAreAnsweredInTheirOrder() throws {
    let bench = try RelayBench()
    try bench.clientSends(
      "GET /v1/a HTTP/1.1\r\nHost: a\r\n\r\nGET /v1/b HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(try bench.upstreamReceived().hasPrefix("GET /v1/a "))
    #expect(try bench.upstreamReceived() == "")
    try bench.upstreamSends("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nA")
    #expect(try bench.upstreamReceived().hasPrefix("GET /v1/b "))
    try bench.upstreamSends("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nB")
    let received = try bench.clientReceived()
    #expect(received.hasSuffix("\r\n\r\nB"))
    #expect(received.contains("\r\n\r\nAHTTP/1.1 200 OK"))
  }

  @Test func aClientOfHTTP10GetsNoChunksAndAClose() throws {
    let bench = try RelayBench()
    try bench.clientSends("GET /v1/models HTTP/1.0\r\n\r\n")
    try bench.upstreamSends(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    #expect(try bench.clientReceived() == "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc")
  }

  @Test func aBodyThatEndsWithItsConnectionBecomesChunks() throws {
    let bench = try RelayBench()
    try bench.clientSends("GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n")
    try bench.upstreamSends("HTTP/1.0 200 OK\r\n\r\nabc")
    bench.upstream().close(promise: nil)
    bench.loop.run()
    #expect(try bench.clientReceived().hasSuffix("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"))
    #expect(bench.tap.ends.map(\.outcome) == [.complete])
  }

  @Test func anAnswerBeforeTheRequestsEndIsRelayedAndTheRestDropped() throws {
    let bench = try RelayBench()
    try bench.clientSends("POST /v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
    try bench.upstreamSends("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
    #expect(try bench.clientReceived() == "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
    #expect(bench.tap.ends.map(\.outcome) == [.complete])
    // The client sends on, as SDKs do, and its connection stays usable.
    try bench.clientSends("defghij")
    #expect(bench.client.isActive)
    try bench.clientSends("GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(try bench.upstreamReceived(1).hasPrefix("GET /v1/models"))
  }

  @Test func largePayloadsAreNotCopiedTogether() throws {
    let bench = try RelayBench()
    let payload = [UInt8](repeating: 7, count: 40_000)
    try bench.clientSends(
      Array("POST /v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 40000\r\n\r\n".utf8) + payload)
    let head = try #require(try bench.upstream().readOutbound(as: ByteBuffer.self))
    #expect(String(buffer: head).hasSuffix("\r\n\r\n"))
    let body = try #require(try bench.upstream().readOutbound(as: ByteBuffer.self))
    #expect(Array(body.readableBytesView) == payload)
  }

  @Test func requestsOfTheAPIGoOnAsTheyCame() throws {
    let bench = try RelayBench()
    let text = "GET /local/status HTTP/1.1\r\nHost: a\r\nX-Y: z\r\n\r\n"
    try bench.clientSends(text)
    let passed = try #require(try bench.client.readInbound(as: ByteBuffer.self))
    #expect(String(buffer: passed) == text)
    #expect(bench.connector.channels.isEmpty)
  }

  @Test func anOfferToUpgradeIsNotPassedToTheAPI() throws {
    let bench = try RelayBench()
    try bench.clientSends(
      "POST /local HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n{}")
    var passed = ""
    while let buffer = try bench.client.readInbound(as: ByteBuffer.self) { passed += String(buffer: buffer) }
    #expect(passed == "POST /local HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}")
  }
}
