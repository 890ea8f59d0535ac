// SPDX-License-Identifier: Apache-2.0

import GRDB

/// A question put to the index, as one statement.
enum SearchIndexQuery {
  /// A message found, the best first.
  struct Hit: Sendable {
    var document: SearchDocument
    var score: Double
  }

  /// Finds at most so many messages.
  static func hits(_ query: SearchQuery, limit: Int, _ db: Database) throws -> [Hit] {
    var conditions: [String] = []
    var arguments: [any DatabaseValueConvertible] = []
    let isRanked = query.wantedExpression != nil
    if let wanted = query.wantedExpression {
      conditions.append("word MATCH ?")
      arguments.append(query.unwantedExpression.map { "(\(wanted)) NOT (\($0))" } ?? wanted)
    } else if let unwanted = query.unwantedExpression {
      conditions.append("d.id NOT IN (SELECT rowid FROM word WHERE word MATCH ?)")
      arguments.append(unwanted)
    }
    add(query.filter, to: &conditions, &arguments)
    let columns = "d.id, d.session, d.lineage, d.seq, d.uid, d.role, d.source, d.time_ms, d.text"
    let sql: String
    if isRanked, query.filter.isEmpty {
      // FTS5 sorts by rank itself when nothing is joined, and only what is shown is looked up.
      sql = """
        SELECT \(columns), best.score FROM
          (SELECT rowid AS id, rank AS score FROM word WHERE word MATCH ? ORDER BY rank LIMIT ?) AS best
          JOIN document AS d ON d.id = best.id ORDER BY best.score, d.id DESC
        """
    } else if isRanked {
      sql = """
        SELECT \(columns), rank FROM word JOIN document AS d ON d.id = word.rowid
        WHERE \(conditions.joined(separator: " AND ")) ORDER BY rank, d.id DESC LIMIT ?
        """
    } else {
      sql = """
        SELECT \(columns), 0.0 FROM document AS d
        WHERE \(conditions.isEmpty ? "1" : conditions.joined(separator: " AND ")) ORDER BY d.id DESC LIMIT ?
        """
    }
    arguments.append(limit)
    return try Row.fetchAll(db, sql: sql, arguments: StatementArguments(arguments)).map { row in
      Hit(document: SearchDocument(row), score: -(row[9] as Double))
    }
  }

  /// The messages around one in its session, itself left out.
  static func neighbours(of document: SearchDocument, reach: Int, _ db: Database) throws -> [SearchDocument] {
    try Row.fetchAll(
      db.cachedStatement(
        sql: """
          SELECT id, session, lineage, seq, uid, role, source, time_ms, text FROM document
          WHERE session = ? AND seq BETWEEN ? AND ? AND seq <> ? ORDER BY seq
          """),
      arguments: [
        document.session, document.seq - Int64(reach), document.seq + Int64(reach), document.seq,
      ]
    ).map { SearchDocument($0) }
  }

  private static func add(
    _ filter: SearchFilter, to conditions: inout [String], _ arguments: inout [any DatabaseValueConvertible]
  ) {
    func any(_ column: String, _ values: [String], negated: Bool) {
      guard !values.isEmpty else { return }
      let marks = values.map { _ in "?" }.joined(separator: ", ")
      conditions.append("d.\(column) \(negated ? "NOT " : "")IN (\(marks))")
      arguments += values
    }
    func begins(_ values: [String], negated: Bool) {
      guard !values.isEmpty else { return }
      let ways = values.map { _ in "substr(d.session, 1, length(?)) = ?" }.joined(separator: " OR ")
      conditions.append(negated ? "NOT (\(ways))" : "(\(ways))")
      for value in values { arguments += [value, value] }
    }
    any("role", filter.roles, negated: false)
    any("role", filter.excludedRoles, negated: true)
    any("source", filter.sources, negated: false)
    any("source", filter.excludedSources, negated: true)
    any("lineage", filter.lineages, negated: false)
    begins(filter.sessions, negated: false)
    begins(filter.excludedSessions, negated: true)
    if let after = filter.after {
      conditions.append("d.time_ms >= ?")
      arguments.append(after)
    }
    if let before = filter.before {
      conditions.append("d.time_ms < ?")
      arguments.append(before)
    }
  }
}

extension SearchDocument {
  fileprivate init(_ row: Row) {
    self.init(
      id: row[0], session: row[1], lineage: row[2], seq: row[3], uid: row[4], role: row[5], source: row[6],
      timeMilliseconds: row[7], text: row[8])
  }
}
