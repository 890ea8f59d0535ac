// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

/// Reads lines of a Codex rollout, `sessions/YYYY/MM/DD/rollout-<time>-<thread>.jsonl`.
///
/// Its lines have no ids, so each message's follows from what the line says. Tokens come in lines of their own
/// behind what they were spent on; they are counted on the model's last message before them. The old form of 2025,
/// without `payload`, is read too.
struct CodexParser: LineParser {
  /// What is known of the file before it is read.
  struct Context: Sendable {
    /// The thread its name tells, for files that do not say it.
    var thread: String
    /// The last line at which a summary took the place of what was said.
    var compaction: Int?
    /// Lines of turns that were taken back.
    var undone: [Range<Int>] = []
    /// Whether tokens are told by response and not by running totals.
    var hasUsageRecords = false
  }

  private let context: Context
  private var session: TranscriptSession?
  private var isEmitted = false
  private var isChanged = false
  private var hasTitle = false
  private var model: String?
  private var lastTime: Int64 = 0
  /// In a fork, what was written until then is a copy of what another thread has said and spent.
  private var inheritedUntil: Int64 = -1
  private var lastTotal: String?
  /// Messages that wait for the tokens of the first of them.
  private var waiting: [TranscriptMessage] = []
  private var uncounted = MessageCounts()
  private var uids = LineUIDs()

  init(_ context: Context) { self.context = context }

  mutating func take(_ line: JSONTape, number: Int, into batch: inout TranscriptBatch) -> LineOutcome {
    let type = line.at("type")
    let time = TranscriptTime.rfc3339(line.text(line.at("timestamp"))) ?? lastTime
    lastTime = max(lastTime, time)
    let payload = line.at("payload")
    if line.kind(payload) != .object {
      if line.kind(type) == nil {
        if line.kind(line.at("record_type")) == nil, line.words(line.at("id")) != nil { begin(line, 0, time) }
        return .skipped
      }
      return item(line, 0, number, time, &batch)
    }
    if line.has(type, "response_item") { return item(line, payload, number, time, &batch) }
    if line.has(type, "session_meta") {
      begin(line, payload, time)
    } else if line.has(type, "turn_context") {
      model = line.words(line.at("model", payload)) ?? model
      change { session in
        session.model = session.model ?? line.words(line.at("model", payload))
        session.cwd = session.cwd ?? line.words(line.at("cwd", payload))
      }
    } else if line.has(type, "compacted") {
      return summary(line, payload, number, time, &batch)
    } else if line.has(type, "event_msg") {
      event(line, payload, time, &batch)
    } else if line.has(type, "token_usage_record") {
      if time > inheritedUntil { count(Self.counts(line, line.at("usage", payload)), &batch) }
    }
    return .skipped
  }

  mutating func finish(into batch: inout TranscriptBatch) {
    flush(&batch)
    if isEmitted, isChanged, let session { batch.add(more: session) }
    isChanged = false
  }

  // MARK: The session

  private mutating func begin(_ line: JSONTape, _ payload: Int, _ time: Int64) {
    let id =
      line.words(line.at("id", payload)).flatMap { TranscriptSession.isID($0) ? $0 : nil } ?? context.thread
    if let session {
      // A fork's file has the other thread's lines in it, from its first on.
      if session.id != id, inheritedUntil < 0 { inherit(until: session.started ?? time) }
      return
    }
    var new = TranscriptSession(id: id, format: .codex)
    new.started = TranscriptTime.rfc3339(line.text(line.at("timestamp", payload))) ?? time
    new.cwd = line.words(line.at("cwd", payload))
    new.gitBranch = line.words(line.at("branch", line.at("git", payload)))
    new.note("version", line.words(line.at("cli_version", payload)))
    new.note("originator", line.words(line.at("originator", payload)))
    new.note("provider", line.words(line.at("model_provider", payload)))
    new.note("agent", line.words(line.at("agent_nickname", payload)))
    new.note("agent_role", line.words(line.at("agent_role", payload)))
    let source = line.at("source", payload)
    new.note("started_by", line.words(source))
    let agent = line.at("subagent", source) >= 0 ? line.at("subagent", source) : line.at("sub_agent", source)
    let spawned = line.words(line.at("parent_thread_id", line.at("thread_spawn", agent)))
    if let parent = spawned ?? line.words(line.at("parent_thread_id", payload)), parent != id {
      (new.parent, new.edge) = (parent, .subagent)
    }
    if let origin = line.words(line.at("forked_from_id", payload)), origin != id {
      if new.parent == nil { (new.parent, new.edge) = (origin, .fork) }
      inherit(until: time)
    }
    session = new
  }

  /// The copies are written within moments of the fork; nothing a model answers comes that soon.
  private mutating func inherit(until time: Int64) { inheritedUntil = time + 1000 }

  private mutating func change(_ body: (inout TranscriptSession) -> Void) {
    var changed = session ?? TranscriptSession(id: context.thread, format: .codex)
    let before = session
    body(&changed)
    session = changed
    if changed != before { isChanged = true }
  }

