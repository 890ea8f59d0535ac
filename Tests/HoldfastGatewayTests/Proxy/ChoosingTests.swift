// SPDX-License-Identifier: Apache-2.0

import HoldfastTestKit
import HoldfastUsage
import NIOCore
import NIOEmbedded
import Testing

@testable import HoldfastGateway

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Keeps what it is told. One embedded event loop and one thread per test.
private final class Told: RouteWatch, @unchecked Sendable {
  var tries: [String] = []

  func tried(_ provider: String, model: String, _ result: TryResult) {
    tries.append("\(provider) \(model) \(result)")
  }
}

/// A bench whose requests go where the model in them is: `m` to first and then second, `alone` to first only,
/// anything else to the bench's own upstream.
private final class ChoosingBench {
  let bench: RelayBench
  let told = Told()
  var needsWholeBody = false

  init(settings: ProxySettings = ProxySettings(), tries: [String] = ["first", "second"]) throws {
    bench = try RelayBench(settings: settings)
    let upstreams = tries.map { Upstream(name: $0, host: "\($0).test", port: 80, usesTLS: false) }
    let told = self.told
    bench.director.choosing = { [unowned self] fallback in
      OpenRoute(fallback: fallback, needsWholeBody: self.needsWholeBody) { body in
        guard let model = body.model, model == "m" || model == "alone" else {
          var plan = fallback
          plan.decision = RouteDecision(reason: "default")
          return plan
        }
        var hops = upstreams.map {
          RelayHop(upstream: $0, targetPrefix: "/base", targetTail: fallback.hop.targetTail, model: model)
        }
        if model == "alone" { hops = [hops[0]] }
        return RelayPlan(
          hop: hops[0], alternatives: Array(hops.dropFirst()), shape: .openAI,
          decision: RouteDecision(reason: "cheapest", watch: told))
      }
    }
  }

  func post(_ body: String, fields: String = "") -> String {
    "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n\(fields)Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
  }

  func sent(to name: String) throws -> String { try bench.upstreamReceived(bench.connection(to: name)) }

  func sends(_ text: String, from name: String) throws {
    try bench.upstreamSends(text, on: bench.connection(to: name))
  }

  func head(for name: String, _ body: String) -> String {
    "POST /base/v1/chat/completions HTTP/1.1\r\nHost: \(name).test\r\nContent-Length: \(body.utf8.count)\r\n\r\n"
  }
}

private let body = #"{"messages":[{"role":"user","content":"Grüße, 世界"}],"model":"m","stream":true}"#
private let okay = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

