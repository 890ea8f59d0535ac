// SPDX-License-Identifier: Apache-2.0

import HoldfastTestKit
import NIOCore
import NIOEmbedded
import Testing

@testable import HoldfastGateway

/// One request and its answer, both random but for their frames' being right.
private struct Turn {
  var request: [UInt8]
  var requestBody: [UInt8]
  var response: [UInt8]
  var responseBody: [UInt8]
  var endsConnection = false

  init(_ index: Int, _ random: inout SplitMix64) {
    requestBody = Self.bytes(&random)
    let isChunked = random.chance(0.4)
    var head = "POST /v1/messages?n=\(index) HTTP/1.1\r\nHost: a\r\n"
    head += isChunked ? "Transfer-Encoding: chunked\r\n\r\n" : "Content-Length: \(requestBody.count)\r\n\r\n"
    request = Array(head.utf8) + (isChunked ? Self.chunks(requestBody, &random) : requestBody)

    responseBody = Self.bytes(&random)
    var answer = random.chance(0.2) ? "HTTP/1.1 100 Continue\r\n\r\n" : ""
    answer += "HTTP/1.1 200 OK\r\nX-Index: \(index)\r\n"
    switch Int.random(in: 0..<5, using: &random) {
    case 0, 1:
      response = Array((answer + "Content-Length: \(responseBody.count)\r\n\r\n").utf8) + responseBody
    case 2, 3:
      response =
        Array((answer + "Transfer-Encoding: chunked\r\n\r\n").utf8) + Self.chunks(responseBody, &random)
    default:
      response = Array((answer + "\r\n").utf8) + responseBody
      endsConnection = true
    }
  }

  private static func bytes(_ random: inout SplitMix64) -> [UInt8] {
    let count =
      random.chance(0.1) ? Int.random(in: 0...30_000, using: &random) : Int.random(in: 0...60, using: &random)
    return (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
  }

  private static func chunks(_ body: [UInt8], _ random: inout SplitMix64) -> [UInt8] {
    var out: [UInt8] = []
    var index = 0
    while index < body.count {
      let size = min(Int.random(in: 1...4000, using: &random), body.count - index)
      out += Array("\(String(size, radix: 16))\r\n".utf8) + body[index..<index + size] + Array("\r\n".utf8)
      index += size
    }
    return out + Array("0\r\n\r\n".utf8)
  }
}

/// The far side of one upstream connection: reads requests, answers each with its turn's response.
private struct FarSide {
  var input = ByteBuffer()
  var parser = HeadParser()
  var reader: BodyReader?
  var target = ""
  var body: [UInt8] = []
  /// What is still to be sent, and whether the connection ends after it.
  var outgoing: [UInt8] = []
  var endsConnection = false

