// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastMailbox

/// Messages that are sent again and again.
extension MailboxStoreConformance {
  private static func at(_ text: String) -> UTCInstant {
    guard let time = UTCInstant("2026-" + text) else { preconditionFailure("\(text) is no time of 2026") }
    return time
  }

  private static func hourly(_ missed: MissedRuns = .latest) throws -> NewMailboxSchedule {
    var schedule = NewMailboxSchedule(
      series: "s", cron: "0 * * * *", content: try MailboxContent(json: #"{"do":"it"}"#))
    schedule.missed = missed
    return schedule
  }

  /// The ids of a mailbox's messages.
  private func ids(_ store: any MailboxStore, _ address: MailboxAddress) async throws -> [String] {
    let page = try await store.messages(
      in: address, states: Set(InboundStatus.allCases), limit: 1000, after: nil)
    return page.messages.map(\.id)
  }

  /// A schedule is run at its time, once, with what it says, and moves on (row E10).
  public func schedulesAreRunAtTheirTime() async throws {
    try await trial { trial in
      let (store, address) = (try await trial.store(), trial.address)
      var schedule = try Self.hourly()
      schedule.kind = "tick"
      schedule.routing = try MailboxContent(json: #"{"to":"me"}"#)
      let put = try await store.putSchedule(schedule, in: address, now: Self.at("05-05T09:30:00Z"))
      try same(put.nextRun, Self.at("05-05T10:00:00Z"), "when it is due")
      try same([put.runs, put.cap], [0, 100], "its runs and its cap")
      let early = try await store.runDueSchedules(in: address, now: Self.at("05-05T09:59:59.999Z"))
      try same(early.sent, [], "what was sent before its time")
      try same(early.next, Self.at("05-05T10:00:00Z"), "when to look again")
      let runs = try await store.runDueSchedules(in: address, now: Self.at("05-05T10:00:00.120Z"))
      try same(runs.sent, ["s@2026-05-05T10:00:00Z"], "what was sent")
      try same(runs.leftOut, 0, "what was left out")
      try same(runs.next, Self.at("05-05T11:00:00Z"), "when to look again then")
      for time in ["05-05T10:00:00.120Z", "05-05T10:59:59Z", "05-05T09:00:00Z"] {
        let again = try await store.runDueSchedules(in: address, now: Self.at(time))
        try same(again.sent, [], "what was sent again")
      }
      let page = try await store.messages(in: address, states: [.pending], limit: 9, after: nil)
      try same(page.messages.map(\.id), ["s@2026-05-05T10:00:00Z"], "the messages")
      let message = page.messages[0]
      try same(message.kind, "tick", "its kind")
      try same(message.series, "s", "its series")
      try same(message.content.json, #"{"do":"it"}"#, "its content")
      try same(message.routing?.json, #"{"to":"me"}"#, "its routing")
      try same(try await store.dueCount(in: address), 1, "messages that start a worker")
      let kept = try await store.schedules(in: address).schedules
      try same(kept.map(\.runs), [1], "the runs that are counted")
      try same(kept.map(\.lastRun), [Self.at("05-05T10:00:00Z")], "the last run")
      try same(kept.map(\.nextRun), [Self.at("05-05T11:00:00Z")], "the next run")
    }
  }

  /// Of many hosts that find a schedule due at once, one runs it (row E10).
  public func oneHostRunsASchedule() async throws {
    try await trial { trial in
      let address = trial.address
      var stores: [any MailboxStore] = []
      for _ in 0..<8 { stores.append(try await trial.store()) }
      for series in ["a", "b", "c"] {
        // With every time wanted, an earlier message that waits keeps no later one back.
        var schedule = try Self.hourly(.all)
        schedule.series = series
        try await stores[0].putSchedule(schedule, in: address, now: Self.at("05-05T09:30:00Z"))
      }
      // All have their files open.
      for store in stores { _ = try await store.schedules(in: address) }
      for hour in 10..<20 {
        let now = Self.at("05-05T\(hour):00:00.500Z")
        let barrier = Barrier(stores.count)
        let sent = try await withThrowingTaskGroup(of: [String].self) { group in
          for store in stores {
            group.addTask {
              await barrier.pass()
              return try await store.runDueSchedules(in: address, now: now).sent
            }
          }
          return try await group.reduce(into: []) { $0 += $1 }
        }
        try same(
          sent.sorted(), ["a", "b", "c"].map { "\($0)@2026-05-05T\(hour):00:00Z" }, "what all of them sent")
      }
      let all = try await ids(stores[0], address)
      try same(all.count, 30, "the messages")
      try same(Set(all).count, 30, "the messages that differ")
      try same(try await stores[0].schedules(in: address).schedules.map(\.runs), [10, 10, 10], "the runs")
    }
  }

  /// A message that still waits is joined by no other, unless every time is wanted (row E10).
  public func waitingRunsAreNotJoined() async throws {
    try await trial { trial in
      let (store, address) = (try await trial.store(), trial.address)
      try await store.putSchedule(Self.hourly(), in: address, now: Self.at("05-05T09:30:00Z"))
      func run(_ time: String) async throws -> ScheduleRuns {
        try await store.runDueSchedules(in: address, now: Self.at(time))
      }
      try same(try await run("05-05T10:00:01Z").sent.count, 1, "what was sent first")
      let waiting = try await run("05-05T11:00:01Z")
      try same(waiting.sent, [], "what was sent while it waits")
      try same(waiting.leftOut, 1, "what was left out while it waits")
      let worker = try await trial.worker()
      try same(try await worker.take(), "s@2026-05-05T10:00:00Z", "what the worker takes")
      try same(try await run("05-05T12:00:01Z").sent, [], "what was sent while it is worked on")
      _ = try await worker.finish("s@2026-05-05T10:00:00Z", as: .completed)
      try await store.drain(address)
      try same(try await run("05-05T13:00:01Z").sent, ["s@2026-05-05T13:00:00Z"], "what was sent after")
      try await store.putSchedule(Self.hourly(.all), in: address, now: Self.at("05-05T13:30:00Z"))
      try same(try await run("05-05T14:00:01Z").sent.count, 1, "what was sent though one waits")
    }
  }

  /// Times at which no host was up are skipped, made up for once, or each, up to the cap (row E10).
  public func missedTimesFollowTheRule() async throws {
    for (missed, expected) in [
      (MissedRuns.skip, [String]()), (.latest, ["15"]), (.all, ["13", "14", "15"]),
    ] {
      try await trial { trial in
        let (store, address) = (try await trial.store(), trial.address)
        var schedule = try Self.hourly(missed)
        schedule.series = missed.rawValue
        schedule.cap = 3
        try await store.putSchedule(schedule, in: address, now: Self.at("05-05T09:30:00Z"))
        let runs = try await store.runDueSchedules(in: address, now: Self.at("05-05T15:20:00Z"))
        try same(
          runs.sent, expected.map { "\(missed)@2026-05-05T\($0):00:00Z" }, "what was sent with \(missed)")
        try same(runs.leftOut, 6 - expected.count, "what was left out with \(missed)")
        try same(runs.next, Self.at("05-05T16:00:00Z"), "when it is due then")
        try await store.cancelSchedule(missed.rawValue, in: address)
      }
    }
  }

  /// A clock that jumps makes no schedule run twice, and puts none off (row E10).
  public func clocksMayJump() async throws {
    try await trial { trial in
      let (store, address) = (try await trial.store(), trial.address)
      try await store.putSchedule(Self.hourly(.all), in: address, now: Self.at("05-05T09:30:00Z"))
      func run(_ time: String) async throws -> [String] {
        try await store.runDueSchedules(in: address, now: Self.at(time)).sent
      }
      try same(try await run("05-05T12:10:00Z").count, 3, "what was sent after a jump ahead")
      // Set back: what was run is not run again, and the next time is waited for no longer than it takes.
      for time in ["05-05T11:50:00Z", "05-05T12:00:30Z", "05-05T12:30:00Z"] {
        try same(try await run(time), [], "what was sent again after a jump back")
      }
      try same(try await run("05-05T13:00:00Z"), ["s@2026-05-05T13:00:00Z"], "what was sent in time")
      try same(try await run("12-31T23:59:00Z").count, 100, "what was sent in a year that had not come")
      try same(try await run("05-05T13:30:00Z"), [], "what was sent when the clock was right again")
      try same(try await run("05-05T14:00:00Z"), ["s@2026-05-05T14:00:00Z"], "what was sent then in time")
      try same(
        try await Set(ids(store, address)).count, try await ids(store, address).count, "messages that differ")
    }
  }

  /// Times are meant in the schedule's zone, where clocks change (row E10).
  public func zonesAreFollowed() async throws {
    try await trial { trial in
      let (store, address) = (try await trial.store(), trial.address)
      var schedule = try Self.hourly()
      (schedule.cron, schedule.timeZone, schedule.missed) = ("30 2 * * *", "Europe/Berlin", .all)
      let put = try await store.putSchedule(schedule, in: address, now: Self.at("03-27T12:00:00Z"))
      try same(put.nextRun, Self.at("03-28T01:30:00Z"), "when it is due in winter")
      let spring = try await store.runDueSchedules(in: address, now: Self.at("03-30T12:00:00Z"))
      try same(
        spring.sent,
        ["s@2026-03-28T01:30:00Z", "s@2026-03-29T01:00:00Z", "s@2026-03-30T00:30:00Z"],
        "what was sent in spring")
      schedule.series = "autumn"
      try await store.putSchedule(schedule, in: address, now: Self.at("10-24T12:00:00Z"))
      let autumn = try await store.runDueSchedules(in: address, now: Self.at("10-26T12:00:00Z"))
      try same(
        autumn.sent.filter { $0.hasPrefix("autumn") },
        ["autumn@2026-10-25T00:30:00Z", "autumn@2026-10-26T01:30:00Z"], "what was sent in autumn")
    }
  }

  /// Replaced by one with the same rule a schedule is due when it was, by another from then on; its messages say what it
  /// says now (row E10).
  public func replacingPutsNothingOff() async throws {
    try await trial { trial in
      let (store, address) = (try await trial.store(), trial.address)
      try await store.putSchedule(Self.hourly(), in: address, now: Self.at("05-05T09:30:00Z"))
      var schedule = try Self.hourly()
      schedule.content = try MailboxContent(json: "2")
      let again = try await store.putSchedule(schedule, in: address, now: Self.at("05-05T10:00:10Z"))
      try same(again.nextRun, Self.at("05-05T10:00:00Z"), "when it is due after it was put again")
      let runs = try await store.runDueSchedules(in: address, now: Self.at("05-05T10:00:20Z"))
      try same(runs.sent, ["s@2026-05-05T10:00:00Z"], "what was sent")
      let page = try await store.messages(in: address, states: [.pending], limit: 9, after: nil)
      try same(page.messages.map(\.content.json), ["2"], "what the message says")
      schedule.cron = "15 * * * *"
      let other = try await store.putSchedule(schedule, in: address, now: Self.at("05-05T10:30:00Z"))
      try same(other.nextRun, Self.at("05-05T11:15:00Z"), "when it is due by another rule")
      try same(try await store.schedules(in: address).schedules.map(\.runs), [1], "the runs of the one row")
    }
  }

  /// Paused it sends nothing and misses nothing; ended it sends nothing; asked to, it sends at once (row E10).
  public func schedulesArePausedAndEnded() async throws {
    try await trial { trial in
      let (store, address) = (try await trial.store(), trial.address)
      func run(_ time: String) async throws -> [String] {
        try await store.runDueSchedules(in: address, now: Self.at(time)).sent
      }
      try await store.putSchedule(Self.hourly(.all), in: address, now: Self.at("05-05T09:30:00Z"))
      for _ in 0..<2 {
        let paused = try await store.pauseSchedule("s", in: address)
        try holds(paused.state == .paused && paused.nextRun == nil, "Paused it is \(paused)")
      }
      try same(try await run("05-05T11:30:00Z"), [], "what was sent while it was paused")
      let put = try await store.putSchedule(Self.hourly(.all), in: address, now: Self.at("05-05T11:30:00Z"))
      try same(put.state, .paused, "its state when it is put again")
      let receipt = try await store.runSchedule("s", in: address, now: Self.at("05-05T11:31:00Z"))
      try holds(receipt.id.hasPrefix("s@") && !receipt.duplicate, "Run at once it sent \(receipt)")
      let other = try await store.runSchedule("s", in: address, now: Self.at("05-05T11:31:00Z"))
      try holds(other.id != receipt.id && other.seq == 2, "Run at once again it sent \(other)")
      let resumed = try await store.resumeSchedule("s", in: address, now: Self.at("05-05T11:40:00Z"))
      try same(resumed.nextRun, Self.at("05-05T12:00:00Z"), "when it is due after it was resumed")
      try same(try await run("05-05T12:00:00Z"), ["s@2026-05-05T12:00:00Z"], "what was sent then")
      try same(
        try await store.cancelSchedule("s", in: address).state, .cancelled, "its state when it is ended")
      try same(try await run("05-05T15:00:00Z"), [], "what was sent after it was ended")
      try await refused("pausing what was ended", as: .refused) {
        try await store.pauseSchedule("s", in: address)
      }
      try await refused("resuming what was ended", as: .refused) {
        try await store.resumeSchedule("s", in: address, now: Self.at("05-05T15:00:00Z"))
      }
      try await refused("running what was ended", as: .refused) {
        try await store.runSchedule("s", in: address, now: Self.at("05-05T15:00:00Z"))
      }
      let back = try await store.putSchedule(Self.hourly(.all), in: address, now: Self.at("05-05T15:30:00Z"))
      try same([back.runs, back.state == .active ? 1 : 0], [3, 1], "its runs when it is put again")
      try same(try await run("05-05T16:00:00Z").count, 1, "what was sent when it was put again")
    }
  }

  /// What can never be run, or not be kept, is refused and leaves nothing (row E10).
  public func absurdSchedulesAreRefused() async throws {
    try await trial { trial in
      let (store, address) = (try await trial.store(), trial.address)
      let now = Self.at("05-05T09:30:00Z")
      var absurd: [NewMailboxSchedule] = []
      for cron in ["", "* * * *", "60 * * * *", "0 0 30 2 *", "every day", "* * * * * *"] {
        var schedule = try Self.hourly()
        schedule.cron = cron
        absurd.append(schedule)
      }
      for change: (inout NewMailboxSchedule) -> Void in [
        { $0.timeZone = "Europe/Nowhere" }, { $0.timeZone = "" }, { $0.series = "" }, { $0.series = "a\0b" },
        { $0.series = String(repeating: "s", count: 201) }, { $0.kind = "" }, { $0.cap = 0 },
        { $0.cap = 10_001 },
      ] {
        var schedule = try Self.hourly()
        change(&schedule)
        absurd.append(schedule)
      }
      for schedule in absurd {
        try await refused("\(schedule)", as: .invalid) {
          try await store.putSchedule(schedule, in: address, now: now)
        }
      }
      try await refused("running those of no mailbox", as: .notFound) {
        try await store.runDueSchedules(in: address, now: now)
      }
      try await store.send(Self.message("m"), to: address)
      try same(try await store.schedules(in: address).schedules, [], "the schedules")
      try same(try await store.runDueSchedules(in: address, now: now), ScheduleRuns(), "what was run")
      try await refused("pausing none", as: .notFound) { try await store.pauseSchedule("s", in: address) }
      try await refused("ending none", as: .notFound) { try await store.cancelSchedule("s", in: address) }
    }
  }
}

/// Lets so many through together, once all are there.
private actor Barrier {
  private var missing: Int
  private var waiting: [CheckedContinuation<Void, Never>] = []

  init(_ count: Int) { missing = count }

  func pass() async {
    missing -= 1
    if missing == 0 {
      for other in waiting { other.resume() }
      waiting = []
      return
    }
    await withCheckedContinuation { waiting.append($0) }
  }
}
