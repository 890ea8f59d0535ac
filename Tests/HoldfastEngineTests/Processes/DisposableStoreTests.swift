// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

/// A file that can be made again, as a search index is: whatever befalls it costs its contents and nothing else.
@Suite(.serialized) struct DisposableStoreTests {
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  private var path: String { directory.file("search.db") }

  private static let schema: DatabaseMigrator = {
    var migrator = DatabaseMigrator()
    migrator.registerMigration("search") { db in
      try db.execute(
        sql: "CREATE VIRTUAL TABLE word USING fts5(text); CREATE TABLE cursor(seq INTEGER NOT NULL) STRICT")
    }
    return migrator
  }()

  private func open(isDisposable: Bool = true) async throws -> StateFile {
    try await StateFile.open(
      path, configuration: .init(isDisposable: isDisposable), migrations: Self.schema)
  }

  /// An index of some pages; what was written last is in the -wal, or everything in the database.
  private func index(withWAL: Bool) async throws {
    let file = try await open()
    try await file.write { db in
      for number in 0..<2000 {
        try db.execute(sql: "INSERT INTO word(text) VALUES (?)", arguments: ["word\(number) and more of it"])
      }
    }
    _ = try await file.checkpoint()
    if withWAL { try await file.write { try $0.execute(sql: "INSERT INTO cursor(seq) VALUES (2000)") } }
    await file.close()
    // The last close of a plain client removes the -wal.
    if !withWAL { _ = try ForeignConnection(path).text("SELECT count(*) FROM cursor") }
    #expect(FileManager.default.fileExists(atPath: path + "-wal") == withWAL)
  }

  @Test(arguments: StoreDamage.allCases, [true, false])
  func aDamagedDisposableStoreIsSetAsideAndBegunAnewAtOnce_C08_C17(damage: StoreDamage, withWAL: Bool)
    async throws
  {
    try await index(withWAL: withWAL)
    try damage.strike(path)
    let before = try storeSet(of: path)
    let file = try await open()
    #expect(try await file.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM word") } == 0)
    try await file.write { try $0.execute(sql: "INSERT INTO word(text) VALUES ('begun anew')") }
    let found = try await file.read {
      try Int.fetchOne($0, sql: "SELECT count(*) FROM word WHERE word MATCH 'anew'")
    }
    #expect(found == 1)
    await file.close()
    let entry = Quarantine.entries(of: path).first
    if damage == .deleted, !withWAL {
      #expect(entry == nil)
    } else {
      let kept = try entry.map { try storeSet(of: path, in: $0.directory) } ?? [:]
      for name in ["search.db", "search.db-wal"] {
        // SQLite may have made an empty -wal before it found the damage.
        let isKept = kept[name] ?? [] == before[name] ?? []
        #expect(isKept, "\(name)")
      }
      // Nothing waits for a person.
      #expect(entry?.manifest.state == .resolved)
    }
    // And it stays: the next opening finds it whole.
    let again = try await open()
    #expect(try await again.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM word") } == 1)
    await again.close()
    #expect(Quarantine.entries(of: path).count == (entry == nil ? 0 : 1))
  }

  /// The same damage to a store that is not disposable is refused, so the tests above show a difference.
  @Test(arguments: StoreDamage.allCases)
  func theSameDamageToAnyOtherStoreIsRefused_C05_C17(damage: StoreDamage) async throws {
    try await index(withWAL: false)
    try damage.strike(path)
    await #expect(throws: StoreError.self) { await (try open(isDisposable: false)).close() }
  }

  @Test func aDamagedDisposableStoreThatAnotherProcessHasOpenIsRefusedWhereItIs_C05() async throws {
    let test = try PeerTest()
    let other = try test.start(.write, first: 5000)
    try await other.arrival(at: "start")
    try StoreDamage.headerOverwritten.strike(test.database)
    let before = try storeSet(of: test.database)
    await #expect {
      await (try StateFile.open(test.database, configuration: .init(isDisposable: true))).close()
    } throws: {
      let error = $0 as? StoreError
      #if os(Linux)
        guard error?.holders.map(\.pid) == [other.pid] else { return false }
      #endif
      return error?.code == .notADatabase
    }
    let isAsItWas = try storeSet(of: test.database) == before
    #expect(isAsItWas)
    #expect(Quarantine.entries(of: test.database).isEmpty)
    await other.kill()
  }
}
