// SPDX-License-Identifier: Apache-2.0

import HoldfastUsage
import Testing

@Suite("The tool an answer calls first")
struct ToolUsageTests {
  private static let anthropicStream = RecordedStream.events([
    (
      "message_start",
      #"{"type":"message_start","message":{"id":"m","model":"c","usage":{"input_tokens":1}}}"#
    ),
    ("content_block_start", #"{"type":"content_block_start","content_block":{"type":"text","text":""}}"#),
    (
      "content_block_start",
      #"{"type":"content_block_start","content_block":{"type":"tool_use","id":"t","name":"Bash","input":{}}}"#
    ),
    (
      "content_block_delta",
      #"{"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":"{\"name\":\"x\"}"}}"#
    ),
    (
      "content_block_start",
      #"{"type":"content_block_start","content_block":{"type":"tool_use","id":"u","name":"Read","input":{}}}"#
    ),
    ("message_stop", #"{"type":"message_stop"}"#),
  ])

  private static let chatStream = RecordedStream.events([
    (
      nil,
      #"{"id":"x","choices":[{"delta":{"role":"assistant","tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"Bash","arguments":""}}]}}]}"#
    ),
    (
      nil,
      #"{"id":"x","choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"name\":\"Read\"}"}}]}}]}"#
    ),
    (
      nil,
      #"{"id":"x","choices":[{"delta":{"tool_calls":[{"index":1,"function":{"name":"Read","arguments":""}}]}}]}"#
    ),
    (nil, #"{"id":"x","choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#), (nil, "[DONE]"),
  ])

  private static let responsesStream = RecordedStream.events([
    (
      "response.output_item.added",
      #"{"type":"response.output_item.added","item":{"type":"message","role":"assistant","content":[]}}"#
    ),
    (
      "response.output_item.added",
      #"{"type":"response.output_item.added","item":{"type":"function_call","name":"Bash","arguments":""}}"#
    ),
    (
      "response.completed",
      #"{"type":"response.completed","response":{"id":"r","output":[{"type":"reasoning"},{"type":"function_call","name":"Bash"},{"type":"function_call","name":"Read"}]}}"#
    ),
  ])

  private static let geminiStream = RecordedStream.events([
    (
      nil,
      #"{"candidates":[{"content":{"parts":[{"text":"name"},{"functionCall":{"name":"Bash","args":{"name":"x"}}}]}}]}"#
    ),
    (
      nil, #"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"Read"}}]},"finishReason":"STOP"}]}"#
    ),
  ])

  @Test(
    "is known of every stream, cut anywhere",
    arguments: [
      (WireKind.anthropicMessages, anthropicStream), (.openAIChat, chatStream),
      (.openAIResponses, responsesStream),
      (.geminiGenerateContent, geminiStream),
    ])
  func streamsTellTheirFirstTool_G01(_ kind: WireKind, _ text: String) {
    let bytes = Array(text.utf8)
    for cuts in Splits.all(of: bytes.count, seed: 3) {
      #expect(Splits.read(bytes, kind: kind, cuts: cuts).tool == "Bash")
    }
  }

  @Test(
    "is known of every body",
    arguments: [
      (
        WireKind.anthropicMessages,
        #"{"id":"m","content":[{"type":"text","text":"hi"},{"type":"tool_use","input":{"name":"x"},"name":"Bash"},{"type":"tool_use","name":"Read"}]}"#
      ),
      (
        .openAIChat,
        #"{"id":"x","choices":[{"message":{"content":null,"tool_calls":[{"function":{"name":"Bash","arguments":"{}"}},{"function":{"name":"Read"}}]}}]}"#
      ),
      (
        .openAIResponses,
        #"{"id":"r","output":[{"type":"message","content":[{"name":"x"}]},{"type":"function_call","name":"Bash"}]}"#
      ),
      (
        .geminiGenerateContent,
        #"[{"candidates":[{"content":{"parts":[{"functionCall":{"name":"Bash"}}]}}]},{"candidates":[{"content":{"parts":[{"functionCall":{"name":"Read"}}]}}]}]"#
      ),
    ])
  func bodiesTellTheirFirstTool_G01(_ kind: WireKind, _ text: String) {
    let bytes = Array(text.utf8)
    for cut in 1..<bytes.count {
      #expect(Splits.read(bytes, kind: kind, streaming: false, cuts: [cut]).tool == "Bash")
    }
  }

  @Test("is none where the answer calls none, and in the row where it calls one")
  func rowsTakeTheTool() {
    for stream in RecordedStream.all {
      #expect(Splits.read(stream.bytes, kind: stream.kind).tool == nil, "\(stream.name)")
    }
    var row = UsageRow(provider: "p", model: "m")
    row.take(Splits.read(Array(Self.anthropicStream.utf8), kind: .anthropicMessages))
    #expect(row.tool == "Bash")
  }
}
