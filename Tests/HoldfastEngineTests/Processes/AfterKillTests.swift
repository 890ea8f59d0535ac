// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

/// What the next opening makes of what a killed process left: everything, by itself.
@Suite(.serialized) struct AfterKillTests {
  private let test: PeerTest

  init() throws { test = try PeerTest() }

  /// What lies about beside what the kill itself left.
  enum Leftover: CaseIterable {
    case nothing
    case noSharedMemory, emptySharedMemory, cutSharedMemory, garbledSharedMemory
    /// A journal whose header was zeroed: a commit that was finished, or a transaction that never wrote.
    case coldJournal, emptyJournal
    /// The note of who has the turn, and the last ticket, are anything.
    case garbledLane
    case noLane

    func leave(at path: String) throws {
      func fill(_ file: String, _ bytes: Int, _ value: UInt8) throws {
        let handle = try FileHandle(forUpdating: URL(fileURLWithPath: file))
        try handle.write(contentsOf: Data(repeating: value, count: bytes))
        try handle.close()
      }
      switch self {
      case .nothing: break
      case .noSharedMemory: try FileManager.default.removeItem(atPath: path + "-shm")
      case .emptySharedMemory: #expect(unsafe truncate(path + "-shm", 0) == 0)
      case .cutSharedMemory: #expect(unsafe truncate(path + "-shm", 5000) == 0)
      case .garbledSharedMemory: try fill(path + "-shm", 32_768, 0xa5)
      case .coldJournal: try [UInt8](repeating: 0, count: 4616).write(to: path + "-journal")
      case .emptyJournal: try [UInt8]().write(to: path + "-journal")
      case .garbledLane: try fill(path + "-lane", 64, 0xff)
      case .noLane: try FileManager.default.removeItem(atPath: path + "-lane")
      }
    }
  }

  /// Opens as any program would, writes, and closes.
  private func openAndCount() async throws -> (rows: Int, opening: Duration) {
    let began = ContinuousClock.now
    let file = try await test.open()
    let opening = began.duration(to: .now)
    let rows = try await file.write { db in
      try insertNumber(7)(db)
      return try Int.fetchOne(db, sql: "SELECT count(*) FROM number WHERE value <> 7") ?? -1
    }
    await file.close()
    return (rows, opening)
  }

  @Test func killedAtAnyMomentTheStoreOpensByItselfWithEveryRow_C19() async throws {
    var random = SplitMix64(seed: 19)
    let rounds = isSoak ? 400 : 40
    var longest = Duration.zero
    var journals: [String] = []
    for round in 0..<rounds {
      let first = UInt64(round + 1) * 1_000_000
      let writer = try test.start(.write, first: first) { $0.checkpointPages = 20 }
      try await writer.pass("start")
      let journal = test.directory.file("journal-\(first)")
      journals.append(journal)
      let count = Int.random(in: 0..<60, using: &random)
      #expect(await eventually { AcknowledgementJournal.count(in: journal) >= count })
      await writer.kill()
      let (_, opening) = try await openAndCount()
      longest = max(longest, opening)
    }
    let found = try test.numbersInFile().filter { $0 != 7 }.map(UInt64.init)
    let check = AcknowledgementCheck(
      acknowledged: journals.flatMap(AcknowledgementJournal.numbers(in:)), found: found)
    #expect(check.holds, "\(check)")
    #expect(check.acknowledged > rounds)
    #expect(try test.integrity() == "ok")
    #expect(Quarantine.entries(of: test.database).isEmpty)
    print("opening after \(rounds) kills took \(longest) at most")
  }

  @Test(arguments: Leftover.allCases)
  func whateverElseLiesAboutIsNoHindrance_C19(_ leftover: Leftover) async throws {
    let writer = try test.start(.fillWAL, first: 100, count: 3) { $0.checkpointPages = 1 << 30 }
    try await writer.pass("start")
    #expect(await writer.word() == "written")
    try await writer.arrival(at: "inside")
    await writer.kill()
    try leftover.leave(at: test.database)
    let (rows, opening) = try await openAndCount()
    #expect(rows == 3)
    #expect(try test.integrity() == "ok")
    print("opening after a kill with \(leftover) took \(opening)")
  }

  @Test func aLargeWALIsReadAgainByItself_C19() async throws {
    let megabytes: UInt64 = isSoak ? 640 : 70
    let writer = try test.start(.fillWAL, first: 100, count: megabytes) { $0.checkpointPages = 1 << 30 }
    try await writer.pass("start")
    #expect(await writer.word() == "written")
    try await writer.arrival(at: "inside")
    await writer.kill()
    let size = FileFacts.Entry(path: test.database + "-wal")?.size ?? 0
    #expect(size >= 64 << 20)
    let (rows, opening) = try await openAndCount()
    #expect(rows == Int(megabytes))
    print("opening after a kill with a -wal of \(size >> 20) MB took \(opening)")
  }
}
