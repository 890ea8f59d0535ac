// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

/// Full-text indexes whose own tables are damaged.
@Suite struct SearchIndexTests {
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  /// Salvages a database of which the root page of one table was zeroed.
  private func salvage(_ sql: String, without table: String) throws -> (SalvageReport, ForeignConnection) {
    var pages = try makeDatabase(directory.file("a.db"), "", sql)
    let root = try ForeignConnection(directory.file("a.db")).text(
      "SELECT rootpage FROM sqlite_schema WHERE name = '\(table)'")
    pages.overwrite(try #require(root.flatMap(Int.init)))
    let report = try Salvage.run(pages, into: directory.file("out.db"))
    return (report, try ForeignConnection(directory.file("out.db")))
  }

  private let words = """
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
      INSERT INTO t SELECT i, 'word' || (i % 50) || ' common' FROM n;
    """

  @Test(arguments: ["f_data", "f_idx", "f_docsize", "f_config"])
  func anIndexWithItsOwnContentIsBuiltAgain_C09(table: String) throws {
    let (report, database) = try salvage(
      """
      CREATE TABLE t(id INTEGER PRIMARY KEY, body TEXT); \(words)
      CREATE VIRTUAL TABLE f USING fts5(body, prefix = 2); INSERT INTO f(rowid, body) SELECT id, body FROM t;
      CREATE VIEW broken AS SELECT missing FROM nowhere;
      """, without: table)
    #expect(try database.text("SELECT count(*) FROM f WHERE f MATCH 'word7'") == "10")
    #expect(
      try database.text("SELECT group_concat(rowid) FROM f WHERE f MATCH 'word7 wo*' AND rowid < 100")
        == "7,57")
    try database.run("INSERT INTO f(f) VALUES ('integrity-check'); INSERT INTO f VALUES ('new word7')")
    #expect(try database.text("PRAGMA integrity_check") == "ok")
    if table != "f_idx" {
      #expect(report.problems.contains { $0.contains("built again") }, "\(report.problems)")
    }
  }

  @Test func anIndexOfAnotherTableIsBuiltAgainFromIt_C09() throws {
    let (_, database) = try salvage(
      """
      CREATE TABLE t(id INTEGER PRIMARY KEY, body TEXT); \(words)
      CREATE VIRTUAL TABLE f USING fts5(body, content = 't', content_rowid = 'id');
      INSERT INTO f(f) VALUES ('rebuild');
      """, without: "f_data")
    #expect(try database.text("SELECT count(*) FROM f WHERE f MATCH 'word7'") == "10")
    #expect(try database.text("SELECT count(*) FROM t") == "500")
  }

  @Test func aLostIndexWithoutContentIsEmptyAndSaysSo_C09() throws {
    let (report, database) = try salvage(
      """
      CREATE TABLE t(id INTEGER PRIMARY KEY, body TEXT); \(words)
      CREATE VIRTUAL TABLE f USING fts5(body, content = ''); INSERT INTO f(rowid, body) SELECT id, body FROM t;
      """, without: "f_data")
    #expect(report.problems.contains { $0.contains("is empty now") }, "\(report.problems)")
    try database.run("INSERT INTO f(rowid, body) VALUES (1, 'word7')")
    #expect(try database.text("SELECT count(*) FROM f WHERE f MATCH 'word7'") == "1")
  }

  @Test func anOlderModuleIsBuiltAgainToo_C09() throws {
    let (report, database) = try salvage(
      """
      CREATE TABLE t(id INTEGER PRIMARY KEY, body TEXT); \(words)
      CREATE VIRTUAL TABLE f USING fts4(body); INSERT INTO f(docid, body) SELECT id, body FROM t;
      """, without: "f_segdir")
    #expect(try database.text("SELECT count(*) FROM f WHERE f MATCH 'word7'") == "10")
    #expect(report.problems.contains { $0.contains("built again") }, "\(report.problems)")
  }
}
