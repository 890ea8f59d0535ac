// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine
import HoldfastTestKit
import Logging
import Testing

@testable import HoldfastMailbox

/// The loop that runs the schedules of a home, on a clock that only the tests move.
@Suite("Running the schedules of a home")
struct ScheduleRunnerTests {
  private let directory: TemporaryDirectory
  private let home: String
  private let clock = FakeClock()
  private let start = UTCInstant("2026-05-05T09:59:30Z")!
  /// By how much the wall clock was set.
  private let shift = Monitor<Duration>(.zero)
  private let news = Monitor<[ScheduleRunner<FakeClock>.News]>([])

  init() throws {
    directory = try TemporaryDirectory()
    home = directory.file("home")
  }

  private func put(_ address: String, _ cron: String = "* * * * *", missed: MissedRuns = .all) async throws {
    let store = SQLiteMailboxStore(home: home)
    var schedule = NewMailboxSchedule(series: "s", cron: cron, content: try MailboxContent(json: "1"))
    schedule.missed = missed
    try await store.putSchedule(schedule, in: MailboxAddress(address), now: start)
    await store.close()
  }

  /// Runs the loop while a test moves the clock.
  private func running(_ body: () async throws -> Void) async throws {
    let (clock, start, shift, news) = (clock, start, shift, news)
    let runner = ScheduleRunner(
      SQLiteMailboxStore(home: home), clock: clock,
      now: { start.advanced(by: clock.now.sinceStart + shift.withLock { $0 }) },
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    ) { told in news.withLock { $0.append(told) } }
    let task = Task { await runner.run() }
    await clock.sleepers(1)
    let outcome: Result<Void, any Error>
    do { outcome = .success(try await body()) } catch { outcome = .failure(error) }
    task.cancel()
    await task.value
    try outcome.get()
  }

  /// Moves the clock, and waits until the loop has done its work and sleeps again.
  private func advance(_ seconds: Int) async {
    clock.advance(by: .seconds(seconds))
    await clock.sleepers(1)
  }

  private func sent(_ address: String) -> [String] {
    news.withLock { $0 }.filter { $0.mailbox.description == address }.flatMap(\.runs.sent)
  }

  @Test("every mailbox's schedules are run with the minute, those added meanwhile, too")
  func everyMinute_E10() async throws {
    try await put("a/1")
    try await put("b/1", "*/2 * * * *")
    try await running {
      #expect(news.withLock { $0 }.isEmpty)
      await advance(30)
      #expect(sent("a/1") == ["s@2026-05-05T10:00:00Z"])
      #expect(sent("b/1") == ["s@2026-05-05T10:00:00Z"])
      try await put("c/1")
      await advance(60)
      #expect(sent("a/1").last == "s@2026-05-05T10:01:00Z")
      #expect(sent("b/1").count == 1)
      // It was put as of half a minute before ten: that time is made up for.
      #expect(sent("c/1") == ["s@2026-05-05T10:00:00Z", "s@2026-05-05T10:01:00Z"])
    }
  }

  @Test("a clock that was set ahead is noticed within a minute; one that was set back runs nothing again")
  func clockIsSet_E10() async throws {
    try await put("a/1", "0 * * * *")
    try await running {
      shift.withLock { $0 = .seconds(3 * 3600) }
      await advance(30)
      let ahead = (10...13).map { "s@2026-05-05T\($0):00:00Z" }
      #expect(sent("a/1") == ahead)
      shift.withLock { $0 = .zero }
      // It is ten again; the hours that come have had their messages.
      for _ in 0..<239 { await advance(60) }
      #expect(sent("a/1") == ahead)
      await advance(60)
      #expect(sent("a/1") == ahead + ["s@2026-05-05T14:00:00Z"])
    }
  }

  @Test("a mailbox that cannot be used costs the others nothing, and is run seconds after it can be")
  func oneMailboxCannotBeUsed_E10() async throws {
    try await put("a/1")
    try await put("b/1")
    let (place, kept) = (home + "/mailboxes/a/1", home + "/kept")
    try FileManager.default.moveItem(atPath: place, toPath: kept)
    // A link where the directory was is refused.
    try FileManager.default.createSymbolicLink(atPath: place, withDestinationPath: kept)
    try await running {
      for _ in 0..<6 { await advance(5) }
      #expect(sent("b/1") == ["s@2026-05-05T10:00:00Z"])
      #expect(sent("a/1").isEmpty)
      try FileManager.default.removeItem(atPath: place)
      try FileManager.default.moveItem(atPath: kept, toPath: place)
      await advance(5)
      #expect(sent("a/1") == ["s@2026-05-05T10:00:00Z"])
      #expect(sent("b/1").count == 1)
    }
  }

  @Test("what cannot be run any more is told once")
  func retiredIsTold_E10() async throws {
    try await put("a/1")
    let store = SQLiteMailboxStore(home: home)
    try await store.with(MailboxAddress("a/1")) { mailbox in
      try await mailbox.write { db in try db.execute(sql: "UPDATE schedules SET time_zone = 'Mars/Olympus'") }
    }
    await store.close()
    try await running {
      await advance(60)
      await advance(60)
    }
    let told = news.withLock { $0 }
    #expect(told.count == 1)
    #expect(told.first?.runs.retired.map(\.subject) == ["s"])
  }
}
