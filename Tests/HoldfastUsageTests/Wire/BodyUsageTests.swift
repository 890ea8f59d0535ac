// SPDX-License-Identifier: Apache-2.0

import HoldfastUsage
import Testing

@Suite("Usage of a whole body")
struct BodyUsageTests {
  private func read(_ text: String, _ kind: WireKind) -> WireUsage {
    let bytes = Array(text.utf8)
    let whole = Splits.read(bytes, kind: kind, streaming: false)
    for cut in 1..<bytes.count {
      #expect(Splits.read(bytes, kind: kind, streaming: false, cuts: [cut]) == whole)
    }
    return whole
  }

  @Test("a message")
  func messageBody_G01() {
    let usage = read(
      #"""
      {"id":"msg_1","type":"message","role":"assistant","model":"claude-haiku-4-5-20251001",
       "content":[{"type":"text","text":"{\"usage\":{\"input_tokens\":1}} ünïcode \\"}],"stop_reason":"tool_use",
       "usage":{"input_tokens":10,"cache_creation_input_tokens":4,"cache_read_input_tokens":0,"output_tokens":6,
       "service_tier":"batch","speed":"fast","inference_geo":"us","output_tokens_details":{"thinking_tokens":2}}}
      """#, .anthropicMessages)
    #expect(
      usage
        == RecordedStream.known(
          model: "claude-haiku-4-5-20251001", id: "msg_1", input: 10, read: 0, write5m: 4, write1h: 0,
          output: 6,
          reasoning: 2, stop: "tool_use"
        ) {
          $0.serviceTier = "batch"
          $0.speed = "fast"
          $0.inferenceGeo = "us"
        })
  }

  @Test("a chat completion, with DeepSeek's cache count")
  func chatBody_G01() {
    let usage = read(
      #"{"id":"x","model":"deepseek-chat","choices":[{"message":{"content":"ok"},"finish_reason":"stop"}],"usage":{"prompt_tokens":100,"completion_tokens":3,"prompt_cache_hit_tokens":64,"prompt_cache_miss_tokens":36}}"#,
      .openAIChat)
    #expect(
      usage
        == RecordedStream.known(
          model: "deepseek-chat", id: "x", input: 36, read: 64, output: 3, stop: "stop"))
  }

  @Test("reasoning counted beside the completion is part of the output")
  func reasoningBesideTheCompletion_G01() {
    let usage = read(
      #"{"usage":{"prompt_tokens":32,"completion_tokens":9,"total_tokens":135,"completion_tokens_details":{"reasoning_tokens":94}}}"#,
      .openAIChat)
    #expect(usage.outputTokens == 103 && usage.reasoningTokens == 94)
  }

  @Test("a response, with a search")
  func responseBody_G01() {
    let usage = read(
      #"{"id":"resp_1","status":"completed","model":"gpt-5","output":[{"type":"web_search_call"},{"type":"web_search_call"}],"usage":{"input_tokens":9,"output_tokens":2}}"#,
      .openAIResponses)
    #expect(usage.inputTokens == 9 && usage.webSearches == 2 && usage.finish == .complete)
  }

  @Test("an embedding has no output, and its length does not matter")
  func embeddingBody_G01() {
    let vector = (0..<20_000).map { "0.\($0)" }.joined(separator: ",")
    let text =
      #"{"object":"list","data":[{"embedding":[\#(vector)]}],"model":"text-embedding-3-small","usage":{"prompt_tokens":8,"total_tokens":8}}"#
    let usage = Splits.read(Array(text.utf8), kind: .openAIEmbeddings, streaming: false)
    #expect(usage == RecordedStream.known(model: "text-embedding-3-small", input: 8, output: 0))
  }

  @Test("Gemini's streamed array")
  func geminiArray_G01() {
    let usage = read(
      #"[{"usageMetadata":{"promptTokenCount":4}},{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":2}}]"#,
      .geminiGenerateContent)
    #expect(usage.inputTokens == 4 && usage.outputTokens == 2 && usage.unknown == nil)
  }

  @Test("an error body names its type")
  func errorBody_G03() {
    let anthropic = read(
      #"{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}"#, .anthropicMessages)
    #expect(anthropic.errorType == "rate_limit_error" && anthropic.finish == .error)
    let openAI = read(
      #"{"error":{"message":"no","type":null,"param":null,"code":"invalid_api_key"}}"#, .openAIChat)
    #expect(openAI.errorType == "invalid_api_key" && openAI.finish == .error)
    let counted = read(#"{"error":{"type":"not_found_error"}}"#, .anthropicCountTokens)
    #expect(counted.errorType == "not_found_error" && counted.unknown == .notApplicable)
  }

  @Test("a cache split that came before a later aggregate gives way to it")
  func laterAggregateWins_G01() {
    let text = RecordedStream.events([
      (
        "message_start",
        #"{"message":{"usage":{"input_tokens":1,"output_tokens":1,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0}}}}"#
      ),
      ("message_delta", #"{"usage":{"cache_creation_input_tokens":500,"output_tokens":2}}"#),
      ("message_stop", #"{"type":"message_stop"}"#),
    ])
    let usage = Splits.read(Array(text.utf8), kind: .anthropicMessages)
    #expect(usage.cacheWrite5mTokens == 500 && usage.cacheWrite1hTokens == 0)
  }

  @Test("hostile text is stored as plain text")
  func namesAreCleaned_D01() {
    let long = String(repeating: "é", count: 300)
    let usage = read(
      #"{"id":"a\u0000b\ud800c\u00e9","model":"\#(long)","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#,
      .openAIChat)
    #expect(usage.responseID == "ab\u{FFFD}cé")
    #expect(usage.model == String(repeating: "é", count: 128))
  }
}

@Suite("What a request says")
struct RequestPeekTests {
  @Test("model and stream are found at any split, whatever stands between")
  func requestIsRead_G01() {
    let text =
      #"{"system":[{"type":"text","text":"{\"model\":\"no\"}"}],"messages":[{"role":"user","content":"\"stream\":false 世界"}],"model":"claude-opus-4-8","metadata":{"user_id":"user_ab_account__session_f00-1"},"stream_options":{"include_usage":true},"service_tier":"flex","stream":true}"#
    let bytes = Array(text.utf8)
    for cut in 1..<bytes.count {
      var peek = RequestPeek()
      peek.consume(Array(bytes[..<cut]))
      peek.consume(Array(bytes[cut...]))
      #expect(peek.model == "claude-opus-4-8" && peek.stream == true && peek.includeUsage == true)
      #expect(peek.serviceTier == "flex" && peek.session == "f00-1")
    }
  }

  @Test("a session in JSON within the user's id is found")
  func sessionInAnObjectIsFound() {
    var peek = RequestPeek()
    let id = #"{\"device_id\":\"d\",\"account_uuid\":\"\",\"session_id\":\"f00-2\"}"#
    peek.consume(Array(#"{"metadata":{"user_id":"\#(id)"}}"#.utf8))
    #expect(peek.session == "f00-2")
    var cut = RequestPeek()
    cut.consume(Array(#"{"metadata":{"user_id":"{\"session_id\":\"f"}}"#.utf8))
    #expect(cut.session == nil)
  }

  @Test("nothing is looked at beyond the bound")
  func requestIsReadWithinItsBound_G07() {
    let text = #"{"pad":"\#(String(repeating: "x", count: 100))","model":"m"}"#
    var peek = RequestPeek(maximumBytes: 50)
    peek.consume(Array(text.utf8))
    peek.consume(Array(text.utf8))
    #expect(peek.model == nil)
  }

  @Test("a kind is known by method and path")
  func kindsAreKnown() {
    #expect(WireKind(method: "POST", target: "/v1/messages?beta=true") == .anthropicMessages)
    #expect(WireKind(method: "POST", target: "/v1/messages/count_tokens") == .anthropicCountTokens)
    #expect(WireKind(method: "POST", target: "/local/v1/chat/completions") == .openAIChat)
    #expect(WireKind(method: "POST", target: "/responses") == .openAIResponses)
    #expect(WireKind(method: "POST", target: "/v1/responses/compact") == .openAIResponses)
    #expect(WireKind(method: "POST", target: "/v1/compact") == .other)
    #expect(WireKind(method: "POST", target: "/v1/messages/batches") == .other)
    #expect(WireKind(method: "GET", target: "/v1/responses/resp_1") == .other)
    #expect(WireKind(method: "GET", target: "/v1/models?limit=1000") == .models)
    #expect(
      WireKind(method: "POST", target: "/v1beta/models/gemini-3-pro:streamGenerateContent?alt=sse")
        == .geminiGenerateContent)
  }
}
