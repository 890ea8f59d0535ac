// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A time zone of the tz database: what the clock on the wall shows at a moment.
public struct CivilZone: Sendable, Hashable, CustomStringConvertible {
  /// Its name, as `Europe/Berlin`.
  public let name: String
  private let zone: TimeZone

  /// UTC.
  public static let utc = CivilZone(name: "UTC", zone: .gmt)

  /// The zone of this machine and user: that of `TZ`, or else the system's.
  public static var current: CivilZone {
    let zone = TimeZone.current
    return zone.identifier == "GMT" ? .utc : CivilZone(name: zone.identifier, zone: zone)
  }

  /// A zone of the tz database; nil for a name that is none of it.
  public init?(_ name: String) {
    // Foundation takes abbreviations and offsets too, which have no rules for when clocks change.
    guard name == "UTC" || name.contains("/"), let zone = TimeZone(identifier: name) else { return nil }
    self.init(name: name, zone: zone)
  }

  private init(name: String, zone: TimeZone) { (self.name, self.zone) = (name, zone) }

  /// The zone's name.
  public var description: String { name }

  /// The moment a day begins: midnight, or where clocks are put forward over it, what comes after.
  ///
  /// - Parameter day: days since 1970-01-01.
  package func start(ofDay day: Int) -> UTCInstant {
    let midnight = day * 86_400
    // Zones are 12 hours behind UTC to 14 ahead.
    let offsets = [offset(at: midnight - 14 * 3600), offset(at: midnight + 12 * 3600)]
    let (early, late) = (midnight - offsets.max()!, midnight - offsets.min()!)
    let isEarly = early + offset(at: early) >= midnight
    return UTCInstant(milliseconds: Int64(isEarly ? early : late) * 1000)
  }

  /// The day on the wall, counted from 1970-01-01.
  package func day(of instant: UTCInstant) -> Int {
    let seconds = Int((Double(instant.milliseconds) / 1000).rounded(.down))
    return Int((Double(seconds + offset(at: seconds)) / 86_400).rounded(.down))
  }

  /// What calendar and clock on the wall show at a moment: `2026-11-21 09:30`.
  package func wallText(_ instant: UTCInstant) -> String {
    let wall = instant.milliseconds + Int64(offset(at: Int(instant.milliseconds / 1000))) * 1000
    let text = UTCInstant(milliseconds: wall).rfc3339(wholeSeconds: true)
    return "\(text.prefix(10)) \(text.dropFirst(11).prefix(5))"
  }

  /// Seconds to add to UTC for the wall clock's time at a moment, in seconds since 1970.
  public func offset(at seconds: Int) -> Int {
    zone.secondsFromGMT(for: Date(timeIntervalSince1970: TimeInterval(seconds)))
  }
}
