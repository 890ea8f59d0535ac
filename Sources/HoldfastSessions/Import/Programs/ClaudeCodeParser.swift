// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

/// Reads lines of Claude Code: `projects/<directory>/<session>.jsonl`, and for each sub-agent
/// `<session>/subagents/agent-<id>.jsonl` (formerly `agent-<id>.jsonl` beside it, or lines within the session's own
/// file).
///
/// A response is written as one line for each of its blocks, each with the usage so far; each line becomes a
/// message, so that a transcript only ever grows, and the usage counts once.
struct ClaudeCodeParser: LineParser {
  /// What is known of the file before it is read.
  struct Context: Sendable {
    /// The session its name tells, for lines that do not say it.
    var session: String
    /// The sub-agent whose file it is.
    var agent: String?
    /// What `agent-<id>.meta.json` says of it.
    var agentType: String?
    var agentTask: String?
    /// The last compaction of each session in the file.
    var compactions: [String: Compaction] = [:]
  }

  /// Where a summary took the place of what was said.
  struct Compaction: Sendable, Hashable {
    var line: Int
    /// Messages that were kept as they are.
    var kept: Set<String> = []
    var keptFrom: String?
    var keptTo: String?
  }

  private struct Draft {
    var session: TranscriptSession
    var isEmitted = false
    /// 0 none, 1 the first prompt, 2 what a model called it, 3 what a person did.
    var titleRank = 0
    var lastUID = ""
    var lastTime: Int64 = 0
    var isKeeping = false
    var isChanged = false
  }

  private let context: Context
  private var drafts: [String: Draft] = [:]
  private var order: [String] = []
  /// Tokens that have been counted of the requests seen last: their blocks follow each other closely.
  private var counted: [(request: String, counts: MessageCounts)] = []
  /// Titles whose message has not come.
  private var summaries: [String: String] = [:]
  /// The ends of sub-agents' lines within the session's file, by the session each became.
  private var chains: [(end: String, session: String)] = []
  private var uids = LineUIDs()

  init(_ context: Context) { self.context = context }

  mutating func take(_ line: JSONTape, number: Int, into batch: inout TranscriptBatch) -> LineOutcome {
    let type = line.at("type")
    let root = line.words(line.at("sessionId")) ?? context.session
    if line.has(type, "user") || line.has(type, "assistant") {
      return message(line, number, root: root, into: &batch)
    }
    let owner = context.agent.map { Self.id(ofAgent: $0, in: root) } ?? root
    if line.has(type, "custom-title") {
      title(line.words(line.at("customTitle")), of: owner, from: .user, rank: 3)
    } else if line.has(type, "ai-title") {
      title(line.words(line.at("aiTitle")), of: owner, from: .model, rank: 2)
    } else if line.has(type, "summary"), let text = line.words(line.at("summary")),
      let leaf = line.words(line.at("leafUuid"))
    {
      // Older versions write titles of other sessions into the file too.
      if drafts[owner]?.lastUID == leaf {
        title(text, of: owner, from: .model, rank: 2)
      } else if summaries.count < 100 {
        summaries[leaf] = text
      }
    }
    return .skipped
  }

  mutating func finish(into batch: inout TranscriptBatch) {
    for id in order {
      guard var draft = drafts[id], draft.isEmitted, draft.isChanged else { continue }
      batch.add(more: draft.session)
      draft.isChanged = false
      drafts[id] = draft
    }
  }

  /// The session a sub-agent becomes.
  static func id(ofAgent agent: String, in session: String) -> String { "\(session)/agent-\(agent)" }

  private mutating func title(_ text: String?, of id: String, from source: TitleSource, rank: Int) {
    guard let text = text.flatMap(TranscriptSession.title) else { return }
    var draft = draft(id)
    guard rank >= draft.titleRank else { return }
    draft.titleRank = rank
    if draft.session.title != text || draft.session.titleFrom != source {
      (draft.session.title, draft.session.titleFrom) = (text, source)
      draft.isChanged = true
    }
    drafts[id] = draft
  }

  private mutating func draft(_ id: String) -> Draft {
    if let draft = drafts[id] { return draft }
    let draft = Draft(session: TranscriptSession(id: id, format: .claudeCode))
    drafts[id] = draft
    order.append(id)
    return draft
  }

