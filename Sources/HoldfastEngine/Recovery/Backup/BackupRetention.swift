// SPDX-License-Identifier: Apache-2.0

/// Which backups are kept: the newest of each of the last hours, days and weeks. A pure value.
///
/// Hours, days and weeks are those of UTC, counted from the epoch; weeks begin on Monday. Only hours, days and weeks
/// that have a backup are counted, so a machine that was off for a month keeps as many as one that never was.
public struct BackupRetention: Hashable, Sendable {
  /// How many hours keep their newest backup.
  public var hourly: Int
  /// How many days keep their newest backup.
  public var daily: Int
  /// How many weeks keep their newest backup.
  public var weekly: Int

  /// The counts to keep; a negative one is nothing to keep.
  public init(hourly: Int = 24, daily: Int = 7, weekly: Int = 8) {
    self.hourly = max(0, hourly)
    self.daily = max(0, daily)
    self.weekly = max(0, weekly)
  }

  /// A backup as far as its keeping goes.
  public struct Candidate: Hashable, Sendable {
    /// Its file's name.
    public var name: String
    /// The moment of its snapshot.
    public var time: UnixTime
    /// Whether it was found whole: its integrity and its rows.
    public var isVerified: Bool

    /// Describes a backup.
    public init(name: String, time: UnixTime, isVerified: Bool) {
      self.name = name
      self.time = time
      self.isVerified = isVerified
    }
  }

  /// The names of the backups to delete, the oldest first.
  ///
  /// - The newest verified backup is never among them, whatever the counts.
  /// - One that is not verified never takes the place of one that is, and goes once a verified one is newer: it may
  ///   be all there is of what came after that.
  /// - One from the future (a clock that was set back) is left alone and counts for nothing, but that an older
  ///   verified one is then kept as the newest too.
  /// - Parameter now: the time of day by the wall clock.
  public func expired(of candidates: [Candidate], now: UnixTime) -> [String] {
    let past = candidates.filter { $0.time <= now }.sorted { ($1.time, $1.name) < ($0.time, $0.name) }
    let verified = past.filter(\.isVerified)
    guard let newest = verified.first else { return [] }
    var kept: Set<String> = [newest.name]
    for (count, bucket) in [
      (hourly, Self.hour), (daily, Self.day), (weekly, Self.week),
    ] as [(Int, (UnixTime) -> Int64)] {
      var seen: Set<Int64> = []
      for candidate in verified where seen.count < count {
        if seen.insert(bucket(candidate.time)).inserted { kept.insert(candidate.name) }
      }
    }
    for candidate in past where !candidate.isVerified && candidate.time > newest.time {
      kept.insert(candidate.name)
    }
    return past.reversed().map(\.name).filter { !kept.contains($0) }
  }

  private static func hour(_ time: UnixTime) -> Int64 { floor(time, 3_600_000) }
  private static func day(_ time: UnixTime) -> Int64 { floor(time, 86_400_000) }
  /// The epoch's day was a Thursday, three days after a Monday.
  private static func week(_ time: UnixTime) -> Int64 { floor(day(time) + 3, by: 7) }

  private static func floor(_ time: UnixTime, _ milliseconds: Int64) -> Int64 {
    floor(time.milliseconds, by: milliseconds)
  }

  private static func floor(_ value: Int64, by divisor: Int64) -> Int64 {
    value / divisor - (value % divisor < 0 ? 1 : 0)
  }
}
