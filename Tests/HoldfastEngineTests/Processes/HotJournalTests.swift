// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

/// Writers in rollback mode that end in the middle of a transaction.
@Suite(.serialized) struct HotJournalTests {
  private let test: PeerTest
  private var path: String { test.database }

  init() throws {
    test = try PeerTest()
    let foreign = try ForeignConnection(test.database)
    try foreign.run(
      "CREATE TABLE note(id INTEGER PRIMARY KEY, text TEXT); INSERT INTO note(text) VALUES ('old')")
  }

  /// A writer that stands before its commit, with so many rows added.
  private func writer(rows: UInt64) async throws -> PeerProcess {
    let peer = try test.start(.spill, count: rows)
    try await peer.pass("start")
    try await peer.arrival(at: "inside")
    return peer
  }

  private func exited(_ peer: PeerProcess) async throws -> ExitedProcess {
    guard case .killed(let signal) = await peer.kill() else { throw CancellationError() }
    return try #require(ExitedProcess(reaped: peer.pid, status: signal))
  }

  private func texts() async throws -> [String] {
    try await ForeignReader(path, patience: .milliseconds(50)).read {
      try String.fetchAll($0, sql: "SELECT text FROM note")
    }
  }

  private func readFailure() async -> Int32? {
    do {
      _ = try await texts()
      return nil
    } catch {
      return ((error as? StoreError)?.underlying as? DatabaseError)?.extendedResultCode.rawValue
    }
  }

  private func files() throws -> [[UInt8]] {
    try [[UInt8](contentsOf: path), [UInt8](contentsOf: path + "-journal")]
  }

  private static var readingThreads: Int {
    let threads = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")) ?? []
    return threads.count { thread in
      (try? String(contentsOfFile: "/proc/self/task/\(thread)/comm", encoding: .utf8)) == "hf-foreign\n"
    }
  }

  private var verdict: FileVerdict { get throws { try Preflight.judge(.gather(path)).verdict } }

  @Test func aDeadWritersTransactionIsRolledBackAndReadingGoesOn_C01() async throws {
    let peer = try await writer(rows: 400)
    let dead = try await exited(peer)
    #expect(try verdict == .hotJournal)
    #expect(await readFailure() == 776)
    // A second time: the failed open for reading has not changed anything.
    #expect(try verdict == .hotJournal)
    let outcome = try await JournalRecovery.recoverJournal(of: path, after: dead)
    guard case .recovered(let pages) = outcome else {
      Issue.record("\(outcome)")
      return
    }
    // The database had two pages, and both were changed.
    #expect(pages == 2)
    #expect(try await texts() == ["old"])
    #expect(try verdict == .healthy)
    #expect(fileSize(path + "-journal") == nil)
    #expect(try test.integrity() == "ok")
    #expect(try await JournalRecovery.recoverJournal(of: path, after: dead) == .notHot)
  }

  @Test(.timeLimit(.minutes(1)))
  func readsThatWaitForADeadWritersJournalAreOutOfTheWayOfItsRecovery_C01() async throws {
    let peer = try await writer(rows: 400)
    let dead = try await exited(peer)
    let reader = try KeptForeignReader(path, patience: .seconds(3600))
    async let failures = withTaskGroup { group in
      for _ in 0..<3 {
        group.addTask {
          do {
            return try await reader.read { try String.fetchOne($0, sql: "SELECT text FROM note") }
          } catch {
            return (error as? StoreError)?.code == .transient ? nil : "\(error)"
          }
        }
      }
      return await group.reduce(into: []) { $0.append($1) }
    }
    // Every read has a thread of its own for as long as it takes; each of these would have an hour.
    #expect(await eventually { Self.readingThreads >= 3 })
    reader.isHurried = true
    #expect(await failures == [nil, nil, nil])
    await reader.close()
    reader.isHurried = false
    guard case .recovered = try await JournalRecovery.recoverJournal(of: path, after: dead) else {
      Issue.record("nothing was undone")
      return
    }
    #expect(try await reader.read { try String.fetchAll($0, sql: "SELECT text FROM note") } == ["old"])
    await reader.close()
  }