  private mutating func message(
    _ line: JSONTape, _ number: Int, root: String, into batch: inout TranscriptBatch
  ) -> LineOutcome {
    let body = line.at("message")
    guard line.kind(body) == .object else { return .unreadable("The line has no message.") }
    let uid = line.words(line.at("uuid")) ?? uids.uid(of: line.bytes)
    let id = session(of: line, uid, root: root)
    guard TranscriptSession.isID(id), uid.utf8.count <= 1024 else {
      return .unreadable("Its session's or its own id is longer than an id can be.")
    }
    var draft = draft(id)
    let time = TranscriptTime.rfc3339(line.text(line.at("timestamp"))) ?? draft.lastTime
    draft.lastTime = time
    draft.lastUID = uid
    var message = TranscriptMessage(
      session: id, uid: uid, role: line.words(line.at("role", body)) ?? line.text(line.at("type")) ?? "user",
      time: time)
    Self.content(line, line.at("content", body), into: &message)
    let isCopy = line.kind(line.at("forkedFrom")) == .object
    if message.role == "assistant" {
      // What the program says itself has a model of this name.
      message.model = line.words(line.at("model", body)).flatMap { $0 == "<synthetic>" ? nil : $0 }
      message.finishReason = line.words(line.at("stop_reason", body))
      // A fork's copies cost nothing again.
      if !isCopy { message.counts = counts(line, body) }
    }
    state(number, root: root, &message, &draft)
    describe(line, message, isCopy, root: root, &draft)
    if let title = summaries.removeValue(forKey: uid), draft.titleRank <= 2 {
      (draft.session.title, draft.session.titleFrom) = (TranscriptSession.title(from: title), .model)
      draft.titleRank = 2
    }
    if !draft.isEmitted {
      if draft.session.started == nil { draft.session.started = time }
      batch.add(draft.session)
      (draft.isEmitted, draft.isChanged) = (true, false)
    }
    batch.add(message)
    drafts[id] = draft
    return .taken
  }

  /// The session a line belongs to: a sub-agent's lines are a session of their own.
  private mutating func session(of line: JSONTape, _ uid: String, root: String) -> String {
    if let agent = line.words(line.at("agentId")), line.isTrue(line.at("isSidechain")) || context.agent != nil
    {
      return Self.id(ofAgent: agent, in: root)
    }
    if let agent = context.agent { return Self.id(ofAgent: agent, in: root) }
    guard line.isTrue(line.at("isSidechain")) else { return root }
    // Before sub-agents had ids: a chain of lines, each naming the one before.
    let parent = line.text(line.at("parentUuid"))
    if let parent, let index = chains.lastIndex(where: { $0.end == parent }) {
      chains[index].end = uid
      return chains[index].session
    }
    let session = Self.id(ofAgent: uid, in: root)
    chains.append((uid, session))
    if chains.count > 64 { chains.removeFirst() }
    return session
  }

  private func state(_ number: Int, root: String, _ message: inout TranscriptMessage, _ draft: inout Draft) {
    // Compaction is of the session; its sub-agents' transcripts stay.
    guard message.session == root, let compaction = context.compactions[root] else { return }
    guard number < compaction.line else { return }
    if message.uid == compaction.keptFrom { draft.isKeeping = true }
    if !draft.isKeeping, !compaction.kept.contains(message.uid) { message.state = .compacted }
    if message.uid == compaction.keptTo { draft.isKeeping = false }
  }

  private func describe(
    _ line: JSONTape, _ message: TranscriptMessage, _ isCopy: Bool, root: String, _ draft: inout Draft
  ) {
    var session = draft.session
    if session.cwd == nil { session.cwd = line.words(line.at("cwd")) }
    if session.gitBranch == nil { session.gitBranch = line.words(line.at("gitBranch")) }
    if session.model == nil { session.model = message.model }
    session.note("version", line.words(line.at("version")))
    if session.id != root {
      if session.parent == nil { (session.parent, session.edge) = (root, .subagent) }
      session.note("agent", context.agentType ?? line.words(line.at("attributionAgent")))
      if draft.titleRank < 2, let task = context.agentTask.flatMap(TranscriptSession.title) {
        (session.title, session.titleFrom) = (task, .model)
        draft.titleRank = 2
      }
    } else if isCopy, session.parent == nil,
      let origin = line.words(line.at("sessionId", line.at("forkedFrom"))), origin != root
    {
      (session.parent, session.edge) = (origin, .fork)
    }
    if draft.titleRank == 0, message.role == "user", !message.isJSON, !line.isTrue(line.at("isMeta")),
      !line.isTrue(line.at("isCompactSummary")), !isInserted(message.content),
      let title = TranscriptSession.title(from: message.content)
    {
      (session.title, session.titleFrom) = (title, .derived)
      draft.titleRank = 1
    }
    if session != draft.session {
      draft.session = session
      draft.isChanged = true
    }
  }

