// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine
import HoldfastTestKit
import Testing

@testable import HoldfastMailbox

/// Schedules in `inbound.db`: what holds beyond what every store promises.
@Suite("Schedules in a mailbox")
struct ScheduleStoreTests {
  private let directory: TemporaryDirectory
  private let store: SQLiteMailboxStore
  private let address: MailboxAddress
  private let start = UTCInstant("2026-05-05T09:30:00Z")!
  private let due = UTCInstant("2026-05-05T10:00:00Z")!

  init() throws {
    directory = try TemporaryDirectory()
    store = SQLiteMailboxStore(home: directory.file("home"))
    address = try MailboxAddress("writer/session-1")
  }

  private func put(_ series: String) async throws {
    let schedule = NewMailboxSchedule(
      series: series, cron: "0 * * * *", content: try MailboxContent(json: "1"))
    try await store.putSchedule(schedule, in: address, now: start)
  }

  private func change(_ sql: String) async throws {
    try await store.with(address) { mailbox in try await mailbox.write { db in try db.execute(sql: sql) } }
  }

  @Test(
    "what cannot be read any more is retired with its reason, never tried again, and holds nothing up",
    arguments: [
      ("cron = 'every day'", "fields"), ("time_zone = 'Europe/Nowhere'", "time zone"),
      ("cron = CAST(x'2a202a202a202a20ff' AS TEXT)", "day of week"),
      ("cron = '0 * * * *' || char(0) || '1'", "day of week"),
      ("content = CAST(x'ff' AS TEXT)", "UTF-8"), ("kind = CAST(x'ff41' AS TEXT)", "UTF-8"),
    ])
  func unreadableIsRetired_E10(_ harm: String, _ reason: String) async throws {
    try await put("bad")
    try await put("good")
    try await change("UPDATE schedules SET \(harm) WHERE series = 'bad'")
    let runs = try await store.runDueSchedules(in: address, now: due)
    #expect(runs.sent == ["good@2026-05-05T10:00:00Z"])
    #expect(runs.retired.map(\.subject) == ["bad"])
    #expect(runs.retired.first?.reason.contains(reason) == true, "\(runs.retired)")
    #expect(runs.next == due.advanced(by: .seconds(3600)))
    let kept = try await store.with(address) { mailbox in
      try await mailbox.read { db in
        try String.fetchAll(
          db,
          sql: """
            SELECT state FROM schedules WHERE series = 'bad' AND next_run IS NULL
            UNION ALL SELECT error FROM schedules WHERE series = 'bad'
            """)
      }
    }
    #expect(kept == ["retired", runs.retired.first?.reason])
    let later = try await store.runDueSchedules(in: address, now: due.advanced(by: .seconds(7200)))
    #expect(later.retired.isEmpty)
    // Put right, it goes on.
    try await put("bad")
    let again = try await store.runDueSchedules(in: address, now: due)
    #expect(again.sent == ["bad@2026-05-05T10:00:00Z"])
    await store.close()
  }

  @Test("one whose expression was put right by hand can be resumed, one that was not says why it cannot")
  func retiredIsResumed_E10() async throws {
    try await put("s")
    try await change("UPDATE schedules SET cron = 'every day'")
    try await store.runDueSchedules(in: address, now: due)
    #expect(try await store.schedules(in: address).schedules.map(\.state) == [.retired])
    await #expect(throws: MailboxError.self) { try await store.runSchedule("s", in: address, now: due) }
    let error = await #expect(throws: MailboxError.self) {
      try await store.resumeSchedule("s", in: address, now: due)
    }
    #expect(error?.code == .invalid)
    #expect(try await store.schedules(in: address).schedules.first?.error != nil)
    try await change("UPDATE schedules SET cron = '@daily'")
    let resumed = try await store.resumeSchedule("s", in: address, now: due)
    #expect(resumed.state == .active && resumed.error == nil)
    #expect(resumed.nextRun == UTCInstant("2026-05-06T00:00:00Z"))
    await store.close()
  }

  @Test(
    "a schedule is moved on and its message sent in one transaction: without the one there is not the other")
  func movedAndSentInOneStep_E10() async throws {
    try await put("s")
    try await change(
      """
      CREATE TRIGGER no_more BEFORE INSERT ON messages_in BEGIN SELECT RAISE(ABORT, 'the disk is full'); END
      """)
    await #expect(throws: (any Error).self) { try await store.runDueSchedules(in: address, now: due) }
    var schedule = try #require(try await store.schedules(in: address).schedules.first)
    #expect(schedule.nextRun == due && schedule.runs == 0 && schedule.lastRun == nil)
    try await change("DROP TRIGGER no_more")
    #expect(try await store.runDueSchedules(in: address, now: due).sent == ["s@2026-05-05T10:00:00Z"])
    schedule = try #require(try await store.schedules(in: address).schedules.first)
    #expect(schedule.runs == 1)
    await store.close()
  }

  @Test("a time that has had its message has had it, whatever happened to the schedule")
  func sentByItsTime_E10() async throws {
    try await put("s")
    try await store.runDueSchedules(in: address, now: due)
    // As an older copy of the row would have it, with another content.
    try await change("UPDATE schedules SET next_run = \(due.milliseconds), content = '2', missed = 'all'")
    let again = try await store.runDueSchedules(in: address, now: due.advanced(by: .seconds(1)))
    #expect(again.sent.isEmpty && again.leftOut == 0)
    #expect(try await store.summary(of: address).pending == 1)
    #expect(try await store.schedules(in: address).schedules.map(\.runs) == [1])
    await store.close()
  }

  @Test("an active schedule whose time somebody took away gets the next one")
  func lostTimeIsFound_E10() async throws {
    try await put("s")
    try await change("UPDATE schedules SET next_run = NULL")
    let runs = try await store.runDueSchedules(in: address, now: start)
    #expect(runs.sent.isEmpty && runs.next == due)
    #expect(try await store.schedules(in: address).schedules.map(\.nextRun) == [due])
    await store.close()
  }
}
