// SPDX-License-Identifier: Apache-2.0

import NIOCore
import NIOEmbedded
import Testing

@testable import HoldfastGateway

private let head = "POST /v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"
private let local = "POST /local HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"

@Suite struct SlowClientTests {
  @Test(arguments: [ClientShape.anthropic, .openAI])
  func aBodyThatStopsIs408AndTheUpstreamIsLetGo_G07(_ shape: ClientShape) throws {
    let bench = try RelayBench()
    bench.director.shape = shape
    try bench.clientSends(head + "abc")
    bench.loop.advanceTime(by: .seconds(55))
    #expect(bench.tap.ends.isEmpty)
    bench.loop.advanceTime(by: .seconds(10))
    let response = try ReadResponse(try bench.clientReceived())
    #expect(response.head.hasPrefix("HTTP/1.1 408 Request Timeout\r\n"))
    #expect(response.head.contains("Connection: close"))
    #expect(response.text.hasPrefix(shape == .anthropic ? #"{"type":"error""# : #"{"error":{"#))
    #expect(response.text.contains(#""code":"request_timeout""#))
    #expect(!bench.upstream().isActive, "the upstream must not wait for a body that will not come")
    #expect(bench.tap.ends.map(\.outcome) == [.failed(.requestTimeout)])
  }

  @Test func aBodyThatDripsIsGivenUpAsOneThatStops_G07() throws {
    let bench = try RelayBench()
    try bench.clientSends(head)
    for _ in 0..<14 {
      try bench.clientSends("x")
      bench.loop.advanceTime(by: .seconds(5))
    }
    #expect(try bench.clientReceived().hasPrefix("HTTP/1.1 408 "))
  }

  @Test func aSlowButSteadyBodyIsTakenToItsEnd_G07() throws {
    let bench = try RelayBench()
    try bench.clientSends(head)
    for _ in 0..<500 {
      try bench.clientSends([UInt8](repeating: 1, count: 2000))
      bench.loop.advanceTime(by: .seconds(1))
    }
    #expect(bench.tap.ends.isEmpty)
    #expect(bench.tap.request.readableBytes == 1_000_000)
  }

  @Test func aBodyTheUpstreamDoesNotTakeIsNoFaultOfTheClient_G07() throws {
    let bench = try RelayBench()
    try bench.clientSends(head + "abc")
    bench.upstream().isWritable = false
    bench.client.read()
    bench.loop.advanceTime(by: .seconds(200))
    #expect(bench.tap.ends.isEmpty)
    bench.upstream().isWritable = true
    bench.upstream().pipeline.fireChannelWritabilityChanged()
    bench.loop.advanceTime(by: .seconds(50))
    #expect(bench.tap.ends.isEmpty, "from when it is read again the client has the whole allowance")
    bench.loop.advanceTime(by: .seconds(15))
    #expect(try bench.clientReceived().hasPrefix("HTTP/1.1 408 "))
  }

