// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

/// Damage to the file itself, met while the engine has it open.
@Suite struct DamageLatchTests {
  private let directory: TemporaryDirectory
  private let path: String

  init() throws {
    directory = try TemporaryDirectory()
    path = directory.file("a.db")
  }

  /// Two tables; the pages of one of them, all but its root, overwritten on disk while nobody has the file open.
  private func openWithADamagedTable(keeping copy: String? = nil) async throws -> StateFile {
    let whole = try await StateFile.open(path, migrations: notes)
    try await whole.write { db in
      try insertNote("first")(db)
      try db.execute(sql: "CREATE TABLE big(id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
      try db.execute(
        sql: """
          WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
          INSERT INTO big SELECT i, printf('%0300d', i) FROM n
          """)
    }
    let pages = try await whole.read { db in
      try Int.fetchAll(db, sql: "SELECT pageno FROM dbstat WHERE name = 'big' AND pagetype = 'leaf'")
    }
    await whole.close()
    // As long as a page is in the -wal, the one in the database is not looked at.
    try ForeignConnection(path).run("PRAGMA wal_checkpoint(TRUNCATE)")
    if let copy { try FileManager.default.copyItem(atPath: path, toPath: copy) }
    let handle = try FileHandle(forUpdating: URL(fileURLWithPath: path))
    for page in pages.dropFirst(3) {
      try handle.seek(toOffset: UInt64(page - 1) * 4096)
      try handle.write(contentsOf: Data(repeating: 0xA5, count: 64))
    }
    try handle.close()
    return try await StateFile.open(path, migrations: notes)
  }

  private func error(of body: () async throws -> Void) async -> StoreError? {
    do {
      try await body()
      return nil
    } catch {
      return error as? StoreError
    }
  }

  @Test func damageMetByAReadKeepsTheFileFromBeingWrittenOn_C07() async throws {
    let file = try await openWithADamagedTable()
    #expect(file.status().damage == nil)
    let met = await error {
      _ = try await file.read { try Int.fetchOne($0, sql: "SELECT sum(length(text)) FROM big") }
    }
    #expect(met?.code == .damaged)
    #expect(file.status().damage?.code == 11)
    let before = try Data(contentsOf: URL(fileURLWithPath: path))
    let refused = await error { try await file.write(insertNote("second")) }
    #expect(refused?.code == .damaged)
    #expect(refused?.outcome == .notApplied)
    #expect(await error { _ = try await file.checkpoint() }?.code == .damaged)
    // What is not damaged is still read.
    #expect(try await file.read(countNotes) == 1)
    await file.close()
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == before)
  }

  @Test func damageMetByAWriteUndoesItAndStopsTheNext_C07() async throws {
    let file = try await openWithADamagedTable()
    let met = await error {
      try await file.write { db in
        try insertNote("second")(db)
        try db.execute(sql: "UPDATE big SET text = 'short'")
      }
    }
    #expect(met?.code == .damaged)
    #expect(met?.outcome == .notApplied)
    #expect(await error { try await file.write(insertNote("third")) }?.code == .damaged)
    #expect(try await file.read(countNotes) == 1)
    await file.close()
  }

  @Test func everyHandleOfTheProcessIsLatchedAndAWholeFileUnlatchesThem_C07() async throws {
    let copy = directory.file("copy.db")
    let file = try await openWithADamagedTable(keeping: copy)
    let other = try await StateFile.open(path)
    _ = await error {
      _ = try await file.read { try Int.fetchOne($0, sql: "SELECT sum(length(text)) FROM big") }
    }
    #expect(await error { try await other.write(insertNote("second")) }?.code == .damaged)
    // A repaired file takes its place, as the doctor and a restore do it.
    #expect(unsafe rename(copy, path) == 0)
    try await other.write(insertNote("second"))
    #expect(file.status().damage == nil)
    #expect(try await file.read(countNotes) == 2)
    await file.close()
    await other.close()
  }
}
