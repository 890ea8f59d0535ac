// SPDX-License-Identifier: Apache-2.0

import GRDB

/// A few changes, cut into words off the writer's thread, and the way they are laid into the index.
struct SearchIndexSlice: Sendable {
  struct Step: Sendable {
    var id: Int64
    var document: SearchDocument?
    var words = ""
    var parts = ""
  }

  let feed: String
  let start: SearchPosition
  let end: SearchPosition
  let steps: [Step]
  /// Long words of the slice that may be new to the index.
  private(set) var longWords: Set<String> = []

  /// - Parameter known: long words the index has for sure.
  init(
    _ changes: SearchChanges, after start: SearchPosition, of feed: String, knowing known: Set<String> = []
  ) {
    self.feed = feed
    self.start = start
    end = changes.end
    // Only what a message became last matters.
    var last: [Int64: Int] = [:]
    for (index, change) in changes.steps.enumerated() { last[change.id] = index }
    var longWords: Set<String> = []
    steps = changes.steps.enumerated().compactMap { index, change in
      guard last[change.id] == index else { return nil }
      guard var document = change.document else { return Step(id: change.id) }
      document.text = Self.stored(document.text)
      let cut = SearchText(document.text)
      for token in cut.tokens where token.role == .word && WordParts.isLong(token.text) {
        if !known.contains(token.text) { longWords.insert(token.text) }
      }
      let (words, parts) = Self.columns(cut)
      return Step(id: change.id, document: document, words: words, parts: parts)
    }
    self.longWords = longWords
  }

  /// The text as it is kept beside the index: what is cut again, for a deletion, must be cut the same.
  private static func stored(_ text: String) -> String {
    let composed = ScalarFold.composed(text)
    // SQLite's text functions of other programs end at a NUL.
    return composed.utf8.contains(0) ? composed.replacing("\0", with: "\u{FFFD}") : composed
  }

  private static func columns(_ cut: SearchText) -> (words: String, parts: String) {
    (cut.tokens.map(\.text).joined(separator: " "), WordParts.all(of: cut).joined(separator: " "))
  }

  /// Lays the changes in, with the cursor, in the caller's transaction.
  ///
  /// - Returns: false when the index is not where the slice begins: somebody else moved it.
  func apply(_ db: Database) throws -> Bool {
    let progress = try SearchProgress.read(db)
    guard progress?.cursor ?? .start == start, progress == nil || progress?.feed == feed else { return false }
    for step in steps {
      try Self.remove(step.id, db)
      guard let document = step.document else { continue }
      try db.cachedStatement(
        sql: """
          INSERT INTO document(id, session, lineage, seq, uid, role, source, time_ms, text)
          VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
          """
      ).execute(arguments: [
        document.id, document.session, document.lineage, document.seq, document.uid, document.role,
        document.source, document.timeMilliseconds, document.text,
      ])
      try db.cachedStatement(sql: "INSERT INTO word(rowid, text, parts) VALUES (?, ?, ?)")
        .execute(arguments: [step.id, step.words, step.parts])
    }
    for word in longWords { try Self.add(longWord: word, db) }
    try db.cachedStatement(
      sql: """
        INSERT INTO progress(one, format, feed, messages, changes) VALUES (1, ?, ?, ?, ?)
        ON CONFLICT(one) DO UPDATE SET messages = excluded.messages, changes = excluded.changes
        """
    ).execute(arguments: [SearchIndexSchema.format, feed, end.messages, end.changes])
    return true
  }

  private static func add(longWord word: String, _ db: Database) throws {
    let insert = try db.cachedStatement(sql: "INSERT OR IGNORE INTO inside(suffix, word) VALUES (?, ?)")
    for suffix in WordParts.suffixes(ofLong: word) {
      try insert.execute(arguments: [suffix, word])
      // They come and stay together.
      guard db.changesCount > 0 else { return }
    }
  }

  /// A table without content forgets a row only when it is told again what was in it (fts5.html, 4.4.3).
  private static func remove(_ id: Int64, _ db: Database) throws {
    guard
      let text = try String.fetchOne(
        db.cachedStatement(sql: "SELECT text FROM document WHERE id = ?"), arguments: [id])
    else { return }
    let (words, parts) = columns(SearchText(text))
    try db.cachedStatement(sql: "INSERT INTO word(word, rowid, text, parts) VALUES ('delete', ?, ?, ?)")
      .execute(arguments: [id, words, parts])
    try db.cachedStatement(sql: "DELETE FROM document WHERE id = ?").execute(arguments: [id])
  }
}

/// How far an index has come, and with which store.
struct SearchProgress: Hashable, Sendable {
  var format: Int
  var feed: String
  var cursor: SearchPosition

  /// nil for an index that has not begun.
  static func read(_ db: Database) throws -> SearchProgress? {
    try Row.fetchOne(db.cachedStatement(sql: "SELECT format, feed, messages, changes FROM progress")).map {
      SearchProgress(
        format: try $0.checked(0), feed: try $0.checked(1),
        cursor: SearchPosition(messages: try $0.checked(2), changes: try $0.checked(3)))
    }
  }
}
