// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

/// A database with a sound header that lacks pages: SQLite opens it, and stumbles later or never.
@Suite(.serialized) struct TruncatedStoreTests {
  private let test: PeerTest

  init() throws { test = try PeerTest() }

  /// A store of 3,000 rows in its -wal or in the database, and one in the -wal.
  private func store(isFolded: Bool) async throws {
    let file = try await test.open()
    try await file.write { db in
      for number in 1001...4000 { try insertNumber(number)(db) }
    }
    if isFolded { _ = try await file.checkpoint() }
    try await file.write(insertNumber(4001))
    await file.close()
  }

  private func refusal() async throws -> StoreError? {
    do {
      await (try test.open()).close()
      return nil
    } catch {
      return error as? StoreError
    }
  }

  @Test(arguments: [true, false])
  func aStoreThatLacksPagesIsSetAsideWholeAndRefused_C05(withWAL: Bool) async throws {
    try await store(isFolded: true)
    // The last close of a plain client folds the -wal back and removes it.
    if !withWAL { _ = try test.numbersInFile() }
    try StoreDamage.truncated.strike(test.database)
    let before = try storeSet(of: test.database)
    #expect(before.keys.contains("numbers.db-wal") == withWAL)
    let error = try #require(try await refusal())
    #expect(error.code == .damaged)
    #expect(error.message.contains("lacks"), "\(error)")
    let entry = try #require(Quarantine.entries(of: test.database).first)
    #expect(entry.manifest.verdict == .truncated)
    #expect(entry.manifest.state == .complete)
    #expect(error.message.contains(entry.directory))
    let isWhole = try storeSet(of: test.database, in: entry.directory) == before
    #expect(isWhole)
    #expect(try storeSet(of: test.database).isEmpty)
    #expect(try await refusal()?.code == .missing)
  }

  /// A kill in the middle of a checkpoint: the header is new, and most pages are in the -wal alone.
  @Test func aDatabaseWhosePagesAreInItsWALIsOpened_C05_C19() async throws {
    try await store(isFolded: false)
    let copy = test.directory.file("copy.db")
    for suffix in ["", "-wal"] { try [UInt8](contentsOf: test.database + suffix).write(to: copy + suffix) }
    try ForeignConnection(copy).run("PRAGMA wal_checkpoint(PASSIVE)")
    let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: test.database))
    try handle.write(contentsOf: Data([UInt8](contentsOf: copy)[..<4096]))
    try handle.close()
    let facts = try FileFacts.gather(test.database)
    #expect(Int64(DatabaseFields(facts.header)?.pageCount ?? 0) * 4096 > facts.database?.size ?? 0)
    let file = try await test.open()
    try await file.write(insertNumber(4002))
    await file.close()
    #expect(try test.numbersInFile() == Array(1001...4002))
    #expect(try test.integrity() == "ok")
  }

  @Test func aTruncatedFileThatIsNoStoreOfOursIsRefusedAndNotTouched_C05() async throws {
    try await store(isFolded: true)
    _ = try test.numbersInFile()
    try FileManager.default.removeItem(atPath: test.database + "-lane")
    try StoreDamage.truncated.strike(test.database)
    let before = try storeSet(of: test.database)
    #expect(try await refusal()?.code == .damaged)
    let isAsItWas = try storeSet(of: test.database) == before
    #expect(isAsItWas)
    #expect(!FileManager.default.fileExists(atPath: test.directory.file("quarantine")))
  }

  @Test func aTruncatedStoreThatAnotherProcessHasOpenIsRefusedWhereItIs_C05() async throws {
    try await store(isFolded: true)
    let other = try test.start(.write, first: 5000)
    try await other.arrival(at: "start")
    try StoreDamage.truncated.strike(test.database)
    let before = try storeSet(of: test.database)
    let error = try #require(try await refusal())
    #expect(error.code == .damaged)
    #if os(Linux)
      #expect(Set(error.holders.map(\.pid)) == [other.pid])
    #endif
    let isAsItWas = try storeSet(of: test.database) == before
    #expect(isAsItWas)
    #expect(Quarantine.entries(of: test.database).isEmpty)
    await other.kill()
  }

  /// A header no SQLite can have written: it would answer "not a database" and delete the -wal.
  @Test func aStoreWithAnImpossibleHeaderIsSetAsideWithItsWAL_C06() async throws {
    try await store(isFolded: true)
    let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: test.database))
    try handle.seek(toOffset: 16)
    try handle.write(contentsOf: Data([0x10, 0x01]))
    try handle.close()
    let before = try storeSet(of: test.database)
    #expect(try await refusal()?.code == .damaged)
    let entry = try #require(Quarantine.entries(of: test.database).first)
    let isWhole = try storeSet(of: test.database, in: entry.directory) == before
    #expect(isWhole)
  }
}
