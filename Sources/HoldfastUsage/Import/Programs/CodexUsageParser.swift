// SPDX-License-Identifier: Apache-2.0

package import HoldfastEngine

/// Reads a rollout of Codex's, `sessions/YYYY/MM/DD/rollout-<time>-<thread>.jsonl`.
///
/// New versions write a `token_usage_record` for each response, with its id, and a `token_count` behind it; old ones
/// the latter alone, with the thread's running totals, and the same one again whenever something else of it changes.
/// A fork's file begins with its parent's lines, stamped anew.
package struct CodexUsageParser: UsageLineParser {
  /// What the counts of one event come to.
  private struct Counts: Codable, Hashable {
    var input: Int64?
    var cached: Int64?
    var written: Int64?
    var output: Int64?
    var reasoning: Int64?

    /// The counts that were added since `other`.
    func beyond(_ other: Counts) -> Counts {
      func more(_ now: Int64?, _ before: Int64?) -> Int64? { now.map { max(0, $0 - (before ?? 0)) } }
      return Counts(
        input: more(input, other.input), cached: more(cached, other.cached),
        written: more(written, other.written), output: more(output, other.output),
        reasoning: more(reasoning, other.reasoning))
    }
  }

  /// The thread; what the file's name tells until a line does.
  private var thread: String?
  /// The session the thread belongs to, where that is another.
  private var session: String?
  private var parent: String?
  private var hasBegun = false
  private var project: String?
  private var provider = "openai"
  private var model: String?
  /// When the thread began.
  private var started: Int64?
  /// In a fork, what is stamped up to then is a copy of what another thread has spent.
  private var inheritedUntil: Int64 = -1
  private var lastTotal: Counts?
  /// Whether responses tell their own usage, so that running totals tell nothing more.
  private var hasRecords = false
  /// The row made of the last running total, should the record of the same response come behind it.
  private var lastCount: String?
  private var lastCounts: Counts?
  /// The first tool called since the last response.
  private var tool: String?

  /// A parser of a file of which nothing is known.
  package init() {}

  /// A parser of the file at a path, which is not opened.
  package init(path: String) {
    let name = path.split(separator: "/").last.map(String.init) ?? path
    let stem = name.hasSuffix(".jsonl") ? String(name.dropLast(6)) : name
    // rollout-2026-11-21T09-30-00-<uuid>
    thread = WireText.kept(
      stem.hasPrefix("rollout-") && stem.utf8.count > 44 ? String(stem.suffix(36)) : stem, maximumBytes: 256)
  }

  package mutating func take(_ line: JSONTape, into batch: inout UsageLogBatch) {
    let type = line.at("type")
    let payload = line.at("payload")
    guard line.kind(payload) == .object else {
      // The form of 2025, before there were payloads: it tells no usage.
      return
    }
    if line.has(type, "session_meta") {
      begin(line, payload)
    } else if line.has(type, "turn_context") {
      describe(line, payload)
    } else if line.has(type, "response_item") {
      if tool == nil { tool = Self.tool(line, payload) }
    } else if line.has(type, "token_usage_record") {
      record(line, payload, &batch)
    } else if line.has(type, "event_msg") {
      let kind = line.at("type", payload)
      if line.has(kind, "token_count") {
        total(line, payload, &batch)
      } else if line.has(kind, "thread_settings_applied") {
        describe(line, line.at("thread_settings", payload))
      }
    }
  }

  // MARK: The thread

  private mutating func begin(_ line: JSONTape, _ payload: Int) {
    let id = line.kept(line.at("id", payload))
    let time = line.time(line.at("timestamp"))?.milliseconds
    if hasBegun {
      // The other thread's own beginning, copied: this is a fork that does not say so.
      if let id, id != thread, inheritedUntil < 0 { inherit(until: started ?? time) }
      return
    }
    hasBegun = true
    thread = id ?? thread
    started = line.time(line.at("timestamp", payload))?.milliseconds ?? time
    let owner = line.kept(line.at("session_id", payload))
    if owner != thread { session = owner }
    project = LogProject.name(ofDirectory: line.text(line.at("cwd", payload))) ?? project
    provider = line.kept(line.at("model_provider", payload)) ?? provider
    let source = line.at("source", payload)
    let agent = line.at("subagent", source) >= 0 ? line.at("subagent", source) : line.at("sub_agent", source)
    parent =
      line.kept(line.at("parent_thread_id", line.at("thread_spawn", agent)))
      ?? line.kept(line.at("parent_thread_id", payload))
    if let origin = line.kept(line.at("forked_from_id", payload)), origin != thread {
      inherit(until: time ?? started)
    }
  }

  /// The copies are written within moments of the fork; nothing a model answers comes that soon.
  private mutating func inherit(until time: Int64?) {
    if let time { inheritedUntil = time + 1000 }
  }

  private mutating func describe(_ line: JSONTape, _ payload: Int) {
    model = line.kept(line.at("model", payload)) ?? model
    provider = line.kept(line.at("model_provider_id", payload)) ?? provider
    if project == nil { project = LogProject.name(ofDirectory: line.text(line.at("cwd", payload))) }
  }

  private static func tool(_ line: JSONTape, _ item: Int) -> String? {
    let type = line.at("type", item)
    if line.has(type, "function_call") || line.has(type, "custom_tool_call") {
      return line.kept(line.at("name", item))
    }
    if line.has(type, "local_shell_call") { return "local_shell" }
    if line.has(type, "web_search_call") { return "web_search" }
    if line.has(type, "tool_search_call") { return "tool_search" }
    return nil
  }

  // MARK: What was spent

  private mutating func record(_ line: JSONTape, _ payload: Int, _ batch: inout UsageLogBatch) {
    hasRecords = true
    defer { (tool, lastCount, lastCounts) = (nil, nil, nil) }
    let usage = line.at("usage", payload)
    guard line.kind(usage) == .object else { return }
    var numbers = LogCounts(line)
    let counts = Self.counts(&numbers, usage)
    if let problem = numbers.problem { return batch.refuse(problem) }
    guard let time = line.time(line.at("timestamp")) else { return batch.refuse("The response has no time.") }
    let response = line.kept(line.at("response_id", payload))
    guard var row = row(counts, time) else { return batch.refuse("The response belongs to no thread.") }
    row.responseID = response
    if let lastCount, lastCounts == counts {
      // Its running total came first, and is a row already.
      row.uid = lastCount
    } else if let response {
      // A copy in a fork is of the same response.
      row.uid = "codex:\(response)"
    } else if time.milliseconds <= inheritedUntil {
      return
    } else {
      row.uid = "codex:\(thread ?? ""):\(time.milliseconds):\(line.raw(usage).fingerprint)"
    }
    if let owner = line.kept(line.at("session_id", payload)) { place(&row, owner) }
    batch.add(row)
  }

  private mutating func total(_ line: JSONTape, _ payload: Int, _ batch: inout UsageLogBatch) {
    let info = line.at("info", payload)
    let total = line.at("total_token_usage", info)
    guard line.kind(total) == .object else { return }
    var numbers = LogCounts(line)
    let sum = Self.counts(&numbers, total)
    let last = line.at("last_token_usage", info)
    let told = line.kind(last) == .object ? Self.counts(&numbers, last) : nil
    if let problem = numbers.problem { return batch.refuse(problem) }
    // The same total again is the same event again.
    guard sum != lastTotal else { return }
    let before = lastTotal
    lastTotal = sum
    guard !hasRecords else { return }
    guard let time = line.time(line.at("timestamp")) else {
      return batch.refuse("The running total has no time.")
    }
    guard time.milliseconds > inheritedUntil else { return }
    let counts = told ?? sum.beyond(before ?? Counts())
    guard var row = row(counts, time) else { return batch.refuse("The tokens belong to no thread.") }
    // Totals only grow, so within a thread each comes once.
    row.uid = "codex:\(thread ?? ""):\(line.raw(total).fingerprint)"
    (lastCount, lastCounts, tool) = (row.uid, counts, nil)
    batch.add(row)
  }

  private func row(_ counts: Counts, _ time: UTCInstant) -> UsageRow? {
    guard let thread else { return nil }
    var row = UsageRow(provider: provider, model: model ?? "unknown")
    row.origin = .log
    row.time = time
    row.source = "codex"
    row.endpoint = .openAIResponses
    row.project = project
    row.session = thread
    if let session { place(&row, session) }
    if row.agent == nil, parent != nil {
      row.agent = thread
      row.parentAgent = parent
    }
    row.tool = tool
    // The prompt's count includes the cache's, the output's that of reasoning.
    let beside = (counts.cached ?? 0) + (counts.written ?? 0)
    row.inputTokens = counts.input.map { beside <= $0 ? $0 - beside : $0 }
    row.cacheReadTokens = counts.cached
    row.cacheWrite5mTokens = counts.written
    row.cacheWrite1hTokens = counts.written.map { _ in 0 }
    row.outputTokens = counts.output
    row.reasoningTokens = counts.reasoning
    return row
  }

  /// Puts the row in the session its thread is a part of.
  private func place(_ row: inout UsageRow, _ owner: String) {
    guard owner != thread else { return }
    row.session = owner
    row.agent = thread
    row.parentAgent = parent == owner ? nil : parent
  }

  private static func counts(_ numbers: inout LogCounts, _ usage: Int) -> Counts {
    Counts(
      input: numbers.count("input_tokens", usage), cached: numbers.count("cached_input_tokens", usage),
      written: numbers.count("cache_write_input_tokens", usage),
      output: numbers.count("output_tokens", usage),
      reasoning: numbers.count("reasoning_output_tokens", usage))
  }
}

extension String {
  /// 64 bits of it, in hexadecimal (FNV-1a): tells apart what one thread says, no more.
  var fingerprint: String {
    let hash = Checksum.fnv(utf8)
    return String(hash, radix: 16)
  }
}

/// A checksum that is cheap and no protection against anybody.
enum Checksum {
  /// FNV-1a of 64 bits.
  static func fnv(_ bytes: some Sequence<UInt8>) -> UInt64 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return hash
  }
}
