// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

@Suite struct ContentTests {
  @Test func aForeignKeyNeedsAnIndexThatBeginsWithItsColumns() throws {
    let queue = try DatabaseQueue()
    try queue.write { db in
      try db.execute(
        sql: """
          CREATE TABLE p(a INTEGER PRIMARY KEY, b, c, UNIQUE(b, c));
          CREATE TABLE bare(x REFERENCES p(a), "Y" REFERENCES p(a));
          CREATE INDEX bare_y ON bare("y", x);
          CREATE TABLE part(x REFERENCES p(a));
          CREATE INDEX part_x ON part(x) WHERE x > 5;
          CREATE TABLE given(x REFERENCES p(a), y);
          CREATE INDEX given_x ON given("x", y) WHERE "x" IS  NOT NULL;
          CREATE TABLE other(x REFERENCES p(a), y);
          CREATE INDEX other_x ON other(x, y) WHERE y IS NOT NULL;
          CREATE TABLE pair(c, b, FOREIGN KEY (c, b) REFERENCES p(c, b));
          CREATE INDEX pair_bc ON pair(b, c);
          CREATE TABLE rowids(x INTEGER PRIMARY KEY REFERENCES p(a));
          CREATE TABLE keyed(x REFERENCES p(a), y, PRIMARY KEY (x, y)) WITHOUT ROWID;
          CREATE TABLE behind(x REFERENCES p(a), y, PRIMARY KEY (y, x)) WITHOUT ROWID;
          CREATE TABLE computed(x REFERENCES p(a));
          CREATE INDEX computed_x ON computed(x + 1);
          """)
    }
    let lacking = try queue.read { try ForeignKeyIndexes(reading: $0).lacking }
    #expect(lacking == ["bare(x)", "behind(x)", "computed(x)", "other(x)", "part(x)"])
  }

  @Test(
    arguments: [
      ("CREATE VIRTUAL TABLE f USING fts5(a, content='t')", 5, true),
      ("create virtual table f using  FTS5 (a, content = \"t\")", 5, true),
      ("CREATE VIRTUAL TABLE f USING fts5(a, content='')", 5, false),
      ("CREATE VIRTUAL TABLE f USING fts5(a)", 5, false),
      ("CREATE VIRTUAL TABLE f USING fts4(content='t', a)", 4, false),
      ("CREATE VIRTUAL TABLE f USING rtree(a, b, c)", 0, false),
    ])
  func fullTextIndexesAreKnownByTheirModule(sql: String, version: Int, external: Bool) {
    let index = SearchIndexCheck.Index(
      SchemaObject(type: "table", name: "f", table: "f", root: 0, sql: sql))
    #expect(index?.version ?? 0 == version)
    #expect(index?.hasExternalContent ?? false == external)
  }

  @Test func onlyAStoreOfOursCanBeOfANewerBuild_C16() {
    let known = [["usage 1", "usage 2"], ["sessions 1"]]
    #expect(Diagnosis.newer([], than: known) == nil)
    #expect(Diagnosis.newer(["usage 1"], than: known) == nil)
    #expect(Diagnosis.newer(["usage 1", "usage 2", "usage 3"], than: known) == ["usage 3"])
    #expect(Diagnosis.newer(["v1", "v2"], than: known) == nil)
    #expect(Diagnosis.newer(["usage 3"], than: []) == nil)
  }

  @Test func aProgramIsToldByWhatNoOtherHas() {
    #expect(KnownProgram.name(applicationID: 0x0f05_5112, tables: []) == "a Fossil repository")
    let firefox: Set = ["moz_places", "moz_historyvisits", "moz_bookmarks", "moz_origins"]
    #expect(KnownProgram.name(applicationID: 0, tables: firefox) == "Firefox's history and bookmarks")
    #expect(KnownProgram.name(applicationID: 0, tables: ["sessions", "messages"]) == nil)
  }

