// SPDX-License-Identifier: Apache-2.0

import HoldfastUsage
import Testing

@Suite("Usage that is missing or malformed")
struct MalformedUsageTests {
  private func chatUsage(_ usage: String) -> WireUsage {
    let text = RecordedStream.events([
      (nil, #"{"id":"c","model":"m","choices":[{"finish_reason":"stop"}],"usage":\#(usage)}"#),
      (nil, "[DONE]"),
    ])
    return Splits.read(Array(text.utf8), kind: .openAIChat)
  }

  @Test("a stream that reports none is unknown, not zero")
  func missingUsageIsUnknown_G03() {
    for usage in ["null", "{}", #"{"prompt_tokens":null}"#, "[]"] {
      let read = chatUsage(usage)
      #expect(read.inputTokens == nil && read.outputTokens == nil)
      #expect(read.unknown == .notReported && read.finish == .complete)
      #expect(read.model == "m")
    }
  }

  @Test(
    "counts that cannot be true are not believed",
    arguments: [
      "-1", "1e300", "1.5", "\"12\"", "{}", "[1]", "true", "9223372036854775808", "1000000000001",
      String(repeating: "9", count: 5000),
    ])
  func absurdCountsAreUnknown_D15(_ count: String) {
    let read = chatUsage(#"{"prompt_tokens":\#(count),"completion_tokens":7}"#)
    #expect(read.inputTokens == nil)
    #expect(read.outputTokens == 7)
    #expect(read.unknown == .absurd)
  }

  @Test("whole numbers in any spelling are counts", arguments: [("12.0", 12), ("1.2e1", 12), ("0", 0)])
  func wholeNumbersAreCounts(_ spelling: String, _ value: Int64) {
    #expect(chatUsage(#"{"prompt_tokens":\#(spelling),"completion_tokens":1}"#).inputTokens == value)
  }

  @Test("an event that is no JSON costs only itself")
  func garbageEventCostsOnlyItself_G03() {
    for garbage in [
      "data: {\"usage\":{\"output_tokens\":9999}\n\n", "data: }{\n\n", "data: {\"usage\" 1}\n\n",
      "data: \u{0}\u{1}\n\n", "data: {\"usage\":{\"output_tokens\":9999}}}\n\n",
    ] {
      // After the last usage, so that a value believed would be the one that stays.
      var text = RecordedStream.events(Array(RecordedStream.anthropicEvents[..<9]))
      text += garbage + RecordedStream.events(Array(RecordedStream.anthropicEvents[9...]))
      #expect(Splits.read(Array(text.utf8), kind: .anthropicMessages) == RecordedStream.anthropic.expected)
    }
  }

  @Test("an answer in another format is unknown", arguments: WireKind.allCases)
  func otherFormatsAreUnknown_G03(_ kind: WireKind) {
    for text in ["", "<html>502</html>", "{\"a\":", "data", "\u{1F}\u{8B}\u{8}\0\0", "[[[[[[", "nul"] {
      for streaming in [true, false] {
        let read = Splits.read(Array(text.utf8), kind: kind, streaming: streaming)
        #expect(read.inputTokens == nil && read.outputTokens == nil && read.unknown != nil)
        if kind.billsTokens { #expect(read.unknown != .notApplicable) }
      }
    }
  }

  @Test("random bytes never trap and never make a count", arguments: 0..<40 as Range<UInt64>)
  func randomBytesAreHarmless_G03(_ seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    let alphabet = Array("{}[]\",:\\u0 123-.e\n\rdata:event usage input_tokens".utf8)
    for kind in WireKind.allCases {
      for streaming in [true, false] {
        let bytes = (0..<2000).map { _ in alphabet.randomElement(using: &generator)! }
        let whole = Splits.read(bytes, kind: kind, streaming: streaming)
        let cut = Splits.read(bytes, kind: kind, streaming: streaming, cuts: Array(1..<bytes.count))
        #expect(whole == cut)
      }
    }
  }

  @Test("a damaged stream reads the same at every split", arguments: 0..<60 as Range<UInt64>)
  func damagedStreamsReadTheSameAtEverySplit_G03(_ seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    for stream in RecordedStream.all {
      var bytes = stream.bytes
      for _ in 0..<3 {
        let at = Int.random(in: 0..<bytes.count, using: &generator)
        switch Int.random(in: 0..<3, using: &generator) {
        case 0: bytes[at] = UInt8.random(in: 0...255, using: &generator)
        case 1: bytes.remove(at: at)
        default: bytes.insert(bytes[Int.random(in: 0..<bytes.count, using: &generator)], at: at)
        }
      }
      let whole = Splits.read(bytes, kind: stream.kind)
      #expect(whole == Splits.read(bytes, kind: stream.kind, cuts: Array(1..<bytes.count)))
    }
  }
}
