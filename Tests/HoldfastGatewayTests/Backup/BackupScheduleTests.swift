// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastTestKit
import Testing

@testable import HoldfastGateway

/// When scheduled backups are due.
@Suite struct BackupScheduleTests {
  private static let hour = Duration.seconds(3600)
  /// 2026-11-16T00:00Z, a Monday.
  private static let monday = UnixTime(nanoseconds: 1_794_787_200_000_000_000)

  private func at(_ hours: Double) -> UnixTime { Self.monday + .seconds(hours * 3600) }

  @Test func theMomentsOfAScheduleAreThoseOfUTC_C18() {
    #expect(BackupSchedule(.hourly, minute: 20).next(after: at(5)) == at(5) + .seconds(1200))
    #expect(BackupSchedule(.hourly, minute: 20).next(after: at(5) + .seconds(1200)) == at(6) + .seconds(1200))
    #expect(BackupSchedule(.daily, minute: 180).next(after: at(2)) == at(3))
    #expect(BackupSchedule(.daily, minute: 180).next(after: at(3)) == at(27))
    #expect(BackupSchedule(.weekly, minute: 180).next(after: at(2)) == at(3))
    #expect(BackupSchedule(.weekly, minute: 180).next(after: at(4)) == at(7 * 24 + 3))
    #expect(BackupSchedule(.daily, minute: 0).next(after: UnixTime(nanoseconds: -1)).nanoseconds == 0)
    #expect(at(3).description == "2026-11-16T03:00:00.000Z")
  }

  /// Of 10,000 random moments the next is later, no further than an interval, and the first there is.
  @Test func theNextMomentIsTheFirstLaterOne_C18() {
    var random = SplitMix64(seed: 18)
    for _ in 0..<10_000 {
      let interval = BackupSchedule.Interval.allCases.randomElement(using: &random)!
      let schedule = BackupSchedule(interval, minute: .random(in: 0..<1440, using: &random))
      let time = UnixTime(
        nanoseconds: .random(in: -4_000_000_000_000_000_000...4_000_000_000_000_000_000, using: &random))
      let next = schedule.next(after: time)
      #expect(next > time)
      #expect(next.nanoseconds - time.nanoseconds <= interval.nanoseconds)
      #expect(schedule.next(after: UnixTime(nanoseconds: next.nanoseconds - 1)) == next)
    }
  }

  @Test func aNewHomeGetsItsFirstBackupAMinuteAfterTheStart_C18() {
    var machine = BackupScheduleMachine(.init(.daily, minute: 180), lastSuccess: nil, started: at(10))
    #expect(machine.action(now: at(10)) == .wait(until: at(10) + .seconds(60)))
    #expect(machine.action(now: at(10) + .seconds(60)) == .run)
    machine.succeeded(began: at(10) + .seconds(60))
    #expect(machine.action(now: at(11)) == .wait(until: at(27)))
  }

  @Test func momentsThatWereSleptThroughAreMadeUpForOnce_C18() {
    var machine = BackupScheduleMachine(.init(.hourly, minute: 0), lastSuccess: at(1), started: at(1))
    #expect(machine.action(now: at(1.5)) == .wait(until: at(2)))
    // The lid was closed for nine hours.
    #expect(machine.action(now: at(10.5)) == .run)
    machine.succeeded(began: at(10.5))
    #expect(machine.action(now: at(10.6)) == .wait(until: at(11)))
    // The daemon was down for two days.
    var later = BackupScheduleMachine(.init(.hourly, minute: 0), lastSuccess: at(10.5), started: at(58.25))
    #expect(later.action(now: at(58.25)) == .wait(until: at(58.25) + .seconds(60)))
    #expect(!later.isOverdue(now: at(58.5)), "it was not there to make one")
    #expect(later.action(now: at(58.5)) == .run)
  }

  @Test func aFailureIsTriedAgainSoonAndThenLessOften_C18() {
    var machine = BackupScheduleMachine(.init(.daily, minute: 0), lastSuccess: nil, started: at(0))
    var now = at(1)
    var pauses: [Int64] = []
    for _ in 0..<6 {
      #expect(machine.action(now: now) == .run)
      machine.failed(now: now)
      guard case .wait(let next) = machine.action(now: now) else {
        Issue.record("it was tried again at once")
        return
      }
      pauses.append((next.nanoseconds - now.nanoseconds) / 1_000_000_000)
      now = next
    }
    #expect(pauses == [300, 600, 1200, 2400, 3600, 3600])
    machine.succeeded(began: now)
    #expect(machine.failures == 0)
    #expect(machine.action(now: now) == .wait(until: at(24)))
  }

  @Test func aClockThatIsSetBackMakesNothingWaitForYears_D02() {
    var machine = BackupScheduleMachine(
      .init(.daily, minute: 0), lastSuccess: at(24 * 400), started: at(24 * 400))
    // Its last backup was made in what is now the future, and so was it started.
    guard case .wait(let next) = machine.action(now: at(1)) else {
      Issue.record("a start is not waited for")
      return
    }
    #expect(next <= at(2))
    #expect(machine.action(now: next) == .run)
    // A second of it is nothing.
    var small = BackupScheduleMachine(
      .init(.daily, minute: 0), lastSuccess: at(1) + .seconds(1), started: at(0))
    #expect(small.action(now: at(1)) == .wait(until: at(24)))
  }

  @Test func aBackupIsOverdueWhenAWholeIntervalHadNone_C18() {
    let machine = BackupScheduleMachine(.init(.daily, minute: 0), lastSuccess: at(1), started: at(1))
    #expect(!machine.isOverdue(now: at(47)))
    #expect(machine.isOverdue(now: at(49)))
    let never = BackupScheduleMachine(.init(.hourly, minute: 0), lastSuccess: nil, started: at(1))
    #expect(!never.isOverdue(now: at(1.5)))
    #expect(never.isOverdue(now: at(2.5)))
  }
}
