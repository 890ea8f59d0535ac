// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastMailbox
import HoldfastTestKit

/// A worker as any program may be one: two SQLite files, and nothing of Holdfast's.
struct WorkerFiles {
  let connection: ForeignConnection
  let incarnation: Int64
  let name: String

  init(_ home: String, _ address: MailboxAddress, incarnation: Int64 = 1, name: String = "w") throws {
    let directory = MailboxDirectory(home: home, address: address)
    (self.incarnation, self.name) = (incarnation, name)
    connection = try ForeignConnection(directory.outbound, busyTimeout: 30_000)
    try connection.run("ATTACH '\(directory.inbound)' AS inbound")
  }

  /// The first message that this worker may take now, claimed; nil when there is none.
  func take(leaseMilliseconds: Int = 60_000) throws -> String? {
    let now = UnixTime.now().milliseconds
    try connection.run("BEGIN IMMEDIATE")
    defer { try? connection.run("COMMIT") }
    let found = try connection.text(
      """
      SELECT m.id || char(10) || m.tries FROM inbound.messages_in AS m
      WHERE m.status = 'pending' AND m.process_after <= \(now) AND m.after_incarnation < \(incarnation)
        AND NOT EXISTS (SELECT 1 FROM processing AS p WHERE p.message = m.id AND p.try = m.tries
          AND (p.status <> 'claimed' OR p.incarnation > \(incarnation)
            OR p.incarnation = \(incarnation) AND p.lease_until > \(now)))
      ORDER BY m.seq LIMIT 1
      """)
    guard let parts = found?.split(separator: "\n"), parts.count == 2 else { return nil }
    return try claim(String(parts[0]), attempt: String(parts[1]), now: now, lease: leaseMilliseconds)
      ? String(parts[0]) : nil
  }

  /// Whether the claim is this worker's.
  func claim(_ message: String, attempt: String = "0", now: Int64, lease: Int) throws -> Bool {
    try connection.run(
      """
      INSERT INTO processing(message, try, incarnation, worker, claimed_at, lease_until)
      VALUES ('\(message)', \(attempt), \(incarnation), '\(name)', \(now), \(now + Int64(lease)))
      ON CONFLICT(message, try) DO UPDATE SET incarnation = excluded.incarnation, worker = excluded.worker,
        claimed_at = excluded.claimed_at, lease_until = excluded.lease_until
      WHERE status = 'claimed' AND (excluded.incarnation > incarnation
        OR excluded.incarnation = incarnation AND lease_until <= excluded.claimed_at)
      """)
    return try connection.text("SELECT changes()") == "1"
  }

  /// Whether the end counted: false when another has taken over.
  @discardableResult
  func finish(_ message: String, as status: String = "completed", retryable: Int = 1) throws -> Bool {
    try connection.run(
      """
      UPDATE processing SET status = '\(status)', error = CASE '\(status)' WHEN 'failed' THEN 'it did not work' END,
        retryable = \(retryable)
      WHERE message = '\(message)' AND status = 'claimed' AND incarnation = \(incarnation) AND worker = '\(name)'
        AND try = (SELECT tries FROM inbound.messages_in WHERE id = '\(message)')
      """)
    return try connection.text("SELECT changes()") == "1"
  }

  func say(_ id: String, _ content: String, kind: String = "reply") throws {
    try connection.run(
      "INSERT INTO messages_out(id, kind, content) VALUES ('\(id)', '\(kind)', '\(content)')")
  }
}
