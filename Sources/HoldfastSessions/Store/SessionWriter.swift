// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine

/// Makes and changes rows of `session`, inside a write transaction of the caller's.
enum SessionWriter {
  /// The key of a session by its whole id.
  static func key(of id: String, _ db: Database) throws -> Int64? {
    try Int64.fetchOne(db.cachedStatement(sql: "SELECT key FROM session WHERE id = ?"), arguments: [id])
  }

  /// The key of the one session whose id is `id` or begins with it.
  static func resolve(_ id: String, _ db: Database) throws -> Int64 {
    if let key = try key(of: id, db) { return key }
    let found = try Row.fetchAll(
      db, sql: "SELECT key, id FROM session WHERE id >= ? AND id < ? ORDER BY id LIMIT 4",
      arguments: [id, id + "\u{10FFFF}"])
    guard !id.isEmpty, let first = found.first else {
      throw SessionError(.notFound, "There is no session whose id is or begins with “\(id)”.")
    }
    guard found.count == 1 else {
      let names = found.map { $0["id"] as String }.joined(separator: ", ")
      throw SessionError(.ambiguous, "Several sessions' ids begin with “\(id)”: \(names); name more of it.")
    }
    return first["key"]
  }

  /// The key of a session by its whole id, made when it is missing.
  static func keyMaking(_ id: String, _ db: Database) throws -> Int64 {
    if let key = try key(of: id, db) { return key }
    try NewSession.check(id: id)
    try db.cachedStatement(sql: "INSERT INTO session(id) VALUES (?)").execute(arguments: [id])
    return db.lastInsertedRowID
  }

  /// Makes a session, or fills in what one that is there lacks.
  static func create(_ new: NewSession, id: String, _ db: Database) throws -> Bool {
    let isNew = try key(of: id, db) == nil
    let key = try keyMaking(id, db)
    let metadata = new.metadata?.json
    try db.cachedStatement(
      sql: """
        UPDATE session SET source = coalesce(source, ?), model = coalesce(model, ?), cwd = coalesce(cwd, ?),
          git_branch = coalesce(git_branch, ?), metadata = coalesce(metadata, ?) WHERE key = ?
        """
    ).execute(arguments: [new.source, new.model, new.cwd, new.gitBranch, metadata, key])
    if let title = new.title {
      try rename(key, to: title, from: new.titleFrom ?? .user, onlyIfUntitled: true, db)
    }
    if let parent = new.parent {
      try link(key, to: keyMaking(parent, db), as: new.edge ?? .subagent, db)
    } else if let edge = new.edge, edge != .root {
      throw SessionError(.invalid, "A session that is a \(edge.rawValue) needs a parent.")
    }
    return isNew
  }

  /// Puts a root below a parent, with everything it has cost; one that has a parent keeps it.
  static func link(_ key: Int64, to parent: Int64, as edge: SessionEdge, _ db: Database) throws {
    guard edge != .root else { throw SessionError(.invalid, "A session with a parent is no root.") }
    if try Int64.fetchOne(db, sql: "SELECT parent FROM session WHERE key = ?", arguments: [key]) != nil {
      return
    }
    let ancestors = try lineage(from: parent, db)
    guard !ancestors.contains(key) else {
      throw SessionError(.cycle, "A session cannot come from itself, not by way of others either.")
    }
    try db.execute(
      sql: "UPDATE session SET parent = ?, edge = ? WHERE key = ?", arguments: [parent, edge.rawValue, key])
    try addTotals(of: key, to: ancestors, db)
    if edge == .subagent {
      try db.execute(
        sql: """
          UPDATE session SET failed_children = failed_children + (SELECT failed FROM session WHERE key = ?)
          WHERE key = ?
          """, arguments: [key, parent])
    }
  }

  /// The session and everything it came from, nearest first.
  static func lineage(from key: Int64, _ db: Database) throws -> [Int64] {
    try Int64.fetchAll(
      db,
      sql: """
        WITH RECURSIVE up(key) AS (
          SELECT ? UNION SELECT session.parent FROM session JOIN up ON session.key = up.key
          WHERE session.parent IS NOT NULL)
        SELECT key FROM up
        """, arguments: [key])
  }

  private static func addTotals(of key: Int64, to ancestors: [Int64], _ db: Database) throws {
    let sets = SessionSchema.measures.map {
      "total_\($0) = total_\($0) + (SELECT total_\($0) FROM session WHERE key = ?1)"
    }
    let statement = try db.cachedStatement(
      sql: "UPDATE session SET \(sets.joined(separator: ", ")) WHERE key = ?2")
    for ancestor in ancestors { try statement.execute(arguments: [key, ancestor]) }
  }

