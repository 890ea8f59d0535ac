// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import Testing

@testable import HoldfastMailbox

/// Expressions, and when they are due; `Tests/BlackBox/test_schedules.py` asks croniter about a year of them.
@Suite struct CronTests {
  private func times(_ text: String, _ zone: String, from start: String, _ count: Int) throws -> [String] {
    let cron = try CronExpression(text)
    let zone = try ScheduleZone(zone)
    var moment = try #require(UTCInstant(start))
    return try (0..<count).map { _ in
      moment = try #require(cron.next(after: moment, in: zone))
      return moment.rfc3339(wholeSeconds: true)
    }
  }

  @Test func timeThatIsSkippedIsRunAtTheFirstMomentAfter_E10() throws {
    // Berlin: 2026-03-29 02:00 +01:00 becomes 03:00 +02:00, which is 01:00 UTC.
    #expect(
      try times("30 2 * * *", "Europe/Berlin", from: "2026-03-28T00:00:00Z", 3) == [
        "2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z",
      ])
    // Nothing is made up for where every hour is meant.
    #expect(
      try times("15 * * * *", "Europe/Berlin", from: "2026-03-29T00:00:00Z", 3) == [
        "2026-03-29T00:15:00Z", "2026-03-29T01:15:00Z", "2026-03-29T02:15:00Z",
      ])
    // Santiago skips midnight itself.
    #expect(
      try times("0 0 * * *", "America/Santiago", from: "2026-09-05T05:00:00Z", 2) == [
        "2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z",
      ])
  }

  @Test func timeThatComesTwiceIsRunOnce_E10() throws {
    // Berlin: 2026-10-25 03:00 +02:00 becomes 02:00 +01:00.
    #expect(
      try times("30 2 * * *", "Europe/Berlin", from: "2026-10-24T12:00:00Z", 2) == [
        "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z",
      ])
    #expect(
      try times("30 * * * *", "Europe/Berlin", from: "2026-10-25T00:00:00Z", 3) == [
        "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z",
      ])
    // Between the two, the first is over.
    #expect(
      try times("30 2 * * *", "Europe/Berlin", from: "2026-10-25T01:00:00Z", 1) == ["2026-10-26T01:30:00Z"])
    // Clocks put back by half an hour.
    #expect(
      try times("45 1 * * *", "Australia/Lord_Howe", from: "2026-04-04T00:00:00Z", 2) == [
        "2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z",
      ])
  }

  @Test func daysOfMonthAndOfWeekAreOrWhenBothAreRestricted() throws {
    #expect(
      try times("0 12 13 * fri", "UTC", from: "2026-01-01T00:00:00Z", 3) == [
        "2026-01-02T12:00:00Z", "2026-01-09T12:00:00Z", "2026-01-13T12:00:00Z",
      ])
    #expect(try times("0 0 29 2 *", "UTC", from: "2096-03-01T00:00:00Z", 1) == ["2104-02-29T00:00:00Z"])
  }

  @Test func monthsLastDayAndNthWeekdays() throws {
    #expect(
      try times("0 0 L,15 * *", "UTC", from: "2028-02-01T00:00:00Z", 2) == [
        "2028-02-15T00:00:00Z", "2028-02-29T00:00:00Z",
      ])
    #expect(try times("0 0 * * fri#3", "UTC", from: "2026-02-01T00:00:00Z", 1) == ["2026-02-20T00:00:00Z"])
    #expect(try times("0 0 * * L5", "UTC", from: "2026-02-01T00:00:00Z", 1) == ["2026-02-27T00:00:00Z"])
    // A fifth Monday is not in every month.
    #expect(try times("0 0 * * 1#5", "UTC", from: "2026-01-01T00:00:00Z", 1) == ["2026-03-30T00:00:00Z"])
  }

  @Test(arguments: [
    ("* * * *", "has 4 fields"), ("60 * * * *", "“60” in its minute is not 0 to 59"),
    ("0 24 * * *", "“24” in its hour"), ("0 0 0 * *", "“0” in its day of month"),
    ("0 0 1 13 *", "“13” in its month"), ("0 0 * * 8", "“8” in its day of week"),
    ("*/0 * * * *", "the step of “*/0”"), ("1/2/3 * * * *", "more than one step"),
    ("1,,2 * * * *", "“” in its minute"), ("1-2-3 * * * *", "is no range"), ("-5 * * * *", "“”"),
    ("0 0 * * fri#6", "first to fifth"), ("@often", "is none of @annually"), ("", "has 0 fields"),
    ("0 0 30 2 *", "a day that no month has"), ("0 0 31 4,6 *", "a day that no month has"),
    ("٣ * * * *", "“٣”"), ("99999999999999999999 * * * *", "not 0 to 59"), ("? * * * *", "“?”"),
  ])
  func whatIsWrongIsSaid(_ text: String, _ reason: String) throws {
    let error = #expect(throws: MailboxError.self) { try CronExpression(text) }
    #expect(error?.code == .invalid)
    #expect(error?.message.contains(reason) == true, "\(error?.message ?? "")")
  }

  @Test(arguments: ["Europe/Nowhere", "", "GMT+2", "CEST", "../etc/passwd"])
  func placesWithoutRulesAreNoZones(_ name: String) {
    #expect(throws: MailboxError.self) { try ScheduleZone(name) }
  }

  @Test func rangesMayWrap() throws {
    #expect(try CronExpression("0 22-2 * * *").hours == CronExpression("0 22,23,0,1,2 * * *").hours)
    #expect(try CronExpression("0 0 * * fri-mon").weekdays == CronExpression("0 0 * * 5,6,0,1").weekdays)
    #expect(try CronExpression("0 0 * * 5-7").weekdays == CronExpression("0 0 * * 0,5,6").weekdays)
    #expect(try CronExpression("0 0 * * 0-7").restrictsWeekdays == false)
    #expect(try CronExpression("0 0 * nov-feb *").months == CronExpression("0 0 * 1,2,11,12 *").months)
    #expect(try CronExpression("5/15 * * * *").minutes == CronExpression("5,20,35,50 * * * *").minutes)
    #expect(try CronExpression("@weekly").weekdays == 1)
  }
}

