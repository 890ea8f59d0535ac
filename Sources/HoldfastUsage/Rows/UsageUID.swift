// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

/// Mints the uids of rows that bring none.
enum UsageUID {
  /// A UUID of version 7 (RFC 9562 §5.7): it begins with the time, so new rows land at one end of the index.
  static func mint(at time: UTCInstant, using generator: inout some RandomNumberGenerator) -> String {
    let stamp = UInt64(truncatingIfNeeded: time.milliseconds) & 0xFFFF_FFFF_FFFF
    let high = stamp << 16 | 0x7000 | generator.next() & 0x0FFF
    let low = generator.next() & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
    var text: [UInt8] = []
    text.reserveCapacity(36)
    for index in 0..<32 {
      if index == 8 || index == 12 || index == 16 || index == 20 { text.append(UInt8(ascii: "-")) }
      let word = index < 16 ? high : low
      let digit = UInt8(truncatingIfNeeded: word >> UInt64(60 - 4 * (index & 15))) & 15
      text.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
    }
    return String(decoding: text, as: UTF8.self)
  }

  /// The same with the system's randomness.
  static func mint(at time: UTCInstant) -> String {
    var generator = SystemRandomNumberGenerator()
    return mint(at: time, using: &generator)
  }
}
