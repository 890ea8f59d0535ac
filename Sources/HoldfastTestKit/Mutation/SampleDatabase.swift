// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A small database of a seeded shape, to be damaged: every page size, journal mode, encoding, auto_vacuum
/// and kind of table that changes how a file looks.
public struct SampleDatabase: Hashable, Sendable {
  /// What lies beside the database.
  public enum State: String, CaseIterable, Hashable, Sendable {
    /// Everything is in the database.
    case closed
    /// The last transactions are in a -wal only, as a killed process leaves them.
    case liveWAL
    /// A journal full of original pages, as a process killed in the middle of a spilled transaction leaves it.
    case hotJournal
  }

  /// The journal mode, as the pragma takes it.
  public var journalMode: String
  /// Bytes a page.
  public var pageSize: Int
  /// 0 none, 1 full, 2 incremental.
  public var autoVacuum: Int
  /// As the pragma takes it.
  public var encoding: String
  /// Rows in the widest table.
  public var rows: Int
  /// What lies beside the database.
  public var state: State
  /// Whether some rows were deleted, so that there are free pages.
  public var hasFreePages: Bool

  /// The tables whose rows are counted, with the columns that tell their rows apart.
  public static let tables: [(name: String, key: String)] = [
    ("note", "id"), ("event", "rowid"), ("setting", "name"), ("strict_row", "id"),
  ]

  /// Draws a shape.
  public init(using random: inout SplitMix64) {
    state = State.allCases.randomElement(using: &random)!
    journalMode =
      switch state {
      case .liveWAL: "wal"
      case .hotJournal: ["delete", "truncate", "persist"].randomElement(using: &random)!
      case .closed: ["delete", "truncate", "persist", "wal"].randomElement(using: &random)!
      }
    pageSize = [512, 1024, 2048, 4096, 4096, 8192, 16384, 65536].randomElement(using: &random)!
    autoVacuum = Int.random(in: 0...2, using: &random)
    encoding = ["UTF-8", "UTF-8", "UTF-16le", "UTF-16be"].randomElement(using: &random)!
    rows = Int.random(in: 0...300, using: &random)
    hasFreePages = random.chance(0.4)
  }

  /// Builds the database in an empty directory and returns its files; the directory keeps nothing needed.
  public func build(in directory: String) throws -> FileSet {
    let path = directory + "/sample.db"
    let peer = try ForeignConnection(path)
    for (name, value) in [
      ("page_size", "\(pageSize)"), ("auto_vacuum", "\(autoVacuum)"), ("encoding", "'\(encoding)'"),
      ("journal_mode", journalMode), ("synchronous", "OFF"), ("wal_autocheckpoint", "0"),
    ] {
      try peer.run("PRAGMA \(name) = \(value)")
    }
    try peer.run(Self.schema)
    try peer.run("BEGIN; \(Self.fill(from: 0, count: rows)); COMMIT")
    if hasFreePages {
      try peer.run("DELETE FROM event WHERE rowid % 3 = 0; DELETE FROM note WHERE id % 2 = 0")
    }
    switch state {
    case .closed:
      if journalMode == "wal" { _ = try peer.text("PRAGMA wal_checkpoint(TRUNCATE)") }
    case .liveWAL:
      // Half of it folded back, half in the -wal.
      _ = try peer.text("PRAGMA wal_checkpoint(TRUNCATE)")
      try peer.run("BEGIN; \(Self.fill(from: 10_000, count: rows / 2 + 5)); COMMIT")
      try peer.run("UPDATE setting SET value = 'after'")
    case .hotJournal:
      // A cache of a few pages makes the changed ones go to the file before the commit that never comes; with
      // syncs the journal's header says how many pages it holds.
      try peer.run(
        "PRAGMA synchronous = FULL; PRAGMA cache_size = 2; PRAGMA cache_spill = 1; BEGIN IMMEDIATE")
      try peer.run(Self.fill(from: 20_000, count: rows + 200))
      try peer.run("UPDATE note SET body = body || ' changed'")
    }
    // The copy is what a kill at this moment leaves; the connection goes on unharmed, nobody else is there.
    return FileSet(at: path)
  }

  private static let schema = """
    CREATE TABLE note(id INTEGER PRIMARY KEY, title TEXT NOT NULL, body TEXT, made REAL);
    CREATE INDEX note_title ON note(title);
    CREATE UNIQUE INDEX note_made ON note(made, id);
    CREATE TABLE event(kind TEXT, payload BLOB, at INTEGER);
    CREATE INDEX event_at ON event(at) WHERE at % 2 = 0;
    CREATE TABLE setting(name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
    CREATE TABLE strict_row(id INTEGER PRIMARY KEY AUTOINCREMENT, x INTEGER, y ANY, z INTEGER AS (x + 1)) STRICT;
    CREATE VIEW titles AS SELECT title FROM note;
    CREATE TRIGGER note_log AFTER DELETE ON note BEGIN INSERT INTO event(kind) VALUES ('deleted'); END;
    CREATE VIRTUAL TABLE note_text USING fts5(title, body, content = 'note', content_rowid = 'id');
    PRAGMA user_version = 42;
    PRAGMA application_id = 1213418564;
    """

  /// Rows whose contents follow from their numbers; every tenth note needs overflow pages.
  private static func fill(from first: Int, count: Int) -> String {
    let numbers =
      "WITH RECURSIVE n(i) AS (SELECT \(first + 1) UNION ALL SELECT i + 1 FROM n WHERE i < \(first + count))"
    return count == 0
      ? "SELECT 1"
      : """
      \(numbers) INSERT INTO note(id, title, body, made)
        SELECT i, 'note ' || i, printf('%.*c', CASE i % 10 WHEN 0 THEN 9000 ELSE i % 200 END, 'é'), i / 8.0 FROM n;
      \(numbers) INSERT INTO note_text(rowid, title, body) SELECT i, 'note ' || i, 'word' || (i % 50) FROM n;
      \(numbers) INSERT INTO event(kind, payload, at)
        SELECT CASE i % 3 WHEN 0 THEN 'a' ELSE NULL END, zeroblob(i % 60), i * 1000 FROM n;
      \(numbers) INSERT INTO setting(name, value) SELECT 'key ' || i, i * i FROM n;
      \(numbers) INSERT INTO strict_row(x, y) SELECT i, CASE i % 2 WHEN 0 THEN i ELSE 'odd' END FROM n
      """
  }
}