@Suite struct ChoosingTests {
  @Test func aRequestGoesWhereItsModelIsAtEverySplit() throws {
    let wire = Array(try ChoosingBench().post(body).utf8)
    for split in 1..<wire.count {
      let choosing = try ChoosingBench()
      try choosing.bench.clientSends(Array(wire[..<split]))
      try choosing.bench.clientSends(Array(wire[split...]))
      #expect(try choosing.sent(to: "first") == choosing.head(for: "first", body) + body)
      try choosing.sends(okay, from: "first")
      #expect(
        try choosing.bench.clientReceived()
          == "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Holdfast-Route: first=200; by=cheapest\r\n\r\nok")
      #expect(String(buffer: choosing.bench.tap.request) == body)
      #expect(choosing.bench.connector.names == ["first"])
      #expect(choosing.bench.proxy.heldBytes == 0)
    }
  }

  @Test func nothingIsHeldBackOnceTheModelIsKnown() throws {
    let choosing = try ChoosingBench()
    let start = #"{"model":"alone","messages":["#
    let rest = "1]}"
    let wire = choosing.post(start + rest)
    try choosing.bench.clientSends(String(wire.dropLast(rest.count)))
    #expect(try choosing.sent(to: "first").hasSuffix("\r\n\r\n" + start))
    #expect(choosing.bench.proxy.heldBytes == 0, "there is nowhere else it could be sent")
    try choosing.bench.clientSends(rest)
    #expect(try choosing.sent(to: "first") == rest)
  }

  @Test func whatDependsOnTheWholeBodyWaitsForIt() throws {
    let choosing = try ChoosingBench()
    choosing.needsWholeBody = true
    let wire = choosing.post(#"{"model":"m","input":"x"}"#)
    try choosing.bench.clientSends(String(wire.dropLast(1)))
    #expect(choosing.bench.connector.names == [])
    try choosing.bench.clientSends("}")
    #expect(choosing.bench.connector.names == ["first"])
  }

  @Test(arguments: [#"{"messages":[]}"#, #"{"model":"nobody's"}"#, "no JSON at all", ""])
  func whatNamesNoKnownModelGoesTheUsualWay(_ body: String) throws {
    let choosing = try ChoosingBench()
    try choosing.bench.clientSends(choosing.post(body))
    #expect(choosing.bench.connector.names == ["fake"])
    let sent = try choosing.sent(to: "fake")
    #expect(sent.hasPrefix("POST /v1/chat/completions HTTP/1.1\r\nHost: upstream.test:8080\r\n"))
    #expect(sent.hasSuffix("\r\n\r\n" + body))
    try choosing.sends(okay, from: "fake")
    #expect(try choosing.bench.clientReceived().contains("X-Holdfast-Route: fake=200; by=default\r\n"))
  }

  @Test func aBodyThatOutgrowsTheBoundIsNotWaitedWith() throws {
    var settings = ProxySettings()
    settings.heldRequestBytes = 1000
    let choosing = try ChoosingBench(settings: settings)
    let long = #"{"messages":""# + String(repeating: "x", count: 5000) + #"","model":"m"}"#
    let wire = Array(choosing.post(long).utf8)
    for start in stride(from: 0, to: wire.count, by: 100) {
      try choosing.bench.clientSends(Array(wire[start..<min(start + 100, wire.count)]))
      #expect(choosing.bench.proxy.heldBytes <= 1100)
    }
    #expect(choosing.bench.connector.names == ["fake"])
    #expect(try choosing.sent(to: "fake").hasSuffix("\r\n\r\n" + long))
    #expect(choosing.bench.proxy.heldBytes == 0)
  }

  @Test func aClientThatWaitsToBeToldToSendIsTold() throws {
    let choosing = try ChoosingBench()
    let wire = choosing.post(body, fields: "Expect: 100-continue\r\n")
    try choosing.bench.clientSends(String(wire.dropLast(body.count)))
    #expect(try choosing.bench.clientReceived() == "HTTP/1.1 100 Continue\r\n\r\n")
    try choosing.bench.clientSends(body)
    #expect(try choosing.sent(to: "first") == choosing.head(for: "first", body) + body)
  }

  @Test func aChunkedBodyIsHeldAndRepeatedInChunks() throws {
    let choosing = try ChoosingBench()
    try choosing.bench.clientSends(
      "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n{\"mode\r\n")
    #expect(choosing.bench.connector.names == [])
    try choosing.bench.clientSends("6\r\nl\":\"m\"\r\n1\r\n}\r\n0\r\n\r\n")
    try choosing.sends("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", from: "first")
    var input = ByteBuffer(string: try choosing.sent(to: "second"))
    var parser = HeadParser()
    let head = try #require(try parser.request(from: &input))
    #expect(head.framing == .chunked)
    var reader = BodyReader(.chunked)
    var text = ""
    while case .payload(let piece) = try reader.next(from: &input) { text += String(buffer: piece) }
    #expect(text == #"{"model":"m"}"#)
    #expect(reader.isAtEnd)
  }

  @Test func aClientThatLeavesBeforeItsModelIsKnownIsRecordedOnce() throws {
    let choosing = try ChoosingBench()
    try choosing.bench.clientSends(String(choosing.post(body).dropLast(40)))
    choosing.bench.client.close(promise: nil)
    choosing.bench.loop.run()
    #expect(choosing.bench.connector.names == [])
    #expect(choosing.bench.tap.ends.map(\.outcome) == [.clientLeft])
    #expect(choosing.bench.proxy.heldBytes == 0)
  }

  @Test func aBodyThatNeverComesIsGivenUp() throws {
    let choosing = try ChoosingBench()
    try choosing.bench.clientSends(String(choosing.post(body).dropLast(40)))
    choosing.bench.loop.advanceTime(by: .seconds(602))
    #expect(try choosing.bench.clientReceived().hasPrefix("HTTP/1.1 408 "))
    #expect(choosing.bench.tap.ends.map(\.outcome) == [.failed(.requestTimeout)])
    #expect(choosing.bench.proxy.heldBytes == 0)
  }
}

@Suite struct FailoverTests {
  @Test(arguments: [429, 500, 502, 503, 504, 529])
  func anAnswerThatTurnsTheRequestAwaySendsItToTheNext(_ status: Int) throws {
    let choosing = try ChoosingBench()
    try choosing.bench.clientSends(choosing.post(body))
    try choosing.sends(
      "HTTP/1.1 \(status) Busy\r\nRetry-After: 7\r\nContent-Length: 20\r\n\r\n{\"error\":", from: "first")
    #expect(try choosing.sent(to: "second") == choosing.head(for: "second", body) + body)
    #expect(!choosing.bench.upstream(0).isActive)
    try choosing.sends(okay, from: "second")
    let route = "first=\(status), second=200; by=cheapest"
    #expect(
      try choosing.bench.clientReceived()
        == "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Holdfast-Route: \(route)\r\n\r\nok")
    let end = try #require(choosing.bench.tap.ends.first)
    #expect(choosing.bench.tap.ends.count == 1)
    #expect(end.route?.description == route)
    #expect(end.route?.provider == "second")
    #expect(end.status == 200)
    #expect(choosing.bench.tap.heads == [200], "the tap sees the answer the client gets")
    #expect(String(buffer: choosing.bench.tap.request) == body)
    #expect(
      choosing.told.tries == [
        "first m failed(status: \(status), retryAfter: Optional(7))", "second m answered(status: 200)",
      ])
    #expect(choosing.bench.proxy.heldBytes == 0)
  }

  @Test(arguments: [400, 401, 403, 404, 408, 413, 422, 501])
  func anyOtherErrorIsTheClients(_ status: Int) throws {
    let choosing = try ChoosingBench()
    try choosing.bench.clientSends(choosing.post(body))
    try choosing.sends("HTTP/1.1 \(status) No\r\nX-Why: a\r\nContent-Length: 2\r\n\r\n{}", from: "first")
    #expect(
      try choosing.bench.clientReceived()
        == "HTTP/1.1 \(status) No\r\nX-Why: a\r\nContent-Length: 2\r\n"
        + "X-Holdfast-Route: first=\(status); by=cheapest\r\n\r\n{}")
    #expect(choosing.bench.connector.names == ["first"])
    #expect(choosing.told.tries == ["first m failed(status: \(status), retryAfter: nil)"])
  }

  @Test func theLastErrorIsRelayedAsItCame() throws {
    let choosing = try ChoosingBench()
    try choosing.bench.clientSends(choosing.post(body))
    try choosing.sends("HTTP/1.1 503 A\r\nContent-Length: 1\r\n\r\na", from: "first")
    try choosing.sends("HTTP/1.1 429 B!\r\nretry-after: 3\r\nContent-Length: 1\r\n\r\nb", from: "second")
    #expect(
      try choosing.bench.clientReceived()
        == "HTTP/1.1 429 B!\r\nretry-after: 3\r\nContent-Length: 1\r\n"
        + "X-Holdfast-Route: first=503, second=429; by=cheapest\r\n\r\nb")
    #expect(choosing.bench.tap.ends.map(\.outcome) == [.complete])
  }

  @Test func anUpstreamThatCannotBeReachedIsPassedOver() throws {
    let choosing = try ChoosingBench()
    choosing.bench.connector.unreachable["first"] = IOError(errnoCode: ECONNREFUSED, reason: "connect")
    try choosing.bench.clientSends(choosing.post(body))
    #expect(try choosing.sent(to: "second") == choosing.head(for: "second", body) + body)
    try choosing.sends(okay, from: "second")
    #expect(
      try choosing.bench.clientReceived().contains("X-Holdfast-Route: first=unreachable, second=200;"))
  }

  @Test func whenNoneCanBeReachedTheLastIsNamed() throws {
    let choosing = try ChoosingBench()
    for name in ["first", "second"] {
      choosing.bench.connector.unreachable[name] = IOError(errnoCode: ECONNREFUSED, reason: "connect")
    }
    try choosing.bench.clientSends(choosing.post(body))
    let response = try ReadResponse(try choosing.bench.clientReceived())
    #expect(response.head.hasPrefix("HTTP/1.1 502 "))
    #expect(
      response.head.contains("X-Holdfast-Route: first=unreachable, second=unreachable; by=cheapest\r\n"))
    #expect(response.text.contains("second (second.test)"))
    #expect(choosing.bench.tap.ends.map(\.outcome) == [.failed(.upstreamUnreachable)])
  }

  @Test func whatMayHaveBeenWorkedOnIsNotSentTwice() throws {
    let choosing = try ChoosingBench()
    try choosing.bench.clientSends(choosing.post(body))
    choosing.bench.upstream(0).close(promise: nil)
    choosing.bench.loop.run()
    let response = try ReadResponse(try choosing.bench.clientReceived())
    #expect(response.head.hasPrefix("HTTP/1.1 502 "))
    #expect(response.head.contains("X-Holdfast-Route: first=broken; by=cheapest\r\n"))
    #expect(choosing.bench.connector.names == ["first"])
    #expect(choosing.told.tries == ["first m broken"])
  }

  @Test func nothingIsSentAgainOnceTheAnswerHasBegun() throws {
    let choosing = try ChoosingBench()
    try choosing.bench.clientSends(choosing.post(body))
    try choosing.sends("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", from: "first")
    #expect(choosing.bench.proxy.heldBytes == 0)
    choosing.bench.upstream(0).close(promise: nil)
    choosing.bench.loop.run()
    #expect(choosing.bench.connector.names == ["first"])
    #expect(try !ReadResponse(try choosing.bench.clientReceived()).isWhole)
    #expect(choosing.bench.tap.ends.map(\.outcome) == [.upstreamDied])
    #expect(choosing.told.tries == ["first m broken"])
  }

  @Test func aBodyTooLargeToKeepIsSentOnce() throws {
    var settings = ProxySettings()
    settings.heldRequestBytes = 100
    let choosing = try ChoosingBench(settings: settings)
    let long = #"{"model":"m","messages":""# + String(repeating: "x", count: 500) + #""}"#
    let wire = Array(choosing.post(long).utf8)
    for start in stride(from: 0, to: wire.count, by: 50) {
      try choosing.bench.clientSends(Array(wire[start..<min(start + 50, wire.count)]))
    }
    #expect(try choosing.sent(to: "first").hasSuffix(long))
    #expect(choosing.bench.proxy.heldBytes == 0)
    try choosing.sends("HTTP/1.1 429 No\r\nContent-Length: 0\r\n\r\n", from: "first")
    #expect(try choosing.bench.clientReceived().hasPrefix("HTTP/1.1 429 No\r\n"))
    #expect(choosing.bench.connector.names == ["first"])
  }

  @Test func manyRequestsTogetherKeepNoMoreThanTheLoopMay() throws {
    var settings = ProxySettings()
    settings.heldBytesPerLoop = body.utf8.count - 1
    let choosing = try ChoosingBench(settings: settings)
    try choosing.bench.clientSends(choosing.post(body))
    #expect(choosing.bench.proxy.heldBytes == 0)
    #expect(try choosing.sent(to: "first") == choosing.head(for: "first", body) + body)
    try choosing.sends("HTTP/1.1 429 No\r\nContent-Length: 0\r\n\r\n", from: "first")
    #expect(try choosing.bench.clientReceived().hasPrefix("HTTP/1.1 429 No\r\n"))
  }

  @Test func anErrorThatComesBeforeTheRequestIsWholeSendsAllOfItElsewhere() throws {
    let choosing = try ChoosingBench()
    let start = #"{"model":"m","messages":["#
    let rest = String(repeating: "1,", count: 100) + "1]}"
    try choosing.bench.clientSends(String(choosing.post(start + rest).dropLast(rest.count)))
    try choosing.sends("HTTP/1.1 429 No\r\nContent-Length: 0\r\n\r\n", from: "first")
    #expect(try choosing.sent(to: "second") == choosing.head(for: "second", start + rest) + start)
    try choosing.bench.clientSends(rest)
    #expect(try choosing.sent(to: "second") == rest)
    try choosing.sends(okay, from: "second")
    #expect(try choosing.bench.clientReceived().hasSuffix("\r\n\r\nok"))
    #expect(String(buffer: choosing.bench.tap.request) == start + rest)
  }

  @Test func aClientThatLeavesBetweenTriesIsRecordedOnce() throws {
    let choosing = try ChoosingBench()
    try choosing.bench.clientSends(choosing.post(body))
    choosing.bench.connector.isHeld = true
    try choosing.sends("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", from: "first")
    choosing.bench.client.close(promise: nil)
    choosing.bench.loop.run()
    choosing.bench.connector.release()
    choosing.bench.loop.run()
    #expect(choosing.bench.tap.ends.map(\.outcome) == [.clientLeft])
    #expect(choosing.bench.tap.ends.first?.route?.path == "first=500, second=cancelled")
    #expect(try choosing.sent(to: "second") == "")
    #expect(choosing.bench.proxy.heldBytes == 0)
  }

  /// Any body in any pieces, any fates of up to five upstreams: the client has the answer of exactly one of them, whole,
  /// each that was asked was asked for the whole request, and everything is told once.
  @Test(arguments: 0..<400)
  func whateverBecomesOfTheTriesTheClientHasOneAnswer(_ seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    let names = (0..<Int.random(in: 1...5, using: &random)).map { "u\($0)" }
    var settings = ProxySettings()
    settings.heldRequestBytes = Int.random(in: 200...40_000, using: &random)
    let choosing = try ChoosingBench(settings: settings, tries: names)
    let bench = choosing.bench
    let filler = String(repeating: "é,", count: Int.random(in: 0...8000, using: &random))
    let body =
      Bool.random(using: &random)
      ? #"{"model":"m","messages":"\#(filler)"}"# : #"{"messages":"\#(filler)","model":"m"}"#
    for name in names where Int.random(in: 0..<4, using: &random) == 0 {
      bench.connector.unreachable[name] = IOError(errnoCode: ECONNREFUSED, reason: "connect")
    }
    var rest = Array(choosing.post(body).utf8)[...]
    var answered = false
    var asked: [[UInt8]] = []
    var received = ""
    /// What came to the newest connection; maybe its answer.
    func turn(_ isAllowedToAnswer: Bool) throws {
      for (index, channel) in bench.connector.channels.enumerated() {
        if asked.count == index { asked.append([]) }
        asked[index] += try RelayBench.drain(channel)
      }
      received += try bench.clientReceived()
      guard isAllowedToAnswer, !answered, let last = bench.connector.channels.indices.last,
        bench.upstream(last).isActive, !received.contains("HTTP/1.1")
      else { return }
      let status = [200, 200, 400, 429, 500, 503].randomElement(using: &random)!
      try bench.upstreamSends(
        "HTTP/1.1 \(status) X\r\nX-From: \(bench.connector.names[last])\r\nContent-Length: 2\r\n\r\nok",
        on: last)
      received += try bench.clientReceived()
      answered = received.contains("HTTP/1.1")
    }
    while !rest.isEmpty {
      let count = min(rest.count, Int.random(in: 1...9000, using: &random))
      try bench.clientSends(Array(rest.prefix(count)))
      rest = rest.dropFirst(count)
      try turn(Int.random(in: 0..<8, using: &random) == 0)
      #expect(bench.proxy.heldBytes <= settings.heldRequestBytes + 65_536)
    }
    for _ in 0..<8 where !answered { try turn(true) }
    try turn(false)

    let response = try ReadResponse(received)
    #expect(response.isWhole)
    #expect(bench.tap.ends.count == 1)
    #expect(bench.proxy.heldBytes == 0)
    let end = try #require(bench.tap.ends.first)
    let trace = try #require(end.route)
    #expect(response.head.contains("X-Holdfast-Route: \(trace)\r\n"))
    if let from = response.head.split(separator: "\r\n").first(where: { $0.hasPrefix("X-From: ") }) {
      #expect(from.dropFirst(8) == trace.provider ?? "")
    } else {
      #expect(trace.tries.last?.result == "unreachable")
    }
    #expect(trace.tries.dropLast().allSatisfy { ["429", "500", "503", "unreachable"].contains($0.result) })
    // The last one asked has the whole request, unless it answered before it was whole.
    guard trace.tries.last?.result != "unreachable", let last = asked.last else { return }
    var input = ByteBuffer(bytes: last)
    var parser = HeadParser()
    let head = try #require(try parser.request(from: &input))
    var reader = BodyReader(head.framing)
    var sent: [UInt8] = []
    while case .payload(let piece) = try reader.next(from: &input) { sent += Array(piece.readableBytesView) }
    #expect(Array(body.utf8).starts(with: sent))
    #expect(reader.isAtEnd || bench.tap.ends.first?.requestBytes != body.utf8.count)
  }
}
