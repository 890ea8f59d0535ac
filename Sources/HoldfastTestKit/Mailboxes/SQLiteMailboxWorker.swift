// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine
public import HoldfastMailbox

/// A worker as any program may be one: two SQLite files, and nothing of Holdfast's. What it runs is what
/// docs/mailboxes.md tells workers to run.
public struct SQLiteMailboxWorker: MailboxWorker {
  /// `outbound.db`, with `inbound.db` attached as `inbound`.
  public let connection: ForeignConnection
  /// Its number.
  public let incarnation: Int64
  /// Which of several with this number it is.
  public let name: String

  /// Opens the files of a mailbox that has been made.
  public init(home: String, _ address: MailboxAddress, incarnation: Int64 = 1, name: String = "w") throws {
    let directory = MailboxDirectory(home: home, address: address)
    (self.incarnation, self.name) = (incarnation, name)
    connection = try ForeignConnection(directory.outbound, busyTimeout: 60_000)
    try connection.run("ATTACH '\(directory.inbound)' AS inbound")
  }

  /// The first message that it may take now, claimed; nil when there is none.
  public func take() throws -> String? {
    let now = UnixTime.now().milliseconds
    while true {
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
      let (message, attempt) = (String(parts[0]), String(parts[1]))
      if try claim(message, attempt: attempt, now: now, leaseMilliseconds: 60_000) { return message }
      // Another was quicker: the next look no longer finds it.
    }
  }

  /// Claims the first try of a message at a moment, for a minute.
  public func claim(_ message: String, at now: UTCInstant) throws -> Bool {
    try claim(message, attempt: "0", now: now.milliseconds, leaseMilliseconds: 60_000)
  }

  private func claim(_ message: String, attempt: String, now: Int64, leaseMilliseconds: Int64) throws -> Bool
  {
    let found = try connection.text(
      """
      INSERT INTO processing(message, try, incarnation, worker, claimed_at, lease_until)
      VALUES ('\(message)', \(attempt), \(incarnation), '\(name)', \(now), \(now + leaseMilliseconds))
      ON CONFLICT(message, try) DO UPDATE SET incarnation = excluded.incarnation, worker = excluded.worker,
        claimed_at = excluded.claimed_at, lease_until = excluded.lease_until
      WHERE status = 'claimed' AND (excluded.incarnation > incarnation
        OR excluded.incarnation = incarnation AND lease_until <= excluded.claimed_at)
      RETURNING message
      """)
    return found != nil
  }

  /// Ends its work on the try at hand; false when another has taken over.
  public func finish(_ message: String, as end: MailboxWorkerEnd) throws -> Bool {
    let (status, error, retryable) =
      switch end {
      case .completed: ("completed", "NULL", 1)
      case .failed(let error): ("failed", "'\(error)'", 1)
      case .refused(let error): ("failed", "'\(error)'", 0)
      }
    let found = try connection.text(
      """
      UPDATE processing SET status = '\(status)', error = \(error), retryable = \(retryable)
      WHERE message = '\(message)' AND status = 'claimed' AND incarnation = \(incarnation) AND worker = '\(name)'
        AND try = (SELECT max(try) FROM processing WHERE message = '\(message)')
      RETURNING message
      """)
    return found != nil
  }

  /// Says something.
  public func say(_ id: String, kind: String, _ content: String, deliverAfter: UTCInstant?) throws {
    try connection.run(
      """
      INSERT INTO messages_out(id, kind, content, deliver_after)
      VALUES ('\(id)', '\(kind)', '\(content)', \(deliverAfter.map { String($0.milliseconds) } ?? "NULL"))
      """)
  }

  /// Says something of the kind `reply`, at once.
  public func say(_ id: String, _ content: String) throws {
    try say(id, kind: "reply", content, deliverAfter: nil)
  }
}
