// SPDX-License-Identifier: Apache-2.0

import GRDB

/// A question put to the index.
enum SearchIndexQuery {
  /// A message found.
  struct Hit: Sendable {
    var id: Int64
    var score: Double
    /// What it is; looked up for the best ones only.
    var document: SearchDocument?
  }

  /// Words of the index that a phrase is looked for inside of, at most; and for all phrases.
  private static let mostInsides = 64
  private static let mostInsidesInAll = 256

  /// Finds messages, the best first.
  ///
  /// Words that stand for themselves are better than those inside longer ones, so these are only looked for when
  /// there are too few of the others.
  /// - Parameters:
  ///   - limit: hits at most.
  ///   - documents: how many of them are looked up.
  /// - Returns: whether there may be more than `limit` besides.
  static func hits(
    _ query: SearchQuery, limit: Int, documents: Int, _ db: Database
  ) throws -> (hits: [Hit], isCut: Bool) {
    var hits = try ranked(query, wanted: query.wantedExpression(), limit: limit, db)
    var isCut = hits.count == limit
    if !isCut {
      let insides = try insides(of: query, db)
      if !insides.words.isEmpty {
        let known = Set(hits.map(\.id))
        let worst = hits.last?.score ?? .infinity
        let others = try ranked(query, wanted: query.wantedExpression(insides.words), limit: limit, db)
        hits += others.filter { !known.contains($0.id) }.map {
          Hit(id: $0.id, score: min(worst, $0.score * insideWeight))
        }
        isCut = insides.isCut || others.count == limit
        hits.removeLast(max(0, hits.count - limit))
      }
    }
    let find = try db.cachedStatement(
      sql: "SELECT id, session, lineage, seq, uid, role, source, time_ms, text FROM document WHERE id = ?")
    for place in hits.indices.prefix(documents) {
      // A cursor's row is read in place; a fetched one is copied first.
      let found = try Row.fetchCursor(find, arguments: [hits[place].id])
      hits[place].document = try found.next().map { try SearchDocument($0) }
    }
    return (hits, isCut)
  }

  /// What being inside a word counts, beside being one.
  private static let insideWeight = 0.1

  /// The long words that hold a phrase of the question inside them, by the phrase's place.
  private static func insides(
    of query: SearchQuery, _ db: Database
  ) throws -> (words: [Int: [String]], isCut: Bool) {
    var words: [Int: [String]] = [:]
    var isCut = false
    var left = mostInsidesInAll
    for (place, phrase) in query.wanted.enumerated() where phrase.isSoughtInside && left > 0 {
      let most = min(left, mostInsides)
      let found = try String.fetchAll(
        db.cachedStatement(
          sql: "SELECT DISTINCT word FROM inside WHERE suffix >= ? AND suffix < ? ORDER BY suffix LIMIT ?"),
        arguments: [phrase.tokens[0], phrase.tokens[0] + "\u{10FFFF}", most])
      guard !found.isEmpty else { continue }
      isCut = isCut || found.count == most
      words[place] = found
      left -= found.count
    }
    return (words, isCut)
  }

  /// One question, the best answers first.
  private static func ranked(
    _ query: SearchQuery, wanted: String?, limit: Int, _ db: Database
  ) throws -> [Hit] {
    var conditions: [String] = []
    var arguments: [any DatabaseValueConvertible] = []
    if let wanted {
      conditions.append("word MATCH ?")
      arguments.append(query.unwantedExpression.map { "(\(wanted)) NOT (\($0))" } ?? wanted)
    } else if let unwanted = query.unwantedExpression {
      conditions.append("d.id NOT IN (SELECT rowid FROM word WHERE word MATCH ?)")
      arguments.append(unwanted)
    }
    add(query.filter, to: &conditions, &arguments)
    let sql: String
    if wanted != nil {
      // Sorted by SQLite and not by `ORDER BY rank`, for which FTS5 asks the question twice.
      let documents = query.filter.isEmpty ? "" : "JOIN document AS d ON d.id = word.rowid"
      sql = """
        SELECT word.rowid, bm25(word, 10.0, 1.0) AS score FROM word \(documents)
        WHERE \(conditions.joined(separator: " AND ")) ORDER BY score, word.rowid DESC LIMIT ?
        """
    } else {
      sql = """
        SELECT d.id, 0.0 FROM document AS d
        WHERE \(conditions.isEmpty ? "1" : conditions.joined(separator: " AND ")) ORDER BY d.id DESC LIMIT ?
        """
    }
    arguments.append(limit)
    let hits = try Row.fetchAll(db.cachedStatement(sql: sql), arguments: StatementArguments(arguments)).map {
      Hit(id: try $0.checked(0), score: -(try $0.checked(1, as: Double.self)))
    }
    return hits.sorted { ($0.score, $0.id) > ($1.score, $1.id) }
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
    ).map { try SearchDocument($0) }
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
  fileprivate init(_ row: Row) throws {
    self.init(
      id: try row.checked(0), session: try row.checked(1), lineage: try row.checked(2),
      seq: try row.checked(3), uid: try row.checked(4), role: try row.checked(5), source: try row.checked(6),
      timeMilliseconds: try row.checked(7), text: try row.checked(8))
  }
}

extension Row {
  /// A column's value, or damage: in a file whose bytes were changed, a column may hold anything.
  func checked<Value: DatabaseValueConvertible>(
    _ index: Int, as type: Value.Type = Value.self
  ) throws -> Value {
    guard let value = Value.fromDatabaseValue(self[index] as DatabaseValue) else {
      throw DatabaseError(
        resultCode: .SQLITE_CORRUPT, message: "a value of the search index has a wrong type")
    }
    return value
  }
}