  /// Tokens beyond those that earlier lines of the same response told.
  private mutating func counts(_ line: JSONTape, _ body: Int) -> MessageCounts {
    let usage = line.at("usage", body)
    var counts = MessageCounts(
      input: line.integer(line.at("input_tokens", usage)),
      cacheRead: line.integer(line.at("cache_read_input_tokens", usage)),
      cacheWrite: line.integer(line.at("cache_creation_input_tokens", usage)),
      output: line.integer(line.at("output_tokens", usage))
    ).bounded()
    counts.cost = MessageCounts.microdollars(line.number(line.at("costUSD")))
    guard let id = line.words(line.at("id", body)) else { return counts }
    let request = id + (line.text(line.at("requestId")) ?? "")
    guard let index = counted.lastIndex(where: { $0.request == request }) else {
      counted.append((request, counts))
      if counted.count > 16 { counted.removeFirst() }
      return counts
    }
    let more = counts.beyond(counted[index].counts)
    counted[index].counts = counted[index].counts + more
    return more
  }

  /// A text as text, a single text block too; everything else as the provider shaped it.
  private static func content(_ line: JSONTape, _ place: Int, into message: inout TranscriptMessage) {
    if let text = line.text(place) {
      message.content = text
      return
    }
    guard line.kind(place) == .array else { return }
    let blocks = line.elements(place)
    if blocks.isEmpty { return }
    if blocks.count == 1, line.has(line.at("type", blocks[0]), "text"), line.members(blocks[0]).count == 2,
      let text = line.text(line.at("text", blocks[0]))
    {
      message.content = text
    } else {
      message.content = line.raw(place)
      message.isJSON = true
    }
  }
}

extension ClaudeCodeParser.Context {
  /// Looks ahead in a file of Claude Code's.
  /// - Throws: ``StoreError`` when it cannot be read.
  init(file path: String) throws(StoreError) {
    let parts = path.split(separator: "/").map(String.init)
    let stem =
      (parts.last ?? "").hasSuffix(".jsonl") ? String((parts.last ?? "").dropLast(6)) : parts.last ?? ""
    session = stem
    if stem.hasPrefix("agent-") {
      agent = String(stem.dropFirst(6))
      // …/<session>/subagents/agent-<id>.jsonl
      if parts.count >= 3, parts[parts.count - 2] == "subagents" { session = parts[parts.count - 3] }
      if let text = TextFile.contents(String(path.dropLast(6)) + ".meta.json", most: 1 << 20),
        let meta = JSONTape(text)
      {
        agentType = meta.words(meta.at("agentType"))
        agentTask = meta.words(meta.at("description"))
      }
    }
    let own = session
    var found: [String: ClaudeCodeParser.Compaction] = [:]
    try LineReader.lines(of: path, with: ["\"compact_boundary\""]) { line, number in
      guard line.has(line.at("type"), "system"), line.has(line.at("subtype"), "compact_boundary"),
        !line.isTrue(line.at("isSidechain"))
      else { return }
      let metadata = line.at("compactMetadata")
      let segment = line.at("preservedSegment", metadata)
      let kept = line.elements(line.at("uuids", line.at("preservedMessages", metadata)))
      found[line.words(line.at("sessionId")) ?? own] = ClaudeCodeParser.Compaction(
        line: number, kept: Set(kept.compactMap(line.text)),
        keptFrom: line.text(line.at("headUuid", segment)),
        keptTo: line.text(line.at("tailUuid", segment)))
    }
    compactions = found
  }
}