/// What is run when a host was away, or its clock was wrong.
@Suite struct MissedRunTests {
  private let minutely: CronExpression

  init() throws { minutely = try CronExpression("* * * * *") }

  private func at(_ text: String) -> UTCInstant { UTCInstant("2026-05-05T\(text)Z")! }

  private func turn(
    _ cron: CronExpression? = nil, due: String, now: String, _ missed: MissedRuns, cap: Int = 10,
    isWaiting: Bool = false
  ) -> ScheduleTurn {
    ScheduleTurn(
      cron ?? minutely, in: .utc, due: at(due), now: at(now), missed: missed, cap: cap, isWaiting: isWaiting)
  }

  @Test func onTimeItIsRunOnceAndMovesOn_E10() {
    for policy in MissedRuns.allCases {
      let turn = turn(due: "10:00:00", now: "10:00:00.400", policy)
      #expect(turn.runs == [at("10:00:00")])
      #expect(turn.next == at("10:01:00"))
      #expect(turn.leftOut == 0)
    }
    let early = turn(due: "10:01:00", now: "10:00:59.999", .all)
    #expect(early.runs.isEmpty)
    #expect(early.next == at("10:01:00"))
  }

  @Test func missedTimesFollowThePolicy_E10() throws {
    let hourly = try CronExpression("0 * * * *")
    let skipped = turn(hourly, due: "03:00:00", now: "09:30:00", .skip)
    #expect(skipped.runs.isEmpty)
    #expect(skipped.leftOut == 7)
    let latest = turn(hourly, due: "03:00:00", now: "09:30:00", .latest)
    #expect(latest.runs == [at("09:00:00")])
    #expect(latest.leftOut == 6)
    let all = turn(hourly, due: "03:00:00", now: "09:30:00", .all)
    #expect(all.runs.count == 7)
    let capped = turn(hourly, due: "03:00:00", now: "09:30:00", .all, cap: 2)
    #expect(capped.runs == [at("08:00:00"), at("09:00:00")])
    #expect(capped.leftOut == 5)
    for turn in [skipped, latest, all, capped] { #expect(turn.next == at("10:00:00")) }
  }

  @Test func aYearAwayIsNoYearOfRuns_E10() {
    let now = at("10:00:30")
    let due = UTCInstant(milliseconds: now.milliseconds - 365 * 86_400_000)
    let turn = ScheduleTurn(
      minutely, in: .utc, due: due, now: now, missed: .all, cap: 3, isWaiting: false)
    #expect(turn.runs == [at("09:58:00"), at("09:59:00"), at("10:00:00")])
    #expect(turn.runs.count + turn.leftOut == 365 * 1440 + 1)
  }

  @Test func aRunThatStillWaitsIsNotJoinedByAnother_E10() {
    #expect(turn(due: "10:00:00", now: "10:00:01", .latest, isWaiting: true).runs.isEmpty)
    #expect(turn(due: "10:00:00", now: "10:00:01", .skip, isWaiting: true).leftOut == 1)
    #expect(turn(due: "10:00:00", now: "10:00:01", .all, isWaiting: true).runs.count == 1)
  }

  @Test func clockThatWasAheadDoesNotPutAScheduleOff_E10() {
    // The next time was computed under a clock of the year 2099.
    let far = UTCInstant("2099-01-01T00:00:00Z")!
    let turn = ScheduleTurn(
      minutely, in: .utc, due: far, now: at("10:00:30"), missed: .latest, cap: 1, isWaiting: false)
    #expect(turn.runs.isEmpty)
    #expect(turn.next == at("10:01:00"))
    // A clock set back by minutes waits: what ran is not run again.
    #expect(self.turn(due: "10:30:00", now: "10:00:30", .latest).next == at("10:30:00"))
  }
}
