// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastMailbox
import HoldfastTestKit
import HoldfastUsage
import Logging
import Synchronization
import Testing

@testable import HoldfastGateway

/// The service that makes backups by a schedule, on a clock of the test's.
@Suite struct ScheduledBackupsTests {
  /// The world of one service: a clock, what is in the backups' directory, and what making one comes to.
  private final class World: Sendable {
    let clock = FakeClock()
    let lastSuccess = Mutex<UnixTime?>(nil)
    let outcomes = Mutex<[ScheduledBackups.Outcome]>([])
    let made = Mutex<[UnixTime]>([])

    init(_ outcomes: [ScheduledBackups.Outcome] = []) { self.outcomes.withLock { $0 = outcomes } }

    var now: UnixTime {
      UnixTime(nanoseconds: 1_794_787_200_000_000_000) + clock.now.sinceStart
    }

    func start(_ schedule: BackupSchedule = .init(.hourly, minute: 0)) -> (
      ScheduledBackups, Task<Void, Never>
    ) {
      var plan = BackupPlan.standard(home: "/nowhere")
      plan.schedule = schedule
      let service = ScheduledBackups(
        plan: plan,
        actions: .init(
          now: { self.now }, sleep: { try await self.clock.sleep(for: $0) },
          lastSuccess: { self.lastSuccess.withLock { $0 } },
          make: {
            let now = self.now
            self.made.withLock { $0.append(now) }
            let outcome = self.outcomes.withLock { $0.isEmpty ? .made(bytes: 7) : $0.removeFirst() }
            if case .made = outcome { self.lastSuccess.withLock { $0 = now } }
            return outcome
          }),
        logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
      return (service, Task { await service.loop() })
    }

    /// Lets `minutes` pass, a minute at a time, each after the service has gone to sleep.
    func pass(_ minutes: Int) async {
      for _ in 0..<minutes {
        await clock.sleepers(1)
        clock.advance(by: .seconds(60))
      }
      await clock.sleepers(1)
    }
  }

  private func status(_ progress: BackupProgress) -> StatusReport {
    StatusReport(home: "/nowhere", daemon: nil, ledger: nil, backups: progress)
  }

  @Test func oneIsMadeAfterTheStartAndThenOneAnHour_C18() async {
    let world = World()
    let (service, running) = world.start()
    await world.pass(150)
    running.cancel()
    await running.value
    let minutes = world.made.withLock { $0.map { ($0.nanoseconds / 60_000_000_000) % (24 * 60) } }
    #expect(minutes == [1, 60, 120])
    let snapshot = service.progress.snapshot
    #expect(snapshot.made == 3 && snapshot.failed == 0 && !snapshot.isRunning)
    #expect(snapshot.lastBytes == 7)
    #expect(status(service.progress).findings.isEmpty)
    #expect(status(service.progress).backup?.next == "2026-11-16T03:00:00.000Z")
  }

  @Test func aFailureIsAFindingUntilOneSucceeds_C18() async {
    let world = World([.failed("The disk is full."), .elsewhere, .made(bytes: 1)])
    let (service, running) = world.start(.init(.daily, minute: 0))
    await world.pass(2)
    var report = status(service.progress)
    #expect(report.findings.map(\.code) == ["backup-failed"])
    #expect(report.findings.first?.message.contains("The disk is full.") == true)
    #expect(report.health == .degraded)
    // Five minutes later somebody else is at it, which is no failure; five more, and it is made.
    await world.pass(11)
    report = status(service.progress)
    #expect(report.findings.isEmpty)
    #expect(world.made.withLock { $0.count } == 3)
    #expect(service.progress.snapshot.failed == 1)
    let page = MetricsPage.text(
      .init(), ledger: UsageLedgerStatus(), backups: service.progress.snapshot, home: "/nowhere")
    #expect(page.contains(#"holdfast_backups_total{outcome="failed"} 1"#))
    #expect(page.contains(#"holdfast_backups_total{outcome="made"} 1"#))
    #expect(page.contains("holdfast_backup_last_bytes 1\n"))
    #expect(page.contains("holdfast_backup_last_success_timestamp_seconds 17947"))
    running.cancel()
    await running.value
  }

  @Test func aBackupThatSomebodyMadeByHandCounts_C18() async {
    let world = World()
    let (_, running) = world.start(.init(.daily, minute: 0))
    await world.clock.sleepers(1)
    world.lastSuccess.withLock { $0 = world.now }
    await world.pass(10)
    #expect(world.made.withLock { $0.isEmpty })
    running.cancel()
    await running.value
  }

  @Test func oneThatIsOverdueIsSaid_C18() async {
    let world = World(Array(repeating: .failed("No."), count: 100))
    let (service, running) = world.start()
    await world.pass(70)
    #expect(Set(status(service.progress).findings.map(\.code)) == ["backup-failed", "backup-overdue"])
    running.cancel()
    await running.value
  }

