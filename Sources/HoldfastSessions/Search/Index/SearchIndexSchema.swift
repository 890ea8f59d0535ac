// SPDX-License-Identifier: Apache-2.0

import GRDB

/// The schema of `search.db`. Nothing in it is anybody's only copy: the file may be deleted at any time.
package enum SearchIndexSchema {
  /// The names of the migrations this build knows, the oldest first.
  package static var identifiers: [String] { migrations.migrations }

  /// Raised when the rule of cutting text changes: an index made by another rule is made anew.
  static let format = 2

  /// The migrations, for `StateFile.open`.
  static var migrations: DatabaseMigrator {
    var migrator = DatabaseMigrator()
    migrator.registerMigration("search 1") { db in try db.execute(sql: schema) }
    migrator.registerMigration("search 2") { db in try db.execute(sql: insides) }
    return migrator
  }

  private static let insides = """
    -- Where a question may begin inside the long words of the texts: `strassenbahn` under `assenbahn`, … `nbahn`.
    -- A word of a message that is gone stays; it finds nothing.
    CREATE TABLE inside(
      suffix TEXT NOT NULL,
      word TEXT NOT NULL,
      PRIMARY KEY (suffix, word)
    ) STRICT, WITHOUT ROWID;
    -- Two segments of a size are merged when there is time.
    INSERT INTO word(word, rank) VALUES ('usermerge', 2);
    """

  /// Merges so many pages' worth of segments (fts5.html, 6.9).
  ///
  /// - Returns: whether there may be more to merge.
  static func merge(_ pages: Int, _ db: Database) throws -> Bool {
    let before = db.totalChangesCount
    try db.execute(sql: "INSERT INTO word(word, rank) VALUES ('merge', ?)", arguments: [pages])
    return db.totalChangesCount - before > 1
  }

  private static let schema = """
    -- How far the index has followed the messages of which store.
    CREATE TABLE progress(
      one INTEGER PRIMARY KEY CHECK (one = 1),
      format INTEGER NOT NULL,               -- the rule the text was cut by
      feed TEXT NOT NULL,                    -- which store
      messages INTEGER NOT NULL,             -- the last message that is in here
      changes INTEGER NOT NULL               -- the last change that is
    ) STRICT;
    -- The messages that are indexed, as they were when they were.
    CREATE TABLE document(
      id INTEGER PRIMARY KEY,                -- the message's number in its store
      session TEXT NOT NULL,
      lineage TEXT NOT NULL,                 -- the root session
      seq INTEGER NOT NULL,
      uid TEXT NOT NULL,
      role TEXT NOT NULL,
      source TEXT NOT NULL,
      time_ms INTEGER NOT NULL,              -- UTC, milliseconds since 1970
      text TEXT NOT NULL
    ) STRICT;
    CREATE INDEX document_by_place ON document(session, seq);
    CREATE INDEX document_by_time ON document(time_ms);
    -- Their words, already cut, folded and in pairs where a script has no spaces, so that a tokenizer every
    -- SQLite has will do: sqlite3 can ask `SELECT rowid FROM word WHERE word MATCH 'deadlock'` as well. `parts`
    -- holds the pieces of names.
    CREATE VIRTUAL TABLE word USING fts5(text, parts, content='', tokenize='ascii');
    -- For other programs that ask `ORDER BY rank`.
    INSERT INTO word(word, rank) VALUES ('rank', 'bm25(10.0, 1.0)');
    """
}
