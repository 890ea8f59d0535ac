// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastTestKit
import Testing

/// Which backups stay.
struct BackupRetentionTests {
  private static let hour: Int64 = 3_600_000_000_000

  private static func backup(_ name: String, _ time: Int64, verified: Bool = true)
    -> BackupRetention.Candidate
  {
    BackupRetention.Candidate(name: name, time: UnixTime(nanoseconds: time), isVerified: verified)
  }

  @Test func hourlyBackupsOfTenWeeksLeaveTheNewestOfEachHourDayAndWeek_C18() {
    // 2026-01-05T00:30Z was a Monday.
    let start: Int64 = 1_767_573_000_000_000_000
    let all = (0..<(24 * 70)).map { Self.backup("\($0)", start + Int64($0) * Self.hour) }
    let last = all.count - 1
    let expired = Set(
      BackupRetention(hourly: 3, daily: 2, weekly: 2).expired(of: all, now: all[last].time))
    let kept = all.indices.filter { !expired.contains("\($0)") }
    // Three hours; the day before's last; the week before's last (the run ends on a Sunday).
    #expect(kept == [last - 24 * 7, last - 24, last - 2, last - 1, last])
  }

  @Test func anUnverifiedBackupNeverTakesThePlaceOfAVerifiedOne_C18() {
    let all = [
      Self.backup("good", 0), Self.backup("torn", Self.hour, verified: false),
      Self.backup("better", 2 * Self.hour), Self.backup("newest", 3 * Self.hour, verified: false),
    ]
    let now = UnixTime(nanoseconds: 4 * Self.hour)
    #expect(BackupRetention(hourly: 2, daily: 0, weekly: 0).expired(of: all, now: now) == ["torn"])
    #expect(BackupRetention(hourly: 0, daily: 0, weekly: 0).expired(of: all, now: now) == ["good", "torn"])
    let torn = all.filter { !$0.isVerified }
    #expect(BackupRetention(hourly: 0, daily: 0, weekly: 0).expired(of: torn, now: now).isEmpty)
  }

  @Test func aBackupFromTheFutureIsLeftAlone_C18() {
    let all = [Self.backup("past", 0), Self.backup("future", 9 * Self.hour)]
    let none = BackupRetention(hourly: 0, daily: 0, weekly: 0)
    #expect(none.expired(of: all, now: UnixTime(nanoseconds: Self.hour)).isEmpty)
  }

  /// 5,000 random histories, each checked against the rules themselves.
  @Test func randomHistoriesKeepTheirPromises_C18() {
    var random = SplitMix64(seed: 18)
    for _ in 0..<5000 {
      let now = UnixTime(nanoseconds: Int64.random(in: -200...200, using: &random) * Self.hour)
      let all = (0..<Int.random(in: 0...40, using: &random)).map { index in
        Self.backup(
          "\(index)", now.nanoseconds + Int64.random(in: -1000...20, using: &random) * (Self.hour / 2),
          verified: Int.random(in: 0..<4, using: &random) > 0)
      }
      let policy = BackupRetention(
        hourly: .random(in: 0...5, using: &random), daily: .random(in: 0...5, using: &random),
        weekly: .random(in: 0...3, using: &random))
      let expired = policy.expired(of: all, now: now)
      let gone = Set(expired)
      let kept = all.filter { !gone.contains($0.name) }
      #expect(gone.count == expired.count)
      let verified = all.filter { $0.isVerified && $0.time <= now }
      let keptVerified = kept.filter { $0.isVerified && $0.time <= now }
      // The newest verified one stays, and never more than the counts ask for.
      #expect(verified.map(\.time).max() == keptVerified.map(\.time).max())
      #expect(keptVerified.count <= max(1, policy.hourly + policy.daily + policy.weekly))
      // Nothing from the future goes.
      #expect(all.allSatisfy { $0.time <= now || !gone.contains($0.name) })
      // A torn one goes only when a sound one is at least as new.
      for torn in all where !torn.isVerified && gone.contains(torn.name) {
        #expect(keptVerified.contains { $0.time >= torn.time })
      }
      // Rotating again changes nothing, and torn ones change nothing for the sound ones.
      #expect(policy.expired(of: kept, now: now).isEmpty)
      let soundOnly = Set(policy.expired(of: all.filter(\.isVerified), now: now))
      #expect(soundOnly == gone.filter { name in all.contains { $0.name == name && $0.isVerified } })
    }
  }
}