  /// Takes what arrived; the target and body of each request that is whole.
  mutating func take(_ bytes: [UInt8]) throws -> [(String, [UInt8])] {
    input.writeBytes(bytes)
    var whole: [(String, [UInt8])] = []
    while true {
      if reader == nil {
        guard let head = try parser.request(from: &input) else { return whole }
        target = head.targetText
        body = []
        reader = BodyReader(head.framing)
      }
      switch try reader!.next(from: &input) {
      case .payload(let piece): body += Array(piece.readableBytesView)
      case .end:
        whole.append((target, body))
        reader = nil
      case .needsMore: return whole
      }
    }
  }
}

@Suite struct RandomConversationTests {
  /// Plays a conversation by its seed: pieces of random size, in random order, from both sides; `breaks` lets either
  /// side go at a random moment.
  private func play(seed: UInt64, breaks: Bool) throws {
    var random = SplitMix64(seed: seed)
    let turns = (0..<Int.random(in: 1...5, using: &random)).map { Turn($0, &random) }
    let bench = try RelayBench()
    var toSend = Array(turns.flatMap(\.request))[...]
    var received: [UInt8] = []
    var far: [Int: FarSide] = [:]
    var arrived: [(String, [UInt8])] = []
    var isBroken = false

    var idle = 0
    while idle < 50 {
      idle += 1
      if !toSend.isEmpty, random.chance(0.6), bench.client.isActive {
        let piece = toSend.prefix(Int.random(in: 1...(random.chance(0.3) ? 20_000 : 40), using: &random))
        toSend = toSend.dropFirst(piece.count)
        try bench.clientSends(Array(piece))
        idle = 0
      }
      for (index, channel) in bench.connector.channels.enumerated() {
        let bytes = try RelayBench.drain(channel)
        for (target, body) in try far[index, default: FarSide()].take(bytes) {
          arrived.append((target, body))
          let turn = turns[Int(target.split(separator: "=")[1]) ?? 0]
          far[index]?.outgoing += turn.response
          far[index]?.endsConnection = turn.endsConnection
        }
        if let side = far[index], channel.isActive, random.chance(0.7) {
          if !side.outgoing.isEmpty {
            let size = min(
              Int.random(in: 1...(random.chance(0.3) ? 20_000 : 30), using: &random), side.outgoing.count)
            far[index]?.outgoing.removeFirst(size)
            try bench.upstreamSends(Array(side.outgoing.prefix(size)), on: index)
            idle = 0
          } else if side.endsConnection {
            channel.close(promise: nil)
            bench.loop.run()
            idle = 0
          }
        }
        if breaks, !isBroken, random.chance(0.02) {
          isBroken = true
          (random.chance(0.5) ? bench.client : channel).close(promise: nil)
          bench.loop.run()
        }
      }
      received += try RelayBench.drain(bench.client)
    }

    // Whatever happened, each exchange that began has ended, once.
    for tap in bench.director.taps { #expect(tap.ends.count == 1, "seed \(seed)") }
    if breaks { return }
    #expect(bench.director.taps.count == turns.count, "seed \(seed)")
    #expect(bench.director.taps.allSatisfy { $0.ends.map(\.outcome) == [.complete] }, "seed \(seed)")
    #expect(arrived.map(\.1) == turns.map(\.requestBody), "seed \(seed)")
    #expect(bench.director.taps.map { Array($0.request.readableBytesView) } == turns.map(\.requestBody))
    #expect(bench.director.taps.map { Array($0.response.readableBytesView) } == turns.map(\.responseBody))
    #expect(try responses(received) == turns.map(\.responseBody), "seed \(seed)")
  }

  /// The bodies of the final responses in what a client received.
  private func responses(_ bytes: [UInt8]) throws -> [[UInt8]] {
    var input = ByteBuffer(bytes: bytes)
    var bodies: [[UInt8]] = []
    while input.readableBytes > 0 {
      var parser = HeadParser()
      guard let head = try parser.response(from: &input, toHEAD: false) else { break }
      if head.isInformational { continue }
      var reader = BodyReader(head.framing)
      var body: [UInt8] = []
      while case .payload(let piece) = try reader.next(from: &input) {
        body += Array(piece.readableBytesView)
      }
      bodies.append(body)
    }
    return bodies
  }

  @Test func conversationsSurviveAnySplitAndOrder_G01() throws {
    for seed in 1...300 { try play(seed: UInt64(seed), breaks: false) }
  }

  @Test func whateverBreaksEveryExchangeEndsOnce_G02_G03() throws {
    for seed in 1...600 { try play(seed: UInt64(seed), breaks: true) }
  }

  @Test func bytesThatAreNoHTTPHarmNothing_G03() throws {
    for seed in 1...300 {
      var random = SplitMix64(seed: UInt64(seed))
      let bench = try RelayBench()
      var text = Array(
        "POST /v1/messages HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
          .utf8)
      var answer = Array(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".utf8)
      for _ in 0..<Int.random(in: 0...3, using: &random) {
        text[Int.random(in: text.indices, using: &random)] = UInt8.random(in: 0...255, using: &random)
        answer[Int.random(in: answer.indices, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      try bench.clientSends(text)
      if !bench.connector.channels.isEmpty, bench.upstream().isActive { try bench.upstreamSends(answer) }
      bench.client.close(promise: nil)
      bench.loop.run()
      for tap in bench.director.taps { #expect(tap.ends.count == 1, "seed \(seed)") }
    }
  }
}
