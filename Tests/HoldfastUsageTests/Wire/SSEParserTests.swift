// SPDX-License-Identifier: Apache-2.0

import HoldfastUsage
import Testing

/// Puts a stream's events together again.
private struct EventCollector: SSESink {
  struct Event: Hashable {
    var name: String
    var data: String
  }

  var events: [Event] = []
  private var bytes: [UInt8] = []

  mutating func data(_ fragment: Span<UInt8>, event: [UInt8]) {
    for index in fragment.indices { bytes.append(fragment[index]) }
  }

  mutating func dispatch(event: [UInt8]) {
    events.append(
      Event(name: String(decoding: event, as: UTF8.self), data: String(decoding: bytes, as: UTF8.self)))
    bytes = []
  }
}

@Suite("The event-stream parser")
struct SSEParserTests {
  private typealias Event = EventCollector.Event

  private func parse(_ bytes: [UInt8], cuts: [Int] = []) -> [EventCollector.Event] {
    var parser = SSEParser()
    var collector = EventCollector()
    var start = 0
    for cut in cuts + [bytes.count] {
      let piece = Array(bytes[start..<cut])
      parser.consume(piece.span, into: &collector)
      start = cut
    }
    return collector.events
  }

  private static let text = """
    : a comment
    event: first
    data: one
    data:two
    data:  three: 3
    id: 5

    data

    data
    data: after an empty line

    data: {"e":"日本語 👩‍👩‍👧"}
    unknown: field
    event: second
    event: third

    event: nothing

    retry: 10
    dataset: no
    :
    Data: no
     data: no
    data : no
    data: last

    data: never ended
    """

  private let expected = [
    EventCollector.Event(name: "first", data: "one\ntwo\n three: 3"), .init(name: "", data: ""),
    .init(name: "", data: "\nafter an empty line"), .init(name: "third", data: #"{"e":"日本語 👩‍👩‍👧"}"#),
    .init(name: "", data: "last"),
  ]

  @Test(
    "every line end, with and without a byte order mark, at every split", arguments: ["\n", "\r\n", "\r"])
  func eventsAreFoundAtEverySplit_G01(_ lineEnd: String) {
    for mark in ["", "\u{FEFF}"] {
      let bytes = Array((mark + Self.text.replacing("\n", with: lineEnd)).utf8)
      #expect(parse(bytes) == expected)
      for cuts in Splits.all(of: bytes.count, seed: 7) where parse(bytes, cuts: cuts) != expected {
        Issue.record("cut at \(cuts)")
        return
      }
    }
  }

  @Test("line ends may be mixed")
  func lineEndsMayBeMixed_G01() {
    let bytes = Array("event: a\rdata: 1\r\ndata: 2\n\rdata: 3\r\r\ndata: 4\n\n".utf8)
    let events = [Event(name: "a", data: "1\n2"), .init(name: "", data: "3"), .init(name: "", data: "4")]
    for cuts in Splits.all(of: bytes.count, seed: 8) { #expect(parse(bytes, cuts: cuts) == events) }
  }

  @Test("half a mark, or one in the wrong place, spoils no more than its line")
  func halfMarksSpoilTheirLine_G01() {
    for half: [UInt8] in [[0xEF], [0xEF, 0xBB]] {
      #expect(parse(half + Array("data: 1\n\ndata: 2\n\n".utf8)) == [Event(name: "", data: "2")])
    }
    #expect(parse(Array("data: 1\n\n\u{FEFF}data: 2\n\n".utf8)) == [Event(name: "", data: "1")])
  }

  @Test("a line without an end is never held")
  func endlessLinesAreNotHeld_G07() {
    var parser = SSEParser()
    var collector = EventCollector()
    let piece = [UInt8](repeating: UInt8(ascii: "x"), count: 10_000)
    for prefix in ["event: ", "\n: ", "\nid: ", "\n"] {
      parser.consume(Array(prefix.utf8).span, into: &collector)
      for _ in 0..<20 { parser.consume(piece.span, into: &collector) }
    }
    parser.consume(Array("\ndata: 1\n\n".utf8).span, into: &collector)
    #expect(collector.events.map(\.name.utf8.count) == [SSEParser.maximumEventNameBytes])
    #expect(collector.events.map(\.data) == ["1"])
  }
}
