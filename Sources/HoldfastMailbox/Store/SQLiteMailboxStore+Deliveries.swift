// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
public import HoldfastEngine

/// A message of the worker's that is to be delivered, with what was tried so far.
public struct DueDelivery: Sendable, Hashable {
  /// The message.
  public var message: OutboundMessage
  /// How often it was tried.
  public var attempts: Int
  /// When it was first tried.
  public var firstAttempt: UTCInstant?
  /// What went wrong last.
  public var lastError: String?
}

/// A message of the worker's that was not delivered, as the host's ledger has it.
public struct UndeliveredMessage: Sendable, Hashable, Encodable {
  /// Its place among the worker's.
  public var seq: Int64
  /// What it is called.
  public var id: String
  /// What sort of message it is.
  public var kind: String
  /// `pending` or `dead`.
  public var status: String
  /// How often it was tried.
  public var attempts: Int
  /// When it was first tried.
  public var firstAttempt: UTCInstant?
  /// When it is tried next; nil when that has no time.
  public var nextAttempt: UTCInstant?
  /// What went wrong last.
  public var lastError: String?

  private enum CodingKeys: String, CodingKey {
    case seq, id, kind, status, attempts
    case firstAttempt = "first_attempt"
    case nextAttempt = "next_attempt"
    case lastError = "last_error"
  }
}

extension SQLiteMailboxStore {
  /// What may be delivered now, in the worker's order, so many of each kind: what may not is left out before anything
  /// is counted, and no kind crowds out another (row E11).
  ///
  /// Contents that cannot be read become dead letters, so that nothing waits behind them (row E13).
  public func dueDeliveries(
    in address: MailboxAddress, perKind limit: Int, now: UTCInstant
  ) async throws -> [DueDelivery] {
    try await with(address) { mailbox in
      let rows = try await mailbox.read { db in try Self.due(limit, now.milliseconds, db) }
      guard !rows.isEmpty else { return [] }
      var due: [DueDelivery] = []
      var rest = rows.map(\.seq)[...]
      let known = Dictionary(rows.map { ($0.seq, $0) }) { one, _ in one }
      while !rest.isEmpty {
        let page = try await Self.outbound(Array(rest), mailbox)
        for message in page.messages {
          guard let row = known[message.seq] else { continue }
          due.append(
            DueDelivery(
              message: message, attempts: row.attempts,
              firstAttempt: row.firstAttempt.map(UTCInstant.init(milliseconds:)), lastError: row.lastError))
        }
        rest = rest.dropFirst(try await Self.giveUpUnreadable(Array(rest), page, mailbox))
      }
      return due
    }
  }

  /// Of the sequences a page was read for, gives up those that could not be: nothing is to wait behind them, and nobody is
  /// to meet them again and again (row E13). Returns how many of them the page has come to.
  @discardableResult
  static func giveUpUnreadable(
    _ sequences: [Int64], _ page: OutboundPage, _ mailbox: Mailbox
  ) async throws -> Int {
    let read = page.next.map { next in sequences.prefix { $0 <= next } } ?? sequences[...]
    let readable = Set(page.messages.map(\.seq))
    for seq in read where !readable.contains(seq) {
      let error =
        page.faults.first { $0.subject == "messages_out \(seq)" }?.reason
        ?? "It is not in outbound.db any more."
      _ = try await giveUp(seq, reason: "unreadable", error: error, mailbox)
    }
    return read.count
  }

  /// What of the worker's was not delivered, in its order, with what was tried: what waits, and what went no further.
  public func undelivered(
    in address: MailboxAddress, limit: Int, after seq: Int64?
  ) async throws -> [UndeliveredMessage] {
    try await with(address) { mailbox in
      try await mailbox.read { db in
        try Row.fetchAll(
          db,
          sql: """
            SELECT seq, id, kind, status, attempts, first_attempt, next_attempt, last_error FROM deliveries
            WHERE status <> 'delivered' AND seq > ? ORDER BY seq LIMIT ?
            """, arguments: [seq ?? 0, max(limit, 1)]
        ).map { row in
          let isPending = row["status"] == "pending"
          let next: Int64 = row["next_attempt"]
          return UndeliveredMessage(
            seq: row["seq"], id: row["id"], kind: row["kind"], status: row["status"],
            attempts: row["attempts"],
            firstAttempt: (row["first_attempt"] as Int64?).map(UTCInstant.init(milliseconds:)),
            nextAttempt: isPending && next > 0 ? UTCInstant(milliseconds: next) : nil,
            lastError: row["last_error"])
        }
      }
    }
  }

  private struct DueRow: Sendable {
    var seq: Int64
    var attempts: Int
    var firstAttempt: Int64?
    var lastError: String?
  }

  private static func due(_ limit: Int, _ now: Int64, _ db: Database) throws -> [DueRow] {
    // Each kind is found by one step in the index, whatever the number of rows before it. What was tried and waits holds
    // back what comes after it; what the worker itself wants later does not.
    let kinds = try String.fetchAll(
      db,
      sql: """
        WITH RECURSIVE kinds(kind) AS (
          SELECT min(kind) FROM deliveries WHERE status = 'pending'
          UNION ALL
          SELECT (SELECT min(kind) FROM deliveries WHERE status = 'pending' AND kind > kinds.kind)
          FROM kinds WHERE kind IS NOT NULL)
        SELECT kind FROM kinds WHERE kind IS NOT NULL
        """)
    var rows: [DueRow] = []
    for kind in kinds {
      rows += try Row.fetchAll(
        db.cachedStatement(
          sql: """
            SELECT seq, attempts, first_attempt, last_error FROM deliveries
            WHERE status = 'pending' AND kind = ?1 AND next_attempt <= ?2 AND seq < coalesce((
              SELECT min(seq) FROM deliveries
              WHERE status = 'pending' AND kind = ?1 AND next_attempt > ?2 AND attempts > 0), 9223372036854775807)
            ORDER BY seq LIMIT ?3
            """), arguments: [kind, now, max(limit, 1)]
      ).map { row in
        DueRow(
          seq: row["seq"], attempts: row["attempts"], firstAttempt: row["first_attempt"],
          lastError: row["last_error"])
      }
    }
    return rows.sorted { $0.seq < $1.seq }
  }

