// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

/// Damage to a search index, made in its shadow table, where SQLite reports it as the virtual table's own.
@Suite struct IndexDamageTests {
  @Test func aDamagedSearchIndexIsToldFromADamagedFileAndWritesGoOn_C07() async throws {
    let directory = try TemporaryDirectory()
    let file = try await StateFile.open(directory.file("a.db"), migrations: notes)
    try await file.write { db in
      try insertNote("first")(db)
      try db.execute(sql: "CREATE VIRTUAL TABLE search USING fts5(text)")
      try db.execute(sql: "INSERT INTO search(text) VALUES ('a needle in a haystack')")
    }
    // Through a connection that is not ours: ours would keep what it has read of the index.
    try ForeignConnection(file.path, busyTimeout: 60_000)
      .run("UPDATE search_data SET block = x'ffffffffffffffff'")
    await #expect {
      try await file.read { try String.fetchAll($0, sql: "SELECT text FROM search('needle')") }
    } throws: {
      ($0 as? StoreError)?.code == .damagedIndex
    }
    try await file.write(insertNote("second"))
    #expect(try await file.read(countNotes) == 2)
    await file.close()
  }
}
