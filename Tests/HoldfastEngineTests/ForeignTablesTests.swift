// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

/// Reading a program's tables piece by piece, with nothing of its files changed.
@Suite struct ForeignTablesTests {
  let directory: TemporaryDirectory
  var path: String { directory.file("f.db") }

  init() throws { directory = try TemporaryDirectory() }

  private func make(mode: String) throws -> ForeignConnection {
    let foreign = try ForeignConnection(path)
    try foreign.run("PRAGMA journal_mode = \(mode); CREATE TABLE note(id INTEGER PRIMARY KEY, text TEXT)")
    try foreign.run("INSERT INTO note(text) VALUES ('old')")
    return foreign
  }

  private func files() throws -> [String: Data] {
    var files: [String: Data] = [:]
    for name in try FileManager.default.contentsOfDirectory(atPath: directory.path) {
      files[name] = try Data(contentsOf: URL(fileURLWithPath: directory.file(name)))
    }
    return files
  }

  private func read<T: Sendable>(
    _ tables: ForeignTables, _ body: @escaping @Sendable (Database) throws -> T
  ) throws -> T { try tables.read(body) }

  @Test(arguments: ["WAL", "DELETE"])
  func nothingIsMadeOrChangedBesideAFileNobodyWrites(mode: String) throws {
    do { _ = try make(mode: mode) }
    let before = try files()
    #expect(before.keys.sorted() == ["f.db"])
    let tables = try ForeignTables(path)
    #expect(try read(tables, countNotes) == 1)
    #expect(try read(tables, countNotes) == 1)
    #expect(throws: (any Error).self) { try read(tables) { try $0.execute(sql: "DELETE FROM note") } }
    #expect(try files() == before)
  }

  /// The file's program has it open with its -wal, and does nothing: its -shm stays as it is too.
  @Test func anIdleProgramsWALIsReadWithoutAMarkInItsSharedMemory() throws {
    let foreign = try make(mode: "WAL")
    let before = try files()
    #expect(before.keys.sorted() == ["f.db", "f.db-shm", "f.db-wal"])
    #expect(try read(ForeignTables(path), countNotes) == 1)
    #expect(try files() == before)
    try foreign.run("INSERT INTO note(text) VALUES ('new')")
  }

  @Test(arguments: ["WAL", "DELETE"])
  func whatIsCommittedBetweenTwoPiecesIsThereInTheNext(mode: String) throws {
    let foreign = try make(mode: mode)
    let tables = try ForeignTables(path)
    for count in 1...20 {
      #expect(try read(tables, countNotes) == count)
      try foreign.run("INSERT INTO note(text) VALUES ('new')")
    }
  }

  /// A piece whose files changed while it was read is read again, and only the second answer counts.
  @Test func aPieceThatWasOvertakenIsReadAgain() throws {
    let foreign = try make(mode: "WAL")
    let tables = try ForeignTables(path)
    let calls = Monitor(0)
    let count = try read(tables) { db in
      let count = try countNotes(db)
      if calls.withLock({
        $0 += 1; return $0
      }) == 1 {
        try foreign.run("INSERT INTO note(text) VALUES ('new'); PRAGMA wal_checkpoint(TRUNCATE)")
      }
      return count
    }
    #expect(count == 2)
    #expect(calls.withLock { $0 } == 2)
  }

  /// The journal of a writer that was killed: what it had changed is undone in what is read, and nowhere else.
  @Test func aDeadWritersTransactionIsUndoneInMemory_C02() throws {
    do {
      let foreign = try make(mode: "DELETE")
      try foreign.run("PRAGMA cache_size = 2; BEGIN IMMEDIATE")
      try foreign.run(
        """
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
        INSERT INTO note(text) SELECT hex(zeroblob(2000)) FROM n
        """)
      // As the files are at the moment of a kill.
      for name in ["f.db", "f.db-journal"] {
        try FileManager.default.copyItem(atPath: directory.file(name), toPath: directory.file("dead-" + name))
      }
      try foreign.run("ROLLBACK")
    }
    let before = try files()
    #expect(try read(ForeignTables(directory.file("dead-f.db")), countNotes) == 1)
    #expect(try files() == before)
  }

  @Test func aFileThatIsNotThereIsMissing() {
    #expect { _ = try ForeignTables(path) } throws: { ($0 as? StoreError)?.code == .missing }
  }
}
