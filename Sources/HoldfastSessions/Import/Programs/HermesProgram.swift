// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine

/// Hermes Agent's `state.db`: `sessions`, linked by `parent_session_id`, and `messages` in the order of their ids.
///
/// It keeps tokens and cost by session, not by message: they stand on the session's first answer, and are brought
/// up to date there.
struct HermesProgram: ForeignProgram {
  struct Session {
    var id: String
    var model: String?
    var last: Int64 = 0
    /// The message that carries what the session cost.
    var carrier: Int64?
    var counts: MessageCounts
  }

  static let sessionTable = "sessions"

  func session(_ row: ForeignRow, _ db: Database) throws -> (TranscriptSession, Session)? {
    guard let id = row.words("id"), TranscriptSession.isID(id) else { return nil }
    var session = TranscriptSession(id: id, format: .hermes)
    session.title = row.words("title").flatMap(TranscriptSession.title)
    session.titleFrom =
      switch row.text("title_source") {
      case "user": .user
      case "llm": .model
      case "derived": .derived
      default: .imported
      }
    session.model = row.words("model")
    session.cwd = row.words("cwd")
    session.gitBranch = row.words("git_branch")
    session.started = TranscriptTime.sinceEpoch(row.number("started_at"))
    session.ended = TranscriptTime.sinceEpoch(row.number("ended_at"))
    session.endedReason = session.ended == nil ? nil : row.words("end_reason") ?? "ended"
    session.isArchived = row.integer("archived") == 1
    session.isPinned = row.integer("pinned") == 1
    for name in [
      "source", "user_id", "chat_id", "chat_type", "thread_id", "display_name", "billing_provider",
    ] {
      session.note(name == "source" ? "started_by" : name, row.words(name))
    }
    if let parent = row.words("parent_session_id"), parent != id {
      session.parent = parent
      session.edge = try edge(row, parent: parent, db)
    }
    var counts = MessageCounts(
      input: row.count("input_tokens"), cacheRead: row.count("cache_read_tokens"),
      cacheWrite: row.count("cache_write_tokens"), output: row.count("output_tokens"))
    counts.cost = MessageCounts.microdollars(
      row.number("actual_cost_usd") ?? row.number("estimated_cost_usd"))
    var state = Session(id: id, model: session.model, counts: counts.bounded())
    if !state.counts.isEmpty {
      state.carrier = try Int64.fetchOne(
        db.cachedStatement(
          sql: """
            SELECT id FROM messages WHERE session_id = ? ORDER BY role = 'assistant' DESC, id LIMIT 1
            """), arguments: [id])
    }
    return (session, state)
  }

  /// Hermes marks branches and delegates in `model_config`; a mark that names another session was inherited.
  private func edge(_ row: ForeignRow, parent: String, _ db: Database) throws -> SessionEdge {
    if let config = row.json("model_config") {
      if config.text(config.at("_branched_from")) == parent { return .fork }
      if config.text(config.at("_delegate_from")) == parent { return .subagent }
      if config.text(config.at("_reset_from")) == parent { return .continuation }
    }
    let reason = try Row.fetchOne(
      db.cachedStatement(sql: "SELECT * FROM sessions WHERE id = ?"), arguments: [parent])
    switch reason.map({ ForeignRow($0).text("end_reason") }) ?? nil {
    case "branched": return .fork
    case "compression", "session_reset", "session_switch", "idle", "daily", "new_session":
      return .continuation
    default: return .subagent
    }
  }

  func messages(
    of session: inout Session, most: Int, into piece: inout TranscriptBatch, _ db: Database
  ) throws -> Bool {
    let rows = try Row.fetchCursor(
      db.cachedStatement(
        sql: """
          SELECT *, CAST(content AS BLOB) AS content_bytes FROM messages
          WHERE session_id = ? AND id > ? ORDER BY id LIMIT ?
          """), arguments: [session.id, session.last, most])
    var count = 0
    while let raw = try rows.next() {
      count += 1
      let row = ForeignRow(raw)
      guard let id = row.integer("id") else { continue }
      session.last = id
      add(row, id, session, &piece)
      if piece.isFull { return true }
    }
    return count == most
  }

  private func add(_ row: ForeignRow, _ id: Int64, _ session: Session, _ piece: inout TranscriptBatch) {
    guard let role = row.words("role"), role != "session_meta" else {
      piece.skipped += 1
      return
    }
    var message = TranscriptMessage(
      session: session.id, uid: String(id), role: role,
      time: TranscriptTime.sinceEpoch(row.number("timestamp")) ?? 0)
    content(row, &message)
    if let calls = row.json("tool_calls"), calls.kind(0) == .array { message.toolCalls = calls.raw(0) }
    message.toolCallID = row.words("tool_call_id")
    message.finishReason = row.words("finish_reason")
    if role == "assistant" { message.model = session.model }
    if row.integer("compacted") == 1 {
      message.state = .compacted
    } else if row.integer("active") == 0 {
      message.state = .undone
    }
    if id == session.carrier { message.counts = session.counts }
    piece.add(message)
  }

  /// Parts are kept behind a mark that no text has.
  private func content(_ row: ForeignRow, _ message: inout TranscriptMessage) {
    let bytes = row.bytes("content_bytes") ?? []
    let mark = Array("\u{0}json:".utf8)
    var text = String(decoding: bytes, as: UTF8.self)
    var parts: [String] = []
    if bytes.starts(with: mark) {
      text = String(decoding: bytes.dropFirst(mark.count), as: UTF8.self)
      if let json = JSONTape(text) {
        if json.kind(0) == .array {
          parts = json.elements(0).map(json.raw)
        } else {
          (message.content, message.isJSON) = (json.raw(0), true)
          return
        }
      }
    }
    text = TextRepair.withoutNUL(text) ?? text
    let reasoning = row.words("reasoning") ?? row.words("reasoning_content")
    guard reasoning != nil || !parts.isEmpty else {
      message.content = text
      return
    }
    if parts.isEmpty, !text.isEmpty {
      parts = [JSONValue.object(["type": .string("text"), "text": .string(text)]).json]
    }
    if let reasoning {
      parts.insert(JSONValue.object(["type": .string("reasoning"), "text": .string(reasoning)]).json, at: 0)
    }
    (message.content, message.isJSON) = ("[" + parts.joined(separator: ",") + "]", true)
  }
}
