// SPDX-License-Identifier: Apache-2.0

import HoldfastUsage
import Testing

/// Answers as the providers send them, each with what it must come to.
struct RecordedStream: Sendable, CustomTestStringConvertible {
  var name: String
  var kind: WireKind
  var text: String
  var expected: WireUsage

  var bytes: [UInt8] { Array(text.utf8) }
  var testDescription: String { name }

  /// An answer whose counts are all known.
  static func known(
    model: String? = nil, id: String? = nil, input: Int64? = nil, read: Int64? = nil, write5m: Int64? = nil,
    write1h: Int64? = nil, output: Int64? = nil, reasoning: Int64? = nil, stop: String? = nil,
    finish: WireUsage.Finish = .complete, unknown: WireUsage.Unknown? = nil,
    _ more: (inout WireUsage) -> Void = { _ in }
  ) -> WireUsage {
    var usage = WireUsage(unknown: .notReported, finish: finish)
    usage.unknown = unknown
    usage.model = model
    usage.responseID = id
    usage.inputTokens = input
    usage.cacheReadTokens = read
    usage.cacheWrite5mTokens = write5m
    usage.cacheWrite1hTokens = write1h
    usage.outputTokens = output
    usage.reasoningTokens = reasoning
    usage.stopReason = stop
    more(&usage)
    return usage
  }

  static func events(_ events: [(String?, String)], lineEnd: String = "\n") -> String {
    events.map { name, data in
      (name.map { "event: \($0)\(lineEnd)" } ?? "") + "data: \(data)\(lineEnd)\(lineEnd)"
    }.joined()
  }

