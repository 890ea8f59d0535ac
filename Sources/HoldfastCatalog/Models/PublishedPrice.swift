// SPDX-License-Identifier: Apache-2.0

/// An amount of dollars as a provider publishes it, read from its digits.
enum PublishedPrice {
  /// What it is for.
  enum Unit {
    /// Dollars for one token, as OpenRouter publishes.
    case token
    /// Dollars for a million tokens, as Together does.
    case million
    /// Cents for a hundred million tokens, as xAI does.
    case centsPerHundredMillion
    /// Dollars for one request or one search, as OpenRouter does; by the thousand it becomes.
    case each

    /// By which power of ten it becomes micro-dollars per million tokens, or per thousand of what is no token.
    var power: Int {
      switch self {
      case .token: 12
      case .million: 6
      case .centsPerHundredMillion: 2
      case .each: 9
      }
    }
  }

  /// No model costs more than a dollar a token.
  private static let most: Int64 = 1_000_000_000_000

  /// Micro-dollars per million tokens, rounded half up; nil for what is no amount of money: negative, not a number,
  /// beyond all reason.
  static func microdollars(_ text: String, _ unit: Unit) -> Int64? {
    let parts = text.split(omittingEmptySubsequences: false) { $0 == "e" || $0 == "E" }
    guard (1...2).contains(parts.count), let exponent = parts.count == 2 ? Int(parts[1]) : 0,
      abs(exponent) < 1000
    else { return nil }
    let halves = parts[0].split(separator: ".", omittingEmptySubsequences: false)
    guard (1...2).contains(halves.count) else { return nil }
    let fraction = halves.count == 2 ? String(halves[1]) : ""
    var digits = Array((String(halves[0]) + fraction).utf8)
    guard !digits.isEmpty, digits.count <= 64, digits.allSatisfy({ (0x30...0x39).contains($0) }) else {
      return nil
    }
    // The amount is these digits as a whole number, times ten to the power of `shift`.
    let shift = unit.power + exponent - fraction.utf8.count
    var isRoundedUp = false
    if shift >= 0 {
      if digits.allSatisfy({ $0 == 0x30 }) { return 0 }
      guard shift <= 24 else { return nil }
      digits += [UInt8](repeating: 0x30, count: shift)
    } else {
      let cut = -shift
      isRoundedUp = cut <= digits.count && digits[digits.count - cut] >= 0x35
      digits.removeLast(min(cut, digits.count))
    }
    var amount: Int64 = 0
    for digit in digits {
      amount = amount * 10 + Int64(digit - 0x30)
      guard amount <= most else { return nil }
    }
    return amount + (isRoundedUp ? 1 : 0)
  }

  /// As ``microdollars(_:_:)``, from a number or a text.
  static func microdollars(_ node: ListNode, _ unit: Unit) -> Int64? {
    switch node {
    case .number(let text), .string(let text): microdollars(text, unit)
    default: nil
    }
  }
}
