// SPDX-License-Identifier: Apache-2.0

import HoldfastSessions
import HoldfastUsage
import Testing

@testable import HoldfastGateway

@Suite struct WireConversationTests {
  private func request(_ text: String, _ kind: WireKind) -> WireConversation.Request? {
    JSONValue(wire: Array(text.utf8)).flatMap { WireConversation.request($0, kind) }
  }

  @Test func aMessageThatIsNoneCostsTheOthersNothing() {
    let read = request(
      #"{"messages":[1,null,{},{"role":""},{"content":"x"},{"role":"user","content":"kept"}]}"#, .openAIChat)
    #expect(read?.messages == [NewMessage(role: "user", "kept")])
  }

  @Test func aBodyOfAnotherShapeIsNoRequest() {
    #expect(request("[]", .openAIChat) == nil)
    #expect(request(#"{"messages":{}}"#, .anthropicMessages) == nil)
    #expect(request(#"{"input":3}"#, .openAIResponses) == nil)
    #expect(request(#"{"input":"x"}"#, .openAIEmbeddings) == nil)
  }

  @Test func itemsOfAResponseBecomeMessages() throws {
    let read = try #require(
      request(
        """
        {"model":"m","previous_response_id":"r0","input":[
          {"role":"user","content":[{"type":"input_text","text":"hi"}]},
          {"type":"reasoning","encrypted_content":"…"},
          {"type":"function_call","call_id":"c","name":"f","arguments":"{}"},
          {"type":"function_call_output","call_id":"c","output":"done"},
          {"type":"web_search_call","id":"w","status":"completed"}]}
        """, .openAIResponses))
    #expect(read.continues == "r0")
    #expect(read.messages.map(\.role) == ["user", "assistant", "tool", "assistant"])
    #expect(read.messages[0].content == .text("hi"))
    #expect(read.messages[2].toolCallID == "c")
  }

  @Test func aStreamCutInsideACallHasNoHalfOfIt() throws {
    func event(_ json: String) -> String { "data: \(json)\n\n" }
    let text =
      event(#"{"type":"message_start","message":{"id":"m1","role":"assistant","model":"m"}}"#)
      + event(#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#)
      + event(#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"I look"}}"#)
      + event(
        #"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}"#
      )
      + event(
        #"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"at\":"}}"#
      )
    let answer = try #require(WireAnswer.stream(Array(text.utf8), .anthropicMessages))
    #expect(!answer.isWhole)
    #expect(answer.messages.map(\.content) == [.text("I look")])
  }

  @Test func everySplitOfABodyOfBytesIsReadOrRefusedWithoutATrap_D01() {
    let whole = Array(
      #"{"id":"x","model":"m","choices":[{"message":{"role":"assistant","content":"\ud83d\ude00 \ud800 é"}}]}"#
        .utf8)
    let answer = WireAnswer.body(whole, .openAIChat)
    #expect(answer?.messages.first?.content == .text("😀 \u{FFFD} é"))
    for length in 0..<whole.count {
      #expect(WireAnswer.body(Array(whole.prefix(length)), .openAIChat) == nil)
    }
    for place in whole.indices {
      var other = whole
      other[place] = 0xFF
      _ = WireAnswer.body(other, .openAIChat)
      _ = WireAnswer.stream(other, .openAIChat)
    }
  }

  @Test(arguments: [
    "1", "-0.5e3", "[]", "{}", #""a\u0041\n""#, "[1,[2,{\"a\":null}],true,false]", "9223372036854775807",
    "9223372036854775808",
  ])
  func wireJSONIsWhatADecoderReads(text: String) throws {
    #expect(try JSONValue(wire: Array(text.utf8)) == JSONValue(json: text))
  }

  @Test(arguments: [
    "", " ", "01", "1.", "-", "+1", "[1,]", "{,}", "{\"a\"}", "{a:1}", "nul", "\"\t\"", "\"", "\"\\x\"",
    "[1]]", "1e",
    String(repeating: "[", count: 5000),
  ])
  func whatIsNoJSONIsRefused(text: String) {
    #expect(JSONValue(wire: Array(text.utf8)) == nil)
  }

  @Test func endlessContentIsCutTheSameWayEachTime() {
    let long = String(repeating: "é", count: 2 << 20)
    let message = NewMessage(
      role: "user",
      content: .json(
        .array([
          .object(["type": .string("text"), "text": .string(long)]),
          .object(["type": .string("image"), "source": .object(["data": .string(long)])]),
        ])))
    let once = CapturedContent.bounded(message)
    #expect(MessagePrint(CapturedContent.bounded(message)) == MessagePrint(once))
    guard case .json(let value) = once.content else {
      Issue.record("no parts any more")
      return
    }
    #expect(value.json.utf8.count < CapturedContent.most + 1000)
    #expect(value.json.contains("4194304 bytes, not captured as a whole"))
  }

  @Test func aTitleIsThePersonsFirstLine() {
    let parts = MessageContent.json(
      .array([
        .object(["type": .string("text"), "text": .string("<system-reminder>x</system-reminder>")]),
        .object(["type": .string("text"), "text": .string("\n  Mend the parser\nplease")]),
      ]))
    #expect(CapturedTitle.title(of: NewMessage(role: "user", content: parts)) == "Mend the parser")
    #expect(CapturedTitle.title(of: NewMessage(role: "assistant", "Hello")) == nil)
    #expect(CapturedTitle.title(of: NewMessage(role: "user", " \n ")) == nil)
  }
}
