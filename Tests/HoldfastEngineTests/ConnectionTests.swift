// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

@Suite struct ConnectionTests {
  /// Inside a transaction SQLite ignores `PRAGMA foreign_keys` without a word: a connection on which the
  /// setting cannot take.
  @Test func aSettingThatDoesNotTakeIsAnError_A18() throws {
    let directory = try TemporaryDirectory()
    var options = Configuration()
    options.foreignKeysEnabled = false
    let queue = try DatabaseQueue(path: directory.file("a.db"), configuration: options)
    let setting = Connection.Setting(name: "foreign_keys", value: "1")
    #expect {
      try queue.inTransaction { db in
        try setting.apply(to: db, path: "/a.db")
        return .commit
      }
    } throws: { ($0 as? StoreError)?.code == .setting }
    try queue.inDatabase { try setting.apply(to: $0, path: "/a.db") }
  }

  /// GRDB lowers `synchronous` to NORMAL when it puts a pool in WAL, after its own hooks have run: the value
  /// is asked of the very connections that write and read.
  @Test(arguments: [(StateFileConfiguration.Durability.power, 3), (.processDeathOnly, 1)])
  func everyConnectionHasEverySetting_A18(durability: StateFileConfiguration.Durability, synchronous: Int)
    async throws
  {
    let directory = try TemporaryDirectory()
    let file = try await StateFile.open(
      directory.file("a.db"), configuration: .init(durability: durability), migrations: notes)
    let settings: @Sendable (Database) throws -> [String: Int] = { db in
      var found: [String: Int] = [:]
      for name in [
        "synchronous", "foreign_keys", "wal_autocheckpoint", "mmap_size", "trusted_schema", "cell_size_check",
      ] {
        found[name] = try Int.fetchOne(db, sql: "PRAGMA \(name)")
      }
      return found
    }
    let expected = [
      "synchronous": synchronous, "foreign_keys": 1, "wal_autocheckpoint": 0, "mmap_size": 0,
      "trusted_schema": 0,
      "cell_size_check": 1,
    ]
    #expect(try await file.write(settings) == expected)
    #expect(try await file.read(settings) == expected)
    let journal: @Sendable (Database) throws -> String? = {
      try String.fetchOne($0, sql: "PRAGMA journal_mode")
    }
    #expect(try await file.write(journal) == "wal")
    #expect(try await file.read(journal) == "wal")
    await file.close()
  }

  @Test func aFileOpenedByManyTasksAtOnceIsMadeOnce_A05() async throws {
    let directory = try TemporaryDirectory()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for round in 0..<10 {
        for _ in 0..<8 {
          group.addTask {
            let file = try await StateFile.open(directory.file("\(round).db"), migrations: notes)
            try await file.write(insertNote("first"))
            await file.close()
          }
        }
      }
      try await group.waitForAll()
    }
    for round in 0..<10 {
      #expect(try ForeignConnection(directory.file("\(round).db")).text("SELECT count(*) FROM note") == "8")
    }
  }
}
