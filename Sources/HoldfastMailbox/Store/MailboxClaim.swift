// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine

/// A message a worker has taken and not finished.
public struct MailboxClaim: Sendable, Hashable {
  /// The inbound message's id.
  public var message: String
  /// Which try of the message it is for.
  public var attempt: Int64
  /// The worker's number.
  public var incarnation: Int64
  /// Which thread or process of the worker has it.
  public var worker: String
  /// When it was taken, in milliseconds since 1970 by the worker's clock.
  public var claimedAt: Int64
  /// Until when it holds without being renewed.
  public var leaseUntil: Int64
}

extension SQLiteMailboxStore {
  /// The messages that workers have taken and not finished, each for the try at hand.
  public func claims(in address: MailboxAddress) async throws -> [MailboxClaim] {
    try await with(address) { try await Self.claims($0) }
  }

  static func claims(_ mailbox: Mailbox) async throws -> [MailboxClaim] {
    let claims = try await mailbox.look { db in
      try Row.fetchAll(
        db.cachedStatement(
          sql: """
            SELECT message, try, incarnation, worker, claimed_at, lease_until FROM processing
            WHERE status = 'claimed' ORDER BY message, try
            """)
      ).map { row in
        MailboxClaim(
          message: row["message"], attempt: row["try"], incarnation: row["incarnation"],
          worker: row["worker"],
          claimedAt: row["claimed_at"], leaseUntil: row["lease_until"])
      }
    }
    guard !claims.isEmpty else { return [] }
    // The host cannot take a lost claim out of the worker's file: the try it was for is over, and that tells.
    return try await mailbox.read { db in
      let statement = try db.cachedStatement(
        sql: "SELECT EXISTS (SELECT 1 FROM messages_in WHERE id = ? AND tries = ? AND status = 'pending')")
      return try claims.filter { try Bool.fetchOne(statement, arguments: [$0.message, $0.attempt]) ?? false }
    }
  }

  /// Gives up the tries that workers up to an incarnation hold: those workers are known to be dead. Drain first, so
  /// that what they finished counts.
  ///
  /// - Returns: how many.
  @discardableResult
  public func releaseClaims(through incarnation: Int64, in address: MailboxAddress) async throws -> Int {
    try await with(address) { mailbox in
      let lost = try await Self.claims(mailbox).filter { $0.incarnation <= incarnation }
      guard !lost.isEmpty else { return 0 }
      let configuration = mailbox.configuration
      return try await mailbox.write { db in
        try lost.count { claim in
          try MailboxDraining.fail(
            claim.message, attempt: claim.attempt, isRetryable: true,
            error: "The worker (incarnation \(claim.incarnation)) ended before it was done with it.",
            reason: "worker-lost", configuration, db) != .late
        }
      }
    }
  }

  /// How many messages are due that start a worker.
  public func dueCount(in address: MailboxAddress) async throws -> Int {
    try await with(address) { mailbox in
      try await mailbox.read { db in
        try Int.fetchOne(
          db,
          sql: """
            SELECT count(*) FROM messages_in WHERE status = 'pending' AND trigger = 1 AND process_after <= ?
            """, arguments: [UnixTime.now().milliseconds]) ?? 0
      }
    }
  }
}
