// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A moment of the wall clock, in nanoseconds since 1970-01-01T00:00:00Z.
///
/// For stamps a person reads; nothing is ever ordered by it (row D02).
public struct UnixTime: Hashable, Comparable, Sendable {
  /// Nanoseconds since the epoch.
  public var nanoseconds: Int64

  /// A moment given in nanoseconds since the epoch.
  public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

  /// What the clock says now.
  public static func now() -> UnixTime {
    var time = timespec()
    _ = unsafe clock_gettime(CLOCK_REALTIME, &time)
    return UnixTime(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
  }

  /// Milliseconds since the epoch, rounded down.
  public var milliseconds: Int64 {
    nanoseconds / 1_000_000 - (nanoseconds % 1_000_000 < 0 ? 1 : 0)
  }

  /// Earlier before later.
  public static func < (left: UnixTime, right: UnixTime) -> Bool { left.nanoseconds < right.nanoseconds }
}

extension UnixTime: CustomStringConvertible {
  /// RFC 3339 in UTC with milliseconds, as in `2026-11-21T10:00:00.123Z`.
  public var description: String {
    let millisecondsOfDay = ((milliseconds % 86_400_000) + 86_400_000) % 86_400_000
    let (year, month, day) = Self.civilDate(
      daysSinceEpoch: Int((milliseconds - millisecondsOfDay) / 86_400_000))
    let second = Int(millisecondsOfDay / 1000)
    return Self.padded(year, 4) + "-" + Self.padded(month, 2) + "-" + Self.padded(day, 2) + "T"
      + Self.padded(second / 3600, 2) + ":" + Self.padded(second / 60 % 60, 2) + ":"
      + Self.padded(second % 60, 2)
      + "." + Self.padded(Int(millisecondsOfDay % 1000), 3) + "Z"
  }

  /// The Gregorian date of a day, counted in 400-year eras whose years begin in March, so that the leap
  /// day is a year's last.
  private static func civilDate(daysSinceEpoch days: Int) -> (year: Int, month: Int, day: Int) {
    let shifted = days + 719_468
    let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let marchMonth = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * marchMonth + 2) / 5 + 1
    let month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
  }

  private static func padded(_ number: Int, _ width: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
  }
}
