// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastUsage
import NIOCore
import Synchronization
import Testing

@testable import HoldfastGateway

/// Keeps the rows it is given.
final class KeptRows: UsageSink {
  private let kept = Mutex<[UsageRow]>([])

  var rows: [UsageRow] { kept.withLock { $0 } }

  func record(_ row: UsageRow, of end: ExchangeEnd) { kept.withLock { $0.append(row) } }
}

@Suite struct UsageTapTests {
  private static let stream = """
    event: message_start
    data: {"type":"message_start","message":{"id":"msg_7","model":"claude-sonnet-4-5-20250929","usage":\
    {"input_tokens":25,"cache_read_input_tokens":1000,"output_tokens":1}}}

    event: content_block_delta
    data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}

    event: message_delta
    data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":15}}

    event: message_stop
    data: {"type":"message_stop"}


    """

  private let sink = KeptRows()

  private func tap(
    _ target: String = "/v1/messages", method: String = "POST", fields: String = "",
    provider: String = "anthropic"
  ) throws -> UsageTap? {
    var parser = HeadParser()
    var input = ByteBuffer(string: "\(method) \(target) HTTP/1.1\r\nHost: a\r\n\(fields)\r\n")
    let head = try #require(try parser.request(from: &input))
    let table = try #require(RouteTable(GatewayConfiguration(home: "/nowhere").providers))
    let route = try #require(
      table.route(method: method, target: target, looksAnthropic: provider == "anthropic"))
    return UsageTap.make(for: head, route, sink: sink)
  }

  private func head(_ status: Int = 200, _ fields: String) throws -> ResponseHead {
    var parser = HeadParser()
    var input = ByteBuffer(string: "HTTP/1.1 \(status) X\r\n\(fields)\r\n")
    return try #require(try parser.response(from: &input, toHEAD: false))
  }

  private func end(_ outcome: ExchangeOutcome = .complete, status: Int? = 200) -> ExchangeEnd {
    ExchangeEnd(
      outcome: outcome, status: status, startedAt: UnixTime(nanoseconds: 1_763_000_000_000_000_000),
      duration: .milliseconds(1234), firstByte: .milliseconds(500), requestBytes: 10, responseBytes: 20)
  }

  @Test func aStreamsRowIsTheSameAtEverySplit_G01() throws {
    let bytes = Array(Self.stream.utf8)
    for split in stride(from: 0, through: bytes.count, by: 1) {
      let tap = try #require(
        try tap(fields: "x-claude-code-session-id: s1\r\nuser-agent: claude-cli/2.1.329\r\n"))
      tap.requestBody(ByteBuffer(string: #"{"model":"claude-sonnet-4-5","stream":true}"#))
      tap.responseHead(
        try head(200, "content-type: text/event-stream; charset=utf-8\r\nrequest-id: req_9\r\n"))
      tap.responseBody(ByteBuffer(bytes: bytes[..<split]))
      tap.responseBody(ByteBuffer(bytes: bytes[split...]))
      tap.ended(end())
      let row = try #require(sink.rows.last)
      #expect(row.model == "claude-sonnet-4-5-20250929")
      #expect(row.inputTokens == 25)
      #expect(row.cacheReadTokens == 1000)
      #expect(row.outputTokens == 15)
      #expect(row.outcome == .complete)
      #expect(row.requestID == "req_9")
      #expect(row.responseID == "msg_7")
      #expect(row.session == "s1")
      #expect(row.source == "claude-code")
      #expect(row.streaming == true)
      #expect(row.durationMilliseconds == 1234)
      #expect(row.firstTokenMilliseconds != nil)
      #expect(row.unknown == nil)
    }
    #expect(sink.rows.count == bytes.count + 1)
  }

  @Test func aCompressedAnswersUsageIsRead_G04() throws {
    let tap = try #require(try tap())
    tap.responseHead(try head(200, "content-type: application/json\r\ncontent-encoding: gzip\r\n"))
    for byte in try CompressedAnswer.bytes(CompressedAnswer.gzip) {
      tap.responseBody(ByteBuffer(bytes: [byte]))
    }
    tap.ended(end())
    #expect(sink.rows.map(\.inputTokens) == [11])
    #expect(sink.rows.map(\.outputTokens) == [22])
    #expect(sink.rows.map(\.firstTokenMilliseconds) == [500])
  }

  @Test func anAnswerCompressedOtherwiseIsUnknownAndSaysWhy_G04() throws {
    let tap = try #require(try tap())
    tap.responseHead(try head(200, "content-encoding: br\r\n"))
    tap.responseBody(ByteBuffer(string: "not to be read"))
    tap.ended(end())
    #expect(sink.rows.map(\.unknown) == [.compressed])
    #expect(sink.rows.map(\.inputTokens) == [nil])
  }

  @Test func anErrorIsRecordedWithItsType_G03() throws {
    let tap = try #require(try tap())
    tap.requestBody(ByteBuffer(string: #"{"model":"claude-opus-4-5"}"#))
    tap.responseHead(try head(429, "content-type: application/json\r\nretry-after: 7\r\n"))
    tap.responseBody(
      ByteBuffer(string: #"{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}"#))
    tap.ended(end(status: 429))
    let row = try #require(sink.rows.last)
    #expect(row.outcome == .upstreamError)
    #expect(row.status == 429)
    #expect(row.errorType == "rate_limit_error")
    #expect(row.model == "claude-opus-4-5")
    #expect(!row.isUnknown)
  }

  @Test func whatIsKnownOfABrokenStreamIsKept_G02() throws {
    let tap = try #require(try tap())
    tap.responseHead(try head(200, "content-type: text/event-stream\r\n"))
    tap.responseBody(ByteBuffer(string: String(Self.stream.prefix(260))))
    tap.ended(end(.clientLeft))
    let row = try #require(sink.rows.last)
    #expect(row.outcome == .clientLeft)
    #expect(row.inputTokens == 25)
  }

  @Test(arguments: [
    (ExchangeOutcome.failed(.upstreamUnreachable), UsageOutcome.upstreamUnreachable),
    (.failed(.upstreamConnectTimeout), .upstreamTimeout), (.failed(.upstreamTimeout), .upstreamTimeout),
    (.failed(.upstreamClosed), .upstreamDied), (.failed(.upstreamMalformed), .upstreamDied),
    (.stalled, .upstreamTimeout), (.clientLeft, .clientLeft), (.shutDown, .refused),
  ])
  func everyEndHasItsOutcome_G03(_ ended: ExchangeOutcome, _ outcome: UsageOutcome) throws {
    let tap = try #require(try tap())
    tap.ended(end(ended, status: 502))
    #expect(sink.rows.map(\.outcome) == [outcome])
    #expect(sink.rows.map(\.model) == ["unknown"])
  }

  @Test(arguments: [
    ("POST", "/v1/messages?beta=true", true), ("POST", "/v1/chat/completions", true),
    ("POST", "/v1/responses", true),
    ("POST", "/v1/embeddings", true), ("POST", "/groq/chat/completions", true),
    ("POST", "/openrouter/v1/messages", true),
    ("POST", "/v1/messages/count_tokens", false), ("GET", "/v1/models", false),
    ("GET", "/v1/responses/resp_1", false),
    ("POST", "/v1/messages/batches", false), ("POST", "/v1/files", false),
  ])
  func billedRequestsMakeRowsAndOthersNone(_ method: String, _ target: String, _ makes: Bool) throws {
    #expect((try tap(target, method: method) != nil) == makes)
  }
}
