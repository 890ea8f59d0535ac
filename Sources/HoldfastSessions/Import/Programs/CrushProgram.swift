// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine

/// Crush's `crush.db`: `sessions`, and `messages` whose parts are JSON, `[{"type":…,"data":{…}}]`.
///
/// It adds up the cost by session, that of sub-agents included; its token columns are those of the last request
/// only, and so no sums. The session's own cost stands on its first answer.
struct CrushProgram: ForeignProgram {
  struct Session {
    var id: String
    var lastTime: Int64 = .min
    var lastRow: Int64 = 0
    var carrier: String?
    var cost: Int64?
    /// What comes before this in time and row, a summary stands for.
    var summary: (time: Int64, row: Int64)?
  }

  static let sessionTable = "sessions"
  /// The project's directory, which the database does not name.
  let directory: String?

  /// - Parameter path: usually `<project>/.crush/crush.db`.
  init(path: String) {
    let parts = path.split(separator: "/").map(String.init)
    let isUsual = parts.count > 2 && parts[parts.count - 2] == ".crush"
    directory = isUsual ? "/" + parts.dropLast(2).joined(separator: "/") : nil
  }

  func session(_ row: ForeignRow, _ db: Database) throws -> (TranscriptSession, Session)? {
    guard let id = row.words("id"), TranscriptSession.isID(id) else { return nil }
    var session = TranscriptSession(id: id, format: .crush)
    session.title = row.words("title").flatMap(TranscriptSession.title)
    session.titleFrom = .model
    session.cwd = row.words("workspace_cwd") ?? directory
    session.started = TranscriptTime.sinceEpoch(row.number("created_at"))
    if let parent = row.words("parent_session_id"), parent != id {
      (session.parent, session.edge) = (parent, .subagent)
    }
    if let todos = row.json("todos"), todos.kind(0) == .array { session.metadata["todos"] = todos.value(0) }
    let model = try Row.fetchOne(
      db.cachedStatement(
        sql: "SELECT model FROM messages WHERE session_id = ? AND model > '' ORDER BY rowid LIMIT 1"),
      arguments: [id])
    session.model = model.flatMap { ForeignRow($0).words("model") }
    var state = Session(id: id)
    let children = try Row.fetchOne(
      db.cachedStatement(sql: "SELECT total(cost) AS cost FROM sessions WHERE parent_session_id = ?"),
      arguments: [id])
    state.cost = MessageCounts.microdollars(
      (row.number("cost") ?? 0) - (children.flatMap { ForeignRow($0).number("cost") } ?? 0))
    if state.cost != nil {
      let carrier = try Row.fetchOne(
        db.cachedStatement(
          sql: """
            SELECT id FROM messages WHERE session_id = ?
            ORDER BY role = 'assistant' DESC, created_at, rowid LIMIT 1
            """), arguments: [id])
      state.carrier = carrier.flatMap { ForeignRow($0).text("id") }
    }
    if let summary = row.words("summary_message_id"),
      let place = try Row.fetchOne(
        db.cachedStatement(
          sql: "SELECT created_at, rowid AS row_id FROM messages WHERE id = ? AND session_id = ?"),
        arguments: [summary, id]), let time = ForeignRow(place).integer("created_at")
    {
      state.summary = (time, place["row_id"])
    }
    return (session, state)
  }

  func messages(
    of session: inout Session, most: Int, into piece: inout TranscriptBatch, _ db: Database
  ) throws -> Bool {
    let rows = try Row.fetchCursor(
      db.cachedStatement(
        sql: """
          SELECT rowid AS row_id, * FROM messages
          WHERE session_id = ?1 AND (created_at, rowid) > (?2, ?3) ORDER BY created_at, rowid LIMIT ?4
          """), arguments: [session.id, session.lastTime, session.lastRow, most])
    var count = 0
    while let raw = try rows.next() {
      count += 1
      let row = ForeignRow(raw)
      session.lastTime = row.integer("created_at") ?? session.lastTime
      session.lastRow = raw["row_id"]
      add(row, session, &piece)
      if piece.isFull { return true }
    }
    return count == most
  }

