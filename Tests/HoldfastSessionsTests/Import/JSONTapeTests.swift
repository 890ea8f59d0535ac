// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastEngine
import HoldfastTestKit
import Testing

@testable import HoldfastSessions

@Suite("JSON tape")
struct JSONTapeTests {
  @Test("values are found by their path and read as what they are")
  func valuesAreFound() throws {
    let tape = try #require(
      JSONTape(
        #" {"a":{"b":[1,-2.5,"x\n\u00e9\ud83d\ude00",true,null]},"a\u0062":false,"big":12345678901234567890,"e":{}} "#
      ))
    #expect(tape.isObject)
    let list = tape.at("b", tape.at("a"))
    let elements = tape.elements(list)
    #expect(elements.count == 5)
    #expect(tape.integer(elements[0]) == 1)
    #expect(tape.number(elements[1]) == -2.5)
    #expect(tape.text(elements[2]) == "x\né😀")
    #expect(tape.isTrue(elements[3]))
    #expect(tape.kind(elements[4]) == .null)
    #expect(tape.kind(tape.at("ab")) == .no)
    #expect(tape.integer(tape.at("big")) == nil)
    #expect(tape.raw(list) == #"[1,-2.5,"x\n\u00e9\ud83d\ude00",true,null]"#)
    #expect(tape.members(tape.at("e")).isEmpty)
    #expect(tape.text(tape.at("b", tape.at("nothing", tape.at("here")))) == nil)
    #expect(tape.raw(tape.at("nothing")) == "null")
  }

  @Test(
    "what is no JSON is refused",
    arguments: [
      "", " ", "{", "}", "[1,]", "{\"a\":1,}", "{a:1}", "{\"a\" 1}", "01", "-", "1.", "1e", "1e400", "+1",
      "nul", "\"a",
      "\"\t\"", "\"\\x\"", "\"\\u12g4\"", "[1] 2", "'a'", "{\"a\":}", "tru", "\"\\",
    ])
  func otherThingsAreRefused(text: String) {
    #expect(JSONTape(text) == nil)
  }

  @Test("nesting is bounded, so that no line costs the stack")
  func nestingIsBounded() {
    func nested(_ depth: Int) -> String {
      String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
    }
    #expect(JSONTape(nested(JSONTape.maximumDepth)) != nil)
    #expect(JSONTape(nested(JSONTape.maximumDepth + 1)) == nil)
    #expect(JSONTape(String(repeating: "[", count: 1_000_000)) == nil)
  }

  @Test("what cannot be stored is repaired and the rest kept")
  func unstorableTextIsRepaired_D01() throws {
    var tape = JSONTape()
    tape.bytes = Array(#"{"a":"b\u0000c\ud800d","e":"\ud83d\ude00"}"#.utf8)
    #expect(tape.scan() && tape.isRepaired)
    #expect(tape.text(tape.at("a")) == "b\u{FFFD}c\u{FFFD}d")
    #expect(tape.text(tape.at("e")) == "😀")
    tape.bytes = Array(#"{"a":""#.utf8) + [0xC3, 0x28, 0x00, 0xFF] + Array(#"","long":"0123456789é"}"#.utf8)
    #expect(tape.scan() && tape.isRepaired)
    #expect(tape.text(tape.at("a")) == "\u{FFFD}(\u{FFFD}\u{FFFD}")
    tape.bytes = Array(#"{"a":"é 0123456789"}"#.utf8)
    #expect(tape.scan() && !tape.isRepaired)
  }

  /// Parts of a line become messages' contents, which others decode.
  @Test("whatever the tape accepts, decoders accept, and read the same")
  func decodersAgree() throws {
    let seeds = [
      #"{"a":[1,2.5e3,-0,"x\"\\\/\b\f\n\r\té"],"b":{"c":null,"d":true},"":"long enough to be read by words"}"#,
      #"[{"type":"text","text":"über\ud83d\ude00"},[],{},"",0,1e-9,false]"#,
    ].map { Array($0.utf8) }
    let letters = Array(#"{}[]",:\u0019.eE+-tfn dD8"#.utf8) + [0x00, 0x1F, 0x7F, 0xC3, 0xFF]
    var random = SplitMix64(seed: 20_261_121)
    var tape = JSONTape()
    var accepted = 0
    for round in 0..<20_000 {
      var text = seeds[round % seeds.count]
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        let place = Int.random(in: 0..<text.count, using: &random)
        switch Int.random(in: 0..<3, using: &random) {
        case 0: text[place] = letters.randomElement(using: &random) ?? 0
        case 1: text.remove(at: place)
        default: text.insert(letters.randomElement(using: &random) ?? 0, at: place)
        }
      }
      tape.bytes = text
      guard tape.scan() else { continue }
      accepted += 1
      let decoded = try JSONDecoder().decode(JSONValue.self, from: Data(tape.bytes))
      // The first of many is enough.
      try #require(tape.value(0) == decoded, "\(String(decoding: text, as: UTF8.self))")
    }
    #expect(accepted > 1000)
  }
}
