// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine

/// Which sessions are to be removed for good. Pinned ones never are, nor one with a sub-agent that is to stay.
public struct SessionPruning: Sendable, Hashable {
  /// Those last active before this, RFC 3339.
  public var inactiveSince: String
  /// Only those of this program.
  public var source: String?
  /// Only those that were put away.
  public var archivedOnly = false

  /// Everything that was last active before a time.
  public init(inactiveSince: String) { self.inactiveSince = inactiveSince }
}

/// What a pruning removes or removed; in JSON `{sessions, messages}`.
public struct SessionPruned: Sendable, Hashable, Codable {
  /// Sessions.
  public var sessions: Int
  /// Their messages.
  public var messages: Int

  /// Counts.
  public init(sessions: Int, messages: Int) { (self.sessions, self.messages) = (sessions, messages) }
}

extension SQLiteSessionStore {
  /// What ``prune(_:)`` would remove now.
  public func prunable(_ pruning: SessionPruning) async throws -> SessionPruned {
    let wanted = try Wanted(pruning)
    return try await file().read { db in try Self.count(wanted, db) }
  }

  /// Removes sessions in slices that hold the store for about 10 ms, the longest inactive first (row A11).
  ///
  /// What they cost stays in their ancestors' totals. Work that is stopped half way leaves whole slices; a session
  /// that somebody writes to while its messages go keeps those that are left.
  /// - Returns: what was removed.
  @discardableResult
  public func prune(_ pruning: SessionPruning) async throws -> SessionPruned {
    let wanted = try Wanted(pruning)
    let file = try await file()
    // A slice may be run again, so counting in it would count twice.
    let before = try await file.read { db in try Self.count(wanted, db) }
    try await file.maintain { db, units in try Self.removeSlice(wanted, units, db) }
    let after = try await file.read { db in try Self.count(wanted, db) }
    return SessionPruned(
      sessions: max(0, before.sessions - after.sessions), messages: max(0, before.messages - after.messages))
  }

  /// A pruning as SQL.
  private struct Wanted: Sendable {
    /// Of `session AS top`: those that go, each with all the sub-agents below it.
    var condition: String
    var arguments: StatementArguments

    init(_ pruning: SessionPruning) throws(SessionError) {
      let cutoff = try SessionTime.milliseconds(pruning.inactiveSince)
      var conditions = [
        "top.last_active_ms < ?", "top.pinned = 0",
        """
        NOT EXISTS (
          WITH RECURSIVE down(key) AS (
            SELECT top.key UNION SELECT session.key FROM session JOIN down ON session.parent = down.key
            WHERE session.edge = 'subagent')
          SELECT 1 FROM session WHERE key IN (SELECT key FROM down)
            AND (session.pinned = 1 OR session.last_active_ms >= ?))
        """,
      ]
      var arguments: StatementArguments = [cutoff, cutoff]
      if let source = pruning.source {
        conditions.append("top.source = ?")
        arguments += [source]
      }
      if pruning.archivedOnly { conditions.append("top.archived = 1") }
      (condition, self.arguments) = (conditions.joined(separator: " AND "), arguments)
    }

    /// The sessions that go, by key.
    var all: String {
      """
      WITH RECURSIVE gone(key) AS (
        SELECT top.key FROM session AS top WHERE \(condition)
        UNION SELECT session.key FROM session JOIN gone ON session.parent = gone.key
        WHERE session.edge = 'subagent')
      """
    }
  }

  private static func count(_ wanted: Wanted, _ db: Database) throws -> SessionPruned {
    let row = try Row.fetchOne(
      db,
      sql: """
        \(wanted.all)
        SELECT count(*), coalesce(sum(messages), 0) FROM session WHERE key IN (SELECT key FROM gone)
        """, arguments: wanted.arguments)
    return SessionPruned(sessions: row?[0] ?? 0, messages: row?[1] ?? 0)
  }

  /// - Returns: whether there may be more.
  private static func removeSlice(_ wanted: Wanted, _ units: Int, _ db: Database) throws -> Bool {
    guard
      let key = try Int64.fetchOne(
        db,
        sql:
          "SELECT top.key FROM session AS top WHERE \(wanted.condition) ORDER BY top.last_active_ms LIMIT 1",
        arguments: wanted.arguments)
    else { return false }
    try db.execute(
      sql: """
        DELETE FROM message WHERE id IN (
          SELECT id FROM message WHERE session IN (
            WITH RECURSIVE down(key) AS (
              SELECT ? UNION SELECT session.key FROM session JOIN down ON session.parent = down.key
              WHERE session.edge = 'subagent')
            SELECT key FROM down)
          LIMIT ?)
        """, arguments: [key, units])
    if db.changesCount < units { _ = try SessionWriter.delete(key, db) }
    return true
  }
}
