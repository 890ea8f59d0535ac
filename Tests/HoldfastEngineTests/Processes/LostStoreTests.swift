// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

/// What opening makes of a store that was emptied, overwritten or removed while nobody had it open.
@Suite(.serialized) struct LostStoreTests {
  private let test: PeerTest

  init() throws { test = try PeerTest() }

  private func set(in directory: String? = nil) throws -> [String: [UInt8]] {
    try storeSet(of: test.database, in: directory)
  }

  private func refusal(
    _ configuration: StateFileConfiguration = .init()
  ) async throws -> StoreError {
    do {
      await (try StateFile.open(test.database, configuration: configuration, migrations: numbers)).close()
    } catch let error as StoreError {
      return error
    }
    throw Unrefused()
  }

  private struct Unrefused: Error {}

  /// A store of 20 rows whose writer was killed in its next transaction; they are in the -wal, unless that was
  /// folded back.
  private func killedStore(withWAL: Bool = true) async throws {
    let file = try await test.open()
    for number in 101...120 { try await file.write(insertNumber(number)) }
    let writer = try test.start(.holdTurn, first: 500)
    try await writer.pass("start")
    try await writer.arrival(at: "inside")
    await file.close()
    await writer.kill()
    // The last close of a plain client folds the -wal back and removes it.
    if !withWAL { _ = try test.numbersInFile() }
    #expect(FileManager.default.fileExists(atPath: test.database + "-wal") == withWAL)
  }

  @Test(arguments: StoreDamage.losses, [true, false])
  func aLostStoreIsSetAsideWholeAndRefused_C05_C06(damage: StoreDamage, withWAL: Bool) async throws {
    try await killedStore(withWAL: withWAL)
    try damage.strike(test.database)
    let before = try set()
    let error = try await refusal()
    #expect(error.code == (damage == .headerOverwritten ? .notADatabase : .damaged))
    let entry = try #require(Quarantine.entries(of: test.database).first)
    #expect(error.message.contains(entry.directory))
    #expect(error.message.contains("holdfast doctor --repair \(error.path ?? "?")"))
    #expect(try set(in: entry.directory) == before)
    #expect(try set().isEmpty)

    // It is not begun anew by the next either.
    let next = try await refusal()
    #expect(next.code == .missing)
    #expect(next.message.contains(entry.directory))
    #expect(try set().isEmpty)
    #expect(Quarantine.entries(of: test.database).count == 1)

    // As both messages say.
    try FileManager.default.removeItem(atPath: test.database + "-lane")
    let file = try await test.open()
    try await file.write(insertNumber(1))
    await file.close()
    #expect(try test.numbersInFile() == [1])
  }

  /// What was set aside is all there was: put back with its header mended it has every row.
  @Test func theWALOfAKilledWriterSurvivesItsDatabasesFirstPage_C06() async throws {
    try await killedStore()
    let header = try Array([UInt8](contentsOf: test.database)[..<100])
    let wal = try [UInt8](contentsOf: test.database + "-wal")
    #expect(wal.count > 4096)
    try StoreDamage.headerOverwritten.strike(test.database)
    #expect(try await refusal().code == .notADatabase)
    let entry = try #require(Quarantine.entries(of: test.database).first)
    #expect(try [UInt8](contentsOf: entry.directory + "/numbers.db-wal") == wal)
    var database = try [UInt8](contentsOf: entry.directory + "/numbers.db")
    database.replaceSubrange(0..<100, with: header)
    try database.write(to: test.database)
    try wal.write(to: test.database + "-wal")
    let file = try await test.open()
    #expect(try await file.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM number") } == 20)
    await file.close()
  }

  @Test func ofTwoStartersOneSetsAsideAndBothRefuse_C05() async throws {
    try await killedStore()
    try StoreDamage.emptied.strike(test.database)
    let before = try set()
    let database = test.database
    let group = try test.start(2, of: .openFresh) { $0.files = [database] }
    try await group.pass("start")
    try await group.pass("file")
    for peer in group.peers { #expect(await peer.word() != nil) }
    _ = await group.end()
    let entries = Quarantine.entries(of: test.database)
    #expect(entries.count == 1)
    #expect(try entries.first.map { try set(in: $0.directory) } == before)
    #expect(try set().isEmpty)
  }

  @Test func aLostStoreThatAnotherProcessHasOpenIsRefusedWhereItIs_C05() async throws {
    await (try test.open()).close()
    let other = try test.start(.write)
    try await other.arrival(at: "start")
    try StoreDamage.zeroed.strike(test.database)
    let before = try set()
    let error = try await refusal()
    #expect(error.code == .damaged)
    #if os(Linux)
      #expect(Set(error.holders.map(\.pid)) == [other.pid])
    #endif
    #expect(try set() == before)
    #expect(Quarantine.entries(of: test.database).isEmpty)
    await other.kill()
  }

  /// A picture, or the empty file `touch` made: not a store of ours, so not ours to move.
  @Test(arguments: [0, 5000])
  func aFileThatNeverWasAStoreIsNotTouched_C05(size: Int) async throws {
    try [UInt8](repeating: 0, count: size).write(to: test.database)
    try [UInt8](repeating: 7, count: 9000).write(to: test.database + "-wal")
    let before = try set()
    _ = try await refusal()
    #expect(try set() == before)
    #expect(!FileManager.default.fileExists(atPath: test.directory.file("quarantine")))
  }

  @Test func aRemovedStoreIsNotBegunAnewUntilItIsBack_C17() async throws {
    try await killedStore(withWAL: false)
    let moved = test.directory.file("moved.db")
    try FileManager.default.moveItem(atPath: test.database, toPath: moved)
    #expect(try await refusal().code == .missing)
    #expect(try set().isEmpty)
    try FileManager.default.moveItem(atPath: moved, toPath: test.database)
    let file = try await test.open()
    #expect(try await file.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM number") } == 20)
    await file.close()
  }

  @Test func aHomeDeletedUnderAWriterStaysDeleted_C17() async throws {
    let home = test.directory.file("home")
    try FileManager.default.createDirectory(atPath: home, withIntermediateDirectories: false)
    let file = try await StateFile.open(home + "/numbers.db", migrations: numbers)
    try await file.write(insertNumber(1))
    try FileManager.default.removeItem(atPath: home)
    for _ in 0..<2 {
      await #expect { try await file.write(insertNumber(2)) } throws: {
        ($0 as? StoreError)?.code == .replaced && ($0 as? StoreError)?.outcome == .notApplied
      }
    }
    await file.close()
    #expect(!FileManager.default.fileExists(atPath: home))
  }
}
