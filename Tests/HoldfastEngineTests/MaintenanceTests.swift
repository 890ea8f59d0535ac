// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

@Suite struct MaintenanceTests {
  @Test func aSliceThatHeldTheFileTooLongIsFollowedBySmallerOnes_A11() {
    var pacer = SlicePacer(units: 1000)
    #expect(pacer.held(.milliseconds(40)) == .milliseconds(160))
    #expect(pacer.units == 250)
    #expect(pacer.held(.milliseconds(8)) == .milliseconds(32))
    #expect(pacer.units == 250)
    #expect(pacer.held(.milliseconds(1)) == .milliseconds(4))
    #expect(pacer.units == 500)
    #expect(pacer.held(.seconds(100)) == .seconds(400))
    #expect(pacer.units == 1)
  }

  enum Kind: String, CaseIterable { case prune, optimise, vacuum }

  private static let schema: DatabaseMigrator = {
    var migrator = DatabaseMigrator()
    migrator.registerMigration("maintained") { db in
      try db.execute(
        sql: """
          CREATE TABLE old(id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;
          CREATE VIRTUAL TABLE words USING fts5(text);
          INSERT INTO words(words, rank) VALUES ('automerge', 0);
          CREATE TABLE turn(id INTEGER PRIMARY KEY, kind TEXT NOT NULL) STRICT;
          """)
    }
    return migrator
  }()

  private static func takeTurn(_ kind: String, _ db: Database) throws {
    try db.cachedStatement(sql: "INSERT INTO turn(kind) VALUES (?)").execute(arguments: [kind])
  }

  private static func slice(of kind: Kind, _ db: Database, _ units: Int) throws -> Bool {
    try takeTurn("maintenance", db)
    switch kind {
    case .prune:
      try db.execute(sql: "DELETE FROM old WHERE id IN (SELECT id FROM old LIMIT ?)", arguments: [units])
      return db.changesCount > 0
    case .optimise:
      // SQLite's own slices of the index: so many pages of merging (fts5.html, "merge").
      let before = db.totalChangesCount
      try db.execute(sql: "INSERT INTO words(words, rank) VALUES ('merge', ?)", arguments: [-units])
      return db.totalChangesCount - before > 1
    case .vacuum:
      let before = try Int.fetchOne(db, sql: "PRAGMA freelist_count") ?? 0
      _ = try Row.fetchAll(db, sql: "PRAGMA incremental_vacuum(\(units))")
      return before > units
    }
  }

  /// Eight writers that never rest beside each kind of long work: between any two slices writers had turns.
  @Test(arguments: Kind.allCases)
  func writersHaveTurnsBetweenSlices_A11(kind: Kind) async throws {
    let directory = try TemporaryDirectory()
    // Pages can only be given back in slices if the file was made for it.
    try ForeignConnection(directory.file("a.db")).run("PRAGMA auto_vacuum = INCREMENTAL; VACUUM")
    let file = try await StateFile.open(
      directory.file("a.db"), configuration: .init(durability: .processDeathOnly), migrations: Self.schema)
    for _ in 0..<20 {
      try await file.write { db in
        for number in 0..<50 {
          try db.execute(sql: "INSERT INTO old(text) VALUES (hex(randomblob(500)))")
          try db.execute(
            sql: "INSERT INTO words(text) VALUES (?)",
            arguments: ["word\(number) \(Int.random(in: 0..<100_000))"])
        }
      }
    }
    if kind == .vacuum { try await file.write { try $0.execute(sql: "DELETE FROM old") } }
    let isOver = Monitor(false)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<8 {
        group.addTask {
          while !isOver.withLock({ $0 }) { try await file.write { try Self.takeTurn("writer", $0) } }
        }
      }
      try await file.maintain(startingWith: 1) { try Self.slice(of: kind, $0, $1) }
      isOver.withLock { $0 = true }
      try await group.waitForAll()
    }
    let turns = try await file.read { try String.fetchAll($0, sql: "SELECT kind FROM turn ORDER BY id") }
    let neighbours = zip(turns, turns.dropFirst()).filter { $0 == "maintenance" && $1 == "maintenance" }
    #expect(neighbours.isEmpty)
    #expect(turns.count { $0 == "maintenance" } > 2)
    if kind == .prune {
      #expect(try await file.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM old") } == 0)
    }
    if kind == .vacuum {
      #expect(try await file.read { try Int.fetchOne($0, sql: "PRAGMA freelist_count") } == 0)
    }
    #expect(try ForeignConnection(file.path).text("PRAGMA integrity_check") == "ok")
    await file.close()
  }
}
