// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastTestKit

@testable import HoldfastEngine

/// A database in memory as pages, to be damaged at will.
struct MemoryPages: PageSource {
  var bytes: [UInt8]
  var pageSize: Int

  var pageCount: UInt32 { UInt32(bytes.count / pageSize) }

  func page(_ number: UInt32) throws -> [UInt8]? {
    guard number >= 1, number <= pageCount else { return nil }
    let start = Int(number - 1) * pageSize
    return Array(bytes[start..<(start + pageSize)])
  }

  init(path: String) throws {
    bytes = [UInt8](try Data(contentsOf: URL(filePath: path)))
    let size = Int(bytes[16]) << 8 | Int(bytes[17])
    pageSize = size == 1 ? 65536 : size
  }

  mutating func overwrite(_ page: Int, with byte: UInt8 = 0) {
    for at in ((page - 1) * pageSize)..<(page * pageSize) { bytes[at] = byte }
  }

  /// Pages of a b-tree type (5 and 2 interior, 13 and 10 leaf), page 1 aside.
  func pages(ofType type: UInt8) -> [Int] {
    (2...max(2, Int(pageCount))).filter { bytes[($0 - 1) * pageSize] == type }
  }
}

/// A row of a table by content: values with their types and bytes.
typealias RowContent = [StoredValue]

/// What a plain read-only scan reads of each table, forward until it fails and, if it does, backward.
func plainRows(_ path: String) -> [String: Set<RowContent>] {
  var result: [String: Set<RowContent>] = [:]
  guard let database = try? SalvageConnection(path, isReadOnly: true, check: {}) else { return result }
  for name in tableNames(database) {
    var rows: Set<RowContent> = []
    let columns = rowColumns(of: name, in: database)
    for order in columns.hasPrefix("rowid") ? ["", " ORDER BY rowid DESC"] : [""] {
      guard let statement = try? database.prepare("SELECT \(columns) FROM \(name.quoted) NOT INDEXED\(order)")
      else {
        continue
      }
      while (try? statement.step()) == true {
        rows.insert((0..<statement.columnCount).map(statement.value))
      }
    }
    result[name] = rows
  }
  return result
}

/// The rowid and what a table is given; what it computes is not a row's own.
func rowColumns(of name: String, in database: SalvageConnection) -> String {
  let info = (try? database.rows("PRAGMA table_xinfo(\(name.quoted))")) ?? []
  let names = info.filter { $0[6] == "0" }.compactMap { $0[1]?.quoted }.joined(separator: ", ")
  let hasRowIDs = (try? database.prepare("SELECT rowid FROM \(name.quoted)")) != nil
  return names.isEmpty ? "NULL" : hasRowIDs ? "rowid, \(names)" : names
}

