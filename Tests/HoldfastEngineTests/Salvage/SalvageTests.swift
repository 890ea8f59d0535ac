// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

@Suite struct SalvageTests {
  private let directory: TemporaryDirectory
  private let schema = "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT NOT NULL, body TEXT, n REAL);"
  private let rows = """
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
      INSERT INTO t SELECT i, 'name ' || i, printf('%.60c', 'b') || i, i / 2.0 FROM n;
    """

  init() throws { directory = try TemporaryDirectory() }

  private func salvage(
    _ pages: MemoryPages, _ name: String = "out.db", _ change: (inout SalvageOptions) -> Void = { _ in }
  ) throws -> SalvageReport {
    var options = SalvageOptions()
    change(&options)
    return try Salvage.run(pages, into: directory.file(name), options: options)
  }

  private func table(_ name: String, of report: SalvageReport) -> SalvageReport.Table {
    report.tables.first { $0.name == name } ?? SalvageReport.Table(name: "missing")
  }

  private func contents(_ query: String, in name: String = "out.db") throws -> String? {
    try ForeignConnection(directory.file(name)).text(query)
  }

  /// Everything below the root is lost to the tree, and nothing is lost.
  @Test func aLostInteriorPageCostsNoRow_C09() throws {
    var pages = try makeDatabase(directory.file("a.db"), "PRAGMA page_size = 1024", schema + rows)
    for page in pages.pages(ofType: 5) { pages.overwrite(page) }
    let report = try salvage(pages)
    #expect(table("t", of: report).recovered == 3000)
    #expect(table("t", of: report).scanned < 3000)
    #expect(report.methods.contains("orphans"))
    #expect(try contents("SELECT sum(id) || ' ' || sum(n) FROM t") == "4501500 2250750.0")
  }

  @Test func aLostLeafCostsItsOwnRows_C09() throws {
    var pages = try makeDatabase(directory.file("a.db"), "", schema + rows)
    let leaves = pages.pages(ofType: 13)
    let leaf = leaves[leaves.count / 2]
    let held = Int(pages.bytes[(leaf - 1) * 4096 + 3]) << 8 | Int(pages.bytes[(leaf - 1) * 4096 + 4])
    pages.overwrite(leaf)
    let report = try salvage(pages)
    #expect(table("t", of: report).recovered == 3000 - held)
  }