  /// When the first of the deliveries that are not due yet will be; nil when there is none.
  func nextDelivery(in address: MailboxAddress, after now: UTCInstant) async throws -> UTCInstant? {
    try await with(address) { mailbox in
      try await mailbox.read { db in
        try Int64.fetchOne(
          db, sql: "SELECT min(next_attempt) FROM deliveries WHERE status = 'pending' AND next_attempt > ?",
          arguments: [now.milliseconds]
        ).map(UTCInstant.init(milliseconds:))
      }
    }
  }

  /// Writes down that a delivery is about to be tried, and when again should nothing more be heard of it: before the
  /// attempt, so that a host that is killed in it tries again (row E04).
  ///
  /// - Returns: false when it is not pending any more, or not due: another host is trying it.
  public func beginDelivery(
    _ id: String, in address: MailboxAddress, nextAttempt: UTCInstant, now: UTCInstant
  ) async throws -> Bool {
    try await with(address) { mailbox in
      try await mailbox.write { db in
        try db.execute(
          sql: """
            UPDATE deliveries SET attempts = attempts + 1, next_attempt = ?2,
              first_attempt = coalesce(first_attempt, ?3)
            WHERE id = ?1 AND status = 'pending' AND next_attempt <= ?3
            """, arguments: [id, nextAttempt.milliseconds, now.milliseconds])
        return db.changesCount > 0
      }
    }
  }

  /// Writes down that an attempt failed for a reason that may pass, and when the next is due.
  public func postponeDelivery(
    _ id: String, in address: MailboxAddress, error: String, nextAttempt: UTCInstant
  ) async throws {
    try await with(address) { mailbox in
      try await mailbox.write { db in
        try db.execute(
          sql: "UPDATE deliveries SET last_error = ?, next_attempt = ? WHERE id = ? AND status = 'pending'",
          arguments: [error, nextAttempt.milliseconds, id])
      }
    }
  }

  /// Gives a message of the worker's up: it becomes a dead letter with its bytes, and the worker is told by a message of
  /// kind `delivery-failed`, in one step.
  ///
  /// - Returns: false when it is not pending any more.
  @discardableResult
  public func giveUpDelivery(
    _ id: String, in address: MailboxAddress, reason: String, error: String?
  ) async throws -> Bool {
    try await with(address) { mailbox in
      let seq = try await mailbox.read { db in
        try Int64.fetchOne(
          db, sql: "SELECT seq FROM deliveries WHERE id = ? AND status = 'pending'", arguments: [id])
      }
      guard let seq else { return false }
      return try await Self.giveUp(seq, reason: reason, error: error, mailbox)
    }
  }

  /// By its place, whatever its id has in it.
  private static func giveUp(
    _ seq: Int64, reason: String, error: String?, _ mailbox: Mailbox
  ) async throws -> Bool {
    let letter = try await mailbox.look { db in
      try Row.fetchOne(
        db,
        sql: """
          SELECT CAST(id AS BLOB), CAST(kind AS BLOB), CAST(content AS BLOB), CAST(routing AS BLOB)
          FROM messages_out WHERE seq = ?
          """, arguments: [seq]
      ).map { row in (0..<4).map { row[$0] as DatabaseValue } }
    }
    return try await mailbox.write { db in
      try db.execute(
        sql: "UPDATE deliveries SET status = 'dead', last_error = ? WHERE seq = ? AND status = 'pending'",
        arguments: [error, seq])
      guard db.changesCount > 0 else { return false }
      // Of a message that is not there any more, what the ledger knows is kept.
      let found: DatabaseValue? = letter == nil ? nil : 1.databaseValue
      try db.execute(
        sql: """
          INSERT INTO dead_letters(direction, id, seq, kind, content, routing, reason, error, tries)
          SELECT 'out', iif(?8, CAST(?1 AS TEXT), id), seq, iif(?8, CAST(?2 AS TEXT), kind),
            iif(?8, CAST(?3 AS TEXT), 'null'), CAST(?4 AS TEXT), ?5, ?6, attempts
          FROM deliveries WHERE seq = ?7
          ON CONFLICT DO UPDATE SET reason = excluded.reason, error = excluded.error, tries = excluded.tries,
            time = excluded.time, retried_at = NULL
          """,
        arguments: [letter?[0], letter?[1], letter?[2], letter?[3], reason, error, seq, found])
      let id = try String.fetchOne(db, sql: "SELECT id FROM deliveries WHERE seq = ?", arguments: [seq]) ?? ""
      let feedback = Feedback(id: id, reason: reason, error: error)
      var message = NewMailboxMessage(kind: "delivery-failed", content: try feedback.content)
      message.wakes = false
      _ = try InboundWriter.insert(message, id: feedback.messageID(UnixTime.now()), db)
      return true
    }
  }

  /// What a worker is told of a message of its that went no further.
  private struct Feedback: Encodable {
    var id: String
    var reason: String
    var error: String?

    /// Another each time: the letter may be put back, and fail again.
    func messageID(_ now: UnixTime) -> String {
      "delivery-failed~\(String(id.unicodeScalars.prefix(200)))~\(now.nanoseconds)"
    }

    var content: MailboxContent {
      get throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try MailboxContent(json: String(decoding: encoder.encode(self), as: UTF8.self))
      }
    }
  }
}