func tableNames(_ database: SalvageConnection) -> [String] {
  let rows = try? database.rows(
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND rootpage > 0")
  return (rows ?? []).compactMap { $0[0] }.filter { !$0.hasPrefix("lost_and_found") }
}

/// Every row of every table, more than once when it is there more than once.
func allRows(_ path: String) throws -> [String: [RowContent]] {
  let database = try SalvageConnection(path, isReadOnly: true, check: {})
  var result: [String: [RowContent]] = [:]
  for name in tableNames(database) {
    let statement = try database.prepare(
      "SELECT \(rowColumns(of: name, in: database)) FROM \(name.quoted) NOT INDEXED")
    var rows: [RowContent] = []
    while try statement.step() { rows.append((0..<statement.columnCount).map(statement.value)) }
    result[name] = rows
  }
  return result
}

/// The contents of `lost_and_found` from the first field of the row on, by table.
func lostRows(_ path: String) throws -> [(table: String?, id: StoredValue, values: RowContent)] {
  let database = try SalvageConnection(path, isReadOnly: true, check: {})
  guard let statement = try? database.prepare("SELECT * FROM lost_and_found") else { return [] }
  var rows: [(String?, StoredValue, RowContent)] = []
  while try statement.step() {
    rows.append((statement.text(4), statement.value(3), (6..<statement.columnCount).map(statement.value)))
  }
  return rows
}

/// Runs statements in a new database with the settings given.
@discardableResult func makeDatabase(_ path: String, _ settings: String = "", _ sql: String) throws
  -> MemoryPages
{
  let database = try ForeignConnection(path)
  try database.run(settings + ";" + sql)
  _ = database
  return try MemoryPages(path: path)
}

/// A seeded schema with rows, deletions and updates, as an agent's file might have.
func randomDatabase(_ path: String, _ random: inout SplitMix64) throws -> MemoryPages {
  let size = [512, 1024, 4096, 4096].randomElement(using: &random) ?? 4096
  let encoding = random.chance(0.2) ? "UTF-16le" : "UTF-8"
  let vacuum = random.chance(0.3) ? Int.random(in: 1...2, using: &random) : 0
  var sql = "BEGIN;"
  let count = Int.random(in: 40...400, using: &random)
  let long = Int.random(in: 10...(size * 2), using: &random)
  sql += """
    CREATE TABLE message(id INTEGER PRIMARY KEY AUTOINCREMENT, session TEXT NOT NULL, role TEXT, content TEXT, cost REAL);
    CREATE INDEX message_session ON message(session, id);
    CREATE TABLE state(namespace TEXT, key TEXT, value BLOB, version INT, PRIMARY KEY(namespace, key)) WITHOUT ROWID;
    CREATE TABLE note(a, b INTEGER DEFAULT 7, c TEXT AS (a || b) VIRTUAL);
    CREATE UNIQUE INDEX note_b ON note(b);
    CREATE VIEW recent AS SELECT * FROM message ORDER BY id DESC;
    CREATE TRIGGER no_more AFTER DELETE ON message BEGIN DELETE FROM state; END;
    CREATE TABLE strict_one(k INTEGER PRIMARY KEY, v TEXT CHECK (length(v) < 100000)) STRICT;
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < \(count))
      INSERT INTO message SELECT i, 'session ' || (i % 17), 'user', printf('%.*c', (i * 7919) % \(long), 'x') || i, i / 8.0 FROM n;
    INSERT INTO state SELECT 'ns' || (id % 5), 'key' || id, CAST(content AS BLOB), id FROM message;
    INSERT INTO note(a, b) SELECT content, id FROM message;
    INSERT INTO strict_one SELECT id * 3, content FROM message;
    DROP TRIGGER no_more;
    DELETE FROM message WHERE id % 11 = 0 OR id BETWEEN 20 AND \(count / 4);
    UPDATE message SET content = content || ' again' WHERE id % 5 = 0;
    CREATE TRIGGER no_more AFTER DELETE ON message BEGIN DELETE FROM state; END;
    ALTER TABLE note ADD COLUMN d TEXT DEFAULT 'later';
    COMMIT;
    """
  return try makeDatabase(
    path, "PRAGMA page_size = \(size); PRAGMA encoding = '\(encoding)'; PRAGMA auto_vacuum = \(vacuum)", sql)
}

/// A database with every kind of table, index and value, and what was deleted from it.
func manifoldDatabase(
  _ path: String, _ random: inout SplitMix64
) throws -> (pages: MemoryPages, deleted: [String: Set<RowContent>]) {
  let size = [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536].randomElement(using: &random) ?? 4096
  let encoding = ["UTF-8", "UTF-8", "UTF-16le", "UTF-16be"].randomElement(using: &random) ?? "UTF-8"
  let count = Int.random(in: 20...150, using: &random)
  let long = Int.random(in: 10...min(size * 2, 6000), using: &random)
  try makeDatabase(
    path,
    """
    PRAGMA page_size = \(size); PRAGMA encoding = '\(encoding)';
    PRAGMA auto_vacuum = \(Int.random(in: 0...2, using: &random))
    """,
    """
    BEGIN;
    CREATE TABLE doc(id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, body TEXT,
      size INT AS (length(body)) STORED, short TEXT AS (substr(body, 1, 4)) VIRTUAL);
    CREATE INDEX doc_start ON doc(substr(body, 1, 9));
    CREATE INDEX doc_long ON doc(kind) WHERE size > 50;
    CREATE VIRTUAL TABLE search USING fts5(body);
    CREATE TRIGGER doc_added AFTER INSERT ON doc BEGIN
      INSERT INTO search(rowid, body) VALUES (new.id, new.body);
    END;
    CREATE TABLE attachment(id INTEGER PRIMARY KEY, data BLOB);
    CREATE TABLE state(namespace TEXT, key TEXT, value BLOB, version INT, PRIMARY KEY(namespace, key)) WITHOUT ROWID;
    CREATE TABLE strict_one(k INTEGER PRIMARY KEY, v TEXT, r REAL, x ANY) STRICT;
    CREATE TABLE parent(name TEXT UNIQUE COLLATE NOCASE, born NUMERIC);
    CREATE TABLE child(a, p TEXT REFERENCES parent(name));
    CREATE TABLE gone(v);
    CREATE VIEW recent AS SELECT * FROM doc ORDER BY id DESC;
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < \(count))
      INSERT INTO doc(id, kind, body) SELECT i, 'kind ' || (i % 3), printf('%.*c', (i * 7919) % \(long), 'w') || ' dög ' || i FROM n;
    INSERT INTO attachment SELECT id, randomblob((id * 3571) % 40000) FROM doc WHERE id % 9 = 0;
    INSERT INTO state SELECT 'ns' || (id % 5), 'key' || id, CAST(body AS BLOB), id FROM doc;
    INSERT INTO strict_one SELECT id * 3, body, id / 3.0, CASE id % 3 WHEN 0 THEN id WHEN 1 THEN body ELSE x'00ff' END FROM doc;
    INSERT INTO parent SELECT 'name ' || id, CASE id % 2 WHEN 0 THEN id ELSE '2026-01-' || id END FROM doc;
    INSERT INTO child SELECT id, 'name ' || (id / 2 + 1) FROM doc;
    INSERT INTO gone SELECT body FROM doc;
    COMMIT;
    """)
  let before = try allRows(path)
  try ForeignConnection(path).run(
    """
    PRAGMA secure_delete = \(Int.random(in: 0...1, using: &random));
    BEGIN;
    DELETE FROM doc WHERE id % 11 = 0 OR id BETWEEN 10 AND \(count / 3);
    UPDATE doc SET body = body || ' again' WHERE id % 5 = 0;
    DELETE FROM state WHERE version % 3 = 0;
    DELETE FROM strict_one WHERE k BETWEEN 60 AND \(count * 2);
    DELETE FROM attachment WHERE id % 2 = 0;
    DROP TABLE gone;
    COMMIT;
    """)
  let after = try allRows(path)
  var deleted: [String: Set<RowContent>] = [:]
  for (table, rows) in before { deleted[table] = Set(rows).subtracting(after[table] ?? []) }
  return (try MemoryPages(path: path), deleted)
}

/// One to four wounds: pages zeroed, garbled, swapped, bits flipped, the end cut off.
func damage(_ pages: inout MemoryPages, _ random: inout SplitMix64) {
  for _ in 0..<Int.random(in: 1...4, using: &random) {
    let count = Int(pages.pageCount)
    let page = Int.random(in: 1...count, using: &random)
    let start = (page - 1) * pages.pageSize
    switch Int.random(in: 0..<6, using: &random) {
    case 0: pages.overwrite(page)
    case 1:
      for at in start..<(start + pages.pageSize) {
        pages.bytes[at] = UInt8.random(in: 0...255, using: &random)
      }
    case 2:
      let other = (Int.random(in: 1...count, using: &random) - 1) * pages.pageSize
      for at in 0..<pages.pageSize { pages.bytes[start + at] = pages.bytes[other + at] }
    case 3:
      for _ in 0..<Int.random(in: 1...40, using: &random) {
        pages.bytes[Int.random(in: 0..<pages.bytes.count, using: &random)] ^= UInt8.random(
          in: 1...255, using: &random)
      }
    case 4:
      for _ in 0..<8 { pages.bytes[start + Int.random(in: 0..<64, using: &random)] ^= 0xff }
    default:
      guard count > 8 else { continue }
      let kept = Int.random(in: (count * 3 / 4)...count, using: &random)
      pages.bytes.removeLast((count - kept) * pages.pageSize)
    }
  }
}
