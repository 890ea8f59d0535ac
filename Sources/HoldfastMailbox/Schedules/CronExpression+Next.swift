// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

extension CronExpression {
  /// The days from one 29 February to the next at most (1896 to 1904, 2096 to 2104), and some.
  private static let longestWait = 9 * 366

  /// The first time it is due after a moment; always a whole minute.
  ///
  /// - Returns: nil when the calendar ends before.
  public func next(after moment: UTCInstant, in zone: ScheduleZone = .utc) -> UTCInstant? {
    let seconds = moment.wholeSeconds
    // Clocks that are put back around midnight show the end of the day before again.
    let today = zone.day(of: moment) - 1
    for day in today...(today + Self.longestWait) {
      guard let found = first(after: seconds, on: day, in: zone) else { continue }
      let other = first(after: seconds, on: day + 1, in: zone) ?? found
      return UTCInstant(milliseconds: Int64(min(found, other)) * 1000)
    }
    return nil
  }

  /// The first moment of a day on the wall after another, in seconds since 1970.
  private func first(after seconds: Int, on day: Int, in zone: ScheduleZone) -> Int? {
    guard includes(CivilDate(day: day)) else { return nil }
    let midnight = day * 86_400
    let offsets = zone.offsets(ofDay: day)
    guard offsets.first != offsets.last else {
      let wall = seconds + offsets.first - midnight
      let minute = wall < 0 ? 0 : wall / 60 + 1
      return firstMinute(from: minute).map { midnight + $0 * 60 - offsets.first }
    }
    var best: Int?
    func take(_ moment: Int) {
      if moment > seconds, moment < best ?? .max { best = moment }
    }
    var minute = firstMinute(from: 0)
    while let wall = minute {
      switch zone.moments(ofWall: midnight + wall * 60, offsets) {
      case .once(let moment): take(moment)
      case .twice(let first, let second):
        take(first)
        if isOfEveryHour { take(second) }
      case .skipped(let moment):
        if !isOfEveryHour { take(moment) }
      }
      minute = firstMinute(from: wall + 1)
    }
    return best
  }

  /// The first minute of the day it is due at, from one on; nil when there is none left.
  private func firstMinute(from start: Int) -> Int? {
    guard start < 24 * 60 else { return nil }
    var hour = start / 60
    var left = minutes & (~0 << UInt64(start % 60))
    while hour < 24 {
      if hours & 1 << UInt64(hour) != 0, left != 0 { return hour * 60 + left.trailingZeroBitCount }
      hour += 1
      left = minutes
    }
    return nil
  }
}