  /// Gives a title that no other session has; a number is added where it is taken.
  @discardableResult
  static func rename(
    _ key: Int64, to wanted: String, from: TitleSource, onlyIfUntitled: Bool = false, _ db: Database
  ) throws -> String {
    let row = try Row.fetchOne(
      db, sql: "SELECT title, title_from FROM session WHERE key = ?", arguments: [key])
    let now: String? = row?["title"]
    let owner: String? = row?["title_from"]
    if let now, onlyIfUntitled || owner == "user" && from != .user { return now }
    let base = TextRepair.withoutNUL(wanted) ?? wanted
    var title = base
    let isTaken = try isTaken(base, by: key, db)
    if let now, now == base || isTaken && isNumbered(now, of: base) {
      // It has it already, and keeps its number; a user who asks for it makes it his.
      guard from == .user else { return now }
      title = now
    } else if isTaken {
      // The digits sort between "(" and ":"; the number is minted in the transaction that takes it.
      let highest = try Int64.fetchOne(
        db,
        sql: """
          SELECT max(CAST(substr(title, ?) AS INTEGER)) FROM session
          WHERE title > ? AND title < ? AND title LIKE '%)'
          """, arguments: [base.unicodeScalars.count + 3, base + " (", base + " (:"])
      var number = max(highest ?? 1, 1)
      repeat {
        number += 1
        title = "\(base) (\(number))"
      } while try Self.isTaken(title, by: key, db)
    }
    try db.execute(
      sql: "UPDATE session SET title = ?, title_from = ? WHERE key = ?",
      arguments: [title, from.rawValue, key])
    return title
  }

  /// Whether a title is another with a number, “Title (2)”.
  private static func isNumbered(_ title: String, of base: String) -> Bool {
    let (title, base) = (title.utf8, (base + " (").utf8)
    guard title.starts(with: base), title.last == UInt8(ascii: ")") else { return false }
    let number = title.dropFirst(base.count).dropLast()
    return !number.isEmpty && number.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
  }

  private static func isTaken(_ title: String, by key: Int64, _ db: Database) throws -> Bool {
    try Bool.fetchOne(
      db, sql: "SELECT EXISTS (SELECT 1 FROM session WHERE title = ? AND key <> ?)", arguments: [title, key])
      == true
  }

  /// Deletes a session and the sub-agents below it; forks and continuations move up to its parent.
  static func delete(_ key: Int64, _ db: Database) throws -> Int {
    let doomed = try Int64.fetchAll(
      db,
      sql: """
        WITH RECURSIVE down(key) AS (
          SELECT ? UNION SELECT session.key FROM session JOIN down ON session.parent = down.key
          WHERE session.edge = 'subagent')
        SELECT key FROM down
        """, arguments: [key])
    let parent = try Int64.fetchOne(db, sql: "SELECT parent FROM session WHERE key = ?", arguments: [key])
    let isDoomed = "IN (SELECT value FROM json_each(?))"
    let list = "[" + doomed.map(String.init).joined(separator: ",") + "]"
    // What they cost was spent: the nearest session that stays keeps it apart, so that its total is still its
    // own, its children's and this.
    if let parent {
      let kept = SessionSchema.measures.map { measure in
        """
        deleted_\(measure) = deleted_\(measure) + (SELECT sum(own_\(measure) + deleted_\(measure))
          FROM session WHERE key IN (SELECT value FROM json_each(?1)))
        """
      }
      try db.execute(
        sql: "UPDATE session SET \(kept.joined(separator: ", ")) WHERE key = ?2",
        arguments: [list, parent])
    }
    try db.execute(
      sql: """
        UPDATE session SET edge = CASE WHEN ?1 IS NULL THEN 'root' ELSE edge END, parent = ?1
        WHERE parent IN (SELECT value FROM json_each(?2)) AND edge <> 'subagent'
        """, arguments: [parent, list])
    try db.execute(sql: "DELETE FROM message WHERE session \(isDoomed)", arguments: [list])
    // Children first: each refers to its parent.
    let statement = try db.cachedStatement(sql: "DELETE FROM session WHERE key = ?")
    for key in doomed.reversed() { try statement.execute(arguments: [key]) }
    return doomed.count
  }
}
