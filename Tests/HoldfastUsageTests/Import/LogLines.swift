// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastEngine

@testable import HoldfastUsage

/// Logs as programs write them, and what is read of them.
enum LogLines {
  static func stamp(_ second: Int) -> String {
    "2026-11-20T10:\(second / 60 < 10 ? "0" : "")\(second / 60):\(second % 60 < 10 ? "0" : "")\(second % 60).250Z"
  }

  // MARK: Claude Code

  static func claude(
    _ message: String, second: Int = 0, output: Int = 5, request: String? = "req_1", session: String = "s-1",
    content: String = #"[{"type":"text","text":"hi"}]"#, model: String = "claude-sonnet-4-5",
    usage: String = "", more: String = "", stop: String = "null"
  ) -> String {
    let request = request.map { #","requestId":"\#($0)""# } ?? ""
    return #"{"parentUuid":null,"isSidechain":false,"cwd":"/home/me/site","sessionId":"\#(session)","#
      + #""version":"2.1.329","gitBranch":"main","type":"assistant","uuid":"u-\#(message)-\#(second)","#
      + #""timestamp":"\#(stamp(second))"\#(request)\#(more),"message":{"id":"\#(message)","type":"message","#
      + #""role":"assistant","model":"\#(model)","content":\#(content),"stop_reason":\#(stop),"usage":{"#
      + #""input_tokens":10,"cache_read_input_tokens":1000,"cache_creation_input_tokens":200,"#
      + #""output_tokens":\#(output)\#(usage)}}}"#
  }

  static let toolUse = #"[{"type":"tool_use","id":"toolu_1","name":"Bash","input":{"command":"ls"}}]"#

  /// A session: a question, an answer of two blocks, what the program says itself, and another answer.
  static let claudeSession = [
    #"{"type":"file-history-snapshot","messageId":"m","snapshot":{}}"#,
    #"{"type":"user","sessionId":"s-1","cwd":"/home/me/site","timestamp":"\#(stamp(0))","uuid":"q","message":{"role":"user","content":"Läuft es? 世界"}}"#,
    claude("msg_1", second: 1, output: 2),
    claude("msg_1", second: 2, output: 30, content: toolUse, stop: #""tool_use""#),
    claude("msg_x", second: 3, output: 9, model: "<synthetic>"),
    claude("msg_2", second: 4, output: 50, request: "req_2", stop: #""end_turn""#),
  ]

  // MARK: Codex

  static func codex(_ type: String, _ payload: String, second: Int = 0) -> String {
    #"{"timestamp":"\#(stamp(second))","type":"\#(type)","payload":\#(payload)}"#
  }

  static func codexMeta(_ id: String = "t-1", second: Int = 0, more: String = "") -> String {
    codex(
      "session_meta",
      #"{"id":"\#(id)","timestamp":"\#(stamp(second))","cwd":"/home/me/tool","model_provider":"openai"\#(more)}"#,
      second: second)
  }

  static func usage(_ tokens: Int) -> String {
    #"{"input_tokens":\#(tokens),"cached_input_tokens":\#(tokens / 2),"output_tokens":\#(tokens / 10),"#
      + #""reasoning_output_tokens":\#(tokens / 20),"total_tokens":\#(tokens + tokens / 10)}"#
  }

  static func total(_ total: Int, last: Int?, second: Int = 0) -> String {
    let last = last.map { #","last_token_usage":\#(usage($0))"# } ?? ""
    return codex(
      "event_msg", #"{"type":"token_count","info":{"total_token_usage":\#(usage(total))\#(last)}}"#,
      second: second)
  }

  static func record(_ response: String, _ tokens: Int, second: Int = 0, more: String = "") -> String {
    codex(
      "token_usage_record",
      #"{"thread_id":"t-1","response_id":"\#(response)","usage":\#(usage(tokens))\#(more)}"#, second: second)
  }

  static let turn = codex("turn_context", #"{"cwd":"/home/me/tool","model":"gpt-5.5"}"#)
  static let call = codex(
    "response_item", #"{"type":"function_call","name":"exec","arguments":"{}","call_id":"c"}"#)

  /// An old thread: running totals, one of them told twice.
  static let codexOld = [
    codexMeta(), turn, call, total(1000, last: 1000, second: 5), total(1000, last: 1000, second: 5),
    total(3000, last: 2000, second: 7),
    codex("event_msg", #"{"type":"token_count","info":null,"rate_limits":{}}"#, second: 8),
    total(3500, last: nil, second: 9),
  ]

  /// A new one: a record for each response, and the running total behind it.
  static let codexNew = [
    codexMeta(), turn, call, record("resp_1", 1000, second: 5), total(1000, last: 1000, second: 5),
    record("resp_2", 2000, second: 7), total(3000, last: 2000, second: 7),
  ]

  // MARK: Reading

  /// What is read of lines, each line as it comes.
  static func batch(_ parser: some UsageLineParser, _ lines: [String]) -> UsageLogBatch {
    var parser = parser
    var batch = UsageLogBatch()
    for (index, line) in lines.enumerated() {
      batch.line = index + 1
      if let tape = JSONTape(line) { parser.take(tape, into: &batch) }
    }
    return batch
  }

  /// What is read of a JSON text.
  static func batch(_ parser: some UsageDocumentParser, _ document: String) -> UsageLogBatch {
    var batch = UsageLogBatch()
    if let tape = JSONTape(document) { parser.take(document: tape, into: &batch) }
    return batch
  }
}

extension UsageRow {
  /// Prompt, cache read, both cache writes and output.
  var counts: [Int64?] {
    [inputTokens, cacheReadTokens, cacheWrite5mTokens, cacheWrite1hTokens, outputTokens]
  }
}
