// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine

/// OpenCode's database, `opencode.db`: tables `session`, `message` and `part`, with the latter two's contents as
/// JSON in `data`.
struct OpenCodeProgram: ForeignProgram {
  struct Session {
    var id: String
    var lastTime: Int64 = .min
    var lastID = ""
    var turning = OpenCodeMessage.Turning()
  }

  static let sessionTable = "session"

  func session(_ row: ForeignRow, _ db: Database) throws -> (TranscriptSession, Session)? {
    guard let id = row.words("id"), TranscriptSession.isID(id) else { return nil }
    var session = TranscriptSession(id: id, format: .opencode)
    session.title = row.words("title").flatMap(TranscriptSession.title)
    session.titleFrom = .model
    session.cwd = row.words("directory")
    session.started = TranscriptTime.sinceEpoch(row.number("time_created"))
    session.isArchived = row.number("time_archived") != nil
    if let model = row.json("model") { session.model = model.words(model.at("id")) }
    session.note("version", row.words("version"))
    session.note("agent", row.words("agent"))
    session.note("project", row.words("project_id"))
    if let parent = row.words("parent_id"), parent != id {
      (session.parent, session.edge) = (parent, .subagent)
    }
    var state = Session(id: id)
    if let revert = row.json("revert") { state.turning.revert(revert, 0) }
    try findSummary(&state, db)
    return (session, state)
  }

  private func findSummary(_ session: inout Session, _ db: Database) throws {
    let candidates = try Row.fetchCursor(
      db.cachedStatement(
        sql: """
          SELECT id, data FROM message WHERE session_id = ? AND data LIKE '%"summary":true%'
          ORDER BY time_created DESC, id DESC
          """), arguments: [session.id])
    while let raw = try candidates.next() {
      let row = ForeignRow(raw)
      guard let id = row.words("id"), let json = row.json("data"), json.isTrue(json.at("summary")),
        json.has(json.at("role"), "assistant")
      else { continue }
      session.turning.summary = id
      guard let request = json.words(json.at("parentID")) else { return }
      for part in try parts(of: request, db) where part.json.has(part.json.at("type"), "compaction") {
        session.turning.keptFrom = part.json.words(part.json.at("tail_start_id"))
      }
      return
    }
  }

  func messages(
    of session: inout Session, most: Int, into piece: inout TranscriptBatch, _ db: Database
  ) throws -> Bool {
    // Each has parts.
    let most = max(1, most / 8)
    let rows = try Row.fetchAll(
      db.cachedStatement(
        sql: """
          SELECT * FROM message WHERE session_id = ?1 AND (time_created, id) > (?2, ?3)
          ORDER BY time_created, id LIMIT ?4
          """), arguments: [session.id, session.lastTime, session.lastID, most])
    for raw in rows {
      let row = ForeignRow(raw)
      session.lastTime = row.integer("time_created") ?? session.lastTime
      session.lastID = row.text("id") ?? session.lastID
      guard let id = row.words("id"), id.utf8.count <= 1024, let json = row.json("data"), json.isObject else {
        piece.faults.append(
          TranscriptFault("", "Message \(row.text("id") ?? "without an id"): its data are no JSON object."))
        continue
      }
      OpenCodeMessage.add(
        id, of: session.id, json, parts: try parts(of: id, db),
        time: TranscriptTime.sinceEpoch(row.number("time_created")), session.turning, into: &piece)
      if piece.isFull { return true }
    }
    return rows.count == most
  }

  private func parts(of message: String, _ db: Database) throws -> [OpenCodeMessage.Part] {
    try Row.fetchAll(
      db.cachedStatement(sql: "SELECT id, data FROM part WHERE message_id = ? ORDER BY id"),
      arguments: [message]
    ).compactMap { raw in
      let row = ForeignRow(raw)
      guard let id = row.words("id"), let json = row.json("data"), json.isObject else { return nil }
      return OpenCodeMessage.Part(id: id, json: json)
    }
  }
}
