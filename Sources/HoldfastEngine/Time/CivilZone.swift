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

  /// Seconds to add to UTC for the wall clock's time at a moment, in seconds since 1970.
  public func offset(at seconds: Int) -> Int {
    zone.secondsFromGMT(for: Date(timeIntervalSince1970: TimeInterval(seconds)))
  }
}
