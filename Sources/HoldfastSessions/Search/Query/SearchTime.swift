// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

/// The times a question may name: a UTC day, a UTC moment, or an age.
enum SearchTime {
  /// Milliseconds since 1970; nil when the text is no time.
  static func milliseconds(_ text: String, now: Int64) -> Int64? {
    age(text).map { now - $0 } ?? moment(text)
  }

  private static func age(_ text: String) -> Int64? {
    guard let unit = text.last, let number = Int64(text.dropLast()), (0...1_000_000).contains(number) else {
      return nil
    }
    switch unit {
    case "m": return number * 60_000
    case "h": return number * 3_600_000
    case "d": return number * 86_400_000
    case "w": return number * 604_800_000
    default: return nil
    }
  }

  /// RFC 3339; a date alone, and a time without its zone or its seconds, are taken for UTC too.
  private static func moment(_ text: String) -> Int64? {
    let time = UTCInstant(text) ?? UTCInstant(text + "Z") ?? UTCInstant(text + ":00Z")
    return time?.milliseconds
  }
}
