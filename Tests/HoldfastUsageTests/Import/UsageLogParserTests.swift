// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastTestKit
import Testing

@testable import HoldfastUsage

@Suite("What Claude Code's lines tell")
struct ClaudeCodeUsageParserTests {
  private func parse(_ lines: [String], path: String = "/p/s-1.jsonl") -> UsageLogBatch {
    LogLines.batch(ClaudeCodeUsageParser(path: path), lines)
  }

  @Test("the lines of one response are one request, with the largest of each count")
  func linesOfAResponseAreOneRequest() throws {
    let batch = parse(LogLines.claudeSession)
    #expect(batch.faults.isEmpty)
    #expect(batch.rows.map(\.uid) == ["claude-code:msg_1:req_1", "claude-code:msg_2:req_2"])
    let row = batch.rows[0]
    #expect(row.counts == [10, 1000, 200, 0, 30])
    #expect(row.provider == "anthropic" && row.model == "claude-sonnet-4-5" && row.source == "claude-code")
    #expect(row.session == "s-1" && row.project == "site" && row.agent == nil)
    #expect(row.requestID == "req_1" && row.responseID == "msg_1")
    #expect(row.tool == "Bash" && row.stopReason == "tool_use" && row.origin == .log)
    #expect(row.time == UTCInstant("2026-11-20T10:00:01.250Z"))
    #expect(row.endpoint == .anthropicMessages && row.expectsUsage)
  }

