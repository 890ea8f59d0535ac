// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine

/// The mailboxes of a home: `mailboxes/AGENT/SESSION/`, with `inbound.db` and `outbound.db` in each.
///
/// Any number of processes may use one mailbox's host side at once: the tool beside a daemon, say. Workers need only
/// SQLite (docs/mailboxes.md).
///
/// ```swift
/// let store = try SQLiteMailboxStore(home: "/home/me/.holdfast")
/// let writer = try MailboxAddress("writer/session-1")
/// try await store.send(NewMailboxMessage(content: MailboxContent(text: "Begin")), to: writer)
/// for message in try await store.receive(from: writer, limit: 100, after: nil).messages {
///   try await store.acknowledge(message.id, in: writer)
/// }
/// await store.close()
/// ```
public final class SQLiteMailboxStore: MailboxStore {
  let home: String
  let configuration: MailboxConfiguration
  private let opened: OpenMailboxes

  /// The mailboxes of a home; nothing is opened or made yet.
  public init(home: String, configuration: MailboxConfiguration = .init()) {
    (self.home, self.configuration) = (home, configuration)
    opened = OpenMailboxes(home: home, configuration: configuration)
  }

  /// Does something with a mailbox while its files are open.
  ///
  /// - Parameter making: whether one that is not there is made.
  /// - Throws: ``MailboxError`` `notFound`, `closed`; what `body` throws.
  func with<T: Sendable>(
    _ address: MailboxAddress, making: Bool = false, _ body: @Sendable (Mailbox) async throws -> T
  ) async throws -> T {
    let mailbox = try await opened.take(address, making: making)
    let outcome: Result<T, any Error>
    do {
      if making { try await mailbox.make() }
      outcome = .success(try await body(mailbox))
    } catch {
      outcome = .failure(error)
    }
    await opened.giveBack(address)
    return try outcome.get()
  }

  /// Puts a message into a mailbox.
  @discardableResult
  public func send(_ message: NewMailboxMessage, to address: MailboxAddress) async throws -> MailboxReceipt {
    try InboundWriter.check(message)
    let id = message.id ?? UUID().uuidString.lowercased()
    return try await with(address, making: true) { mailbox in
      try await mailbox.write { db in try InboundWriter.insert(message, id: id, db) }
    }
  }

  /// Takes a message back that is not done with.
  @discardableResult
  public func cancel(_ id: String, in address: MailboxAddress) async throws -> Bool {
    try await with(address) { mailbox in
      try await mailbox.write { db in
        try db.execute(
          sql:
            "UPDATE messages_in SET status = 'cancelled', finished_at = ? WHERE id = ? AND status = 'pending'",
          arguments: [UnixTime.now().milliseconds, id])
        return db.changesCount > 0
      }
    }
  }

  /// Brings what the worker wrote to where the host acts on it.
  @discardableResult
  public func drain(_ address: MailboxAddress) async throws -> MailboxDrain {
    try await with(address) { try await Self.drain($0) }
  }

  static func drain(_ mailbox: Mailbox) async throws -> MailboxDrain {
    var drain = MailboxDrain()
    while true {
      let place = try await mailbox.read { db in try MailboxDraining.place(db) }
      let news = try await mailbox.look { db in try MailboxDraining.news(after: place, db) }
      guard !news.sent.isEmpty || !news.finished.isEmpty else { return drain }
      let configuration = mailbox.configuration
      let step = try await mailbox.write { db in try MailboxDraining.land(news, configuration, db) }
      drain.sent += step.sent
      drain.finished += step.finished
      drain.dead += step.dead
      if news.isAll { return drain }
    }
  }

  /// What the worker sent and nobody has taken yet. What cannot be read is told, this once: it becomes a dead letter with
  /// its bytes.
  public func receive(
    from address: MailboxAddress, limit: Int, after seq: Int64?
  ) async throws -> OutboundPage {
    try await with(address) { mailbox in
      _ = try await Self.drain(mailbox)
      let now = UnixTime.now().milliseconds
      // One more than wanted tells whether there are more.
      let wanted = try await mailbox.read { db in
        try Int64.fetchAll(
          db,
          sql: """
            SELECT seq FROM deliveries WHERE status = 'pending' AND seq > ? AND deliver_after <= ?
            ORDER BY seq LIMIT ?
            """, arguments: [seq ?? 0, now, max(limit, 1) + 1])
      }
      let isMore = wanted.count > max(limit, 1)
      let sequences = isMore ? Array(wanted.dropLast()) : wanted
      var page = try await Self.outbound(sequences, mailbox)
      try await Self.giveUpUnreadable(sequences, page, mailbox)
      if page.next == nil, isMore { page.next = wanted.dropLast().last }
      return page
    }
  }

  /// The worker's messages of these sequences, as many as fit into a piece.
  static func outbound(_ sequences: [Int64], _ mailbox: Mailbox) async throws -> OutboundPage {
    guard !sequences.isEmpty else { return OutboundPage() }
    return try await mailbox.look { db in
      var page = OutboundPage()
      let rows = try Row.fetchCursor(
        db,
        sql: """
          SELECT \(MailboxReader.outboundColumns) FROM messages_out
          WHERE seq IN (SELECT value FROM json_each(?)) ORDER BY seq
          """, arguments: ["[" + sequences.map(String.init).joined(separator: ",") + "]"])
      var bytes = 0
      var last: Int64?
      while let row = try rows.next() {
        guard bytes < MailboxReader.pieceBytes else {
          page.next = last
          break
        }
        last = row["seq"]
        bytes += (row["content"] as Data).count
        do {
          page.messages.append(try MailboxReader.outbound(row))
        } catch let error as MailboxError {
          page.faults.append(
            MailboxFault(subject: "messages_out \(row["seq"] as Int64)", reason: error.message))
        }
      }
      return page
    }
  }

  /// Marks a message of the worker's as delivered.
  @discardableResult
  public func acknowledge(_ id: String, in address: MailboxAddress) async throws -> MailboxReceipt {
    try await with(address) { mailbox in
      func mark() async throws -> MailboxReceipt? {
        try await mailbox.write { db in
          guard
            let row = try Row.fetchOne(
              db, sql: "SELECT seq, status FROM deliveries WHERE id = ?", arguments: [id])
          else { return nil }
          let isDelivered = row["status"] == "delivered"
          if !isDelivered {
            try db.execute(
              sql: "UPDATE deliveries SET status = 'delivered', delivered_at = ? WHERE id = ?",
              arguments: [UnixTime.now().milliseconds, id])
            // Delivered by hand, it is no letter to be put back any more.
            try db.execute(
              sql: "UPDATE dead_letters SET retried_at = ? WHERE direction = 'out' AND id = ?",
              arguments: [UnixTime.now().milliseconds, id])
          }
          return MailboxReceipt(id: id, seq: row["seq"], duplicate: isDelivered)
        }
      }
      if let receipt = try await mark() { return receipt }
      _ = try await Self.drain(mailbox)
      if let receipt = try await mark() { return receipt }
      throw MailboxError(.notFound, "The worker of \(address) sent no message “\(id)”.")
    }
  }

  /// The mailboxes there are. The files of those that were removed are let go of.
  public func addresses() async throws -> [MailboxAddress] {
    let home = self.home
    let all = try await BlockingThread.run(named: "hf-mailboxes") { try MailboxDirectory.all(home: home) }
    await opened.release(allBut: all)
    return all
  }

  /// Lets go of every file.
  public func close() async { await opened.close() }
}