  static let anthropicEvents: [(String?, String)] = [
    (
      "message_start",
      #"{"type":"message_start","message":{"id":"msg_01XFDUDYJgAACzvnptvVoYEL","type":"message","role":"assistant","model":"claude-opus-4-8","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":2679,"cache_creation_input_tokens":1300,"cache_read_input_tokens":18000,"cache_creation":{"ephemeral_5m_input_tokens":300,"ephemeral_1h_input_tokens":1000},"output_tokens":3,"service_tier":"standard"}}}"#
    ),
    (
      "content_block_start",
      #"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#
    ),
    ("ping", #"{"type": "ping"}"#),
    (
      "content_block_delta",
      #"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Grüße, 世界 👩‍👩‍👧 \"usage\":{\"output_tokens\":99999}"}}"#
    ),
    (
      "content_block_delta",
      #"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a\\\"}]{[ \u00e9\n"}}"#
    ),
    ("content_block_stop", #"{"type":"content_block_stop","index":0}"#),
    (
      "message_delta",
      #"{"type":"message_delta","delta":{"stop_reason":null},"usage":{"output_tokens":11,"input_tokens":null}}"#
    ),
    ("an_event_of_tomorrow", #"{"type":"an_event_of_tomorrow","usage_hint":{"output_tokens":12345}}"#),
    (
      "message_delta",
      #"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":57,"server_tool_use":{"web_search_requests":2}}}"#
    ),
    ("message_stop", #"{"type":"message_stop"}"#),
  ]

  static let anthropic = RecordedStream(
    name: "Anthropic, cached prompt", kind: .anthropicMessages, text: events(anthropicEvents),
    expected: known(
      model: "claude-opus-4-8", id: "msg_01XFDUDYJgAACzvnptvVoYEL", input: 2679, read: 18000, write5m: 300,
      write1h: 1000, output: 57, stop: "end_turn"
    ) {
      $0.serviceTier = "standard"
      $0.webSearches = 2
    })

  static let anthropicLateInput = RecordedStream(
    name: "Anthropic, a gateway that gives the input in message_delta", kind: .anthropicMessages,
    text: events([
      ("ping", #"{"type": "ping"}"#),
      (
        "message_start",
        #"{"type":"message_start","message":{"id":"gen-1","model":"claude-sonnet-5","usage":{"input_tokens":0,"output_tokens":0,"cache_read_input_tokens":7}}}"#
      ),
      (
        "content_block_delta",
        #"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"übergroß"}}"#
      ),
      (
        "message_delta",
        #"{"type":"message_delta","delta":{"stop_reason":"max_tokens"},"usage":{"input_tokens":812,"cache_read_input_tokens":0,"cache_creation_input_tokens":40,"output_tokens":4}}"#
      ),
      ("message_stop", #"{"type":"message_stop"}"#),
    ]),
    expected: known(
      model: "claude-sonnet-5", id: "gen-1", input: 812, read: 0, write5m: 40, write1h: 0, output: 4,
      stop: "max_tokens"))

  static let anthropicErrorAfter200 = RecordedStream(
    name: "Anthropic, an error after status 200", kind: .anthropicMessages,
    text: events([
      anthropicEvents[0],
      anthropicEvents[3],
      ("error", #"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#),
    ]),
    expected: known(
      model: "claude-opus-4-8", id: "msg_01XFDUDYJgAACzvnptvVoYEL", input: 2679, read: 18000, write5m: 300,
      write1h: 1000, output: 3, finish: .error
    ) {
      $0.serviceTier = "standard"
      $0.errorType = "overloaded_error"
    })

  static let chatChunks: [(String?, String)] = [
    (
      nil,
      #"{"id":"chatcmpl-9","object":"chat.completion.chunk","created":1,"model":"gpt-5.1-2025-11-13","service_tier":"default","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}"#
    ),
    (
      nil,
      #"{"id":"chatcmpl-9","model":"gpt-5.1-2025-11-13","choices":[{"index":0,"delta":{"content":"日本語 \ud83d\ude00 }]"},"finish_reason":null}],"usage":null}"#
    ),
    (
      nil,
      #"{"id":"chatcmpl-9","model":"gpt-5.1-2025-11-13","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}"#
    ),
  ]

  static let chat = RecordedStream(
    name: "chat, usage in the last chunk", kind: .openAIChat,
    text: events(
      chatChunks + [
        (
          nil,
          #"{"id":"chatcmpl-9","model":"gpt-5.1-2025-11-13","choices":[],"usage":{"prompt_tokens":1206,"completion_tokens":300,"total_tokens":1506,"prompt_tokens_details":{"cached_tokens":1024,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":256}}}"#
        ),
        (nil, "[DONE]"),
      ]),
    expected: known(
      model: "gpt-5.1-2025-11-13", id: "chatcmpl-9", input: 182, read: 1024, output: 300, reasoning: 256,
      stop: "stop"
    ) { $0.serviceTier = "default" })

  static let chatOnChoices = RecordedStream(
    name: "chat, cumulative usage on chunks with choices", kind: .openAIChat,
    text: events([
      (
        nil,
        #"{"id":"c1","model":"local","choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":5,"completion_tokens":1}}"#
      ),
      (
        nil,
        #"{"id":"c1","model":"local","choices":[{"delta":{"content":"é"},"finish_reason":"length"}],"usage":{"prompt_tokens":5,"completion_tokens":2}}"#
      ),
      (nil, "[DONE]"),
    ]),
    expected: known(model: "local", id: "c1", input: 5, output: 2, stop: "length"))

  static let chatWithoutUsage = RecordedStream(
    name: "chat, usage not asked for", kind: .openAIChat, text: events(chatChunks + [(nil, "[DONE]")]),
    expected: known(
      model: "gpt-5.1-2025-11-13", id: "chatcmpl-9", stop: "stop", unknown: .notReported
    ) { $0.serviceTier = "default" })

  static let responses = RecordedStream(
    name: "Responses", kind: .openAIResponses,
    text: events([
      (
        "response.created",
        #"{"type":"response.created","response":{"id":"resp_67c","status":"in_progress","model":"gpt-5.1-codex","output":[],"usage":null,"error":null,"incomplete_details":null}}"#
      ),
      (
        "response.output_text.delta",
        #"{"type":"response.output_text.delta","item_id":"msg_1","delta":"naïve — {\"usage\":1}"}"#
      ),
      (
        "response.completed",
        #"{"type":"response.completed","response":{"id":"resp_67c","object":"response","status":"completed","error":null,"incomplete_details":null,"model":"gpt-5.1-codex","output":[{"type":"web_search_call","id":"ws_1","status":"completed"},{"type":"message","content":[{"type":"output_text","text":"naïve — {\"usage\":1}"}]}],"service_tier":"flex","usage":{"input_tokens":3280,"input_tokens_details":{"cached_tokens":3200},"output_tokens":90,"output_tokens_details":{"reasoning_tokens":64},"total_tokens":3370}}}"#
      ),
    ]),
    expected: known(
      model: "gpt-5.1-codex", id: "resp_67c", input: 80, read: 3200, output: 90, reasoning: 64
    ) {
      $0.serviceTier = "flex"
      $0.webSearches = 1
    })

  static let responsesIncomplete = RecordedStream(
    name: "Responses, incomplete", kind: .openAIResponses,
    text: events([
      (
        "response.incomplete",
        #"{"type":"response.incomplete","response":{"id":"r","status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"model":"o3","usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":0},"output_tokens":16,"output_tokens_details":{"reasoning_tokens":16}}}}"#
      )
    ]),
    expected: known(
      model: "o3", id: "r", input: 10, read: 0, output: 16, reasoning: 16, stop: "max_output_tokens"))

  static let responsesFailed = RecordedStream(
    name: "Responses, failed", kind: .openAIResponses,
    text: events([
      (
        "response.failed",
        #"{"type":"response.failed","response":{"id":"r","status":"failed","error":{"code":"server_error","message":"…"},"model":"o3","usage":{"input_tokens":10,"output_tokens":0}}}"#
      )
    ]),
    expected: known(model: "o3", id: "r", input: 10, output: 0, finish: .error) {
      $0.errorType = "server_error"
    })

  static let gemini = RecordedStream(
    name: "Gemini", kind: .geminiGenerateContent,
    text: events(
      [
        (
          nil,
          #"{"candidates":[{"content":{"parts":[{"text":"Ω"}]}}],"usageMetadata":{"promptTokenCount":100,"cachedContentTokenCount":60},"modelVersion":"gemini-3-pro","responseId":"g1"}"#
        ),
        (
          nil,
          #"{"candidates":[{"content":{"parts":[{"text":"."}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":100,"cachedContentTokenCount":60,"candidatesTokenCount":5,"thoughtsTokenCount":20,"toolUsePromptTokenCount":8},"modelVersion":"gemini-3-pro","responseId":"g1"}"#
        ),
      ], lineEnd: "\r\n"),
    expected: known(
      model: "gemini-3-pro", id: "g1", input: 48, read: 60, output: 25, reasoning: 20, stop: "STOP"))

  static let all = [
    anthropic, anthropicLateInput, anthropicErrorAfter200, chat, chatOnChoices, chatWithoutUsage, responses,
    responsesIncomplete, responsesFailed, gemini,
  ]
}
