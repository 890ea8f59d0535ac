// SPDX-License-Identifier: Apache-2.0

import GRDB

/// A session and all that came from it; in JSON `{session, children, truncated?, unreadable?}`.
public struct SessionTree: Sendable, Hashable, Encodable {
  /// The session.
  public var session: SessionRecord
  /// What came directly from it, the oldest first.
  public var children: [SessionTree] = []
  /// Whether sessions below this one were left out, being too many or too deep.
  public var truncated: Bool?
  /// Rows of the tree that could not be read, with all below them; only at its top.
  public var unreadable: [RowFault]?

  /// A session and what came from it.
  public init(session: SessionRecord, children: [SessionTree] = []) {
    (self.session, self.children) = (session, children)
  }

  /// Levels that are read at most: a tree of JSON is walked by recursion, here and by whoever reads it.
  static let mostLevels = 256
}

extension SessionReader {
  /// A session and what came from it, in one reading.
  static func tree(_ key: Int64, limit: Int, _ db: Database) throws -> SessionTree {
    var top = SessionTree(session: try session(key, db))
    // The levels bound it in a ring, too, should another program have written one.
    let rows = try Row.fetchCursor(
      db,
      sql: """
        WITH RECURSIVE down(key, level) AS (
          SELECT ?1, 0 UNION SELECT session.key, down.level + 1 FROM session JOIN down ON session.parent = down.key
          WHERE down.level < ?2 LIMIT ?3)
        SELECT down.level AS tree_level, s.*, p.id AS parent_id
        FROM down JOIN session AS s ON s.key = down.key LEFT JOIN session AS p ON p.key = s.parent
        WHERE down.level > 0 ORDER BY down.level, s.started_ms, s.key
        """, arguments: [key, SessionTree.mostLevels, min(limit, .max - 2) + 2])
    var below: [Int64: [(key: Int64, session: SessionRecord, level: Int)]] = [:]
    var faults: [RowFault] = []
    var seen: Set<Int64> = [key]
    var isCut = false
    while let row = try rows.next() {
      let (own, parent): (Int64, Int64) = (row["key"], row["parent"])
      guard !seen.contains(own) else { continue }
      // One more than wanted was read, to tell whether there are more.
      guard seen.count <= limit else {
        isCut = true
        break
      }
      seen.insert(own)
      do {
        below[parent, default: []].append((own, try record(row), row["tree_level"]))
      } catch {
        faults.append(RowFault(table: "session", row: row["id"], reason: error.message))
      }
    }
    func children(of key: Int64) -> (children: [SessionTree], isCut: Bool) {
      var isDeep = false
      let trees = (below[key] ?? []).map { child in
        isDeep = isDeep || child.level >= SessionTree.mostLevels
        let inner = children(of: child.key)
        isDeep = isDeep || inner.isCut
        return SessionTree(session: child.session, children: inner.children)
      }
      return (trees, isDeep)
    }
    let found = children(of: key)
    top.children = found.children
    if isCut || found.isCut { top.truncated = true }
    if !faults.isEmpty { top.unreadable = faults }
    return top
  }
}
