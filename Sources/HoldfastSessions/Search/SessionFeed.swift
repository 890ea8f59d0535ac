// SPDX-License-Identifier: Apache-2.0

import GRDB
public import HoldfastEngine

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The messages of `sessions.db` as search follows them: `message.id` for new ones, `message_change.seq` for
/// what happened to old ones. It only ever reads.
public struct SessionFeed: SearchFeed {
  private let file: @Sendable () async throws -> StateFile

  /// Follows the store in a file, which is asked for at every use: it may not be open yet.
  public init(_ file: @escaping @Sendable () async throws -> StateFile) { self.file = file }

  /// The file's inode: a store that was put back from a backup is another one, whose numbers may be used again.
  public func identity() async throws -> String {
    let path = try await file().path
    var info = stat()
    guard unsafe stat(path, &info) == 0 else { return "" }
    return String(info.st_ino)
  }

  /// The highest numbers ever given, whether or not their rows are still there.
  public func head() async throws -> SearchPosition {
    try await file().read { try Self.head($0) }
  }

  private static func head(_ db: Database) throws -> SearchPosition {
    func last(_ table: String) throws -> Int64 {
      try Int64.fetchOne(
        db.cachedStatement(sql: "SELECT seq FROM sqlite_sequence WHERE name = ?"), arguments: [table]) ?? 0
    }
    return SearchPosition(messages: try last("message"), changes: try last("message_change"))
  }

  /// What happened after a position, from one snapshot.
  public func changes(after position: SearchPosition, limit: Int) async throws -> SearchChanges {
    try await file().read { try Self.changes(after: position, limit: limit, $0) }
  }

  /// Where the store is and what happened after a position, from one snapshot.
  public func tail(after position: SearchPosition, limit: Int) async throws -> SearchTail {
    try await file().read { db in
      let head = try Self.head(db)
      guard position.isWithin(head), position != head else {
        return SearchTail(head: head, changes: SearchChanges(steps: [], end: position), isCut: false)
      }
      let start = position.tail(before: head, limit: limit)
      return SearchTail(
        head: head, changes: try Self.changes(after: start, limit: limit, db), isCut: start != position)
    }
  }

  private static func changes(
    after position: SearchPosition, limit: Int, _ db: Database
  ) throws -> SearchChanges {
    var changes = SearchChanges(steps: [], end: position)
    let added = try Row.fetchAll(
      db.cachedStatement(sql: "\(Self.select) WHERE message.id > ? ORDER BY message.id LIMIT ?"),
      arguments: [position.messages, limit])
    for row in added {
      let step = Self.step(row)
      changes.steps.append(step)
      changes.end.messages = step.id
    }
    if added.count < limit {
      // The last ones may have been deleted again.
      changes.end.messages = max(
        changes.end.messages,
        try Int64.fetchOne(db, sql: "SELECT seq FROM sqlite_sequence WHERE name = 'message'") ?? 0)
    }
    let changed = try Row.fetchAll(
      db.cachedStatement(
        sql: "SELECT seq, message FROM message_change WHERE seq > ? ORDER BY seq LIMIT ?"),
      arguments: [position.changes, limit])
    let find = try db.cachedStatement(sql: "\(Self.select) WHERE message.id = ?")
    for row in changed {
      let id: Int64 = row[1]
      changes.end.changes = row[0]
      let now = try Row.fetchOne(find, arguments: [id]).map(Self.step)
      changes.steps.append(now ?? SearchChanges.Step(id: id, document: nil))
    }
    return changes
  }

  /// The newest messages that were not undone.
  public func newest(limit: Int) async throws -> [SearchDocument] {
    try await file().read { db in
      try Row.fetchAll(
        db.cachedStatement(
          sql: "\(Self.select) WHERE message.state <> 'undone' ORDER BY message.id DESC LIMIT ?"),
        arguments: [limit]
      ).compactMap { Self.step($0).document }
    }
  }

  private static func step(_ row: Row) -> SearchChanges.Step {
    let id: Int64 = row["id"]
    guard row["state"] as String != "undone" else { return .init(id: id, document: nil) }
    let parts: [String?] = [row["content"], row["calls"]]
    return .init(
      id: id,
      document: SearchDocument(
        id: id, session: row["session"], lineage: row["lineage"], seq: row["seq"], uid: row["uid"],
        role: (row["role"] as String).lowercased(), source: row["source"] ?? "",
        timeMilliseconds: row["time_ms"], text: parts.compactMap { $0 }.joined(separator: "\n")))
  }

  /// The strings in a JSON value, but for those that only name kinds and ids or are bytes.
  private static func strings(in column: String) -> String {
    """
    (SELECT group_concat(value, char(10))
     FROM json_tree(CASE WHEN json_valid(message.\(column)) THEN message.\(column) ELSE '""' END) AS leaf
     WHERE leaf.type = 'text'
       AND coalesce(leaf.key, '') NOT IN ('type', 'id', 'tool_use_id', 'media_type', 'data', 'signature'))
    """
  }

  private static let select = """
    SELECT message.id, session.id AS session, message.seq, message.uid, message.role, session.source,
      message.time_ms, message.state,
      CASE message.content_kind WHEN 'json' THEN \(strings(in: "content")) ELSE message.content END AS content,
      CASE WHEN message.tool_calls IS NULL THEN NULL ELSE \(strings(in: "tool_calls")) END AS calls,
      CASE WHEN session.parent IS NULL THEN session.id ELSE
        (WITH RECURSIVE up(key, id, parent) AS (
           SELECT key, id, parent FROM session AS own WHERE own.key = message.session
           UNION SELECT above.key, above.id, above.parent FROM session AS above JOIN up ON above.key = up.parent)
         SELECT id FROM up WHERE parent IS NULL)
      END AS lineage
    FROM message JOIN session ON session.key = message.session
    """
}
