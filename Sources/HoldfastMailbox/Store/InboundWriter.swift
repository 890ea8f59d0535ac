// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine

/// Puts messages into `inbound.db`, inside a write transaction of the caller's.
enum InboundWriter {
  /// Refuses what the tables could not keep.
  static func check(_ message: NewMailboxMessage) throws(MailboxError) {
    for (name, text, most) in [
      ("id", message.id, 256), ("kind", message.kind, 64), ("series", message.series, 200),
      ("recurrence", message.recurrence, 1024),
    ] {
      guard let text else { continue }
      guard (1...most).contains(text.unicodeScalars.count), !text.utf8.contains(0) else {
        throw MailboxError(.invalid, "A message's \(name) has 1 to \(most) characters and no NUL.")
      }
    }
    if let time = message.processAfter, !UTCInstant.supported.contains(time) {
      throw MailboxError(.invalid, "A message is processed after a moment of the years 1970 to 9999.")
    }
    guard (1...1_000_000).contains(message.maximumTries) else {
      throw MailboxError(.invalid, "A message is tried 1 to 1,000,000 times, not \(message.maximumTries).")
    }
  }

  /// Inserts a message; its sequence is minted by the insert itself, and so is the incarnation it waits for (row E09).
  static func insert(_ message: NewMailboxMessage, id: String, _ db: Database) throws -> MailboxReceipt {
    if let seq = try add(message, id: id, wanted: nil, db) {
      return MailboxReceipt(id: id, seq: seq, duplicate: false)
    }
    if let seq = try same(message, id: id, db) { return MailboxReceipt(id: id, seq: seq, duplicate: true) }
    // A new id that follows from the content: sending the other message again finds itself.
    let other = String(id.unicodeScalars.prefix(230)) + "~" + fingerprint(message)
    if let seq = try add(message, id: other, wanted: id, db) {
      return MailboxReceipt(id: other, seq: seq, duplicate: false, wantedID: id)
    }
    guard let seq = try same(message, id: other, db) else {
      throw MailboxError(
        .invalid, "The ids \(id) and \(other) are both other messages'; give it one of its own.")
    }
    return MailboxReceipt(id: other, seq: seq, duplicate: true, wantedID: id)
  }

  /// Inserts a row; nil when its id is another row's. That is looked up first: a conflict would use a number up.
  private static func add(
    _ message: NewMailboxMessage, id: String, wanted: String?, _ db: Database
  ) throws -> Int64? {
    try Int64.fetchOne(
      db.cachedStatement(
        sql: """
          INSERT INTO messages_in(id, wanted_id, kind, content, process_after, max_tries, series, recurrence,
            wake_only, after_incarnation, trigger, routing)
          SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9,
            CASE WHEN ?9 THEN (SELECT incarnation FROM worker) ELSE 0 END, ?10, ?11
          WHERE NOT EXISTS (SELECT 1 FROM messages_in WHERE id = ?1)
          RETURNING seq
          """),
      arguments: [
        id, wanted, message.kind, message.content.json, message.processAfter?.milliseconds ?? 0,
        message.maximumTries, message.series, message.recurrence, message.wakeOnly, message.wakes,
        message.routing?.json,
      ])
  }

  /// The sequence of the message with this id, if it says the same.
  private static func same(_ message: NewMailboxMessage, id: String, _ db: Database) throws -> Int64? {
    let row = try Row.fetchOne(
      db.cachedStatement(sql: "SELECT seq, kind, content FROM messages_in WHERE id = ?"), arguments: [id])
    guard let row, row["kind"] == message.kind,
      message.content.means(MailboxContent(written: row["content"]))
    else { return nil }
    return row["seq"]
  }

  /// FNV-1a over kind and content, 64 bits: tells two messages under one id apart.
  private static func fingerprint(_ message: NewMailboxMessage) -> String {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for part in [message.kind, message.content.canonical] {
      for byte in part.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
      hash = (hash ^ 0xFF) &* 0x100_0000_01b3
    }
    return String(hash, radix: 16)
  }
}
