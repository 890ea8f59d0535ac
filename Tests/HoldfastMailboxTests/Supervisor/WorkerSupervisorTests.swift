// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine
import HoldfastTestKit
import Testing

@testable import HoldfastMailbox

/// The supervisor over real workers: every way in which one ends, with a transaction half done.
@Suite(.serialized) struct WorkerSupervisorTests {
  private let test: WorkerTest

  init() throws { test = try WorkerTest() }

  /// How a worker comes to its end.
  enum Way: String, CaseIterable {
    case crash, ceiling, stuckClaim, stopWanted, hostStops
  }

  @Test(arguments: Way.allCases)
  func whateverEndsAWorkerItsTransactionIsUndoneAndTheNextPollWorks_C01_C02_E07(_ way: Way) async throws {
    let book = MemoryBook()
    await book.read { [test] in try await test.contents() }
    let supervised = Supervised(
      test, way == .hostStops || way == .stopWanted ? "spill,idle" : "deafSpill,idle", book: book
    ) {
      $0.heartbeatCeiling = .seconds(100)
      $0.spawnGrace = .seconds(20)
    }
    let scenario = way == .hostStops || way == .stopWanted ? "spill" : "deafSpill"
    #expect(await supervised.prod { supervised.names.contains("started") })
    let pid = await test.arrival(scenario)

    // While it lives nothing is recovered, however often it is looked at (C02).
    let before = try test.journal
    await supervised.pass(15)
    #expect(try test.journal == before)
    #expect(test.isAlive(pid))
    #expect(!supervised.names.contains("recovered"))
    // Nor can anything be taken in from a file that it has locked.
    let drained = await book.drains.count

    switch way {
    case .crash: kill(pid, SIGKILL)
    case .ceiling: await supervised.pass(3000) { supervised.names.contains("stopping") }
    case .stuckClaim:
      await book.hold([WorkerClaim(message: "m1", attempt: 0, incarnation: 1, claimedAt: 1)])
      await supervised.pass(200) { supervised.names.contains("stopping") }
    case .stopWanted: await book.want(false)
    case .hostStops: break
    }
    if way == .hostStops {
      await supervised.end()
    } else {
      await supervised.pass(200) { supervised.names.contains("ended") }
    }
    #expect(!test.isAlive(pid))
    let names = supervised.names
    let recovered = try #require(names.firstIndex(of: "recovered"), "\(names)")
    #expect(try #require(names.firstIndex(of: "ended")) > recovered)
    if case .recovered(let file, let pages) = supervised.news[recovered] {
      #expect(file == "outbound.db")
      #expect(pages > 0)
    }
    // The drain at its end met a file that can be read, and what was there before.
    #expect(await book.drains.count > drained)
    #expect(await book.drains.allSatisfy { $0 == [#""old""#] })
    #expect(try await test.contents() == [#""old""#])
    let reason: String? =
      switch way {
      case .crash: nil
      case .ceiling: "silent"
      case .stuckClaim: "stuck on m1"
      case .stopWanted: "stop wanted"
      case .hostStops: "host stops"
      }
    #expect(try await book.worker()?.lastReason == reason)
    if way == .ceiling || way == .stuckClaim { #expect(names.contains("killed")) }
    if way == .crash { #expect(!names.contains("stopping")) }
    #expect(await book.released.last == 1)

    // And it goes on, but where it is not wanted.
    if way == .stopWanted {
      await supervised.pass(200)
      #expect(supervised.names.count { $0 == "started" } == 1)
      #expect(try await book.isWanted() == false)
    } else if way != .hostStops {
      await supervised.pass(200) { supervised.names.count { $0 == "started" } == 2 }
      await test.arrival("idle", 2)
      #expect(try await book.worker()?.incarnation == 2)
    }
    if way != .hostStops { await supervised.end() }
    #expect(!test.lock.isHeld)
  }

  /// A host was killed, its worker lives on in the middle of a transaction: the next host ends it, recovers, goes on.
  @Test(arguments: [true, false])
  func aHostThatStartsEndsTheOrphanOfTheLast_C01_B07(orphanLives: Bool) async throws {
    var settings = PeerSettings(database: test.mailbox)
    settings.files = [test.peer, "worker", "deafSpill"]
    let host = try PeerProcess.start(test.peer, arguments: settings.arguments(for: "host"))
    #expect(await host.word() == "started")
    let pid = await test.arrival("deafSpill")
    var record = WorkerRecord()
    record.incarnation = 1
    record.process = ProcessStamp(pid: pid)
    await host.kill()
    if !orphanLives {
      kill(pid, SIGKILL)
      // Its locks go an instant before it does.
      #expect(await eventually { !test.lock.isHeld && !test.isAlive(pid) })
    }
    let book = MemoryBook(record)
    await book.read { [test] in try await test.contents() }
    let supervised = Supervised(test, "fail,idle", book: book)
    await supervised.pass(100) { supervised.names.contains("started") }
    await test.arrival("idle", 2)
    #expect(!test.isAlive(pid))
    let names = supervised.names
    let expected =
      orphanLives ? ["stopping", "killed", "recovered", "ended", "started"] : ["recovered", "started"]
    #expect(names == expected)
    #expect(await book.drains.allSatisfy { $0 == [#""old""#] })
    await supervised.end()
  }

  @Test func aHostToldToStopAsItStartsEndsTheOrphanOfTheLast_C01_B07() async throws {
    var settings = PeerSettings(database: test.mailbox)
    settings.files = [test.peer, "worker", "deafSpill"]
    let host = try PeerProcess.start(test.peer, arguments: settings.arguments(for: "host"))
    #expect(await host.word() == "started")
    let pid = await test.arrival("deafSpill")
    var record = WorkerRecord()
    record.incarnation = 1
    record.process = ProcessStamp(pid: pid)
    await host.kill()
    let supervised = Supervised(test, "idle", book: MemoryBook(record), isToldToStop: true)
    await supervised.end()
    #expect(!test.isAlive(pid))
    #expect(supervised.names == ["stopping", "killed", "recovered", "ended"])
    #expect(try await test.contents() == [#""old""#])
  }

  @Test func anEndIsSeenToWhileALookAtTheWorkersFileIsUnderWay_C01_E03() async throws {
    let (releases, release) = AsyncStream<Void>.makeStream()
    let (isWanted, isHeld) = (Monitor(false), Monitor(false))
    let book = MemoryBook()
    await book.read { [test] in
      let isFirst = isWanted.withLock { isWanted in
        defer { isWanted = false }
        return isWanted
      }
      if isFirst {
        isHeld.withLock { $0 = true }
        for await _ in releases { break }
      }
      return try await test.contents()
    }
    let supervised = Supervised(test, "spill,idle", book: book)
    #expect(await supervised.prod { supervised.names.contains("started") })
    let pid = await test.arrival("spill")
    isWanted.withLock { $0 = true }
    #expect(await supervised.prod { isHeld.withLock { $0 } })
    kill(pid, SIGKILL)
    #expect(await supervised.prod { supervised.names.contains("ended") })
    #expect(supervised.names == ["started", "recovered", "ended", "pausing"])
    // What that look finds in the end is no news of the worker that is there now.
    release.yield()
    await supervised.pass(10) { supervised.names.contains("healthy") || supervised.names.count > 4 }
    await supervised.end()
  }

  @Test func whatAWorkerSaysLastIsTakenInAtItsEnd_E07() async throws {
    let book = MemoryBook()
    await book.read { [test] in try await test.contents() }
    let supervised = Supervised(test, "say", book: book)
    #expect(await supervised.prod { supervised.names.contains("ended") })
    #expect(await book.drains.contains([#""old""#, #""last words""#]))
    await supervised.end()
  }

  @Test func aHeartbeatOfAnotherIsGoneBeforeAWorkerStarts_E02() async throws {
    let path = test.directory.file("heartbeat")
    try Data().write(to: URL(fileURLWithPath: path))
    try FileManager.default.setAttributes(
      [.modificationDate: Date(timeIntervalSinceNow: -7200)], ofItemAtPath: path)
    let book = MemoryBook()
    await book.hold([WorkerClaim(message: "m", attempt: 0, incarnation: 0, claimedAt: 1)])
    let supervised = Supervised(test, "idle", book: book)
    await supervised.pass(1000) { supervised.names.contains("started") }
    await test.arrival("idle")
    #expect(!FileManager.default.fileExists(atPath: path))
    #expect(try await book.claims().isEmpty)
    await supervised.pass(600)
    #expect(supervised.names == ["started"])
    await supervised.end()
  }

  @Test func aCrashLoopPausesLongerAndIsToldAsBroken() async throws {
    let supervised = Supervised(test, "fail") {
      $0.breakerEnds = 4
      // Its clock runs while the worker is still on its way to its end.
      $0.healthyAfter = .seconds(1_000_000)
    }
    await supervised.pass { supervised.names.count { $0 == "ended" } == 5 }
    let pauses = supervised.news.compactMap { news -> Duration? in
      if case .pausing(let pause, _) = news { pause } else { nil }
    }
    #expect(await supervised.prod { supervised.names.count { $0 == "pausing" } == 5 })
    #expect(pauses.prefix(4) == [.seconds(1), .seconds(2), .seconds(4), .seconds(600)])
    #expect(try await supervised.book.worker()?.state == .broken)
    #expect(try await supervised.book.worker()?.lastExit == "exit 3")
    await supervised.end()
  }

  @Test func anUnreadableMailboxKillsNobodyAndStartsNobody_E03() async throws {
    let book = MemoryBook()
    let supervised = Supervised(test, "idle", book: book)
    #expect(await supervised.prod { supervised.names.contains("started") })
    let pid = await test.arrival("idle")
    await book.set(isBroken: true)
    await supervised.pass(300)
    #expect(test.isAlive(pid))
    #expect(supervised.names.filter { $0 != "started" && $0 != "troubled" } == [])
    // Dead meanwhile: kept at until the book can be written again.
    kill(pid, SIGKILL)
    await supervised.pass(30)
    #expect(!supervised.names.contains("ended"))
    await book.set(isBroken: false)
    await supervised.pass(100) { supervised.names.count { $0 == "started" } == 2 }
    await supervised.end()
  }

  @Test func twoHostsDoNotWatchOverOneWorker_B14() async throws {
    let first = Supervised(test, "idle")
    #expect(await first.prod { first.names.contains("started") })
    let second = Supervised(test, "idle")
    #expect(await eventually { second.names.contains("troubled") })
    if case .troubled(let stage, let message, _) = second.news[0] {
      #expect(stage == "open")
      #expect(message.contains("agent/session"))
    }
    #expect(!second.names.contains("started"))
    await first.end()
    // What kept it has passed.
    await eventuallyStarted(second)
    await second.end()
  }

  private func eventuallyStarted(_ supervised: Supervised) async {
    #expect(
      await eventually {
        supervised.clock.advance(by: .seconds(1))
        supervised.supervisor.look()
        return supervised.names.contains("started")
      })
  }
}