  // MARK: Messages

  private mutating func item(
    _ line: JSONTape, _ payload: Int, _ number: Int, _ time: Int64, _ batch: inout TranscriptBatch
  ) -> LineOutcome {
    guard var message = Self.message(line, payload) else { return .skipped }
    message.uid = uids.uid(of: line.bytes)
    message.time = time
    if message.role == "assistant" { message.model = model }
    if !hasTitle, message.role == "user", !message.isJSON, !isInserted(message.content),
      let title = TranscriptSession.title(from: message.content)
    {
      hasTitle = true
      change { if $0.title == nil { ($0.title, $0.titleFrom) = (title, .derived) } }
    }
    add(message, number, &batch)
    return .taken
  }

  private mutating func add(_ message: TranscriptMessage, _ number: Int, _ batch: inout TranscriptBatch) {
    var message = message
    change { if $0.started == nil { $0.started = message.time } }
    message.session = session?.id ?? context.thread
    if let compaction = context.compaction, number < compaction { message.state = .compacted }
    if context.undone.contains(where: { $0.contains(number) }) { message.state = .undone }
    if message.role == "assistant" {
      flush(&batch)
      message.counts = uncounted
      uncounted = MessageCounts()
      waiting = [message]
    } else if message.role == "tool", !waiting.isEmpty, waiting.count < 64 {
      waiting.append(message)
    } else {
      flush(&batch)
      emit(message, &batch)
    }
  }

  private mutating func flush(_ batch: inout TranscriptBatch) {
    for message in waiting { emit(message, &batch) }
    waiting = []
  }

  private mutating func emit(_ message: TranscriptMessage, _ batch: inout TranscriptBatch) {
    if !isEmitted, let session {
      batch.add(session)
      (isEmitted, isChanged) = (true, false)
    }
    batch.add(message)
  }

  private mutating func summary(
    _ line: JSONTape, _ payload: Int, _ number: Int, _ time: Int64, _ batch: inout TranscriptBatch
  ) -> LineOutcome {
    guard let text = Self.summary(line, payload) else { return .skipped }
    var message = TranscriptMessage(session: "", uid: uids.uid(of: line.bytes), role: "user", time: time)
    message.content = text
    add(message, number, &batch)
    return .taken
  }

  /// What stands for the messages before: the summary, or the last text of what is to replace them. Where both
  /// are sealed by the provider there is none, and the messages go on standing for themselves.
  static func summary(_ line: JSONTape, _ payload: Int) -> String? {
    if let text = line.words(line.at("message", payload)) { return text }
    for item in line.elements(line.at("replacement_history", payload)).reversed() {
      if let message = message(line, item), !message.isJSON, !message.content.isEmpty {
        return message.content
      }
    }
    return nil
  }

  // MARK: Events

  private mutating func event(
    _ line: JSONTape, _ payload: Int, _ time: Int64, _ batch: inout TranscriptBatch
  ) {
    let type = line.at("type", payload)
    if line.has(type, "thread_name_updated") {
      guard let name = line.words(line.at("thread_name", payload)).flatMap(TranscriptSession.title) else {
        return
      }
      hasTitle = true
      change { ($0.title, $0.titleFrom) = (name, .imported) }
    } else if line.has(type, "token_count"), !context.hasUsageRecords {
      let info = line.at("info", payload)
      let total = line.at("total_token_usage", info)
      guard line.kind(total) == .object else { return }
      // The same total again is the same event again.
      let text = line.raw(total)
      defer { lastTotal = text }
      guard text != lastTotal, time > inheritedUntil else { return }
      let last = line.at("last_token_usage", info)
      if line.kind(last) == .object {
        count(Self.counts(line, last), &batch)
      } else {
        let before = lastTotal.flatMap { JSONTape($0) }.map { Self.counts($0, 0) } ?? MessageCounts()
        count(Self.counts(line, total).beyond(before), &batch)
      }
    }
  }

  private mutating func count(_ counts: MessageCounts, _ batch: inout TranscriptBatch) {
    if waiting.isEmpty {
      uncounted = uncounted + counts
    } else {
      waiting[0].counts = waiting[0].counts + counts
      flush(&batch)
    }
  }

  /// The prompt's tokens include those from the cache, the output's those of reasoning.
  private static func counts(_ line: JSONTape, _ usage: Int) -> MessageCounts {
    let cached = line.integer(line.at("cached_input_tokens", usage))
    let written = line.integer(line.at("cache_write_input_tokens", usage)).flatMap { $0 > 0 ? $0 : nil }
    let input = line.integer(line.at("input_tokens", usage)).map {
      max(0, $0 - (cached ?? 0) - (written ?? 0))
    }
    return MessageCounts(
      input: input, cacheRead: cached, cacheWrite: written,
      output: line.integer(line.at("output_tokens", usage))
    ).bounded()
  }
}

