// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

/// An exact factor on a price.
public struct PriceRatio: Sendable, Hashable {
  /// The upper part.
  public let numerator: Int64
  /// The lower part, never zero.
  public let denominator: Int64

  /// No change.
  public static let one = PriceRatio(1, 1)

  /// `numerator / denominator`, in lowest terms.
  public init(_ numerator: Int64, _ denominator: Int64) {
    precondition(numerator >= 0 && denominator > 0, "A price ratio is not negative.")
    var (divisor, rest) = (denominator, numerator)
    while rest != 0 { (divisor, rest) = (rest, divisor % rest) }
    self.numerator = numerator / divisor
    self.denominator = denominator / divisor
  }

  /// Reads `2`, `0.5` or `20/11`.
  public init?(_ text: some StringProtocol) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    if parts.count == 2, let numerator = Int64(parts[0]), let denominator = Int64(parts[1]), numerator >= 0,
      denominator > 0
    {
      self.init(numerator, denominator)
    } else if parts.count == 1, let millionths = MicroDollars.parse(text) {
      self.init(millionths, 1_000_000)
    } else {
      return nil
    }
  }

  /// Both factors, one after the other.
  public static func * (left: PriceRatio, right: PriceRatio) -> PriceRatio {
    PriceRatio(left.numerator * right.numerator, left.denominator * right.denominator)
  }

  /// The rate times this factor, to the nearest micro-dollar.
  func applied(to rate: Int64) -> Int64 {
    Int64(
      clamping: (Int128(rate) * Int128(numerator) * 2 + Int128(denominator)) / (Int128(denominator) * 2))
  }
}

/// Amounts of money as people write them.
public enum MicroDollars {
  /// Reads dollars with up to six decimals (`0.075`, `12`) as micro-dollars, exactly.
  public static func parse(_ text: some StringProtocol) -> Int64? {
    let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
    guard let whole = parts.first, !whole.isEmpty, whole.count <= 9, whole.utf8.allSatisfy(isDigit) else {
      return nil
    }
    var fraction = ""
    if parts.count == 2 {
      guard !parts[1].isEmpty, parts[1].count <= 6, parts[1].utf8.allSatisfy(isDigit) else { return nil }
      fraction = String(parts[1])
    }
    return Int64(whole + fraction + String(repeating: "0", count: 6 - fraction.utf8.count))
  }

  /// The micro-dollars of an amount in dollars, to the nearest; nil when it is negative, infinite or absurd.
  public static func of(dollars: Double) -> Int64? {
    guard dollars.isFinite, dollars >= 0, dollars <= 1_000_000 else { return nil }
    return Int64((dollars * 1_000_000).rounded())
  }

  private static func isDigit(_ byte: UInt8) -> Bool {
    byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9")
  }
}

/// The hours of the week at which a provider's rates are higher.
public struct PeakHours: Sendable, Hashable {
  /// Hours of the UTC day, from the first to before the last.
  public var hours: [Range<Int>]
  /// Whether Saturday and Sunday are left out.
  public var weekdaysOnly: Bool
  /// What the standard rates are multiplied by.
  public var ratio: PriceRatio

  /// Peak hours.
  public init(hours: [Range<Int>], weekdaysOnly: Bool, ratio: PriceRatio) {
    self.hours = hours
    self.weekdaysOnly = weekdaysOnly
    self.ratio = ratio
  }

  /// Whether a moment is in them.
  public func contains(_ instant: UTCInstant) -> Bool {
    let day = instant.startOfDay.milliseconds / 86_400_000
    // 1970-01-01 was a Thursday; 0 is Monday.
    let weekday = ((day + 3) % 7 + 7) % 7
    if weekdaysOnly, weekday >= 5 { return false }
    let hour = Int((instant.milliseconds - instant.startOfDay.milliseconds) / 3_600_000)
    return hours.contains { $0.contains(hour) }
  }
}