  private func add(_ row: ForeignRow, _ session: Session, _ piece: inout TranscriptBatch) {
    guard let uid = row.words("id"), uid.utf8.count <= 900, let role = row.words("role"),
      let parts = row.json("parts"), parts.kind(0) == .array
    else {
      piece.faults.append(
        TranscriptFault("", "Message \(row.text("id") ?? "without an id"): its parts are no JSON list."))
      return
    }
    var message = TranscriptMessage(
      session: session.id, uid: uid, role: role,
      time: TranscriptTime.sinceEpoch(row.number("created_at")) ?? 0)
    message.model = row.words("model")
    if let summary = session.summary, (session.lastTime, session.lastRow) < summary {
      message.state = .compacted
    }
    var content = PartsText()
    var calls: [String] = []
    var results: [TranscriptMessage] = []
    for part in parts.elements(0) {
      let (type, data) = (parts.at("type", part), parts.at("data", part))
      if parts.has(type, "text") {
        content.add(text: parts.words(parts.at("text", data)))
      } else if parts.has(type, "reasoning") {
        content.add(reasoning: parts.words(parts.at("thinking", data)))
      } else if parts.has(type, "tool_call") {
        calls.append(
          """
          {"id":\(parts.raw(parts.at("id", data))),"type":"function","function":{"name":\
          \(parts.raw(parts.at("name", data))),"arguments":\(parts.raw(parts.at("input", data)))}}
          """)
      } else if parts.has(type, "tool_result") {
        var result = message
        result.uid = results.isEmpty ? uid : "\(uid)#\(results.count)"
        result.role = "tool"
        result.toolCallID = parts.words(parts.at("tool_call_id", data))
        result.content = parts.text(parts.at("content", data)) ?? ""
        results.append(result)
      } else if parts.has(type, "finish") {
        message.finishReason = parts.words(parts.at("reason", data))
      } else if parts.has(type, "shell_command") {
        let output = parts.text(parts.at("output", data)) ?? ""
        content.add(text: "$ \(parts.text(parts.at("command", data)) ?? "")\n\(output)")
      } else if parts.has(type, "binary") {
        content.add(
          file: parts.words(parts.at("Path", data)), type: parts.words(parts.at("MIMEType", data)))
      } else {
        content.add(part: parts.raw(part))
      }
    }
    guard results.isEmpty else {
      for result in results { piece.add(result) }
      return
    }
    (message.content, message.isJSON) = content.column
    if !calls.isEmpty { message.toolCalls = "[" + calls.joined(separator: ",") + "]" }
    if uid == session.carrier { message.counts.cost = session.cost }
    piece.add(message)
  }
}

/// A message's parts as they come: a text when there is nothing else, otherwise JSON.
struct PartsText {
  private var texts: [String] = []
  private var parts: [String] = []
  private var hasOthers = false

  mutating func add(text: String?) {
    guard let text else { return }
    texts.append(text)
    parts.append(JSONValue.object(["type": .string("text"), "text": .string(text)]).json)
  }

  mutating func add(reasoning: String?) {
    guard let reasoning else { return }
    add(part: JSONValue.object(["type": .string("reasoning"), "text": .string(reasoning)]).json)
  }

  /// A file is named and its bytes left out.
  mutating func add(file: String?, type: String?) {
    var fields: [String: JSONValue] = ["type": .string("file")]
    if let file { fields["path"] = .string(file) }
    if let type { fields["media_type"] = .string(type) }
    add(part: JSONValue.object(fields).json)
  }

  mutating func add(part: String) {
    parts.append(part)
    hasOthers = true
  }

  /// As the store keeps it.
  var column: (content: String, isJSON: Bool) {
    hasOthers ? ("[" + parts.joined(separator: ",") + "]", true) : (texts.joined(separator: "\n"), false)
  }
}