extension CodexParser {
  /// The message an item is; nil for what only the program or the provider can read.
  static func message(_ line: JSONTape, _ item: Int) -> TranscriptMessage? {
    let type = line.at("type", item)
    var message = TranscriptMessage(session: "", uid: "", role: "assistant", time: 0)
    if line.has(type, "message") {
      guard let role = line.words(line.at("role", item)) else { return nil }
      message.role = role
      let parts = line.elements(line.at("content", item))
      let texts = parts.compactMap { line.text(line.at("text", $0)) }
      if texts.count == parts.count {
        message.content = line.text(line.at("content", item)) ?? texts.joined(separator: "\n")
      } else {
        message.content = line.raw(line.at("content", item))
        message.isJSON = true
      }
      return message.content.isEmpty ? nil : message
    }
    if line.has(type, "reasoning") {
      let parts = line.elements(line.at("summary", item)) + line.elements(line.at("content", item))
      let texts = parts.compactMap { line.words(line.at("text", $0)) }
      guard !texts.isEmpty else { return nil }
      let part: [String: JSONValue] = [
        "type": .string("reasoning"), "text": .string(texts.joined(separator: "\n")),
      ]
      message.content = JSONValue.array([.object(part)]).json
      message.isJSON = true
      return message
    }
    let id = line.at("call_id", item)
    if line.has(type, "function_call"), line.text(id) != nil {
      let (name, input) = (line.raw(line.at("name", item)), line.raw(line.at("arguments", item)))
      message.toolCalls =
        "[{\"id\":\(line.raw(id)),\"type\":\"function\",\"function\":{\"name\":\(name),\"arguments\":\(input)}}]"
      return message
    }
    if line.has(type, "custom_tool_call"), line.text(id) != nil {
      let (name, input) = (line.raw(line.at("name", item)), line.raw(line.at("input", item)))
      message.toolCalls =
        "[{\"id\":\(line.raw(id)),\"type\":\"custom\",\"custom\":{\"name\":\(name),\"input\":\(input)}}]"
      return message
    }
    if line.has(type, "local_shell_call"), line.text(id) != nil {
      message.toolCalls =
        "[{\"id\":\(line.raw(id)),\"type\":\"local_shell\",\"action\":\(line.raw(line.at("action", item)))}]"
      return message
    }
    if line.has(type, "function_call_output") || line.has(type, "custom_tool_call_output") {
      message.role = "tool"
      message.toolCallID = line.words(id)
      var output = line.at("output", item)
      if let inner = line.text(line.at("content", output)) {
        message.content = inner
        return message
      }
      if line.kind(output) == nil { output = line.at("content", item) }
      message.content = line.text(output) ?? line.raw(output)
      message.isJSON = line.text(output) == nil
      return message
    }
    if line.has(type, "web_search_call") || line.has(type, "tool_search_call")
      || line.has(type, "tool_search_output")
    {
      message.content = "[\(line.raw(item))]"
      message.isJSON = true
      return message
    }
    return nil
  }
}

extension CodexParser.Context {
  /// Looks ahead in a rollout.
  /// - Throws: ``StoreError`` when it cannot be read.
  init(file path: String) throws(StoreError) {
    let name = path.split(separator: "/").last.map(String.init) ?? path
    let stem = name.hasSuffix(".jsonl") ? String(name.dropLast(6)) : name
    // rollout-2026-11-21T09-30-00-<uuid>
    thread = stem.hasPrefix("rollout-") && stem.utf8.count > 44 ? String(stem.suffix(36)) : stem
    var compaction: Int?
    var isRolledBack = false
    var hasRecords = false
    try LineReader.lines(
      of: path, with: ["\"compacted\"", "\"thread_rolled_back\"", "\"token_usage_record\""]
    ) { line, number in
      let (type, payload) = (line.at("type"), line.at("payload"))
      if line.has(type, "compacted"), CodexParser.summary(line, payload) != nil { compaction = number }
      if line.has(type, "token_usage_record") { hasRecords = true }
      if line.has(line.at("type", payload), "thread_rolled_back") { isRolledBack = true }
    }
    (self.compaction, hasUsageRecords) = (compaction, hasRecords)
    guard isRolledBack else { return }
    var starts: [Int] = []
    var undone: [Range<Int>] = []
    try LineReader.lines(of: path, with: ["\"user\"", "\"thread_rolled_back\""]) { line, number in
      let payload = line.at("payload")
      if line.has(line.at("type", payload), "thread_rolled_back") {
        let turns = min(starts.count, max(0, Int(clamping: line.integer(line.at("num_turns", payload)) ?? 0)))
        guard turns > 0 else { return }
        undone.append(starts[starts.count - turns]..<number)
        starts.removeLast(turns)
      } else if line.has(line.at("type"), "response_item"), let message = CodexParser.message(line, payload),
        message.role == "user", message.isJSON || !isInserted(message.content)
      {
        starts.append(number)
      }
    }
    self.undone = undone
  }
}
