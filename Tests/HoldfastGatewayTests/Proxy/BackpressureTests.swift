// SPDX-License-Identifier: Apache-2.0

import NIOCore
import NIOEmbedded
import Testing

@testable import HoldfastGateway

/// Counts the reads that reach a channel.
private final class ReadCounter: ChannelOutboundHandler {
  typealias OutboundIn = ByteBuffer
  var reads = 0

  func read(context: ChannelHandlerContext) {
    reads += 1
    context.read()
  }
}

@Suite struct BackpressureTests {
  @Test func aSlowClientStopsTheUpstreamsReads_G07() throws {
    let bench = try RelayBench()
    let counter = ReadCounter()
    try bench.clientSends("POST /v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}")
    try bench.upstream().pipeline.syncOperations.addHandler(counter, position: .first)
    try bench.upstreamSends("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")

    bench.client.isWritable = false
    bench.upstream().read()
    #expect(counter.reads == 0)
    bench.client.isWritable = true
    bench.client.pipeline.fireChannelWritabilityChanged()
    #expect(counter.reads == 1)
    bench.upstream().read()
    #expect(counter.reads == 2)
  }

  @Test func aSlowUpstreamStopsTheClientsReads_G07() throws {
    let bench = try RelayBench()
    let counter = ReadCounter()
    try bench.client.pipeline.syncOperations.addHandler(counter, position: .first)
    try bench.clientSends("POST /v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")
    bench.upstream().isWritable = false
    bench.client.read()
    #expect(counter.reads == 0)
    bench.upstream().isWritable = true
    bench.upstream().pipeline.fireChannelWritabilityChanged()
    #expect(counter.reads == 1)
  }

  @Test func whatIsHeldForAnUpstreamThatIsBeingReachedIsBounded_G07() throws {
    var settings = ProxySettings()
    settings.pendingRequestBytes = 1000
    let bench = try RelayBench(settings: settings)
    let counter = ReadCounter()
    bench.connector.isHeld = true
    try bench.client.pipeline.syncOperations.addHandler(counter, position: .first)
    try bench.clientSends("POST /v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n")
    bench.client.read()
    #expect(counter.reads == 1)
    try bench.clientSends([UInt8](repeating: 1, count: 2000))
    bench.client.read()
    #expect(counter.reads == 1)
    bench.connector.release()
    bench.loop.run()
    #expect(counter.reads == 2)
    try bench.clientSends([UInt8](repeating: 2, count: 3000))
    #expect(try RelayBench.drain(bench.upstream()).count > 5000)
    #expect(bench.tap.request.readableBytes == 5000)
  }

  @Test func aClientCannotSendFarAheadOfItsTurn_G07() throws {
    var settings = ProxySettings()
    settings.pipelinedBytes = 100
    let bench = try RelayBench(settings: settings)
    let counter = ReadCounter()
    try bench.client.pipeline.syncOperations.addHandler(counter, position: .first)
    try bench.clientSends("GET /v1/a HTTP/1.1\r\nHost: a\r\n\r\n")
    try bench.clientSends("GET /v1/b HTTP/1.1\r\nHost: a\r\nX: " + String(repeating: "x", count: 200))
    bench.client.read()
    #expect(counter.reads == 0)
    try bench.upstreamSends("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nA")
    #expect(counter.reads == 1)
  }
}