  @Test("the cache's two lives are told apart, and what is not told is nil")
  func cacheWritesAreSplit() throws {
    let split = #","cache_creation":{"ephemeral_5m_input_tokens":50,"ephemeral_1h_input_tokens":150}"#
    let rows = parse([
      LogLines.claude("a", usage: split),
      LogLines.claude("b", usage: #","service_tier":"batch","server_tool_use":{"web_search_requests":3}"#),
      #"{"type":"assistant","timestamp":"2026-11-20T10:00:00Z","message":{"id":"c","model":"m","usage":{"output_tokens":1}}}"#,
    ]).rows
    #expect(rows[0].counts == [10, 1000, 50, 150, 5])
    #expect(rows[1].counts == [10, 1000, 200, 0, 5])
    #expect(rows[1].webSearches == 3 && rows[1].serviceTier == "batch")
    #expect(rows[2].counts == [nil, nil, nil, nil, 1] && rows[2].isUnknown)
  }

  @Test("a sub-agent's file is of its session, by where it is")
  func subAgentsAreNamed() throws {
    let line = LogLines.claude("a", more: #","agentId":"abc","isSidechain":true"#)
    for path in ["/p/s-1/subagents/agent-abc.jsonl", "/p/agent-abc.jsonl", "/p/s-1.jsonl"] {
      let row = try #require(parse([line], path: path).rows.first)
      #expect(row.agent == "abc" && row.session == "s-1", "\(path)")
    }
  }

  @Test("a fork's copies are of the session they were copied from")
  func forksNameTheirOrigin() throws {
    let copy = LogLines.claude(
      "msg_1", session: "fork", more: #","forkedFrom":{"sessionId":"s-1","messageUuid":"x"}"#)
    let rows = parse([copy, LogLines.claude("msg_9", session: "fork")], path: "/p/fork.jsonl").rows
    #expect(rows.map(\.session) == ["s-1", "fork"])
  }

  @Test(
    "numbers that cannot be true are refused with their line",
    arguments: [
      #"{"input_tokens":-1,"output_tokens":1}"#, #"{"input_tokens":1e99,"output_tokens":1}"#,
      #"{"input_tokens":1.5,"output_tokens":1}"#, #"{"input_tokens":"many","output_tokens":1}"#,
      #"{"input_tokens":1,"output_tokens":1000000000001}"#,
    ])
  func absurdCountsAreRefused_D15(_ usage: String) throws {
    let absurd =
      #"{"type":"assistant","timestamp":"2026-11-20T10:00:00Z","message":{"id":"c","model":"m","usage":\#(usage)}}"#
    let batch = parse([LogLines.claude("a"), absurd, LogLines.claude("b")])
    #expect(batch.rows.map(\.responseID) == ["a", "b"])
    #expect(batch.faults.map(\.line) == [2])
    #expect(try #require(batch.faults.first).reason.contains("tokens"))
  }
}

@Suite("What Codex's lines tell")
struct CodexUsageParserTests {
  private func parse(_ lines: [String]) -> UsageLogBatch {
    LogLines.batch(CodexUsageParser(path: "/c/rollout-x.jsonl"), lines)
  }

  @Test("running totals count where they change, by what was added")
  func runningTotalsCountOnce() throws {
    let batch = parse(LogLines.codexOld)
    #expect(batch.faults.isEmpty)
    #expect(
      batch.rows.map(\.counts) == [
        [500, 500, nil, nil, 100], [1000, 1000, nil, nil, 200], [250, 250, nil, nil, 50],
      ])
    #expect(batch.rows.map(\.reasoningTokens) == [50, 100, 25])
    let row = batch.rows[0]
    #expect(row.provider == "openai" && row.model == "gpt-5.5" && row.source == "codex")
    #expect(row.session == "t-1" && row.project == "tool" && row.tool == "exec")
    #expect(batch.rows[1].tool == nil)
    #expect(Set(batch.rows.map(\.uid)).count == 3)
  }

  @Test("where responses tell their own usage, totals tell nothing more")
  func recordsStandAlone() throws {
    let batch = parse(LogLines.codexNew)
    #expect(batch.rows.map(\.uid) == ["codex:resp_1", "codex:resp_2"])
    #expect(batch.rows.map(\.responseID) == ["resp_1", "resp_2"])
    #expect(batch.rows.map(\.inputTokens) == [500, 1000])
  }

  @Test("a total that comes before the record of its response is the same request")
  func totalBeforeItsRecordIsTheSame() throws {
    let rows = parse([
      LogLines.codexMeta(), LogLines.turn, LogLines.total(1000, last: 1000, second: 5),
      LogLines.record("resp_1", 1000, second: 5), LogLines.record("resp_2", 2000, second: 7),
      LogLines.total(3000, last: 2000, second: 7),
    ]).rows
    #expect(rows.map(\.responseID) == ["resp_1", "resp_2"])
    #expect(rows.map(\.inputTokens) == [500, 1000])
  }

  @Test("what a fork copies of its parent's totals is not counted, what it does itself is")
  func forksReplayTheirParents() throws {
    let rows = parse([
      LogLines.codexMeta("fork", second: 30, more: #","forked_from_id":"t-1""#),
      LogLines.codexMeta(second: 30),
      LogLines.turn, LogLines.total(1000, last: 1000, second: 30),
      LogLines.total(3000, last: 2000, second: 30),
      LogLines.total(3500, last: 500, second: 40),
    ]).rows
    #expect(rows.map(\.inputTokens) == [250])
    #expect(rows.map(\.session) == ["fork"])
    // The older form, which does not say that it is one.
    let silent = parse([
      LogLines.codexMeta("fork", second: 30), LogLines.codexMeta(second: 30),
      LogLines.total(1000, last: 1000, second: 30), LogLines.total(1500, last: 500, second: 40),
    ]).rows
    #expect(silent.map(\.inputTokens) == [250])
  }

  @Test("a sub-agent's thread is in its session, under its parent")
  func subAgentsAreNamed() throws {
    let source = #","source":{"subagent":{"thread_spawn":{"parent_thread_id":"t-0"}}}"#
    let alone = parse([LogLines.codexMeta("t-2", more: source), LogLines.record("r", 100)]).rows
    #expect(alone[0].session == "t-2" && alone[0].agent == "t-2" && alone[0].parentAgent == "t-0")
    let owned = parse([
      LogLines.codexMeta("t-2", more: source + #","session_id":"t-root""#), LogLines.record("r", 100),
    ]).rows
    #expect(owned[0].session == "t-root" && owned[0].agent == "t-2" && owned[0].parentAgent == "t-0")
  }
}

@Suite("What Gemini CLI, Cline and OpenCode tell")
struct DocumentUsageParserTests {
  private let chat =
    #""id":"g-1","timestamp":"2026-11-20T10:00:01Z","type":"gemini","content":"x","model":"gemini-2.5-pro""#
  private let tokens = #"{"input":1000,"output":50,"cached":400,"thoughts":20,"tool":7,"total":1077}"#

  @Test("Gemini's cache is taken out of its prompt, its thoughts are put into its output")
  func geminiCountsAreDisjoint() throws {
    let lines = [
      #"{"sessionId":"s","projectHash":"h","startTime":"2026-11-20T10:00:00Z","directories":["/home/me/web"]}"#,
      #"{"id":"u-1","timestamp":"2026-11-20T10:00:00Z","type":"user","content":"q"}"#,
      "{\(chat)}",
      #"{\#(chat),"tokens":\#(tokens),"toolCalls":[{"id":"t","name":"read_file"}]}"#,
      #"{"$rewindTo":"u-1"}"#,
    ]
    let batch = LogLines.batch(GeminiUsageParser(), lines)
    #expect(batch.faults.isEmpty && batch.rows.count == 1)
    let row = try #require(batch.rows.first)
    #expect(row.counts == [607, 400, nil, nil, 70] && row.reasoningTokens == 20)
    #expect(row.uid == "gemini-cli:s:g-1" && row.session == "s" && row.project == "web")
    #expect(row.provider == "gemini" && row.source == "gemini-cli" && row.tool == "read_file")
    // The single text of older versions tells the same.
    let document = #"{"sessionId":"s","projectHash":"h","messages":[{\#(chat),"tokens":\#(tokens)}]}"#
    let old = LogLines.batch(GeminiUsageParser(), document)
    #expect(old.rows.map(\.uid) == [row.uid] && old.rows.map(\.counts) == [row.counts])
  }

  @Test("a sub-agent of Gemini's is of the session whose directory it is in")
  func geminiSubAgents() throws {
    let parser = GeminiUsageParser(path: "/h/.gemini/tmp/x/chats/main-session/sub.jsonl")
    let rows = LogLines.batch(
      parser, [#"{"sessionId":"sub","projectHash":"h"}"#, #"{\#(chat),"tokens":\#(tokens)}"#]
    ).rows
    #expect(rows.map(\.session) == ["main-session"] && rows.map(\.agent) == ["sub"])
  }

  private func started(_ ts: Int, _ request: String, more: String = "") -> String {
    let text = request.replacing("\"", with: "\\\"")
    return #"{"ts":\#(ts),"type":"say","say":"api_req_started","text":"\#(text)"\#(more)}"#
  }

  @Test("Cline's prompt is without its cache, the others' with it")
  func clineCountsAreDisjoint() throws {
    let time = 1_795_000_000_000
    let document = [
      #"{"ts":1,"type":"say","say":"text","text":"do it"}"#,
      started(
        time,
        #"{"request":"x","tokensIn":100,"tokensOut":10,"cacheWrites":5,"cacheReads":1000,"cost":0.0125}"#,
        more: #","modelInfo":{"providerId":"anthropic","modelId":"claude-sonnet-4-5","mode":"act"}"#),
      #"{"ts":2,"type":"ask","ask":"tool","text":"{\"tool\":\"readFile\",\"path\":\"a\"}"}"#,
      started(
        time + 1,
        #"{"apiProtocol":"anthropic","tokensIn":1105,"tokensOut":10,"cacheWrites":5,"cacheReads":1000}"#),
      started(time + 2, #"{"request":"under way"}"#),
      started(time + 3, #"{"tokensIn":7,"tokensOut":1,"cancelReason":"user_cancelled"}"#),
      started(time + 4, #"{"tokensIn":-7,"tokensOut":1}"#),
    ].joined(separator: ",")
    let parser = ClineUsageParser(
      task: "171", models: [.init(since: 0, provider: "openrouter", model: "other/model")])
    let batch = LogLines.batch(parser, "[\(document)]")
    #expect(
      batch.rows.map(\.counts) == [
        [100, 1000, 5, 0, 10], [100, 1000, 5, 0, 10], [7, nil, nil, nil, 1],
      ])
    #expect(batch.rows.map(\.model) == ["claude-sonnet-4-5", "other/model", "other/model"])
    #expect(batch.rows.map(\.provider) == ["anthropic", "openrouter", "openrouter"])
    #expect(batch.rows.map(\.tool) == ["readFile", nil, nil])
    #expect(batch.rows[0].costMicrodollars == 12_500 && batch.rows[0].session == "171")
    #expect(batch.rows[2].outcome == .clientLeft)
    #expect(batch.faults.count == 1)
    #expect(Set(batch.rows.map(\.uid)).count == 3)
  }

  @Test("the family's programs are told apart by where their tasks are")
  func clineFamilyIsNamed() throws {
    let places = [
      "saoudrizwan.claude-dev": "cline", "rooveterinaryinc.roo-cline": "roo-code",
      "kilocode.kilo-code": "kilo-code",
    ]
    for (place, source) in places {
      let parser = ClineUsageParser(path: "/h/User/globalStorage/\(place)/tasks/17/ui_messages.json")
      let document = "[\(started(1_795_000_000_000, #"{"tokensIn":1,"tokensOut":1}"#))]"
      let row = try #require(LogLines.batch(parser, document).rows.first)
      #expect(row.source == source && row.session == "17" && row.model == "unknown")
    }
  }

  private func openCode(_ tokens: String, done: String = #","completed":1795000009000"#) -> String {
    #"{"role":"assistant","providerID":"anthropic","modelID":"claude-haiku","cost":0.001,"path":{"cwd":"/x/clock"},"#
      + #""finish":"stop","time":{"created":1795000000000\#(done)},"tokens":\#(tokens)}"#
  }

  @Test("OpenCode's answers count when they have ended, with reasoning in their output")
  func openCodeAnswersCount() throws {
    var batch = UsageLogBatch()
    let session = OpenCodeUsage.Session(id: "ses_2", root: "ses_1", parent: "ses_1", directory: "/x")
    let new = #"{"input":10,"output":5,"reasoning":3,"total":39,"cache":{"read":20,"write":1}}"#
    let old = #"{"input":10,"output":8,"reasoning":3,"cache":{"read":20,"write":1}}"#
    #expect(
      OpenCodeUsage.take(try #require(JSONTape(openCode(new, done: ""))), of: session, into: &batch)
        == .unfinished)
    #expect(OpenCodeUsage.take(try #require(JSONTape(openCode(new))), of: session, into: &batch) == .answer)
    #expect(OpenCodeUsage.take(try #require(JSONTape(openCode(old))), of: session, into: &batch) == .answer)
    // A fork's copy.
    let fork = OpenCodeUsage.Session(id: "ses_9")
    #expect(OpenCodeUsage.take(try #require(JSONTape(openCode(old))), of: fork, into: &batch) == .answer)
    #expect(batch.rows.map(\.counts) == [[10, 20, 1, 0, 8], [10, 20, 1, 0, 8]])
    #expect(
      batch.rows.map(\.session) == ["ses_1", "ses_1"] && batch.rows.map(\.agent) == ["ses_2", "ses_2"])
    #expect(batch.rows[0].project == "clock" && batch.rows[0].costMicrodollars == 1000)
  }

  @Test("no bytes at all trap a parser", arguments: 0..<60 as Range<UInt64>)
  func anyJSONIsTaken(_ seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let lines =
      LogLines.claudeSession + LogLines.codexNew + LogLines.codexOld + [
        #"{\#(chat),"tokens":\#(tokens)}"#, openCode(tokens),
        "[\(started(1, #"{"tokensIn":1,"tokensOut":1}"#))]",
      ]
    let scraps = ["null", "{}", "[]", "-1", "1e99", "\"\"", "\"\\u0000\"", "9223372036854775807", "true"]
    for line in lines {
      var bytes = Array(line.utf8)
      for _ in 0..<Int.random(in: 1...4, using: &generator) where bytes.count > 4 {
        let start = Int.random(in: 0..<bytes.count - 2, using: &generator)
        let end = min(bytes.count, start + Int.random(in: 0...12, using: &generator))
        bytes.replaceSubrange(start..<end, with: Array(scraps.randomElement(using: &generator)!.utf8))
      }
      var tape = JSONTape()
      tape.bytes = bytes
      guard tape.scan() else { continue }
      var batch = UsageLogBatch()
      var (claude, codex, gemini) = (ClaudeCodeUsageParser(), CodexUsageParser(), GeminiUsageParser())
      for _ in 0..<2 {
        claude.take(tape, into: &batch)
        codex.take(tape, into: &batch)
        gemini.take(tape, into: &batch)
      }
      ClineUsageParser().take(document: tape, into: &batch)
      GeminiUsageParser().take(document: tape, into: &batch)
      _ = OpenCodeUsage.take(tape, of: .init(id: "s"), into: &batch)
      for row in batch.rows { #expect(throws: Never.self) { try row.validate() } }
    }
  }
}