  @Test func theOrderToStopDoesNotWaitForABackup_C18() async {
    let world = World()
    let never = AsyncStream.makeStream(of: Void.self)
    let begun = AsyncStream.makeStream(of: Void.self)
    let service = ScheduledBackups(
      plan: .standard(home: "/nowhere"),
      actions: .init(
        now: { world.now }, sleep: { try await world.clock.sleep(for: $0) }, lastSuccess: { nil },
        make: {
          begun.continuation.yield()
          for await _ in never.stream {}
          return .elsewhere
        }),
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    let running = Task { await service.loop() }
    await world.clock.sleepers(1)
    world.clock.advance(by: .seconds(60))
    for await _ in begun.stream { break }
    #expect(service.progress.snapshot.isRunning)
    running.cancel()
    await running.value
    never.continuation.finish()
  }

  @Test func theDatabasesOfAHomeAreSavedEachInItsTurn_C18() async throws {
    let home = try TemporaryDirectory()
    for name in ["usage", "state", "search"] {
      let connection = try ForeignConnection(home.file(name + ".db"))
      try connection.run("PRAGMA journal_mode = WAL; CREATE TABLE t(a); INSERT INTO t VALUES ('\(name)')")
    }
    let work = HomeBackup(plan: .standard(home: home.path), home: home.path)
    let now = UnixTime.now()
    #expect(work.lastSuccess(now: now) == nil)
    // Another process is at it.
    let turn = try #require(try BackupTurn.take(in: home.file("backups")))
    #expect(await work.make(now: now) == .elsewhere)
    turn.end()
    guard case .made(let bytes) = await work.make(now: now) else {
      Issue.record("no backup was made")
      return
    }
    let found = Backup.list(in: home.file("backups"))
    #expect(found.map(\.database).sorted() == ["state.db", "usage.db"], "search.db can be made again")
    #expect(found.allSatisfy { $0.compression == "gzip" })
    #expect(found.map(\.fileBytes).reduce(0, +) == bytes)
    let last = try #require(work.lastSuccess(now: .now()))
    #expect(last >= now + .seconds(-1))
    // Nothing is due any more, so nothing is made.
    let newest = try #require(found.map(\.time).max())
    #expect(await work.make(now: newest) == .made(bytes: 0))
    #expect(Backup.list(in: home.file("backups")).count == 2)
  }

  @Test func theMailboxesOfAHomeAreSavedEachInItsTurn_C18() async throws {
    let home = try TemporaryDirectory()
    let store = SQLiteMailboxStore(home: home.path)
    let addresses = try ["a/one", "b/two"].map { try MailboxAddress($0) }
    for address in addresses {
      try await store.send(NewMailboxMessage(content: MailboxContent(text: "hello")), to: address)
    }
    let work = HomeBackup(plan: .standard(home: home.path), home: home.path)
    let backup = MailboxBackup(home: home.path, directory: home.file("backups"))
    guard case .made(let bytes) = await work.make(now: .now()) else {
      Issue.record("no backup was made")
      return
    }
    let copies = addresses.flatMap { backup.copies(of: $0) }
    #expect(copies.map(\.address) == addresses && backup.addresses == addresses)
    #expect(copies.allSatisfy { $0.outbound.compression == "gzip" && $0.attachments == nil })
    #expect(copies.reduce(0) { $0 + $1.inbound.fileBytes + $1.outbound.fileBytes } == bytes)
    // Nothing is due any more, so nothing is made; and the day after, all are.
    let newest = try #require(copies.map(\.outbound.time).max())
    #expect(await work.make(now: newest) == .made(bytes: 0))
    guard case .made(1...) = await work.make(now: newest + .seconds(86_400)) else {
      Issue.record("no backup was made on the next day")
      return
    }
    await store.close()
  }

  @Test func aDatabaseThatCannotBeSavedKeepsTheOthersFromNothing_C18() async throws {
    let home = try TemporaryDirectory()
    try ForeignConnection(home.file("usage.db")).run("CREATE TABLE t(a)")
    let broken = try ForeignConnection(home.file("state.db"))
    try broken.run("CREATE TABLE t(a); INSERT INTO t VALUES (1)")
    try broken.run("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = 77 WHERE name = 't'")
    let work = HomeBackup(plan: .standard(home: home.path), home: home.path)
    guard case .failed(let reason) = await work.make(now: .now()) else {
      Issue.record("damage went unnoticed")
      return
    }
    #expect(reason.contains("state.db"))
    #expect(Backup.list(in: home.file("backups")).map(\.database) == ["usage.db"])
  }
}
