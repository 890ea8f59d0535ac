// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastUsage
import Testing

@Suite("Usage of a stream")
struct StreamUsageTests {
  @Test("every split of a recorded stream gives the same usage", arguments: RecordedStream.all)
  func usageIsReadFromEverySplit_G01(_ stream: RecordedStream) {
    let bytes = stream.bytes
    #expect(Splits.read(bytes, kind: stream.kind) == stream.expected)
    for cuts in Splits.all(of: bytes.count, seed: 1) {
      let usage = Splits.read(bytes, kind: stream.kind, cuts: cuts)
      if usage != stream.expected {
        Issue.record("cut at \(cuts): \(usage)")
        return
      }
    }
  }

  @Test("line ends, a byte order mark and comments change nothing", arguments: RecordedStream.all)
  func usageIsReadWithAnyLineEnd_G01(_ stream: RecordedStream) {
    for lineEnd in ["\r\n", "\r", "\n"] {
      var text = stream.text.replacing("\r\n", with: "\n").replacing("\n", with: lineEnd)
      text = "\u{FEFF}: a comment\(lineEnd)retry: 100\(lineEnd)id: 7\(lineEnd)\(lineEnd)" + text
      let bytes = Array(text.utf8)
      #expect(Splits.read(bytes, kind: stream.kind) == stream.expected)
      // Every byte alone: between CR and LF, and inside the mark.
      #expect(Splits.read(bytes, kind: stream.kind, cuts: Array(1..<bytes.count)) == stream.expected)
    }
  }

  @Test(
    "pings, comments and events of tomorrow may stand anywhere", arguments: RecordedStream.all,
    0..<20 as Range<UInt64>)
  func foreignEventsAreIgnored_G01(_ stream: RecordedStream, _ seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    let noise = [
      "event: ping\ndata: {\"type\": \"ping\"}\n\n", ": keep-alive\n\n", "data\n\n", "data: \n\n", "\n\n",
      "event: future\ndata: {\"type\":\"future\",\ndata: \"usages\":{\"input_tokens\":5}}\n\n",
      "event: future\n\n", "unknown: field\n",
    ]
    var text = ""
    for event in stream.text.components(separatedBy: "\n\n") where !event.isEmpty {
      for _ in 0..<Int.random(in: 0...3, using: &generator) {
        text += noise.randomElement(using: &generator)!
      }
      text += event + "\n\n"
    }
    let bytes = Array(text.utf8)
    let cuts = (0..<20).map { _ in Int.random(in: 0...bytes.count, using: &generator) }.sorted()
    #expect(Splits.read(bytes, kind: stream.kind, cuts: cuts) == stream.expected)
  }

  @Test("data spread over several lines is one document")
  func dataOfSeveralLinesIsJoined_G01() {
    let text = """
      data: {"type":"message_start",
      data: "message":{"id":"m","usage":
      data:{"input_tokens":5,"output_tokens":1}}}

      data: {"type":"message_stop"}


      """
    let bytes = Array(text.utf8)
    for cut in 1..<bytes.count {
      let usage = Splits.read(bytes, kind: .anthropicMessages, cuts: [cut])
      #expect(usage.inputTokens == 5 && usage.outputTokens == 1 && usage.responseID == "m")
      #expect(usage.finish == .complete)
    }
  }

  @Test("a stream cut anywhere gives what had come whole, and says it is incomplete")
  func cutStreamIsALowerBound_G02() {
    let bytes = RecordedStream.anthropic.bytes
    var outputs: Set<Int64?> = []
    for end in 0..<bytes.count - 24 {
      let usage = Splits.read(Array(bytes[..<end]), kind: .anthropicMessages)
      #expect(usage.finish == .incomplete)
      if usage.inputTokens == nil { #expect(usage.unknown == .cutShort) }
      outputs.insert(usage.outputTokens)
    }
    // Never a number cut in two: only what whole events said.
    #expect(outputs == [nil, 3, 11, 57])
  }

  @Test("the first token is seen with the first piece of output")
  func firstTokenIsSeen() {
    for stream in [RecordedStream.anthropic, .chat, .responses] {
      var extractor = UsageExtractor(kind: stream.kind, streaming: true)
      var events = 0
      for event in stream.text.split(separator: "\n\n") {
        extractor.consume(Array("\(event)\n\n".utf8))
        events += 1
        if extractor.sawFirstToken { break }
      }
      #expect(events == (stream.kind == .anthropicMessages ? 4 : 2), "\(stream.name)")
    }
  }

  @Test("an event without a name line is known by its type")
  func eventNamesMayBeMissing_G01() {
    let text = RecordedStream.events(RecordedStream.anthropicEvents.map { (nil, $0.1) })
    #expect(Splits.read(Array(text.utf8), kind: .anthropicMessages) == RecordedStream.anthropic.expected)
  }
}