  @Test func anAnswerThatCameBeforeTheBodyGoesOn_G07() throws {
    let bench = try RelayBench()
    try bench.clientSends(head + "abc")
    try bench.upstreamSends("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    bench.loop.advanceTime(by: .seconds(100))
    try bench.upstreamSends("3\r\ndef\r\n0\r\n\r\n")
    let response = try ReadResponse(try bench.clientReceived())
    #expect(response.isWhole)
    #expect(response.text == "abcdef")
  }

  @Test func aBodyForTheAPIThatStopsIs408_G07() throws {
    let bench = try RelayBench()
    try bench.clientSends(local + "abc")
    bench.loop.advanceTime(by: .seconds(65))
    #expect(try bench.clientReceived().hasPrefix("HTTP/1.1 408 "))
    bench.loop.advanceTime(by: .seconds(10))
    #expect(!bench.client.isActive)
  }

  @Test func anAnswerOfTheAPIThatIsNotReadIsGivenUp_G07() throws {
    let bench = try RelayBench()
    try bench.clientSends("GET /local HTTP/1.1\r\nHost: a\r\n\r\n")
    bench.client.isWritable = false
    bench.client.pipeline.fireChannelWritabilityChanged()
    bench.loop.advanceTime(by: .seconds(100))
    #expect(bench.client.isActive)
    bench.loop.advanceTime(by: .seconds(25))
    #expect(!bench.client.isActive)

    let slow = try RelayBench()
    try slow.clientSends("GET /local HTTP/1.1\r\nHost: a\r\n\r\n")
    for _ in 0..<10 {
      for isWritable in [false, true] {
        slow.client.isWritable = isWritable
        slow.client.pipeline.fireChannelWritabilityChanged()
        slow.loop.advanceTime(by: .seconds(100))
      }
    }
    #expect(slow.client.isActive, "a client that reads, however slowly, is served")
  }

  @Test func whoDoesNotReadAnswersGetsNoFurtherOnes_G07() throws {
    let bench = try RelayBench()
    let get = "GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n"
    try bench.clientSends(get)
    bench.client.isWritable = false
    try bench.upstreamSends("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nA")
    try bench.clientSends(get + get)
    #expect(bench.director.taps.count == 1)
    bench.client.isWritable = true
    bench.client.pipeline.fireChannelWritabilityChanged()
    bench.loop.run()
    #expect(bench.director.taps.count == 2)
  }

  @Test func ofManyWhoDoNotReadThoseThatWaitedLongestAreLetGo_G07() throws {
    var settings = ProxySettings()
    settings.unreadConnections = 1
    let bench = try RelayBench(settings: settings)
    let second = try bench.anotherClient()
    let third = try bench.anotherClient()
    for client in [bench.client, second] {
      client.isWritable = false
      client.pipeline.fireChannelWritabilityChanged()
      bench.loop.advanceTime(by: .seconds(1))
    }
    #expect(bench.client.isActive, "a moment is no reason")
    bench.loop.advanceTime(by: .seconds(10))
    #expect(!bench.client.isActive)
    #expect(second.isActive)
    #expect(third.isActive)
  }

  @Test func largeHeadsOfManyConnectionsAreBoundedTogether_G07() throws {
    var settings = ProxySettings()
    settings.inputBytesPerLoop = 50_000
    settings.smallHeadBytes = 1000
    let bench = try RelayBench(settings: settings)
    let large = "POST /v1/messages HTTP/1.1\r\nHost: a\r\nX: " + String(repeating: "x", count: 30_000)
    try bench.clientSends(large)
    #expect(try bench.clientReceived() == "")
    let second = try bench.anotherClient()
    try second.writeInbound(ByteBuffer(string: large))
    #expect(String(decoding: try RelayBench.drain(second), as: UTF8.self).hasPrefix("HTTP/1.1 431 "))
    // A small one is heard beside it, and the first goes on.
    let third = try bench.anotherClient()
    try third.writeInbound(ByteBuffer(string: "GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n"))
    #expect(bench.director.taps.count == 1)
    try bench.clientSends("\r\nContent-Length: 0\r\n\r\n")
    #expect(bench.director.taps.count == 2)
    // What was taken no longer counts.
    #expect(bench.proxy.inputBytes == 0)
  }

  @Test func connectionsThatEndGiveBackWhatTheyHeld_G07() throws {
    let bench = try RelayBench()
    try bench.clientSends("GET /v1/models HTTP/1.1\r\nHost: ")
    #expect(bench.proxy.inputBytes == 31)
    bench.client.close(promise: nil)
    bench.loop.run()
    #expect(bench.proxy.inputBytes == 0)
  }
}

@Suite struct LargeRequestTests {
  @Test func aBodyBeyondTheBoundIs413BeforeAnUpstreamIsAsked_G07() throws {
    var settings = ProxySettings()
    settings.requestBytes = 999_999
    let bench = try RelayBench(settings: settings)
    try bench.clientSends(head.replacing("Host: a", with: "Host: a\r\nX-Api-Key: k"))
    let response = try ReadResponse(try bench.clientReceived())
    #expect(response.head.hasPrefix("HTTP/1.1 413 Content Too Large\r\n"))
    #expect(response.text.contains(#""type":"request_too_large""#))
    #expect(response.text.contains("999999 bytes"))
    #expect(bench.connector.channels.isEmpty)
  }

