// SPDX-License-Identifier: Apache-2.0

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

private let post = "POST /v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
private let streamHead =
  "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

@Suite struct RelayFaultTests {
  @Test func aClientThatLeavesCancelsTheUpstream_G02() throws {
    let bench = try RelayBench()
    try bench.clientSends(post)
    try bench.upstreamSends(streamHead + "3\r\nabc\r\n")
    #expect(bench.upstream().isActive)
    bench.client.close(promise: nil)
    bench.loop.run()
    #expect(!bench.upstream().isActive)
    #expect(bench.tap.ends.map(\.outcome) == [.clientLeft])
    #expect(String(buffer: bench.tap.response) == "abc")
  }

  @Test func aClientThatHalfClosesHasLeft_G02() throws {
    let bench = try RelayBench()
    try bench.clientSends(post)
    bench.client.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
    bench.loop.run()
    #expect(!bench.upstream().isActive)
    #expect(!bench.client.isActive)
    #expect(bench.tap.ends.map(\.outcome) == [.clientLeft])
  }

  @Test func aClientThatLeavesBeforeItsUpstreamIsReachedIsRecordedOnce_G02() throws {
    let bench = try RelayBench()
    bench.connector.isHeld = true
    try bench.clientSends(post)
    bench.client.close(promise: nil)
    bench.loop.run()
    bench.connector.release()
    bench.loop.run()
    #expect(bench.tap.ends.map(\.outcome) == [.clientLeft])
    #expect(try bench.upstreamReceived() == "")
  }

  @Test func anUpstreamThatDiesInsideAStreamBreaksItOff_G03() throws {
    let bench = try RelayBench()
    try bench.clientSends(post)
    try bench.upstreamSends(streamHead + "3\r\nabc\r\n")
    bench.upstream().close(promise: nil)
    bench.loop.run()
    let response = try ReadResponse(try bench.clientReceived())
    #expect(response.text == "abc")
    #expect(!response.isWhole, "a terminating chunk would tell the client that the stream is complete")
    #expect(!bench.client.isActive)
    #expect(bench.tap.ends.map(\.outcome) == [.upstreamDied])
  }