  @Test func aLostOverflowPageCostsItsRow_C09() throws {
    var pages = try makeDatabase(
      directory.file("a.db"), "",
      schema
        + "INSERT INTO t VALUES (1, 'short', 'x', 1), (2, 'long', printf('%.30000c', 'y'), 2), (3, 'end', 'z', 3);"
    )
    let overflow = (2...Int(pages.pageCount)).first {
      pages.bytes[(($0 - 1) * 4096 + 100)..<(($0 - 1) * 4096 + 200)].allSatisfy { $0 == 0x79 }
    }
    pages.overwrite(try #require(overflow))
    let report = try salvage(pages)
    #expect(table("t", of: report).recovered == 2)
    #expect(table("t", of: report).lostAndFound == 1)
    #expect(try contents("SELECT id || c1 FROM lost_and_found WHERE tbl = 't'") == "2long")
  }

  @Test func aLostFirstPageLeavesEveryRowInLostAndFound_C09() throws {
    var pages = try makeDatabase(directory.file("a.db"), "", schema + rows)
    pages.overwrite(1, with: 0xaa)
    let report = try salvage(pages)
    #expect(report.unclaimed == 3000)
    #expect(try contents("SELECT count(DISTINCT id) FROM lost_and_found WHERE c1 = 'name ' || id") == "3000")
  }

  @Test func aKnownSchemaTakesTheRowsOfALostFirstPage_C09() throws {
    let other = """
      CREATE TABLE u(k TEXT PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID;
      CREATE TABLE w(a INTEGER, b INTEGER); CREATE INDEX w_a ON w(a);
      """
    var pages = try makeDatabase(
      directory.file("a.db"), "",
      schema + other + rows
        + "INSERT INTO u SELECT name, CAST(body AS BLOB) FROM t; INSERT INTO w SELECT id, id * 2 FROM t;")
    pages.overwrite(1)
    let report = try salvage(pages) {
      $0.knownSchema = [schema] + other.split(separator: ";").map(String.init)
    }
    #expect(table("t", of: report).recovered == 3000)
    #expect(table("w", of: report).recovered == 3000)
    #expect(table("u", of: report).recovered == 3000)
    #expect(try contents("PRAGMA integrity_check") == "ok")
  }

  @Test(arguments: [512, 65536], ["UTF-8", "UTF-16le", "UTF-16be"])
  func everyPageSizeAndEncodingIsKept_C09(size: Int, encoding: String) throws {
    var pages = try makeDatabase(
      directory.file("a.db"),
      "PRAGMA page_size = \(size); PRAGMA encoding = '\(encoding)'; PRAGMA auto_vacuum = 2",
      schema + rows
        + "UPDATE t SET name = 'été ' || id; PRAGMA user_version = 42; PRAGMA application_id = 4711;")
    for page in pages.pages(ofType: 5) { pages.overwrite(page) }
    let report = try salvage(pages)
    #expect(table("t", of: report).recovered == 3000)
    #expect(try contents("SELECT count(*) FROM t WHERE name = 'été ' || id") == "3000")
    #expect(try contents("PRAGMA page_size") == "\(size)")
    #expect(try contents("PRAGMA encoding") == encoding)
    #expect(try contents("PRAGMA auto_vacuum") == "2")
    #expect(try contents("PRAGMA user_version") == "42")
    #expect(try contents("PRAGMA application_id") == "4711")
  }

  @Test func tablesWithoutRowidsAreFoundAgain_C09() throws {
    let sql = """
      CREATE TABLE s(v TEXT, b INTEGER, a TEXT, PRIMARY KEY(a, b)) WITHOUT ROWID;
      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
        INSERT INTO s SELECT 'value ' || i, i, 'key ' || (i % 7) FROM n;
      """
    var pages = try makeDatabase(directory.file("a.db"), "PRAGMA page_size = 1024", sql)
    pages.overwrite(2)
    let report = try salvage(pages)
    let root = try MemoryPages(path: directory.file("a.db"))
    let held = Int(root.bytes[1024 + 3]) << 8 | Int(root.bytes[1024 + 4])
    #expect(table("s", of: report).recovered == 2000 - held)
    #expect(
      try contents("SELECT count(*) FROM s WHERE v = 'value ' || b AND a = 'key ' || (b % 7)")
        == "\(2000 - held)")
  }