  @Test func chunksBeyondTheBoundAre413AndTheUpstreamIsLetGo_G07() throws {
    var settings = ProxySettings()
    settings.requestBytes = 10
    let bench = try RelayBench(settings: settings)
    try bench.clientSends("POST /v1/files HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    try bench.clientSends("6\r\nabcdef\r\n")
    #expect(bench.tap.ends.isEmpty)
    try bench.clientSends("6\r\nabcdef\r\n")
    let response = try ReadResponse(try bench.clientReceived())
    #expect(response.head.hasPrefix("HTTP/1.1 413 "))
    #expect(!bench.upstream().isActive)
    #expect(bench.tap.ends.map(\.outcome) == [.failed(.requestTooLarge)])
  }

  @Test func bodiesAndHeadsForTheAPIHaveTheirOwnBounds_G07() throws {
    for (request, status) in [
      ("POST /local HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n", 413),
      (
        "POST /local HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n100001\r\n"
          + String(repeating: "x", count: 0x100001), 413
      ),
      ("GET /local HTTP/1.1\r\nHost: a\r\nX: " + String(repeating: "x", count: 70_000) + "\r\n\r\n", 431),
    ] {
      let bench = try RelayBench()
      try bench.clientSends(request)
      #expect(try bench.clientReceived().contains("HTTP/1.1 \(status) "))
      bench.loop.advanceTime(by: .seconds(10))
      #expect(!bench.client.isActive)
    }
  }

  @Test(arguments: ["anthropic-version: 2023-06-01", "X-API-Key: k", "Accept: a"])
  func aHeadThatIsRefusedIsAnsweredInTheShapeItSeemsToHave_G07(_ field: String) throws {
    let expected = field.hasPrefix("Accept") ? #"{"error":{"# : #"{"type":"error""#
    for (rest, status) in [("X: " + String(repeating: "x", count: 140_000), 431), ("no field\r\n\r\n", 400)] {
      let bench = try RelayBench()
      try bench.clientSends("POST /v1/responses HTTP/1.1\r\nHost: a\r\n\(field)\r\n\(rest)")
      let response = try ReadResponse(try bench.clientReceived())
      #expect(response.head.hasPrefix("HTTP/1.1 \(status) "))
      #expect(response.text.hasPrefix(expected))
    }
  }
}

@Suite struct ConnectionBudgetTests {
  @Test func aShareOfTheDescriptorsIsLeftToUpstreamsAndStores_G07() {
    let few = ConnectionBudget(descriptors: 1024)
    #expect(few.clients == 576)
    #expect(ConnectionBudget(descriptors: 64).clients == 16)
    #expect(ConnectionBudget(descriptors: 20_000).clients > 10_000)
    #expect(ConnectionBudget(descriptors: .max).clients < 1 << 16)
    #expect(ConnectionBudget(descriptors: 1024, clients: 20).clients == 20)
    #expect(ConnectionBudget(descriptors: 1024, clients: 100_000).clients == 576)
  }

  @Test func beyondTheBoundConnectionsAreTurnedAwayAndThenDropped_G07() {
    let budget = ConnectionBudget(descriptors: 1024, clients: 2)
    #expect((0..<2).map { _ in budget.admit() } == [.welcome, .welcome])
    #expect((0..<64).allSatisfy { _ in budget.admit() == .turnedAway })
    #expect(budget.admit() == .dropped)
    for _ in 0..<66 { budget.leave() }
    #expect(budget.connected == 1)
    #expect(budget.admit() == .welcome)
  }

