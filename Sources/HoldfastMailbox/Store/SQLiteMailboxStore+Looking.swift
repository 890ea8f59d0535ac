// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

extension SQLiteMailboxStore {
  /// How things are with a mailbox. A worker's file that cannot be read is told, and the rest is told all the same.
  public func summary(of address: MailboxAddress) async throws -> MailboxSummary {
    try await with(address) { mailbox in
      var fault: String?
      var claims: [MailboxClaim] = []
      do {
        _ = try await Self.drain(mailbox)
        claims = try await Self.claims(mailbox)
      } catch let error as StoreError {
        fault = error.description
      }
      var summary = try await mailbox.read { db in try Self.summary(address, db) }
      summary.claimed = claims.count
      summary.fault = fault
      summary.heartbeat = Self.modified(mailbox.directory.heartbeat)
      return summary
    }
  }

  static func summary(_ address: MailboxAddress, _ db: Database) throws -> MailboxSummary {
    var summary = MailboxSummary(address)
    for row in try Row.fetchAll(db, sql: "SELECT status, count(*) AS rows FROM messages_in GROUP BY status") {
      switch row["status"] as String {
      case "pending": summary.pending = row["rows"]
      case "completed": summary.completed = row["rows"]
      default: break
      }
    }
    summary.due =
      try Int.fetchOne(
        db, sql: "SELECT count(*) FROM messages_in WHERE status = 'pending' AND process_after <= ?",
        arguments: [UnixTime.now().milliseconds]) ?? 0
    for row in try Row.fetchAll(db, sql: "SELECT status, count(*) AS rows FROM deliveries GROUP BY status") {
      switch row["status"] as String {
      case "pending": summary.undelivered = row["rows"]
      case "delivered": summary.delivered = row["rows"]
      default: break
      }
    }
    summary.deadLetters =
      try Int.fetchOne(db, sql: "SELECT count(*) FROM dead_letters WHERE retried_at IS NULL") ?? 0
    if let row = try Row.fetchOne(db, sql: "SELECT incarnation, state, wanted FROM worker") {
      (summary.incarnation, summary.worker) = (row["incarnation"], row["state"])
      summary.wanted = row["wanted"] == "run"
    }
    return summary
  }

  /// When a file was last touched; nil when there is none, or it is no plain file.
  private static func modified(_ path: String) -> UTCInstant? {
    var info = stat()
    guard unsafe lstat(path, &info) == 0, info.st_mode & S_IFMT == S_IFREG else { return nil }
    #if canImport(Darwin)
      let time = info.st_mtimespec
    #else
      let time = info.st_mtim
    #endif
    return UTCInstant(milliseconds: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000)
  }

  /// Messages for the worker of the states wanted.
  public func messages(
    in address: MailboxAddress, states: Set<InboundStatus>, limit: Int, after seq: Int64?
  ) async throws -> InboundPage {
    try await with(address) { mailbox in
      // The list is the host's own; the worker's file only makes it newer.
      _ = try? await Self.drain(mailbox)
      return try await mailbox.read { db in
        var page = InboundPage()
        let wanted = states.map { "\"" + $0.rawValue + "\"" }.joined(separator: ",")
        let rows = try Row.fetchCursor(
          db,
          sql: """
            SELECT \(MailboxReader.inboundColumns) FROM messages_in
            WHERE seq > ? AND status IN (SELECT value FROM json_each(?)) ORDER BY seq LIMIT ?
            """, arguments: [seq ?? 0, "[" + wanted + "]", max(limit, 1) + 1])
        var (count, bytes) = (0, 0)
        var last: Int64?
        while let row = try rows.next() {
          guard count < max(limit, 1), bytes < MailboxReader.pieceBytes else {
            page.next = last
            break
          }
          count += 1
          last = row["seq"]
          bytes += (row["content"] as Data).count
          do {
            page.messages.append(try MailboxReader.inbound(row))
          } catch let error as MailboxError {
            page.faults.append(
              MailboxFault(subject: "messages_in \(row["seq"] as Int64)", reason: error.message))
          }
        }
        return page
      }
    }
  }

  /// The messages that went no further, the oldest first.
  public func deadLetters(in address: MailboxAddress) async throws -> DeadLetterList {
    try await with(address) { mailbox in
      _ = try? await Self.drain(mailbox)
      return try await mailbox.read { db in
        var list = DeadLetterList()
        let rows = try Row.fetchCursor(
          db,
          sql: """
            SELECT \(MailboxReader.deadLetterColumns) FROM dead_letters WHERE retried_at IS NULL ORDER BY time, rowid
            """)
        while let row = try rows.next() {
          do {
            list.letters.append(try MailboxReader.deadLetter(row))
          } catch let error as MailboxError {
            list.faults.append(
              MailboxFault(
                subject: "dead_letters \(row["direction"] as String) \(row["seq"] as Int64)",
                reason: error.message))
          }
        }
        return list
      }
    }
  }

  /// Puts dead letters back to be tried again, with as many tries as they had.
  @discardableResult
  public func retry(_ ids: [String]?, in address: MailboxAddress) async throws -> Int {
    try await with(address) { mailbox in
      try await mailbox.write { db in
        let now = UnixTime.now().milliseconds
        let wanted = try ids.map { String(decoding: try JSONEncoder().encode($0), as: UTF8.self) }
        let letters = try Row.fetchAll(
          db,
          sql: """
            SELECT direction, id FROM dead_letters
            WHERE retried_at IS NULL AND (?1 IS NULL OR id IN (SELECT value FROM json_each(?1)))
            """, arguments: [wanted])
        if let ids, let missing = ids.first(where: { id in !letters.contains { $0["id"] == id } }) {
          throw MailboxError(.notFound, "There is no dead letter “\(missing)” in \(address).")
        }
        for letter in letters {
          let id: String = letter["id"]
          if letter["direction"] == "in" {
            // A try is known by its number, in the worker's file too: it goes on counting.
            try db.execute(
              sql: """
                UPDATE messages_in SET status = 'pending', tries_before = tries, process_after = 0,
                  finished_at = NULL WHERE id = ?
                """, arguments: [id])
          } else {
            try db.execute(
              sql: """
                UPDATE deliveries SET status = 'pending', attempts = 0, first_attempt = NULL,
                  next_attempt = max(deliver_after, ?) WHERE id = ?
                """, arguments: [now, id])
          }
          try db.execute(
            sql: "UPDATE dead_letters SET retried_at = ? WHERE direction = ? AND id = ?",
            arguments: [now, letter["direction"] as String, id])
        }
        return letters.count
      }
    }
  }
}
