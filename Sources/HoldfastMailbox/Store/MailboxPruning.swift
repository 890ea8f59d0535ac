// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine

/// What was removed from a mailbox, or would be.
public struct MailboxPruned: Sendable, Hashable, Encodable {
  /// Whose it is.
  public var mailbox: MailboxAddress
  /// Messages for the worker that were completed or cancelled.
  public var inbound = 0
  /// Messages of the worker's that were delivered.
  public var outbound = 0
  /// Dead letters that were put back.
  public var deadLetters = 0
  /// Of those too old those that stay until the worker has ended: its file is its own while it lives.
  public var held = 0

  private enum CodingKeys: String, CodingKey {
    case mailbox, inbound, outbound, held
    case deadLetters = "dead_letters"
  }

  /// Nothing.
  public init(_ mailbox: MailboxAddress) { self.mailbox = mailbox }
}

/// Removes from a mailbox what is over and old: messages that were completed or cancelled, messages of the worker's that
/// were delivered, and dead letters that were put back.
///
/// What is in the worker's file goes first, and only while no worker can be at work; what the host knows of it goes only
/// when that is gone, so that an id either is known to both or to neither. Sequences are never used again: both files
/// count on (AUTOINCREMENT).
enum MailboxPruning {
  /// Rows of a kind that are looked at, and may be removed, in one transaction.
  static let slice = 1000

  /// What may go, a slice of each.
  struct Candidates: Sendable {
    /// By `messages_in.id`.
    var inbound: [String] = []
    /// By `messages_out.seq`.
    var outbound: [Int64] = []
    var count: Int { inbound.count + outbound.count }
  }

  /// How far the rows were looked at.
  struct Place: Sendable {
    var inbound: Int64 = 0
    var outbound: Int64 = 0
    /// Whether there may be more behind it.
    var isMore = true
  }

  private static let over = "status IN ('completed', 'cancelled') AND finished_at < ?1"
  private static let delivered = "status = 'delivered' AND delivered_at < ?1"
  private static let putBack = "retried_at < ?1"

  /// The next of them. What is over is about as old as its sequence, so a slice with nothing old in it ends the search,
  /// and a mailbox with a million young messages is not read through each time.
  static func candidates(before time: Int64, at place: inout Place, _ db: Database) throws -> Candidates {
    var found = Candidates()
    // In the order of the table: an index would have to be sorted.
    let messages = try Row.fetchAll(
      db,
      sql: """
        SELECT seq, id, finished_at < ?1 AS is_old FROM messages_in
        WHERE +status IN ('completed', 'cancelled') AND seq > ?2 ORDER BY seq LIMIT \(slice)
        """, arguments: [time, place.inbound])
    for row in messages where row["is_old"] == true { found.inbound.append(row["id"]) }
    let deliveries = try Row.fetchAll(
      db,
      sql: """
        SELECT seq, delivered_at < ?1 AS is_old FROM deliveries
        WHERE status = 'delivered' AND seq > ?2 ORDER BY seq LIMIT \(slice)
        """, arguments: [time, place.outbound])
    for row in deliveries where row["is_old"] == true { found.outbound.append(row["seq"]) }
    place.inbound = messages.last?["seq"] ?? place.inbound
    place.outbound = deliveries.last?["seq"] ?? place.outbound
    place.isMore =
      messages.count == slice && !found.inbound.isEmpty
      || deliveries.count == slice && !found.outbound.isEmpty
    return found
  }

  /// Of all that is too old, how much there is.
  static func count(before time: Int64, _ pruned: inout MailboxPruned, _ db: Database) throws {
    pruned.inbound =
      try Int.fetchOne(db, sql: "SELECT count(*) FROM messages_in WHERE \(over)", arguments: [time]) ?? 0
    pruned.outbound =
      try Int.fetchOne(db, sql: "SELECT count(*) FROM deliveries WHERE \(delivered)", arguments: [time]) ?? 0
    pruned.deadLetters =
      try Int.fetchOne(db, sql: "SELECT count(*) FROM dead_letters WHERE \(putBack)", arguments: [time]) ?? 0
  }

  /// Which of them the worker's file has nothing of.
  static func absent(_ candidates: Candidates, _ db: Database) throws -> Candidates {
    var absent = Candidates()
    absent.inbound = try String.fetchAll(
      db,
      sql: """
        SELECT value FROM json_each(?) WHERE NOT EXISTS (SELECT 1 FROM processing WHERE message = value)
        """, arguments: [try json(candidates.inbound)])
    absent.outbound = try Int64.fetchAll(
      db,
      sql: """
        SELECT value FROM json_each(?) WHERE NOT EXISTS (SELECT 1 FROM messages_out WHERE seq = value)
        """, arguments: [try json(candidates.outbound)])
    return absent
  }

  /// Removes them from the host's file; what has changed since stays.
  static func removeInbound(_ candidates: Candidates, before time: Int64, _ db: Database) throws -> Candidates
  {
    var removed = Candidates()
    removed.inbound = try String.fetchAll(
      db,
      sql: "DELETE FROM messages_in WHERE id IN (SELECT value FROM json_each(?2)) AND \(over) RETURNING id",
      arguments: [time, try json(candidates.inbound)])
    removed.outbound = try Int64.fetchAll(
      db,
      sql:
        "DELETE FROM deliveries WHERE seq IN (SELECT value FROM json_each(?2)) AND \(delivered) RETURNING seq",
      arguments: [time, try json(candidates.outbound)])
    return removed
  }

  static func removeLetters(before time: Int64, _ db: Database) throws -> Int {
    try db.execute(
      sql: """
        DELETE FROM dead_letters WHERE rowid IN (SELECT rowid FROM dead_letters WHERE \(putBack) LIMIT \(slice))
        """, arguments: [time])
    return db.changesCount
  }

  /// Removes them from the worker's file, whose own rules, which keep a worker from doing so, are back when others see it.
  static func removeOutbound(_ candidates: Candidates, _ db: Database) throws {
    let rules = try Row.fetchAll(
      db,
      sql: """
        SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND name IN ('messages_out_stays', 'processing_stays')
        """)
    for rule in rules {
      try db.execute(sql: "DROP TRIGGER \((rule["name"] as String).quotedDatabaseIdentifier)")
    }
    let messages = try json(candidates.inbound)
    try db.execute(
      sql: "DELETE FROM messages_out WHERE seq IN (SELECT value FROM json_each(?))",
      arguments: [try json(candidates.outbound)])
    try db.execute(
      sql: "DELETE FROM finished WHERE message IN (SELECT value FROM json_each(?))", arguments: [messages])
    try db.execute(
      sql: "DELETE FROM processing WHERE message IN (SELECT value FROM json_each(?))", arguments: [messages])
    for rule in rules { try db.execute(sql: rule["sql"]) }
  }

  private static func json(_ values: [some Encodable]) throws -> String {
    String(decoding: try JSONEncoder().encode(values), as: UTF8.self)
  }
}
