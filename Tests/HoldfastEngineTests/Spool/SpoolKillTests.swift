// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

/// Real processes, killed while they append and drain.
@Suite(.serialized) struct SpoolKillTests {
  private let directory: TemporaryDirectory
  private let peer: String

  init() throws {
    directory = try TemporaryDirectory()
    peer = try PeerProcess.builtExecutable(named: "HoldfastTestPeer")
  }

  /// Numbers of one life of one process.
  private static func first(_ life: Int) -> UInt64 { UInt64(life + 1) * 100_000_000 }

  private func settings(life: Int) -> PeerSettings {
    .init(
      database: directory.file("numbers.db"), spool: directory.file("spool"),
      journal: directory.file("journal-\(life)"), first: Self.first(life))
  }

  private func start(_ scenario: String, life: Int) throws -> PeerProcess {
    try PeerProcess.start(peer, arguments: settings(life: life).arguments(for: scenario))
  }

  /// Everything the journals of these lives promise, against what is in the database once the rest is
  /// drained.
  ///
  /// - Parameter isOrdered: whether to look at the order too: one drain keeps each process's, several do not.
  private func check(lives: Int, isOrdered: Bool = false) async throws -> AcknowledgementCheck {
    let file = try await StateFile.open(directory.file("numbers.db"), migrations: numbers)
    let spool = try Spool.open(
      .init(directory: directory.file("spool"), stream: "numbers", segmentBytes: 64 << 10, linger: .zero))
    spool.startDraining(into: file, apply: insertNumbers)
    let segments = try SpoolDirectory.open(directory.file("spool"))
    let isDrained = await eventually {
      spool.status().depth == 0 && segments.segments(of: "numbers").count == 1
    }
    #expect(isDrained, "\(spool.status())")
    #expect(spool.status().damaged == 0)
    #expect(spool.status().rejected == 0)
    let found = try await file.read { db in
      #expect(try String.fetchOne(db, sql: "PRAGMA integrity_check") == "ok")
      return try Int64.fetchAll(db, sql: "SELECT value FROM number ORDER BY id").map(UInt64.init)
    }
    await spool.close()
    await file.close()
    #expect(segments.segments(of: "numbers").isEmpty)
    let acknowledged = (0..<lives).flatMap {
      AcknowledgementJournal.numbers(in: directory.file("journal-\($0)"))
    }
    let life: (UInt64) -> UInt64 = { $0 / 100_000_000 }
    return AcknowledgementCheck(acknowledged: acknowledged, found: found, writer: isOrdered ? life : nil)
  }

  @Test func everyAcknowledgedRecordOfKilledProcessesLandsExactlyOnce_B10() async throws {
    var random = SplitMix64(seed: 10)
    let lives = 24
    var running: [(process: PeerProcess, life: Int, enough: Int)] = []
    for life in 0..<lives {
      let process = try start(life % 3 == 0 ? "append" : "appendAndDrain", life: life)
      try await process.pass("start")
      running.append((process, life, Int.random(in: 1...4000, using: &random)))
      if running.count < 4 { continue }
      let victim = running.remove(at: Int.random(in: 0..<4, using: &random))
      let journal = directory.file("journal-\(victim.life)")
      #expect(await eventually { AcknowledgementJournal.count(in: journal) >= victim.enough })
      #expect(await victim.process.kill() == .killed(signal: SIGKILL))
    }
    for (process, _, _) in running { await process.kill() }
    let check = try await check(lives: lives)
    #expect(check.acknowledged > 0)
    #expect(check.holds, "\(check)")
  }

  @Test func aDrainKilledInsideItsTransactionLandsNothingTwice_B10() async throws {
    let writer = try start("append", life: 0)
    try await writer.pass("start")
    let journal = directory.file("journal-0")
    #expect(await eventually { AcknowledgementJournal.count(in: journal) >= 3000 })
    await writer.kill()
    // Each drain adopts the segments, lands a few batches, and dies with the next one applied and not
    // committed.
    for batches in 0..<3 {
      let drain = try start("drainToGate", life: 0)
      try await drain.pass("start")
      for _ in 0..<batches { try await drain.pass("applied") }
      try await drain.arrival(at: "applied")
      await drain.kill()
    }
    let check = try await check(lives: 1, isOrdered: true)
    #expect(check.holds, "\(check)")
    #expect(check.found >= check.acknowledged && check.acknowledged >= 3000)
  }

  @Test func twoAdoptersNeverBothLandASegment_B10() async throws {
    for life in 0..<6 {
      let writer = try start("append", life: life)
      try await writer.pass("start")
      let journal = directory.file("journal-\(life)")
      #expect(await eventually { AcknowledgementJournal.count(in: journal) >= 500 })
      await writer.kill()
    }
    let drains = try PeerGroup.start(3, of: peer) { [self] _ in settings(life: 0).arguments(for: "drain") }
    try await drains.pass("start")
    await drains.peers[0].kill()
    for drain in drains.peers[1...] { drain.open("finish") }
    for drain in drains.peers[1...] { #expect(await drain.end() == .exited(0)) }
    let check = try await check(lives: 6)
    #expect(check.holds, "\(check)")
  }

  @Test func withoutRoomAppendsAreRefusedByNameAndWorkAgainByThemselves_C10() async throws {
    let process = try start("fillWithoutRoom", life: 0)
    try await process.pass("start")
    #expect(await process.word() == "diskFull 1")
    #expect(await process.word() == "accepted")
    #expect(await process.end() == .exited(0))
    let check = try await check(lives: 1, isOrdered: true)
    #expect(check.acknowledged > 100 && check.holds, "\(check)")
  }

  @Test func aForkedChildMayNotUseTheSpoolAndItsParentGoesOn_B06() async throws {
    let process = try start("forkWithSpool", life: 0)
    try await process.pass("start")
    #expect(await process.word() == "refused")
    #expect(await process.end() == .exited(0))
    let check = try await check(lives: 1)
    #expect(check.found == 2)
    #expect(check.holds, "\(check)")
  }

  @Test func aSegmentThatOutlivedItsCommitIsNotLandedAgain_B10() async throws {
    let file = try await StateFile.open(directory.file("numbers.db"), migrations: numbers)
    let configuration = Spool.Configuration(directory: directory.file("spool"), stream: "numbers")
    let first = try Spool.open(configuration)
    for number in 100..<200 { try first.append(number) }
    let segments = try SpoolDirectory.open(directory.file("spool"))
    let path = try #require(segments.segments(of: "numbers").first).path(in: segments.path)
    let bytes = try [UInt8](contentsOf: path)
    first.startDraining(into: file, apply: insertNumbers)
    try await first.flush()
    await first.close()
    await file.close()
    // As if the process had died between the commit and the removal of the file.
    try bytes.write(to: path)
    let check = try await check(lives: 0)
    #expect(check.found == 100)
    #expect(check.holds, "\(check)")
  }
}