  @Test func anUpstreamThatDiesInsideALengthBreaksItOff_G03() throws {
    let bench = try RelayBench()
    try bench.clientSends(post)
    try bench.upstreamSends("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
    bench.upstream().close(promise: nil)
    bench.loop.run()
    #expect(try !ReadResponse(try bench.clientReceived()).isWhole)
    #expect(!bench.client.isActive)
  }

  @Test func malformedChunksInsideAStreamBreakItOff_G03() throws {
    let bench = try RelayBench()
    try bench.clientSends(post)
    try bench.upstreamSends(streamHead + "3\r\nabc\r\n")
    try bench.upstreamSends("not a chunk")
    #expect(try !ReadResponse(try bench.clientReceived()).isWhole)
    #expect(!bench.client.isActive)
    #expect(!bench.upstream().isActive)
    #expect(bench.tap.ends.map(\.outcome) == [.upstreamDied])
  }

  @Test(arguments: [ClientShape.anthropic, .openAI])
  func anUpstreamThatClosesWithoutAnAnswerIs502_G03(_ shape: ClientShape) throws {
    let bench = try RelayBench()
    bench.director.shape = shape
    try bench.clientSends(post)
    bench.upstream().close(promise: nil)
    bench.loop.run()
    let response = try ReadResponse(try bench.clientReceived())
    #expect(response.head.hasPrefix("HTTP/1.1 502 "))
    #expect(response.isWhole)
    #expect(
      response.text.hasPrefix(shape == .anthropic ? #"{"type":"error","error":{"# : #"{"error":{"message""#))
    #expect(response.text.contains("upstream_closed"))
    #expect(bench.tap.ends.map(\.outcome) == [.failed(.upstreamClosed)])
    #expect(bench.connector.channels.count == 1, "a POST is never repeated")
    // The connection is fine: the next request works.
    try bench.clientSends(post)
    #expect(try bench.upstreamReceived(1).hasSuffix("{}"))
  }

  @Test func anAnswerThatIsNoHTTPIs502_G03() throws {
    let bench = try RelayBench()
    try bench.clientSends(post)
    try bench.upstreamSends("SSH-2.0-OpenSSH_9.2\r\n\r\n")
    let response = try ReadResponse(try bench.clientReceived())
    #expect(response.head.hasPrefix("HTTP/1.1 502 "))
    #expect(response.text.contains("upstream_malformed"))
    #expect(!bench.upstream().isActive)
  }

  @Test func anUnreachableUpstreamIs502AndALateOne504_G03() throws {
    let bench = try RelayBench()
    bench.connector.failure = IOError(errnoCode: ECONNREFUSED, reason: "connect")
    try bench.clientSends(post)
    bench.loop.run()
    let refused = try ReadResponse(try bench.clientReceived())
    #expect(refused.head.hasPrefix("HTTP/1.1 502 "))
    #expect(refused.text.contains("connection refused"))

    let late = try RelayBench()
    late.connector.isHeld = true
    try late.clientSends(post)
    late.loop.advanceTime(by: late.settings.connectTimeout)
    let response = try ReadResponse(try late.clientReceived())
    #expect(response.head.hasPrefix("HTTP/1.1 504 "))
    #expect(response.text.contains("upstream_connect_timeout"))
    #expect(late.tap.ends.map(\.outcome) == [.failed(.upstreamConnectTimeout)])
  }

  @Test func aSilentUpstreamIs504AfterTheIdleBoundAndNotBefore_G03() throws {
    let bench = try RelayBench()
    try bench.clientSends(post)
    bench.loop.advanceTime(by: .seconds(300))
    #expect(bench.tap.ends.isEmpty)
    bench.loop.advanceTime(by: .seconds(302))
    let response = try ReadResponse(try bench.clientReceived())
    #expect(response.head.hasPrefix("HTTP/1.1 504 "))
    #expect(response.text.contains("upstream_timeout"))
    #expect(!bench.upstream().isActive)
  }

  @Test func aStreamThatMovesHasNoTotalBound() throws {
    let bench = try RelayBench()
    try bench.clientSends(post)
    try bench.upstreamSends(streamHead)
    for _ in 0..<20 {
      bench.loop.advanceTime(by: .seconds(500))
      try bench.upstreamSends("3\r\nabc\r\n")
    }
    try bench.upstreamSends("0\r\n\r\n")
    #expect(try ReadResponse(try bench.clientReceived()).isWhole)
  }

  @Test func aStalledStreamIsBrokenOff_G03() throws {
    let bench = try RelayBench()
    try bench.clientSends(post)
    try bench.upstreamSends(streamHead + "3\r\nabc\r\n")
    bench.loop.advanceTime(by: .seconds(602))
    #expect(try !ReadResponse(try bench.clientReceived()).isWhole)
    #expect(!bench.client.isActive)
    #expect(bench.tap.ends.map(\.outcome) == [.stalled])
  }

  @Test func aGetOnAConnectionThatClosedUnderItIsAskedAgain() throws {
    let bench = try RelayBench()
    let get = "GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n"
    try bench.clientSends(get)
    try bench.upstreamSends("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1")
    try bench.clientSends(get)
    bench.upstream().close(promise: nil)
    bench.loop.run()
    #expect(try bench.upstreamReceived(1) == get.replacing("Host: a", with: "Host: upstream.test:8080"))
    try bench.upstreamSends("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2", on: 1)
    #expect(try bench.clientReceived().hasSuffix("\r\n\r\n2"))
  }

  @Test func bytesThatAreNoRequestAreRefusedAndTheConnectionEnds() throws {
    let bench = try RelayBench()
    try bench.clientSends("\u{16}\u{3}\u{1}hello there, this is TLS\r\n\r\n")
    #expect(try bench.clientReceived().hasPrefix("HTTP/1.1 400 "))
    bench.loop.advanceTime(by: .seconds(10))
    #expect(!bench.client.isActive)
  }

  @Test func aHeadThatNeverEndsIsGivenUp_G07() throws {
    let bench = try RelayBench()
    try bench.clientSends("GET / HTTP/1.1\r\nHost:")
    bench.loop.advanceTime(by: .seconds(32))
    #expect(try bench.clientReceived().hasPrefix("HTTP/1.1 408 "))
    bench.loop.advanceTime(by: .seconds(10))
    #expect(!bench.client.isActive)
  }

  @Test func anIdleConnectionIsClosedInTheEnd_G07() throws {
    let bench = try RelayBench()
    bench.loop.advanceTime(by: .seconds(625))
    #expect(!bench.client.isActive)
  }

  @Test func aRefusedRequestIsAnsweredInTheClientsShape_G06() throws {
    let bench = try RelayBench()
    bench.director.refusal = ProxyFault(.forbidden, "No.")
    bench.director.shape = .anthropic
    try bench.clientSends(
      "POST /v1/messages HTTP/1.1\r\nHost: evil.test\r\nContent-Length: 100000\r\n\r\nabc")
    let response = try ReadResponse(try bench.clientReceived())
    #expect(response.head.contains("403 Forbidden"))
    #expect(response.head.contains("Connection: close"))
    #expect(response.text.contains("permission_error"))
    #expect(bench.connector.channels.isEmpty)
  }

  @Test func whenTheGatewayStopsAStreamGoesOnAndItsConnectionThenCloses_G08() throws {
    let bench = try RelayBench()
    try bench.clientSends(post)
    bench.client.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
    bench.loop.run()
    #expect(bench.client.isActive)
    try bench.upstreamSends("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    #expect(
      try bench.clientReceived() == "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
    bench.loop.advanceTime(by: .seconds(10))
    #expect(!bench.client.isActive)
    #expect(bench.tap.ends.map(\.outcome) == [.complete])
  }

  @Test func whenTheBoundPassesWhatStillRunsIsEndedAndRecorded_G08() throws {
    let bench = try RelayBench()
    try bench.clientSends(post)
    try bench.upstreamSends(streamHead + "3\r\nabc\r\n")
    bench.proxy.shutDown()
    bench.loop.run()
    #expect(!bench.client.isActive)
    #expect(!bench.upstream().isActive)
    #expect(bench.tap.ends.map(\.outcome) == [.shutDown])
  }
}
