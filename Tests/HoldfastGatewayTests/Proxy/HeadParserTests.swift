// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Testing

@testable import HoldfastGateway

@Suite struct HeadParserTests {
  private func request(_ text: String) throws -> RequestHead? {
    var parser = HeadParser()
    var input = ByteBuffer(string: text)
    return try parser.request(from: &input)
  }

  @Test func aHeadIsReadAtEverySplit() throws {
    let text = "POST /v1/messages?beta=true HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nX-A:  b \r\n\r\nabc"
    for split in 1..<text.utf8.count {
      var parser = HeadParser()
      let bytes = Array(text.utf8)
      var input = ByteBuffer(bytes: bytes[..<split])
      var head = try parser.request(from: &input)
      if head == nil {
        input.writeBytes(bytes[split...])
        head = try parser.request(from: &input)
      } else {
        input.writeBytes(bytes[split...])
      }
      let found = try #require(head)
      #expect(found.methodText == "POST")
      #expect(found.targetText == "/v1/messages?beta=true")
      #expect(found.framing == .length(3))
      #expect(found.fields.first("x-a") == "b")
      #expect(String(buffer: input) == "abc")
    }
  }

  @Test(arguments: [
    "GET / HTTP/1.1\nHost: a\n\n\r\n\r\n",
    "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "GET / HTTP/1.1\r\n\r\n",
    "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: a\u{0}b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
    "G=T@ / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n: empty\r\n\r\n",
  ])
  func whatTwoParsersCouldReadDifferentlyIsRefused(_ text: String) {
    #expect(throws: MessageFault.self) { try request(text) }
  }

  @Test func otherVersionsAndCodingsAreNamed() {
    #expect(throws: MessageFault(status: 505, message: "only HTTP/1.1 and HTTP/1.0 are spoken here")) {
      try request("GET / HTTP/2.0\r\nHost: a\r\n\r\n")
    }
    #expect(throws: MessageFault(status: 501, message: "the request's transfer coding is not supported")) {
      try request("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n")
    }
  }

  @Test func aHeadBeyondTheBoundIsRefusedBeforeItIsWhole_G07() {
    var parser = HeadParser(limits: .init(headBytes: 100, fieldCount: 10))
    var input = ByteBuffer(string: "GET / HTTP/1.1\r\nHost: a\r\nX: " + String(repeating: "a", count: 100))
    #expect(throws: MessageFault.self) { try parser.request(from: &input) }
    var second = HeadParser(limits: .init(headBytes: 10_000, fieldCount: 2))
    var many = ByteBuffer(string: "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nX: 2\r\n\r\n")
    #expect(throws: MessageFault.self) { try second.request(from: &many) }
  }

  @Test func emptyLinesBeforeARequestArePassedOver() throws {
    #expect(try request("\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n")?.targetText == "/x")
  }

  @Test func responsesWithoutBodiesHaveNone() throws {
    func framing(_ text: String, toHEAD: Bool = false) throws -> BodyFraming? {
      var parser = HeadParser()
      var input = ByteBuffer(string: text)
      return try parser.response(from: &input, toHEAD: toHEAD)?.framing
    }
    #expect(try framing("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n") == BodyFraming.none)
    #expect(try framing("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n") == BodyFraming.none)
    #expect(try framing("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", toHEAD: true) == BodyFraming.none)
    #expect(try framing("HTTP/1.1 200\r\n\r\n") == .untilClose)
    #expect(
      try framing("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: Chunked\r\n\r\n") == .chunked)
  }
}

@Suite struct BodyReaderTests {
  private func read(_ text: String, _ framing: BodyFraming, splitting step: Int) throws -> (
    String, Bool, String
  ) {
    var reader = BodyReader(framing)
    var input = ByteBuffer()
    var out = ""
    var ended = false
    let bytes = Array(text.utf8)
    var index = 0
    while index < bytes.count, !ended {
      input.writeBytes(bytes[index..<min(index + step, bytes.count)])
      index += step
      steps: while true {
        switch try reader.next(from: &input) {
        case .payload(let piece): out += String(buffer: piece)
        case .end:
          ended = true
          break steps
        case .needsMore: break steps
        }
      }
    }
    if index < bytes.count { input.writeBytes(bytes[index...]) }
    return (out, ended, String(buffer: input))
  }

  @Test func chunksAreReadAtEverySplit_G01() throws {
    let text = "5;name=value\r\nhello\r\n0A\r\n, world!!\n\r\n0\r\nX-Trailer: 1\r\n\r\nNEXT"
    for step in 1...text.utf8.count {
      let (out, ended, rest) = try read(text, .chunked, splitting: step)
      #expect(out == "hello, world!!\n")
      #expect(ended)
      #expect(rest == "NEXT")
    }
  }

  @Test func aLengthEndsWhereItSays() throws {
    for step in 1...8 {
      let (out, ended, rest) = try read("helloREST", .length(5), splitting: step)
      #expect(out == "hello")
      #expect(ended)
      #expect("REST".hasSuffix(rest) || rest.hasPrefix("REST"))
    }
  }

  @Test(arguments: [
    "5\nhello\r\n0\r\n\r\n", "5\r\nhelloX\r\n0\r\n\r\n", "g\r\n", "\r\n", "fffffffffffffffff\r\n",
    "5\r\nhello\r\n0\r\nX: 1\n\r\n",
  ])
  func malformedChunksAreRefused(_ text: String) {
    #expect(throws: MessageFault.self) { try read(text, .chunked, splitting: 1) }
  }
}
