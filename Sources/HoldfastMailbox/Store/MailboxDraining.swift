// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine

/// Brings what the worker wrote into the host's own file: each message once, each finished try once.
///
/// The worker's file is read by sequences the host keeps its place in; its place and what follows from a row are
/// written in one transaction, so a host that is killed in between reads the row again and does the same.
enum MailboxDraining {
  /// Rows in one step.
  static let step = 1000

  /// What there is behind the host's place in the worker's file.
  struct News: Sendable {
    struct Sent: Sendable {
      var seq: Int64
      var id: String
      var kind: String
      var deliverAfter: Int64
    }
    struct Finished: Sendable {
      var seq: Int64
      var message: String
      var attempt: Int64
      var isCompleted: Bool
      var isRetryable: Bool
      var error: String?
    }
    var sent: [Sent] = []
    var finished: [Finished] = []
    var isAll: Bool { sent.count < step && finished.count < step }
  }

  /// The host's place in the worker's file.
  struct Place: Sendable {
    var sent: Int64 = 0
    var finished: Int64 = 0
  }

  static func place(_ db: Database) throws -> Place {
    var place = Place()
    for row in try Row.fetchAll(db, sql: "SELECT name, seq FROM progress") {
      if row["name"] == "messages_out" { place.sent = row["seq"] } else { place.finished = row["seq"] }
    }
    return place
  }

  /// Reads the worker's file; contents are left where they are until somebody takes them.
  static func news(after place: Place, _ db: Database) throws -> News {
    var news = News()
    try check(place, db)
    let sent = try Row.fetchCursor(
      db.cachedStatement(
        sql: """
          SELECT seq, id, kind, coalesce(deliver_after, 0) AS deliver_after FROM messages_out
          WHERE seq > ? ORDER BY seq LIMIT \(step)
          """), arguments: [place.sent])
    while let row = try sent.next() {
      news.sent.append(
        .init(seq: row["seq"], id: row["id"], kind: row["kind"], deliverAfter: row["deliver_after"]))
    }
    let finished = try Row.fetchCursor(
      db.cachedStatement(
        sql: """
          SELECT f.seq, f.message, f.try, p.status, p.retryable, p.error FROM finished AS f
          JOIN processing AS p ON p.message = f.message AND p.try = f.try
          WHERE f.seq > ? ORDER BY f.seq LIMIT \(step)
          """), arguments: [place.finished])
    while let row = try finished.next() {
      news.finished.append(
        .init(
          seq: row["seq"], message: row["message"], attempt: row["try"],
          isCompleted: row["status"] == "completed",
          isRetryable: row["retryable"], error: row["error"]))
    }
    return news
  }

  /// Sequences only go up. Where they are behind the host's place an older copy of the file was put there, and what the
  /// worker says in it would be taken for said long ago until it has caught up.
  private static func check(_ place: Place, _ db: Database) throws {
    let statement = try db.cachedStatement(
      sql: "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = ?")
    for (table, seen) in [("messages_out", place.sent), ("finished", place.finished)]
    where try Int64.fetchOne(statement, arguments: [table]) ?? 0 < seen {
      throw StoreError(
        .replaced,
        """
        outbound.db has less in it than was read from it before, so nothing more was: an older copy is in its place; put \
        the newer one back, or give the worker another session.
        """)
    }
  }

  /// Writes down what was read. Doing it again, or with news that another process was quicker with, changes nothing.
  static func land(_ news: News, _ configuration: MailboxConfiguration, _ db: Database) throws -> MailboxDrain
  {
    let place = try place(db)
    var drain = MailboxDrain()
    for message in news.sent where message.seq > place.sent {
      try db.cachedStatement(
        sql: """
          INSERT INTO deliveries(seq, id, kind, deliver_after, next_attempt) VALUES (?1, ?2, ?3, ?4, ?4)
          ON CONFLICT DO NOTHING
          """
      ).execute(arguments: [message.seq, message.id, message.kind, message.deliverAfter])
      drain.sent += db.changesCount
    }
    for end in news.finished where end.seq > place.finished {
      // A try that is not the one at hand was given up before: what came of it came too late (row E08).
      if end.isCompleted {
        try db.cachedStatement(
          sql: """
            UPDATE messages_in SET status = 'completed', finished_at = ?3, error = NULL
            WHERE id = ?1 AND tries = ?2 AND status = 'pending'
            """
        ).execute(arguments: [end.message, end.attempt, UnixTime.now().milliseconds])
        drain.finished += db.changesCount
      } else {
        let outcome = try fail(
          end.message, attempt: end.attempt, isRetryable: end.isRetryable, error: end.error,
          reason: end.isRetryable ? "tries-used-up" : "refused-by-worker", configuration, db)
        if outcome != .late { drain.finished += 1 }
        if outcome == .dead { drain.dead += 1 }
      }
    }
    for (name, seq) in [("messages_out", news.sent.last?.seq), ("finished", news.finished.last?.seq)] {
      guard let seq else { continue }
      try db.execute(
        sql: "UPDATE progress SET seq = max(seq, ?) WHERE name = ?", arguments: [seq, name])
    }
    return drain
  }

  enum Outcome {
    /// It is tried again after a pause.
    case again
    /// It is a dead letter.
    case dead
    /// The try was not the one at hand.
    case late
  }

  /// Counts a try that failed or was lost: the message is tried again later, or becomes a dead letter with its bytes
  /// (row E13).
  static func fail(
    _ message: String, attempt: Int64, isRetryable: Bool, error: String?, reason: String,
    _ configuration: MailboxConfiguration, _ db: Database
  ) throws -> Outcome {
    let row = try Row.fetchOne(
      db.cachedStatement(
        sql:
          "SELECT max_tries + tries_before FROM messages_in WHERE id = ? AND tries = ? AND status = 'pending'"
      ),
      arguments: [message, attempt])
    guard let row else { return .late }
    let most: Int64 = row[0]
    let now = UnixTime.now().milliseconds
    let isOver = !isRetryable || attempt + 1 >= most
    try db.execute(
      sql: """
        UPDATE messages_in SET tries = tries + 1, error = ?2, process_after = ?3, status = ?4, finished_at = ?5
        WHERE id = ?1
        """,
      arguments: [
        message, error, isOver ? 0 : now + configuration.pause(afterTries: attempt),
        isOver ? (isRetryable ? "dead" : "failed") : "pending", isOver ? now : nil,
      ])
    guard isOver else { return .again }
    try db.execute(
      sql: """
        INSERT INTO dead_letters(direction, id, seq, kind, content, routing, reason, error, tries)
        SELECT 'in', id, seq, kind, content, routing, ?2, error, tries FROM messages_in WHERE id = ?1
        ON CONFLICT DO UPDATE SET reason = excluded.reason, error = excluded.error, tries = excluded.tries,
          time = excluded.time, retried_at = NULL
        """, arguments: [message, reason])
    return .dead
  }
}
