// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastEngine
import HoldfastUsage
import Testing

extension UsageRow {
  /// A row with a value in every field.
  static var full: UsageRow {
    var row = UsageRow(provider: "anthropic", model: "claude-opus-4-8", outcome: .clientLeft)
    row.uid = "u-1"
    row.time = UTCInstant(milliseconds: 1_795_253_412_045)
    (row.source, row.session, row.project) = ("claude-code", "s-1 世界", "proj")
    (row.agent, row.parentAgent) = ("a", "p")
    (row.requestID, row.responseID) = ("req_011", "msg_1")
    (row.endpoint, row.streaming, row.status) = (.anthropicMessages, true, 200)
    (row.errorType, row.stopReason) = ("overloaded_error", "end_turn")
    (row.durationMilliseconds, row.firstTokenMilliseconds) = (1234, 56)
    (row.inputTokens, row.outputTokens, row.reasoningTokens) = (0, 300, 200)
    (row.cacheReadTokens, row.cacheWrite5mTokens, row.cacheWrite1hTokens) = (1, 1 << 39, 128)
    (row.webSearches, row.serviceTier, row.speed, row.inferenceGeo) = (2, "standard", "fast", "us")
    (row.unknown, row.costMicrodollars, row.rateCard) = (.cutShort, 1_000_000, "builtin")
    (row.route, row.decision) = ("groq=429, anthropic=200", "cheapest")
    (row.tool, row.origin, row.savedMicrodollars) = ("Bash", .both, -7)
    return row
  }
}

@Suite("A usage row")
struct UsageRowTests {
  private func refusal(_ line: String) -> String? {
    do {
      _ = try UsageRow(line: Array(line.utf8))
      return nil
    } catch {
      return error.message
    }
  }

  @Test("the spool's record holds every field")
  func recordHoldsEveryField() throws {
    #expect(try UsageRow(record: UsageRow.full.encodedRecord()) == UsageRow.full)
    let bare = UsageRow(provider: "p", model: "m")
    #expect(try UsageRow(record: bare.encodedRecord()) == bare)
    // Every property has a value in the fullest row, so the comparison above left none out.
    for child in Mirror(reflecting: UsageRow.full).children {
      if case Optional<Any>.none = child.value as Any? { Issue.record("\(child.label ?? "?") is nil") }
      #expect(!"\(child.value)".hasPrefix("nil"), "\(child.label ?? "?")")
    }
  }

  @Test("JSON holds every field, under the names of the contract")
  func jsonHoldsEveryField() throws {
    let data = try JSONEncoder().encode(UsageRow.full)
    #expect(try JSONDecoder().decode(UsageRow.self, from: data) == UsageRow.full)
    let object = try #require(JSONSerialization.jsonObject(with: data) as? [String: Any])
    #expect(object.count == Mirror(reflecting: UsageRow.full).children.count)
    #expect(object["time"] as? String == "2026-11-21T09:30:12.045Z")
    #expect(object["cache_write_5m_tokens"] as? Int == 1 << 39)
    #expect(object["cost_microusd"] as? Int == 1_000_000)
  }

  @Test("the fields of a newer version are stepped over")
  func newerFieldsAreSteppedOver_C16() throws {
    var bytes = UsageRow.full.encodedRecord()
    // Numbers 99 to 102: a varint, a text, and the two fixed widths.
    bytes += [0x98, 0x06, 0x05, 0x9A, 0x06, 0x02, 0x68, 0x69]
    bytes += [0xA5, 0x06, 1, 2, 3, 4, 0xA9, 0x06, 1, 2, 3, 4, 5, 6, 7, 8]
    #expect(try UsageRow(record: bytes) == UsageRow.full)
  }

  @Test("a record that is cut or of another format is refused, never guessed")
  func damagedRecordsAreRefused() {
    let bytes = UsageRow.full.encodedRecord()
    var refused = 0
    for end in 0..<bytes.count {
      do { _ = try UsageRow(record: Array(bytes[..<end])) } catch { refused += 1 }
    }
    // A cut between two fields leaves a shorter row; any other is refused.
    #expect(refused > bytes.count - Mirror(reflecting: UsageRow.full).children.count)
    #expect(throws: UsageError.self) { try UsageRow(record: [9] + bytes.dropFirst()) }
    #expect(throws: UsageError.self) { try UsageRow(record: [1]) }
  }

  @Test("random bytes are refused without harm", arguments: 0..<200 as Range<UInt64>)
  func randomRecordsAreHarmless(_ seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    let bytes = [1] + (0..<60).map { _ in UInt8.random(in: 0...255, using: &generator) }
    _ = try? UsageRow(record: bytes)
  }

