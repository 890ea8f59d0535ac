// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastEngine
import HoldfastTestKit
import Testing

@testable import HoldfastSessions

/// Runs a parser over lines, and gives what came of them.
private struct Parsed {
  var batch = TranscriptBatch()
  var outcomes: [LineOutcome] = []

  init(_ parser: some LineParser, _ lines: [String]) throws {
    var parser = parser
    for (index, line) in lines.enumerated() {
      let tape = try #require(JSONTape(line), "\(line)")
      outcomes.append(parser.take(tape, number: index + 1, into: &batch))
    }
    parser.finish(into: &batch)
  }

  var messages: [TranscriptMessage] {
    batch.items.compactMap { if case .message(let message) = $0 { message } else { nil } }
  }

  /// Each session as it was told last, by its id.
  var sessions: [String: TranscriptSession] {
    var sessions: [String: TranscriptSession] = [:]
    for item in batch.items {
      switch item {
      case .session(let session), .more(let session): sessions[session.id] = session
      case .message: break
      }
    }
    return sessions
  }
}

@Suite("Claude Code's lines")
struct ClaudeCodeParserTests {
  private func line(
    _ type: String, _ uuid: String, _ message: String, _ more: String = ""
  ) -> String {
    """
    {"type":"\(type)","uuid":"\(uuid)","sessionId":"s","timestamp":"2026-11-20T10:00:00.5Z","message":\(message)\(more)}
    """
  }

