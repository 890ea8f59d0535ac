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
  public var description: String { UTCInstant(milliseconds: milliseconds).description }
}
