// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A moment in UTC, in whole milliseconds since 1970; in JSON it is RFC 3339 text.
public struct UTCInstant: Sendable, Hashable, Comparable {
  /// Milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
  public var milliseconds: Int64

  /// A moment, from milliseconds since 1970.
  public init(milliseconds: Int64) { self.milliseconds = milliseconds }

  /// The wall clock's moment.
  public static var now: UTCInstant {
    var time = timespec()
    unsafe clock_gettime(CLOCK_REALTIME, &time)
    return UTCInstant(milliseconds: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000)
  }

  /// The first and the last moment a row may bear: 1970-01-01 and 9999-12-31.
  public static let supported =
    UTCInstant(milliseconds: 0)...UTCInstant(milliseconds: 253_402_300_799_999)

  /// Orders moments by time.
  public static func < (left: UTCInstant, right: UTCInstant) -> Bool {
    left.milliseconds < right.milliseconds
  }

  /// The start of this moment's hour.
  public var startOfHour: UTCInstant { start(of: 3_600_000) }

  /// The start of this moment's day, in UTC.
  public var startOfDay: UTCInstant { start(of: 86_400_000) }

  private func start(of length: Int64) -> UTCInstant {
    let rest = milliseconds % length
    return UTCInstant(milliseconds: milliseconds - (rest < 0 ? rest + length : rest))
  }

  /// The moment that is `duration` after this one.
  public func advanced(by duration: Duration) -> UTCInstant {
    let (seconds, attoseconds) = duration.components
    return UTCInstant(milliseconds: milliseconds + seconds * 1000 + attoseconds / 1_000_000_000_000_000)
  }
}

extension UTCInstant: CustomStringConvertible {
  /// RFC 3339 in UTC with milliseconds: `2026-11-21T09:30:12.045Z`.
  public var description: String { rfc3339() }

  /// RFC 3339 in UTC, to the millisecond or (`wholeSeconds`) to the second.
  public func rfc3339(wholeSeconds: Bool = false) -> String {
    let day = startOfDay.milliseconds
    let rest = Int(milliseconds - day)
    let date = CivilDate(day: Int(day / 86_400_000))
    let time =
      Self.padded(rest / 3_600_000, 2) + ":" + Self.padded(rest / 60_000 % 60, 2) + ":"
      + Self.padded(rest / 1000 % 60, 2)
    return date.text + "T" + time + (wholeSeconds ? "Z" : "." + Self.padded(rest % 1000, 3) + "Z")
  }

  /// The UTC day: `2026-11-21`.
  public var dayText: String { CivilDate(day: Int(startOfDay.milliseconds / 86_400_000)).text }

  static func padded(_ value: Int, _ width: Int) -> String {
    let digits = String(value)
    return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
  }
}

extension UTCInstant: Codable {
  /// Reads RFC 3339 text, or a number of milliseconds since 1970.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if let milliseconds = try? container.decode(Int64.self) {
      self.init(milliseconds: milliseconds)
      return
    }
    let text = try container.decode(String.self)
    guard let instant = UTCInstant(text) else {
      throw DecodingError.dataCorruptedError(in: container, debugDescription: "\(text) is no RFC 3339 time")
    }
    self = instant
  }

  /// Writes RFC 3339 text.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(description)
  }
}

extension UTCInstant {
  /// Reads RFC 3339: a date and a time with `Z` or an offset, or a date alone, which means its first moment in UTC.
  ///
  /// Digits beyond the millisecond are cut off; a leap second counts as the second after it.
  public init?(_ text: String) {
    var reader = DigitReader(Array(text.utf8))
    guard let year = reader.number(4), reader.take("-"), let month = reader.number(2), reader.take("-"),
      let day = reader.number(2), let days = CivilDate(year: year, month: month, day: day)?.daysSince1970
    else { return nil }
    self.milliseconds = Int64(days) * 86_400_000
    if reader.isAtEnd { return }
    guard reader.take("T") || reader.take("t") || reader.take(" "),
      let hour = reader.number(2), hour < 24, reader.take(":"),
      let minute = reader.number(2), minute < 60, reader.take(":"),
      let second = reader.number(2), second <= 60
    else { return nil }
    var fraction = 0
    if reader.take(".") {
      guard let digits = reader.fraction() else { return nil }
      fraction = digits
    }
    guard let offset = reader.offset(), reader.isAtEnd else { return nil }
    milliseconds += Int64(hour * 3_600_000 + (minute - offset) * 60_000 + second * 1000 + fraction)
  }
}

/// Reads fixed-width decimal fields.
private struct DigitReader {
  private let bytes: [UInt8]
  private var index = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  var isAtEnd: Bool { index == bytes.count }

  private var digit: Int? {
    guard index < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[index]) else {
      return nil
    }
    return Int(bytes[index] - UInt8(ascii: "0"))
  }

  mutating func number(_ width: Int) -> Int? {
    var value = 0
    for _ in 0..<width {
      guard let digit else { return nil }
      value = value * 10 + digit
      index += 1
    }
    return value
  }

  mutating func take(_ character: Unicode.Scalar) -> Bool {
    guard index < bytes.count, bytes[index] == UInt8(ascii: character) else { return false }
    index += 1
    return true
  }

  /// At least one digit, of which the first three count.
  mutating func fraction() -> Int? {
    var value = 0
    var count = 0
    while let digit {
      if count < 3 { value = value * 10 + digit }
      count += 1
      index += 1
    }
    guard count > 0 else { return nil }
    return count == 1 ? value * 100 : count == 2 ? value * 10 : value
  }

  /// Minutes east of UTC.
  mutating func offset() -> Int? {
    if take("Z") || take("z") { return 0 }
    let isEast = take("+")
    guard isEast || take("-"), let hours = number(2), hours < 24, take(":"), let minutes = number(2),
      minutes < 60
    else { return nil }
    return (isEast ? 1 : -1) * (hours * 60 + minutes)
  }
}