  private func user(_ uuid: String, _ text: String, _ more: String = "") -> String {
    line("user", uuid, #"{"role":"user","content":"\#(text)"}"#, more)
  }

  private func answer(_ uuid: String, _ id: String, output: Int, _ more: String = "") -> String {
    line(
      "assistant", uuid,
      """
      {"role":"assistant","id":"\(id)","model":"m","content":[{"type":"text","text":"t"}],
       "usage":{"input_tokens":3,"output_tokens":\(output)}}
      """, more)
  }

  private func parse(_ lines: String..., context: ClaudeCodeParser.Context = .init(session: "file")) throws
    -> Parsed
  {
    try Parsed(ClaudeCodeParser(context), lines)
  }

  @Test("usage that lines of one response repeat counts once, by its highest")
  func repeatedUsageCountsOnce() throws {
    let parsed = try parse(
      answer("1", "a", output: 1), answer("2", "b", output: 10), answer("3", "a", output: 8),
      answer("4", "a", output: 8), answer("5", "b", output: 9))
    #expect(parsed.messages.map(\.counts.output) == [1, 10, 7, nil, nil])
    #expect(parsed.messages.map(\.counts.input) == [3, 3, nil, nil, nil])
  }

  @Test("what the program says itself has no model, and a nonsensical count is none")
  func syntheticAnswersHaveNoModel() throws {
    let own = #"{"role":"assistant","model":"<synthetic>","content":"API Error","usage":{"input_tokens":-1}}"#
    let parsed = try parse(line("assistant", "1", own))
    #expect(parsed.messages.first?.model == nil)
    #expect(parsed.messages.first?.counts == MessageCounts())
    #expect(parsed.messages.first?.content == "API Error")
  }

  @Test("sub-agents within the session's file become sessions of their own, however they interleave")
  func interleavedSidechainsAreKeptApart() throws {
    func side(_ uuid: String, _ parent: String?) -> String {
      let parent = parent.map { "\"\($0)\"" } ?? "null"
      return user(uuid, "side", #","isSidechain":true,"parentUuid":\#(parent)"#)
    }
    let parsed = try parse(
      user("1", "main"), side("a1", nil), side("b1", nil), side("a2", "a1"), side("b2", "b1"),
      side("a3", "a2"))
    #expect(
      parsed.messages.map(\.session) == [
        "s", "s/agent-a1", "s/agent-b1", "s/agent-a1", "s/agent-b1", "s/agent-a1",
      ])
    #expect(parsed.sessions["s/agent-b1"]?.parent == "s")
    #expect(parsed.sessions["s/agent-b1"]?.edge == .subagent)
    #expect(parsed.sessions["s"]?.parent == nil)
  }

  @Test("a person's title stands before a model's, and a model's before the first prompt")
  func titlesHaveTheirRank() throws {
    let prompt = user("1", "First line\\nsecond")
    let model = #"{"type":"ai-title","aiTitle":"By a model","sessionId":"s"}"#
    let person = #"{"type":"custom-title","customTitle":"By hand","sessionId":"s"}"#
    func title(_ lines: String...) throws -> (String?, TitleSource?) {
      let session = try Parsed(ClaudeCodeParser(.init(session: "s")), lines).sessions["s"]
      return (session?.title, session?.titleFrom)
    }
    #expect(try title(user("0", "<command-name>x"), prompt) == ("First line", .derived))
    #expect(try title(prompt, model) == ("By a model", .model))
    #expect(try title(person, prompt, model) == ("By hand", .user))
    // A summary names the message it ends with; older files have those of other sessions.
    let summary = #"{"type":"summary","summary":"Sum","leafUuid":"1"}"#
    #expect(try title(summary, prompt) == ("Sum", .model))
    #expect(try title(user("9", "Other"), summary) == ("Other", .derived))
  }

  @Test("what a compaction kept stays live, be it named or a stretch")
  func keptMessagesStayLive() throws {
    var context = ClaudeCodeParser.Context(session: "s")
    context.compactions["s"] = .init(line: 6, kept: ["1"], keptFrom: "3", keptTo: "4")
    let parsed = try parse(
      user("1", "a"), user("2", "b"), user("3", "c"), user("4", "d"), user("5", "e"), user("6", "f"),
      context: context)
    #expect(parsed.messages.map(\.state) == [.live, .compacted, .live, .live, .compacted, .live])
  }

  @Test(
    "a line without a message or with an id too long for one is told, and lines that are none are passed over"
  )
  func oddLines() throws {
    let parsed = try parse(
      #"{"type":"user","uuid":"1"}"#, #"{"type":"progress","uuid":"2","message":{"role":"user"}}"#, "{}",
      #"{"type":7}"#,
      user("3", "x", #","agentId":"\#(String(repeating: "a", count: 300))","isSidechain":true"#))
    #expect(parsed.messages.isEmpty)
    #expect(parsed.outcomes[1...3].allSatisfy { $0 == .skipped })
    #expect(parsed.outcomes[0] != .skipped && parsed.outcomes[4] != .skipped)
  }

  @Test("only a lone text block becomes text; anything else stays as it was written")
  func contentStaysAsItWas() throws {
    let blocks = #"[{"type":"text","text":"a","citations":[ ]}]"#
    let parsed = try parse(
      line("user", "1", #"{"role":"user","content":[{"type":"text","text":"a\tb"}]}"#),
      line("user", "2", #"{"role":"user","content":\#(blocks)}"#), line("user", "3", #"{"role":"user"}"#))
    #expect(parsed.messages.map(\.content) == ["a\tb", blocks, ""])
    #expect(parsed.messages.map(\.isJSON) == [false, true, false])
  }
}

@Suite("Codex's lines")
struct CodexParserTests {
  private func line(_ type: String, _ payload: String, second: Int = 0) -> String {
    let time = "2026-11-20T10:00:\(second < 10 ? "0" : "")\(second)Z"
    return #"{"timestamp":"\#(time)","type":"\#(type)","payload":\#(payload)}"#
  }

  private func text(_ role: String, _ text: String, second: Int = 0) -> String {
    line(
      "response_item",
      #"{"type":"message","role":"\#(role)","content":[{"type":"input_text","text":"\#(text)"}]}"#,
      second: second)
  }

  private func tokens(_ total: Int, last: Int?, second: Int = 0) -> String {
    let last = last.map { #","last_token_usage":{"input_tokens":\#($0)}"# } ?? ""
    let info = #"{"total_token_usage":{"input_tokens":\#(total)}\#(last)}"#
    return line("event_msg", #"{"type":"token_count","info":\#(info)}"#, second: second)
  }

  private func parse(_ lines: String..., context: CodexParser.Context = .init(thread: "t")) throws -> Parsed {
    try Parsed(CodexParser(context), lines)
  }

  @Test("tokens are of the model's last message before them, and of the next where there is none")
  func tokensFindTheirMessage() throws {
    let parsed = try parse(
      tokens(5, last: 5), text("user", "q"), text("assistant", "a"), tokens(15, last: 10),
      tokens(15, last: 10),
      tokens(18, last: 3), text("assistant", "b"), tokens(20, last: nil))
    #expect(parsed.messages.map(\.counts.input) == [nil, 15, 5])
    #expect(parsed.messages.map(\.content) == ["q", "a", "b"])
  }

  @Test("results stay behind their call while it waits for its tokens")
  func orderIsKept() throws {
    let call = line(
      "response_item", #"{"type":"function_call","name":"f","arguments":"{}","call_id":"c"}"#)
    let result = line("response_item", #"{"type":"function_call_output","call_id":"c","output":[{"a":1}]}"#)
    let parsed = try parse(call, result, tokens(7, last: 7), text("user", "next"))
    #expect(parsed.messages.map(\.role) == ["assistant", "tool", "user"])
    #expect(parsed.messages[0].counts.input == 7)
    #expect(parsed.messages[1].content == #"[{"a":1}]"#)
    #expect(parsed.messages[1].isJSON)
    #expect(
      parsed.messages[0].toolCalls
        == #"[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]"#)
  }

  @Test("where responses tell their tokens, running totals count for nothing")
  func usageRecordsStandAlone() throws {
    var context = CodexParser.Context(thread: "t")
    context.hasUsageRecords = true
    let record = line(
      "token_usage_record",
      #"{"response_id":"r","usage":{"input_tokens":10,"cached_input_tokens":4,"output_tokens":2}}"#)
    let parsed = try parse(text("assistant", "a"), record, tokens(99, last: 99), context: context)
    #expect(parsed.messages[0].counts == MessageCounts(input: 6, cacheRead: 4, output: 2))
  }

  @Test("a fork's copies of another thread cost nothing, what it does itself does")
  func inheritedTokensAreNotCounted() throws {
    let parsed = try parse(
      line("session_meta", #"{"id":"child","timestamp":"2026-11-20T10:00:00Z"}"#),
      line("session_meta", #"{"id":"other"}"#), text("assistant", "old"), tokens(100, last: 100),
      text("assistant", "new", second: 9), tokens(130, last: 30, second: 9))
    #expect(parsed.messages.map(\.counts.input) == [nil, 30])
    #expect(parsed.messages.allSatisfy { $0.session == "child" })
  }

  @Test(
    "lines that are the same have different uids when they follow each other, and the same at every import")
  func uidsFollowFromLines() throws {
    let lines = [text("user", "go"), text("user", "go"), text("user", "stop")]
    let first = try Parsed(CodexParser(.init(thread: "t")), lines).messages.map(\.uid)
    #expect(Set(first).count == 3)
    #expect(try Parsed(CodexParser(.init(thread: "t")), lines).messages.map(\.uid) == first)
    // What was written in between does not matter.
    let other = try Parsed(CodexParser(.init(thread: "t")), [text("user", "new")] + lines)
    #expect(other.messages.map(\.uid).dropFirst() == first[...])
  }

  @Test("the form of 2025, without payloads, is read")
  func oldFormIsRead() throws {
    let parsed = try parse(
      #"{"id":"old","timestamp":"2025-05-07T17:24:21.123Z","instructions":null,"git":{"branch":"b"}}"#,
      #"{"record_type":"state"}"#,
      #"{"type":"message","role":"user","content":[{"type":"input_text","text":"hi"}]}"#,
      #"{"type":"reasoning","summary":[{"type":"summary_text","text":"thinking"}]}"#)
    #expect(parsed.messages.map(\.session) == ["old", "old"])
    #expect(parsed.sessions["old"]?.gitBranch == "b")
    #expect(parsed.messages[1].content == #"[{"text":"thinking","type":"reasoning"}]"#)
  }

  @Test("what only the provider can read is left out, and a summary it sealed stands for nothing")
  func sealedItemsAreLeftOut() throws {
    let parsed = try parse(
      text("user", "q"),
      line("response_item", #"{"type":"reasoning","summary":[],"encrypted_content":"gAAA"}"#),
      line(
        "compacted", #"{"message":"","replacement_history":[{"type":"compaction","encrypted_content":"x"}]}"#),
      line(
        "compacted",
        #"{"message":"","replacement_history":[{"type":"message","role":"user","content":[{"text":"sum"}]}]}"#
      ))
    #expect(parsed.messages.map(\.content) == ["q", "sum"])
    #expect(parsed.outcomes == [.taken, .skipped, .skipped, .taken])
  }

  @Test("a look ahead finds the last summary and the turns that were taken back")
  func lookAhead() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("rollout-2026-11-20T10-00-00-019dd8e4-15dd-7143-95e8-219014341717.jsonl")
    let lines = [
      text("user", "<environment_context>"), text("user", "one"), text("assistant", "1"),
      text("user", #"says \"thread_rolled_back\" itself"#), text("assistant", "2"), text("user", "three"),
      line("event_msg", #"{"type":"thread_rolled_back","num_turns":2}"#), text("user", "four"),
      line("compacted", #"{"message":"so far"}"#), "{\"type\":\"compacted\"",
    ]
    try lines.joined(separator: "\n").write(toFile: path, atomically: false, encoding: .utf8)
    let context = try CodexParser.Context(file: path)
    #expect(context.thread == "019dd8e4-15dd-7143-95e8-219014341717")
    #expect(context.undone == [4..<7])
    #expect(context.compaction == 9)
    #expect(!context.hasUsageRecords)
  }
}
