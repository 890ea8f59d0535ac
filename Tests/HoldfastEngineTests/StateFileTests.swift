// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine
import HoldfastTestKit
import Testing

/// A migrator with one table to write into.
let notes: DatabaseMigrator = {
  var migrator = DatabaseMigrator()
  migrator.registerMigration("notes") { db in
    try db.execute(sql: "CREATE TABLE note(id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT")
  }
  return migrator
}()

func insertNote(_ text: String) -> @Sendable (Database) throws -> Void {
  { db in try db.cachedStatement(sql: "INSERT INTO note(text) VALUES (?)").execute(arguments: [text]) }
}

func countNotes(_ db: Database) throws -> Int {
  try Int.fetchOne(db, sql: "SELECT count(*) FROM note") ?? -1
}

@Suite struct StateFileTests {
  @Test func aWriteIsThereForReadersAndForForeignClients() async throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("a.db")
    let file = try await StateFile.open(path, migrations: notes)
    try await file.write(insertNote("kept"))
    #expect(try await file.read(countNotes) == 1)
    #expect(try ForeignConnection(path).text("SELECT text FROM note") == "kept")
    #expect(try ForeignConnection(path).text("PRAGMA journal_mode") == "wal")
    await file.close()
  }

  @Test func closingTwiceIsHarmlessAndAClosedHandleSaysSo() async throws {
    let directory = try TemporaryDirectory()
    let file = try await StateFile.open(directory.file("a.db"), migrations: notes)
    await file.close()
    await file.close()
    await #expect { try await file.write(insertNote("late")) } throws: {
      ($0 as? StoreError)?.code == .closed
    }
    let again = try await StateFile.open(directory.file("a.db"), migrations: notes)
    try await again.write(insertNote("back"))
    #expect(try await again.read(countNotes) == 1)
    await again.close()
  }

  @Test func aForeignFileIsRefusedAndLeftAsItWas() async throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("a.db")
    let picture = [UInt8](repeating: 0x42, count: 5000)
    try picture.write(to: path)
    await #expect { try await StateFile.open(path, migrations: notes) } throws: {
      ($0 as? StoreError)?.code == .notADatabase
    }
    #expect(try [UInt8](contentsOf: path) == picture)
  }

  @Test func aNewerSchemaIsRefused() async throws {
    let directory = try TemporaryDirectory()
    var newer = notes
    newer.registerMigration("later") { try $0.execute(sql: "CREATE TABLE later(x)") }
    await (try StateFile.open(directory.file("a.db"), migrations: newer)).close()
    await #expect { try await StateFile.open(directory.file("a.db"), migrations: notes) } throws: {
      ($0 as? StoreError)?.code == .newerSchema
    }
  }

  @Test func aBodyThatEndsItsTransactionIsTold() async throws {
    let directory = try TemporaryDirectory()
    let file = try await StateFile.open(directory.file("a.db"), migrations: notes)
    await #expect {
      try await file.write { db in
        try insertNote("x")(db)
        try db.execute(sql: "ROLLBACK")
      }
    } throws: { ($0 as? StoreError)?.code == .misuse && ($0 as? StoreError)?.outcome == .notApplied }
    await #expect {
      try await file.write { db in
        try insertNote("y")(db)
        try db.execute(sql: "COMMIT")
      }
    } throws: { ($0 as? StoreError)?.code == .misuse && ($0 as? StoreError)?.outcome == .applied }
    #expect(try await file.read(countNotes) == 1)
    await file.close()
  }

  @Test func aCheckpointFoldsTheWholeWALBack() async throws {
    let directory = try TemporaryDirectory()
    let file = try await StateFile.open(directory.file("a.db"), migrations: notes)
    for number in 0..<20 { try await file.write(insertNote("\(number)")) }
    let report = try await file.checkpoint()
    #expect(report.walPages > 0)
    #expect(report.isComplete)
    await file.close()
  }

  @Test func theWALStaysBoundedUnderManyWrites() async throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("a.db")
    let file = try await StateFile.open(
      path, configuration: .init(durability: .processDeathOnly, checkpointPages: 50), migrations: notes)
    let text = String(repeating: "x", count: 3000)
    for _ in 0..<600 { try await file.write(insertNote(text)) }
    // Without checkpoints the WAL would hold all 600 pages and more; with them it starts over again and again.
    #expect(file.status().walBytes < 200 * 4120)
    #expect(try await file.read(countNotes) == 600)
    await file.close()
  }
}