  @Test func aSearchIndexIsKeptOrBuiltAgain_C09() throws {
    let sql = """
      CREATE VIRTUAL TABLE f USING fts5(body);
      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
        INSERT INTO f(rowid, body) SELECT i, 'word' || (i % 50) || ' common' FROM n;
      """
    var pages = try makeDatabase(directory.file("a.db"), "", sql)
    _ = try salvage(pages)
    #expect(try contents("SELECT count(*) FROM f WHERE f MATCH 'word7'") == "10")
    let root = try ForeignConnection(directory.file("a.db")).text(
      "SELECT rootpage FROM sqlite_schema WHERE name = 'f_data'")
    pages.overwrite(try #require(root.flatMap(Int.init)))
    let report = try salvage(pages, "second.db")
    #expect(report.problems.contains { $0.contains("built again") })
    #expect(try contents("SELECT count(*) FROM f WHERE f MATCH 'word7'", in: "second.db") == "10")
  }

  /// What only damage can have put into a column is not made into something else in silence.
  @Test func aValueItsColumnCannotHoldIsKeptBesideToo_C09() throws {
    var pages = try makeDatabase(
      directory.file("a.db"), "",
      "CREATE TABLE s(k INTEGER PRIMARY KEY, v TEXT) STRICT; INSERT INTO s VALUES (1, 'A'), (2, 'B'), (3, 'C');"
    )
    // The record of row 2: a header of three bytes, the key's NULL, a text of one byte; made an integer.
    let at = try #require(pages.bytes.firstRange(of: [0x03, 0x00, 0x0f, 0x42])?.lowerBound)
    pages.bytes[at + 2] = 1
    let report = try salvage(pages)
    #expect(
      table("s", of: report) == .init(name: "s", scanned: 3, recovered: 3, converted: 1, lostAndFound: 0))
    #expect(try contents("SELECT group_concat(v) FROM s") == "A,66,C")
    #expect(try contents("SELECT id || typeof(c1) || c1 FROM lost_and_found") == "2integer66")
    #expect(
      try contents("SELECT reason FROM lost_and_found") == "the row is in the table with another value in v")
  }

  @Test(arguments: [
    ("62", true), (" -6.25e+3\n", true), (".5", true), ("5.", true), ("", false), ("-", false), (".", false),
    ("6e", false), ("2026-11-21", false), ("0x10", false), ("6 2", false),
  ])
  func aTextIsANumberWhereSQLiteSaysSo_C09(text: String, isNumber: Bool) throws {
    let path = directory.file("n.db")
    let database = try ForeignConnection(path)
    try database.run("CREATE TABLE n(v NUMERIC); INSERT INTO n VALUES ('\(text)')")
    #expect(try (database.text("SELECT typeof(v) FROM n") != "text") == isNumber)
    #expect(StoredValue.isNumber(Array(text.utf8), encoding: .utf8) == isNumber)
    #expect(
      StoredValue.isNumber(
        text.utf16.flatMap { [UInt8($0 & 0xff), UInt8($0 >> 8)] }, encoding: .utf16LittleEndian)
        == isNumber)
  }

  /// Two rows of one key can only come of damage; the one SQLite reads stays and the other is kept beside.
  @Test func whatAUniqueIndexRefusesIsSetAside_C09() throws {
    let path = directory.file("a.db")
    try makeDatabase(
      path, "",
      "CREATE TABLE t(a TEXT, b TEXT); INSERT INTO t VALUES ('one', 'x'), ('one', 'y'), ('two', 'z');")
    // An index that was lost leaves a table its rule does not hold for.
    try ForeignConnection(path).run(
      """
      CREATE UNIQUE INDEX other ON t(b); PRAGMA writable_schema = ON;
      UPDATE sqlite_schema SET sql = 'CREATE UNIQUE INDEX other ON t(a)' WHERE name = 'other';
      """)
    let report = try salvage(MemoryPages(path: path))
    #expect(
      table("t", of: report) == .init(name: "t", scanned: 3, recovered: 2, converted: 0, lostAndFound: 1))
    #expect(try contents("SELECT c1 FROM lost_and_found WHERE reason LIKE 'UNIQUE%'") == "y")
  }

  @Test func whatWasDeletedStaysDeleted_C09() throws {
    let path = directory.file("a.db")
    var pages = try makeDatabase(
      path, "PRAGMA secure_delete = OFF; PRAGMA page_size = 1024",
      schema + rows + "DELETE FROM t WHERE id BETWEEN 500 AND 2500;")
    for page in pages.pages(ofType: 5) { pages.overwrite(page) }
    let report = try salvage(pages)
    #expect(try contents("SELECT count(*) FROM t WHERE id BETWEEN 500 AND 2500") == "0")
    #expect(table("t", of: report).recovered == 999)
    #expect(report.unclaimed == 0)
    _ = try salvage(pages, "asked.db") { $0.includesFreePages = true }
    #expect(
      try contents("SELECT count(*) > 1500 FROM lost_and_found WHERE reason = 'deleted'", in: "asked.db")
        == "1")
  }

  @Test func aBadRowOfTheSchemaCostsItselfAlone_C09() throws {
    let path = directory.file("a.db")
    try makeDatabase(path, "", schema + "CREATE TABLE u(x); INSERT INTO u VALUES (1);" + rows)
    try ForeignConnection(path).run(
      "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'CREATE GARBAGE' WHERE name = 'u';")
    let report = try salvage(MemoryPages(path: path))
    #expect(table("t", of: report).recovered == 3000)
    #expect(table("u", of: report).lostAndFound == 1)
  }

  @Test func triggersAndSequencesComeOverAndDoNotRun_C09() throws {
    let path = directory.file("a.db")
    let pages = try makeDatabase(
      path, "",
      """
      CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, v TEXT); CREATE TABLE log(v);
      CREATE TRIGGER logged AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.v); END;
      INSERT INTO t(v) VALUES ('a'), ('b'), ('c'); DELETE FROM t WHERE id = 3; DELETE FROM log;
      CREATE VIEW w AS SELECT v FROM t;
      """)
    let report = try salvage(pages)
    #expect(table("log", of: report).recovered == 0)
    #expect(try contents("SELECT seq FROM sqlite_sequence WHERE name = 't'") == "3")
    let names =
      "SELECT group_concat(name) FROM (SELECT name FROM sqlite_schema WHERE type IN ('view', 'trigger') ORDER BY 1)"
    #expect(try contents(names) == "logged,w")
    #expect(
      try ForeignConnection(path).text("SELECT sql FROM sqlite_schema WHERE name = 'logged'")
        == contents("SELECT sql FROM sqlite_schema WHERE name = 'logged'"))
  }

  /// Between two damaged pages SQLite reads on, where neither end of the table leads to.
  @Test func readingResumesBetweenDamagedPages_C09() throws {
    let path = directory.file("a.db")
    var pages = try makeDatabase(path, "PRAGMA page_size = 1024", schema + rows)
    let leaves = pages.pages(ofType: 13)
    for leaf in [leaves[leaves.count / 4], leaves[leaves.count / 2]] { pages.overwrite(leaf) }
    try Data(pages.bytes).write(to: URL(filePath: path))
    let image = try FileImage(path: path)
    let plain = try #require(PlainScan(image, check: {}))
    let read = try table(plain, of: image)
    let ends = plainRows(path)["t"]?.count ?? 0
    let reported = try Salvage.run(image, into: directory.file("out.db"))
    #expect(read > ends)
    #expect(table("t", of: reported).recovered == read)
    #expect(table("t", of: reported).scanned == ends)
    #expect(reported.methods == ["scan", "ranges"])
  }

  /// The rows that the ends and the ranges of `t` have together.
  private func table(_ plain: PlainScan, of image: FileImage) throws -> Int {
    let table = try SalvageTable("t", root: 2, in: plain.database)
    var file = SalvageFile(image, check: {})
    let walk = try file.walk(root: 2, isTable: true)
    let keys = walk.pages.compactMap { file.page($0) }.map { page in
      let keys = (0..<page.cellCount).compactMap { page.anyCell($0)?.rowid }
      return (keys.min() ?? 0)...(keys.max() ?? 0)
    }
    var found: Set<Int64> = []
    _ = try plain.read(table) { _, rowID, _ in if let rowID { found.insert(rowID) } }
    try plain.read(table, pages: keys.sorted { $0.lowerBound < $1.lowerBound }) { _, rowID in
      if let rowID { found.insert(rowID) }
    }
    return found.count
  }

  @Test func aDatabaseThatIsWrittenToMeanwhileIsNotSalvaged_C09() throws {
    let path = directory.file("a.db")
    try makeDatabase(path, "", schema + rows)
    let error = #expect(throws: StoreError.self) {
      try Salvage.run(FileImage(path: path), into: directory.file("out.db")) { done in
        if done >= 0.9 { try? ForeignConnection(path).run("INSERT INTO t VALUES (9000, 'late', 'x', 1)") }
      }
    }
    #expect(error?.code == .transient)
    let names = try FileManager.default.contentsOfDirectory(atPath: directory.path)
    #expect(names.allSatisfy { !$0.hasPrefix("out.db") })
  }

  @Test func withoutRoomNothingIsWritten_C09() throws {
    let pages = try makeDatabase(directory.file("a.db"), "", schema + rows)
    let error = #expect(throws: StoreError.self) { try salvage(pages) { $0.freeSpace = { _ in 100_000 } } }
    #expect(error?.code == .diskFull)
    let cancelled = #expect(throws: StoreError.self) { try salvage(pages) { $0.isCancelled = { true } } }
    #expect(cancelled?.code == .cancelled)
    let names = try FileManager.default.contentsOfDirectory(atPath: directory.file(""))
    #expect(names.allSatisfy { !$0.hasPrefix("out.db") })
  }
}