  @Test(
    "a value that cannot be true is refused with its reason",
    arguments: [
      (#""input_tokens":-1"#, "input_tokens is negative (-1)"),
      (#""output_tokens":1e300"#, "output_tokens is 1e+300, beyond any count"),
      (#""cache_read_tokens":1000000000001"#, "beyond the bound of 1000000000000"),
      (#""cache_write_5m_tokens":99999999999999999999"#, "cache_write_5m_tokens is 1e+20, beyond any count"),
      (#""cache_write_1h_tokens":1.5"#, "cache_write_1h_tokens is 1.5, not a whole number"),
      (#""output_tokens":"12""#, "output_tokens is not a number"),
      (#""duration_ms":-5"#, "duration_ms is negative"),
      (#""status":999"#, "no HTTP status"),
      (#""status":"gone""#, "no outcome"),
      (#""time":"yesterday""#, "neither RFC 3339"),
      (#""time":-1"#, "outside the years"),
      (#""session":5"#, "session is not a text"),
      (#""session":"a\u0000b""#, "NUL"),
      (#""uid":"""#, "uid is empty"),
    ])
  func absurdRowsAreRefused_D15(_ field: String, _ reason: String) throws {
    let message = try #require(refusal(#"{"provider":"p","model":"m",\#(field)}"#))
    #expect(message.contains(reason), "\(message)")
  }

  @Test("what is no row is refused with its reason")
  func foreignLinesAreRefused_D15() {
    #expect(refusal("") == "The line is not valid JSON.")
    #expect(refusal(#"{"provider":"p","model":"m","input_tokens":NaN}"#) == "The line is not valid JSON.")
    #expect(refusal("[1]") == "The line is not a JSON object.")
    #expect(refusal(#"{"model":"m"}"#) == "provider is missing.")
    #expect(refusal(#"{"provider":"p","model":""}"#) == "model is empty.")
    #expect(
      refusal(#"{"provider":"p","model":"\#(String(repeating: "m", count: 1025))"}"#)?.contains("1025")
        == true)
  }

  @Test("a line that is no valid text is refused")
  func invalidTextIsRefused_D01() {
    let surrogate = #"{"provider":"p","model":"a\ud800b"}"#
    #expect(throws: UsageError.self) { try UsageRow(line: Array(surrogate.utf8)) }
    let bytes = Array(#"{"provider":"p","model":""#.utf8) + [0xC3, 0x28] + Array(#""}"#.utf8)
    #expect(throws: UsageError.self) { try UsageRow(line: bytes) }
    let nested = String(repeating: "[", count: 100_000)
    #expect(throws: UsageError.self) {
      try UsageRow(line: Array(#"{"provider":"p","model":"m","x":\#(nested)"#.utf8))
    }
  }

  @Test("a line of the contract is read")
  func contractLineIsRead() throws {
    let line = #"""
      {"uid":"x","time":"2026-11-21T10:30:12.0459+01:00","provider":"openai","model":"gpt-5","source":"app",
      "request_id":"r","input_tokens":5,"cache_read_tokens":0,"cache_write_5m_tokens":null,"output_tokens":7.0,
      "status":200,"duration_ms":12,"tomorrow":{"a":1}}
      """#
    let row = try UsageRow(line: Array(line.utf8))
    #expect(row.uid == "x" && row.time?.description == "2026-11-21T09:30:12.045Z" && row.source == "app")
    #expect(row.inputTokens == 5 && row.outputTokens == 7 && row.cacheReadTokens == 0)
    #expect(row.cacheWrite5mTokens == nil && row.cacheWrite1hTokens == nil)
    #expect(row.status == 200 && row.outcome == .complete && row.durationMilliseconds == 12)
    let failed = try UsageRow(line: Array(#"{"provider":"p","model":"m","status":429}"#.utf8))
    #expect(failed.outcome == .upstreamError && !failed.isUnknown)
    let left = try UsageRow(line: Array(#"{"provider":"p","model":"m","status":"client_left"}"#.utf8))
    #expect(left.outcome == .clientLeft && left.isUnknown)
  }

  @Test("an error within a stream that began well is the row's outcome")
  func streamErrorIsTheOutcome_G03() {
    var row = UsageRow(provider: "anthropic", model: "asked")
    row.endpoint = .anthropicMessages
    row.status = 200
    row.take(RecordedStream.anthropicErrorAfter200.expected)
    #expect(
      row.outcome == .streamError && row.model == "claude-opus-4-8" && row.errorType == "overloaded_error")
    row.outcome = .upstreamError
    row.status = 529
    #expect(!row.expectsUsage)
    (row.status, row.outcome) = (200, .upstreamTimeout)
    #expect(row.expectsUsage && row.isIncomplete)
    row.status = nil
    #expect(!row.expectsUsage && !row.isIncomplete)
    row.endpoint = .anthropicCountTokens
    (row.status, row.outcome) = (200, .complete)
    row.inputTokens = nil
    #expect(!row.isUnknown)
  }
}

@Suite("Moments in UTC")
struct UTCInstantTests {
  @Test(
    "texts and moments agree",
    arguments: [
      ("1970-01-01T00:00:00Z", 0), ("2026-11-21T09:30:12.045Z", 1_795_253_412_045),
      ("2000-02-29T23:59:59.999+00:00", 951_868_799_999), ("2024-02-29", 1_709_164_800_000),
      ("1970-01-01 01:00:00+01:00", 0), ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
      ("2026-11-21T09:30:12.5-05:30", 1_795_273_212_500),
    ])
  func textsAreRead(_ text: String, _ milliseconds: Int64) {
    #expect(UTCInstant(text)?.milliseconds == milliseconds)
  }

  @Test(
    "what is no time is nil",
    arguments: [
      "", "2026", "2026-02-29", "2026-13-01", "2026-11-21T24:00:00Z", "2026-11-21T09:30Z",
      "2026-11-21T09:30:00",
      "2026-11-21T09:30:00.Z", "2026-11-21T09:30:00Zx", "２０２６-11-21",
    ])
  func othersAreRefused(_ text: String) {
    #expect(UTCInstant(text) == nil)
  }

  @Test("every moment is read back as written", arguments: 0..<20 as Range<UInt64>)
  func momentsAreReadBack(_ seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    for _ in 0..<200 {
      let instant = UTCInstant(milliseconds: Int64.random(in: 0...253_402_300_799_999, using: &generator))
      #expect(UTCInstant(instant.description) == instant)
      #expect(UTCInstant(instant.dayText) == instant.startOfDay)
      let date = Date(timeIntervalSince1970: Double(instant.startOfHour.milliseconds) / 1000)
      #expect(instant.startOfHour.rfc3339(wholeSeconds: true) == date.formatted(.iso8601))
    }
  }
}