  @Test func onlyTheFreePagesBeingWrongIsDamageThatCostsNoRow() {
    var report = ContentReport()
    report.problems = [.init(kind: .freelist, what: "page 7: nothing leads to it")]
    var diagnosis = Diagnosis(path: "/a.db", verdict: .healthy)
    diagnosis.add(report, bytes: 4096, knownMigrations: [])
    #expect(diagnosis.verdict == .damaged)
    #expect(diagnosis.findings.map(\.code) == ["damage", "free-pages"])
    report.problems.append(.init(kind: .table, table: "t", what: "it is no page of a b-tree"))
    diagnosis = Diagnosis(path: "/a.db", verdict: .healthy)
    diagnosis.add(report, bytes: 4096, knownMigrations: [])
    #expect(diagnosis.findings.map(\.code) == ["damage"])
    #expect(diagnosis.findings[0].message.contains("in t:"))
  }
}

@Suite struct ExaminationTests {
  @Test func anImageThatClaimsToBeWritableIsNot() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("x.db")
    try ForeignConnection(path).run(
      "CREATE TABLE t(x); INSERT INTO t VALUES(1); CREATE VIRTUAL TABLE f USING fts5(x)")
    let before = try [UInt8](contentsOf: path)
    let queue = try ImageVFS.open(FileImage(path: path), claimsWritable: true)
    for sql in ["INSERT INTO t VALUES(2)", "INSERT INTO f VALUES('a')", "DROP TABLE t", "VACUUM"] {
      #expect(throws: DatabaseError.self) { try queue.inDatabase { try $0.execute(sql: sql) } }
    }
    try queue.inDatabase { try $0.execute(sql: "INSERT INTO f(f) VALUES('integrity-check')") }
    #expect(try queue.inDatabase { try Int.fetchOne($0, sql: "SELECT count(*) FROM t") } == 1)
    #expect(try [UInt8](contentsOf: path) == before)
  }

  #if os(Linux)
    @Test(arguments: ["delete", "wal"])
    func examiningAFileThisProcessHasOpenDropsNoneOfItsLocks_B01(mode: String) async throws {
      let directory = try TemporaryDirectory()
      let path = directory.file("x.db")
      let own = try ForeignConnection(path)
      _ = try own.text("PRAGMA journal_mode = \(mode)")
      try own.run("CREATE TABLE t(x); INSERT INTO t VALUES(1); BEGIN IMMEDIATE; INSERT INTO t VALUES(2)")
      let held = FileUsers.of(path)
      #expect(held.holdLocks)
      for isDeep in [false, true] {
        let diagnosis = try await Doctor.examine(
          DoctorSubject(path: path), options: .init(isDeep: isDeep))
        #expect(diagnosis.verdict == .healthy)
        #expect(diagnosis.holders == held.processes)
      }
      #expect(FileUsers.of(path) == held)
      try own.run("COMMIT")
    }
  #endif

  @Test func whatHoldsALockOfADatabaseOwnsItsJournal_C02() {
    var facts = FileFacts(path: "/a/x.db")
    facts.database = .init(size: 8192)
    facts.header = PageLayout.magic + [16, 0, 1, 1, 0, 64, 32, 32] + [UInt8](repeating: 0, count: 76)
    facts.journal = .init(size: 4096)
    facts.journalFirstByte = 0xd9
    #expect(Examination.judge(facts, FileUsers()).verdict == .hotJournal)
    #expect(Examination.judge(facts, FileUsers(hasInvisibleHolder: true)).verdict == .busy)
    let idle = FileUser(pid: 1, command: "idle", locks: [FileUser.openWithoutLock])
    #expect(Examination.judge(facts, FileUsers(processes: [idle])).verdict == .hotJournal)
    let guarded = FileUser(pid: 1, command: "guard", locks: ["a SHARED lock"])
    #expect(Examination.judge(facts, FileUsers(processes: [guarded])).verdict == .busy)
  }
}