  @Test func upstreamsGetWhatClientsLeave_G07() {
    let budget = ConnectionBudget(descriptors: 256)
    #expect((0..<42).allSatisfy { _ in budget.admit() == .welcome })
    // Whoever is turned away or dropped takes nothing of it.
    #expect((0..<400).allSatisfy { _ in budget.admit() != .welcome })
    #expect((0..<14).allSatisfy { _ in budget.admitUpstream() })
    #expect(!budget.admitUpstream())
    budget.leaveUpstream()
    #expect(budget.admitUpstream())
  }

  @Test func aConnectionTooManyIsAnswered503InItsClientsShape_G07() throws {
    for (field, type) in [("X-Api-Key: k", "overloaded_error"), ("Authorization: Bearer k", "server_error")] {
      let bench = try RelayBench(admission: .turnedAway)
      try bench.clientSends("POST /v1/x HTTP/1.1\r\nHost: a\r\n\(field)\r\nContent-Length: 2\r\n\r\n{}")
      let response = try ReadResponse(try bench.clientReceived())
      #expect(response.head.hasPrefix("HTTP/1.1 503 "))
      #expect(response.head.contains("Retry-After: 1\r\n"))
      #expect(response.head.contains("Connection: close"))
      #expect(response.text.contains(#""type":"\#(type)""#))
      #expect(response.text.contains("too_many_connections"))
      #expect(bench.director.taps.isEmpty)
      bench.loop.advanceTime(by: .seconds(10))
      #expect(!bench.client.isActive)
    }
  }

  @Test func aConnectionTooManyIsNotWaitedFor_G07() throws {
    let silent = try RelayBench(admission: .turnedAway)
    silent.loop.advanceTime(by: .seconds(7))
    #expect(!silent.client.isActive)
    let partial = try RelayBench(admission: .turnedAway)
    try partial.clientSends("POST /v1")
    partial.loop.advanceTime(by: .seconds(7))
    #expect(!partial.client.isActive)
    let dropped = try RelayBench(admission: .dropped)
    dropped.loop.run()
    #expect(!dropped.client.isActive)
  }

  @Test func whereThereIsNoRoomForTheUpstreamTheClientIsTold_G07() throws {
    let bench = try RelayBench()
    bench.connector.failure = ProxyFault.tooManyConnections
    try bench.clientSends("POST /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}")
    bench.loop.run()
    #expect(try bench.clientReceived().hasPrefix("HTTP/1.1 503 "))
    #expect(bench.tap.ends.map(\.outcome) == [.failed(.tooManyConnections)])
  }
}

@Suite struct BodyPaceTests {
  private let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

  private func pace() -> BodyPace { BodyPace(allowance: .seconds(60), leastRate: 1000, now: start) }

  @Test func bytesEarnTimeAtTheLeastRateAndNoMoreThanTheAllowance_G07() {
    var pace = pace()
    #expect(pace.due == start + .seconds(60))
    pace.received(1000, at: start + .seconds(30))
    #expect(pace.due == start + .seconds(61))
    pace.received(1_000_000, at: start + .seconds(31))
    #expect(pace.due == start + .seconds(91))
  }

  @Test func amountsNoCounterHoldsDoNotOverflow_G07() {
    var pace = pace()
    pace.received(.max, at: start)
    #expect(pace.due == start + .seconds(60))
    var slow = BodyPace(allowance: .hours(24), leastRate: 0, now: start)
    slow.received(.max, at: start)
    #expect(slow.due == start + .hours(24))
  }

  @Test func aPauseOfOursIsGivenBack_G07() {
    var pace = pace()
    pace.restart(at: start + .seconds(100))
    #expect(pace.due == start + .seconds(160))
  }
}
