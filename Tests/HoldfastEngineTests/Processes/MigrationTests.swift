// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

/// Migrations that are interrupted, and builds of two versions on one file.
@Suite(.serialized) struct MigrationTests {
  private let test: PeerTest

  init() throws { test = try PeerTest() }

  /// A file of the first version with three rows.
  private func makeOldFile() async throws {
    let file = try await StateFile.open(test.database, migrations: RebuildingMigrations.old)
    try await file.write { db in
      for text in ["a", "bb", "ccc"] {
        try db.execute(sql: "INSERT INTO entry(text) VALUES (?)", arguments: [text])
      }
    }
    await file.close()
  }

  private func columns() throws -> String? {
    try ForeignConnection(test.database).text("SELECT group_concat(name) FROM pragma_table_info('entry')")
  }

  private func rows() throws -> String? {
    try ForeignConnection(test.database).text("SELECT group_concat(id || text) FROM entry")
  }

  @Test(arguments: 0...RebuildingMigrations.statements.count)
  func aMigrationKilledAtAnyStatementLeavesTheOldVersionWholeAndTheNextOpenFinishes_C16(
    statement: Int
  ) async throws {
    try await makeOldFile()
    let process = try test.start(.migrate)
    for _ in 0..<statement { try await process.pass("statement") }
    try await process.arrival(at: "statement")
    #expect(await process.kill() == .killed(signal: 9))
    #expect(try columns() == "id,text")
    #expect(try rows() == "1a,2bb,3ccc")

    let file = try await StateFile.open(test.database, migrations: RebuildingMigrations.new())
    let lengths = try await file.read { try Int.fetchAll($0, sql: "SELECT length FROM entry ORDER BY id") }
    #expect(lengths == [1, 2, 3])
    await file.close()
    #expect(try rows() == "1a,2bb,3ccc")
    #expect(try test.integrity() == "ok")
  }

  @Test func anOlderBuildRefusesANewerFileAndChangesNothingInIt_C16() async throws {
    try await makeOldFile()
    await (try StateFile.open(test.database, migrations: RebuildingMigrations.new())).close()
    await #expect {
      try await StateFile.open(test.database, migrations: RebuildingMigrations.old)
    } throws: { error in
      guard let error = error as? StoreError else { return false }
      return error.code == .newerSchema && error.message.contains("newer version")
    }
    #expect(try columns() == "id,text,length")
    #expect(try rows() == "1a,2bb,3ccc")
  }

  @Test func aNewerBuildMigratesUnderAnOlderOneWhoseHandleGoesOnReading_C16() async throws {
    try await makeOldFile()
    let old = try await StateFile.open(test.database, migrations: RebuildingMigrations.old)
    let process = try test.start(.migrate)
    for _ in 0...RebuildingMigrations.statements.count { try await process.pass("statement") }
    #expect(await process.end() == .exited(0))
    let texts = try await old.read { try String.fetchAll($0, sql: "SELECT text FROM entry ORDER BY id") }
    #expect(texts == ["a", "bb", "ccc"])
    await old.close()
  }
}
