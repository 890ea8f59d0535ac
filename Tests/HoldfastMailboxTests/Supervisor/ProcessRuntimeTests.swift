// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastEngine
import HoldfastTestKit
import Testing

@testable import HoldfastMailbox

/// Real processes, started and ended.
@Suite(.serialized) struct ProcessRuntimeTests {
  private let test: WorkerTest

  init() throws { test = try WorkerTest() }

  @Test func aWorkerIsTheLeaderOfItsGroupAndHoldsTheMailboxsLock() async throws {
    #expect(!test.lock.isHeld)
    let worker = try await test.start("idle")
    let pid = await test.arrival("idle")
    #expect(worker.identity.process == ProcessStamp(pid: pid))
    #expect(getpgid(pid) == pid)
    #expect(test.lock.isHeld)
    #expect(LockTable.processes(withLockedFileAt: test.lock.path) == [pid])
    try await worker.terminate()
    #expect(await worker.end() == .signalled(SIGTERM))
    #expect(!test.lock.isHeld)
    #expect(!test.isAlive(pid))
    // Later signals meet nobody, and a second wait is answered, too.
    try await worker.kill()
    #expect(await worker.end() == .signalled(SIGTERM))
  }

  @Test func aWorkerFindsItsContractInItsEnvironment() async throws {
    var runtime = test.runtime("environment")
    runtime.environment["OWN"] = "a b=c"
    let worker = try await runtime.start(test.launch, lock: test.lock, logger: test.logger)
    await test.arrival("environment")
    let text = try String(contentsOfFile: test.directory.file("environment-1"), encoding: .utf8)
    for line in [
      "HOLDFAST_AGENT=agent", "HOLDFAST_SESSION=session", "HOLDFAST_INCARNATION=1",
      "HOLDFAST_HEARTBEAT_SECONDS=10", "HOLDFAST_MAILBOX=\(test.mailbox)", "OWN=a b=c",
    ] { #expect(text.split(separator: "\n").contains(Substring(line))) }
    #expect(text.hasSuffix("PWD is \(test.mailbox)"))
    try await worker.kill()
    #expect(await worker.end() == .signalled(SIGKILL))
  }

  @Test func aDeafWorkerEndsByForceOnly() async throws {
    let worker = try await test.start("deaf")
    let pid = await test.arrival("deaf")
    try await worker.terminate()
    // The signal has been delivered once the process has nothing pending.
    #expect(
      await eventually {
        let status = (try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)) ?? ""
        return status.contains("ShdPnd:\t0000000000000000")
      })
    #expect(test.isAlive(pid))
    try await worker.kill()
    #expect(await worker.end() == .signalled(SIGKILL))
  }

  @Test func aWorkerHasNotEndedBeforeAllItStarted_C02() async throws {
    let worker = try await test.start("leave")
    // The leader has left by itself; what it left is in a group of its own and minds no SIGTERM.
    #expect(await worker.end() == .exited(0))
    let left = await test.arrival("deafSpill")
    #expect(left > 0 && left != worker.identity.process?.pid)
    #expect(!test.lock.isHeld)
    // A process gives its files and their locks back an instant before it is a zombie; it can write no more.
    #expect(await eventually { !test.isAlive(left) })
    guard case .recovered = try await test.lock.recoverJournal(of: test.outbound) else {
      Issue.record("the journal was not hot")
      return
    }
    #expect(try await test.contents() == [#""old""#])
  }

  @Test func nothingIsStartedBesideWhatLivesAndNothingIsRecoveredUnderIt_C02() async throws {
    let worker = try await test.start("spill")
    await test.arrival("spill")
    let before = try test.journal
    await #expect(throws: WorkerRuntimeError.self) { try await test.start("idle") }
    await #expect { try await test.lock.recoverJournal(of: test.outbound) } throws: {
      ($0 as? StoreError)?.code == .transient
    }
    #expect(try test.journal == before)
    try await worker.kill()
    _ = await worker.end()
    #expect(try await test.lock.recoverJournal(of: test.outbound) != .notHot)
    #expect(try await test.lock.recoverJournal(of: test.outbound) == .notHot)
  }

  @Test func whatCannotBeStartedSaysSoAndHoldsNothing() async throws {
    for command in [["/nowhere/worker"], ["no-such-program-of-ours"]] {
      await #expect {
        try await ProcessRuntime(command: command).start(test.launch, lock: test.lock, logger: test.logger)
      } throws: { error in
        (error as? WorkerRuntimeError)?.message.contains(command[0]) == true
      }
      #expect(!test.lock.isHeld)
    }
  }

  @Test func outputGoesToTheMailboxsLog() async throws {
    let shell = ProcessRuntime(command: ["sh", "-c", "echo out; echo err >&2"])
    for _ in 1...2 {
      let worker = try await shell.start(test.launch, lock: test.lock, logger: test.logger)
      #expect(await worker.end() == .exited(0))
    }
    #expect(
      try String(contentsOfFile: test.directory.file("worker.log"), encoding: .utf8) == "out\nerr\nout\nerr\n"
    )
  }

  // MARK: Orphans

  /// A worker whose host was killed.
  private func orphaned(_ way: String) async throws -> Int32 {
    var settings = PeerSettings(database: test.mailbox)
    settings.files = [test.peer, "worker", way]
    let host = try PeerProcess.start(test.peer, arguments: settings.arguments(for: "host"))
    #expect(await host.word() == "started")
    let pid = await test.arrival(way)
    await host.kill()
    return pid
  }

  @Test func aKilledHostsWorkerIsFoundByItsLockAlone_B07() async throws {
    let pid = try await orphaned("idle")
    #expect(test.isAlive(pid))
    #expect(test.lock.isHeld)
    // The host died before it wrote down whom it had started.
    let found = try await test.runtime("idle").orphan(
      of: WorkerRecord(), address: test.address, lock: test.lock, logger: test.logger)
    let orphan = try #require(found)
    try await orphan.terminate()
    #expect(await orphan.end() == .gone)
    #expect(!test.lock.isHeld)
    #expect(await eventually { !test.isAlive(pid) })
  }

  @Test func andByItsStampAndKilledWhenItDoesNotMind_B07() async throws {
    let pid = try await orphaned("deafSpill")
    var record = WorkerRecord()
    record.process = ProcessStamp(pid: pid)
    let found = try await test.runtime("idle").orphan(
      of: record, address: test.address, lock: test.lock, logger: test.logger)
    let orphan = try #require(found)
    try await orphan.terminate()
    #expect(test.isAlive(pid))
    try await orphan.kill()
    #expect(await orphan.end() == .gone)
    #expect(try await test.lock.recoverJournal(of: test.outbound) != .notHot)
  }

  /// The number is another's by now: ours, to be sure that it is alive.
  @Test func anotherProcessWithTheNumberIsNotTouched_B07() async throws {
    var record = WorkerRecord()
    let me = try #require(ProcessStamp(pid: getpid()))
    record.process = ProcessStamp(pid: me.pid, start: me.start - 1, boot: me.boot)
    #expect(
      try await test.runtime("idle").orphan(
        of: record, address: test.address, lock: test.lock, logger: test.logger) == nil)
    record.process = ProcessStamp(pid: me.pid, start: me.start, boot: "another boot")
    #expect(record.process?.send(SIGKILL) == false)
    #expect(me.isAlive)
  }
}
