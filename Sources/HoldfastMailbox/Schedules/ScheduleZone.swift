// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

/// A time zone as schedules need it: from a wall clock's time to moments, of which there may be none, one or two.
public struct ScheduleZone: Sendable, Hashable {
  /// Its name in the tz database, as `Europe/Berlin`.
  public var name: String { zone.name }
  private let zone: CivilZone

  /// UTC.
  public static let utc = ScheduleZone(zone: .utc)

  /// A zone of the tz database.
  ///
  /// - Throws: ``MailboxError`` `invalid` for a name that is none of it.
  public init(_ name: String) throws(MailboxError) {
    guard let zone = CivilZone(name) else {
      throw MailboxError(
        .invalid, "“\(name)” is no time zone that is known here; give one as “Europe/Berlin” or “UTC”.")
    }
    self.init(zone: zone)
  }

  private init(zone: CivilZone) { self.zone = zone }

  /// Seconds to add to UTC for the wall clock's time at a moment, in seconds since 1970.
  func offset(at seconds: Int) -> Int { zone.offset(at: seconds) }

  /// The day on the wall, counted from 1970-01-01.
  func day(of instant: UTCInstant) -> Int {
    let seconds = instant.wholeSeconds
    return (seconds + offset(at: seconds)).flooringDivision(by: 86_400)
  }

  /// Offsets between which the day may change; the same when it does not.
  func offsets(ofDay day: Int) -> (first: Int, last: Int) {
    // Zones are 12 hours behind UTC to 14 ahead.
    (offset(at: day * 86_400 - 14 * 3600), offset(at: (day + 1) * 86_400 + 12 * 3600))
  }

  /// What a time on the wall means, in a span in which clocks change once at most.
  func moments(ofWall wall: Int, _ offsets: (first: Int, last: Int)) -> WallMoments {
    let early = wall - offsets.first
    let late = wall - offsets.last
    let isEarly = offset(at: early) == offsets.first
    let isLate = offset(at: late) == offsets.last
    switch (isEarly, isLate) {
    case (true, true): return early == late ? .once(early) : .twice(min(early, late), max(early, late))
    case (true, false): return .once(early)
    case (false, true): return .once(late)
    case (false, false): return .skipped(until: change(between: min(early, late), and: max(early, late)))
    }
  }

  /// The first moment at which the offset is no longer what it was.
  private func change(between start: Int, and end: Int) -> Int {
    let before = offset(at: start)
    var (low, high) = (start, end)
    while high - low > 1 {
      let middle = low + (high - low) / 2
      if offset(at: middle) == before { low = middle } else { high = middle }
    }
    return high
  }
}

/// The moments a wall clock shows a time at, in seconds since 1970.
enum WallMoments: Equatable {
  case once(Int)
  case twice(Int, Int)
  /// Never: clocks were put forward over it at this moment.
  case skipped(until: Int)
}

extension UTCInstant {
  /// Whole seconds since 1970, those before it rounded down.
  var wholeSeconds: Int { Int(milliseconds).flooringDivision(by: 1000) }
}

extension Int {
  func flooringDivision(by divisor: Int) -> Int {
    self >= 0 ? self / divisor : -((divisor - 1 - self) / divisor)
  }
}