  @Test func theKernelsWordThatAProcessHasEndedIsEvidenceToo_C01() async throws {
    let peer = try await writer(rows: 400)
    await #expect { try await ExitedProcess.confirm(pid: peer.pid, within: .milliseconds(20)) } throws: {
      ($0 as? StoreError)?.code == .deadline
    }
    peer.send(SIGKILL)
    let dead = try await ExitedProcess.confirm(pid: peer.pid, within: .seconds(60))
    #expect(dead.pid == peer.pid)
    #expect(try await JournalRecovery.recoverJournal(of: path, after: dead) == .recovered(pages: 2))
    #expect(try await texts() == ["old"])
  }

  @Test func aLiveWritersTransactionIsLeftAlone_C02() async throws {
    let dead = try await exited(writer(rows: 1))
    let peer = try await writer(rows: 400)
    let before = try files()
    #expect(try verdict == .busy)
    await #expect {
      try await JournalRecovery.recoverJournal(of: path, after: dead, within: .milliseconds(50))
    } throws: { error in
      guard let error = error as? StoreError else { return false }
      return error.code == .transient && error.holders.contains { $0.pid == peer.pid }
    }
    #expect(try files() == before)
    peer.open("inside")
    #expect(await peer.word() == "written")
    #expect(await peer.end() == .exited(0))
    #expect(try await texts().count == 401)
    #expect(try await texts().first == "new")
    #expect(try test.integrity() == "ok")
  }

  /// The dead writer's journal is hot, and a reader that came before it still holds its lock.
  @Test func aLockOfAnybodyIsWaitedFor_C02() async throws {
    let dead = try await exited(writer(rows: 400))
    // Stands for the SHARED lock of any program; SQLite's own would roll the journal back.
    let file = try LockFile(path: path, creates: false)
    #expect(try file.tryLock(.shared, at: 0x4000_0002, length: 510))
    let before = try files()
    await #expect {
      try await JournalRecovery.recoverJournal(of: path, after: dead, within: .milliseconds(50))
    } throws: {
      ($0 as? StoreError)?.code == .transient
    }
    #expect(try files() == before)
    file.close()
    #expect(try await JournalRecovery.recoverJournal(of: path, after: dead) == .recovered(pages: 2))
  }

  @Test func aJournalThatIsNotHotTriggersNothing_C03() async throws {
    let peer = try await writer(rows: 0)
    let dead = try await exited(peer)
    // Killed before a page was spilled: the journal is there and its header was never written.
    #expect(try #require(fileSize(path + "-journal")) > 0)
    let unwritten = try files()
    #expect(try await JournalRecovery.recoverJournal(of: path, after: dead) == .notHot)
    #expect(try files() == unwritten)
    #expect(try await texts() == ["old"])
    #expect(try verdict == .healthy)

    // As PERSIST leaves it: whole but for its header.
    let hot = try await exited(writer(rows: 400))
    var zeroed = try [UInt8](contentsOf: path + "-journal")
    _ = try await JournalRecovery.recoverJournal(of: path, after: hot)
    zeroed.replaceSubrange(0..<28, with: [UInt8](repeating: 0, count: 28))
    for journal in [zeroed, []] {
      try journal.write(to: path + "-journal")
      let before = try files()
      #expect(try await JournalRecovery.recoverJournal(of: path, after: dead) == .notHot)
      #expect(try files() == before)
      #expect(try await texts() == ["old"])
      #expect(try verdict == .healthy)
    }
  }

  /// Hot is what SQLite says it is: each of these is put to a read-only connection, too.
  @Test func sqliteAgreesOnWhatIsHot_C03() async throws {
    _ = try await exited(writer(rows: 400))
    let hot = try files()
    var garbled = hot[1]
    garbled[1] ^= 0xff
    var zero = hot[1]
    zero[0] = 0
    for (journal, isHot) in [(hot[1], true), (garbled, true), (zero, false), ([], false)] {
      try hot[0].write(to: path)
      try journal.write(to: path + "-journal")
      #expect(try FileFacts.gather(path).isJournalHot == isHot)
      #expect((await readFailure() == 776) == isHot)
    }
  }

  @Test func onlyAnEndIsEvidence() {
    #expect(ExitedProcess(reaped: 7, status: 0)?.pid == 7)
    #expect(ExitedProcess(reaped: 7, status: 1 << 8) != nil)
    #expect(ExitedProcess(reaped: 7, status: SIGKILL) != nil)
    #expect(ExitedProcess(reaped: 7, status: 0x80 | SIGSEGV) != nil)
    #expect(ExitedProcess(reaped: 7, status: SIGSTOP << 8 | 0x7f) == nil)
    #expect(ExitedProcess(reaped: 7, status: 0xffff) == nil)
    #expect(ExitedProcess(reaped: 0, status: 0) == nil)
    #expect(ExitedProcess(reaped: -1, status: 0) == nil)
  }
}
