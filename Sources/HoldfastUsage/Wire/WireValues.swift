// SPDX-License-Identifier: Apache-2.0

/// Counts as JSON writes them.
enum WireNumber {
  /// A count of tokens within ``UsageLimits/maximumTokens``, or nil when it is none.
  ///
  /// A whole number written with a fraction or an exponent (`12.0`, `1.2e1`) is a count; a negative one is not.
  static func count(_ text: [UInt8]) -> Int64? {
    var value: Int64 = 0
    for byte in text {
      guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return fractional(text) }
      value = value * 10 + Int64(byte - UInt8(ascii: "0"))
      guard value <= UsageLimits.maximumTokens else { return nil }
    }
    return text.isEmpty ? nil : value
  }

  private static func fractional(_ text: [UInt8]) -> Int64? {
    guard let value = Double(String(decoding: text, as: UTF8.self)), value >= 0,
      value <= Double(UsageLimits.maximumTokens), value == value.rounded()
    else { return nil }
    return Int64(value)
  }
}

/// Text that came from a peer and is to be stored.
enum WireText {
  /// The text as valid UTF-8 without control characters, cut to a bound at a character's edge.
  static func kept(_ bytes: [UInt8], maximumBytes: Int) -> String {
    kept(String(decoding: bytes, as: UTF8.self), maximumBytes: maximumBytes)
  }

  /// The same for a text that is already a string.
  static func kept(_ text: String, maximumBytes: Int) -> String {
    let isClean = text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F }
    var plain = text
    if !isClean {
      plain = String(
        String.UnicodeScalarView(text.unicodeScalars.filter { $0.value >= 0x20 && $0.value != 0x7F }))
    }
    guard plain.utf8.count > maximumBytes else { return plain }
    var end = plain.utf8.index(plain.startIndex, offsetBy: maximumBytes)
    while end.samePosition(in: plain.unicodeScalars) == nil { plain.utf8.formIndex(before: &end) }
    return String(plain[..<end])
  }
}
