// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine

/// Makes rows of `message`, inside a write transaction of the caller's.
enum MessageWriter {
  /// A message as the spool carries it.
  struct Accepted: Codable, Sendable {
    var session: String
    /// What the session is made with; records of older versions have none.
    var new: NewSession?
    var message: NewMessage
  }

  /// Lands what was accepted, inside the transaction that advances the spool's cursor. A record that is no
  /// message is thrown, and the spool sets it aside with its bytes.
  @Sendable static func land(_ db: Database, _ records: [SpoolRecord]) throws {
    for record in records {
      let accepted = try JSONDecoder().decode(Accepted.self, from: Data(record.payload))
      if let new = accepted.new {
        do {
          _ = try SessionWriter.create(new, id: accepted.session, db)
        } catch let error as SessionError where error.code != .unreadable {
          // A parent it cannot have, by now: the message counts more, and the session stays where it is.
        }
      }
      _ = try append(accepted.message, to: SessionWriter.keyMaking(accepted.session, db), db)
    }
  }

  private static let insertion = """
    INSERT INTO message(session, seq, placed_after, uid, wanted_uid, role, content, content_kind, tool_calls,
      tool_call_id, model, finish_reason, time_ms, synthetic, \(SessionSchema.measures.joined(separator: ", ")))
    VALUES (?1, (SELECT last_seq + 1 FROM session WHERE key = ?1), ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11,
      ?12, ?13, ?14, ?15, ?16, ?17, ?18)
    ON CONFLICT(session, uid) DO NOTHING
    RETURNING seq
    """

  /// Inserts a prepared message; its sequence is minted by the insert itself.
  static func append(
    _ message: NewMessage, to session: Int64, after place: Int64? = nil, synthetic: Bool = false,
    _ db: Database
  ) throws -> MessageAcknowledgement {
    let wanted = message.uid ?? UUID().uuidString.lowercased()
    let (content, kind) = column(message.content)
    let calls = message.toolCalls?.json
    let time = try message.time.map(SessionTime.milliseconds) ?? SessionTime.now()
    var place = place
    if !synthetic, let call = message.toolCallID { place = try takeOver(call, in: session, db) }
    func insert(_ uid: String, wanted: String?) throws -> Int64? {
      try Int64.fetchOne(
        db.cachedStatement(sql: insertion),
        arguments: [
          session, place, uid, wanted, message.role, content, kind, calls, message.toolCallID, message.model,
          message.finishReason, time, synthetic, message.inputTokens, message.cacheReadTokens,
          message.cacheWriteTokens, message.outputTokens, message.costMicrodollars,
        ])
    }
    if let seq = try insert(wanted, wanted: nil) { return MessageAcknowledgement(uid: wanted, seq: seq) }
    let same = try Row.fetchOne(
      db.cachedStatement(
        sql: """
          SELECT uid, seq FROM message
          WHERE session = ?1 AND uid = ?2 AND role = ?3 AND content = ?4 AND tool_calls IS ?5
            AND tool_call_id IS ?6
          ORDER BY seq LIMIT 1
          """),
      arguments: [session, wanted, message.role, content, calls, message.toolCallID])
    if let same {
      return MessageAcknowledgement(uid: same["uid"], seq: same["seq"], duplicate: true)
    }
    // A new uid that follows from the content: sending the other message again finds itself.
    let other = wanted.prefix(900) + "~" + fingerprint(message.role, content, calls, message.toolCallID)
    if let seq = try insert(String(other), wanted: wanted) {
      return MessageAcknowledgement(uid: String(other), seq: seq, wantedUID: wanted)
    }
    let seq = try Int64.fetchOne(
      db, sql: "SELECT seq FROM message WHERE session = ? AND uid = ?", arguments: [session, String(other)])
    return MessageAcknowledgement(uid: String(other), seq: seq ?? 0, duplicate: true, wantedUID: wanted)
  }

  /// A real result that comes after a synthetic one was made up takes its place.
  private static func takeOver(_ call: String, in session: Int64, _ db: Database) throws -> Int64? {
    let row = try Row.fetchOne(
      db.cachedStatement(
        sql: """
          SELECT id, placed_after FROM message
          WHERE session = ? AND synthetic = 1 AND state = 'live' AND tool_call_id = ?
          """), arguments: [session, call])
    guard let row else { return nil }
    let id: Int64 = row["id"]
    try db.execute(sql: "UPDATE message SET state = 'undone' WHERE id = ?", arguments: [id])
    return row["placed_after"]
  }

  static func column(_ content: MessageContent) -> (String, String) {
    switch content {
    case .text(let text): (text, "text")
    case .json(let value): (value.json, "json")
    }
  }

  /// FNV-1a over the parts, 64 bits: tells two messages under one uid apart.
  private static func fingerprint(_ parts: String?...) -> String {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for part in parts {
      for byte in (part ?? "").utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
      hash = (hash ^ 0xFF) &* 0x100_0000_01b3
    }
    return String(hash, radix: 16)
  }
}
