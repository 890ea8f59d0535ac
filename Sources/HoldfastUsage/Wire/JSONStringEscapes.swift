// SPDX-License-Identifier: Apache-2.0

/// The escapes of a JSON string (RFC 8259 §7).
enum JSONStringEscapes {
  /// The text with its escapes resolved as UTF-8, or nil when one is not an escape.
  ///
  /// A lone surrogate becomes U+FFFD: what is read here is stored as text, which must be valid.
  static func decoded(_ text: [UInt8]) -> [UInt8]? {
    var plain: [UInt8] = []
    plain.reserveCapacity(text.count)
    var index = 0
    while index < text.count {
      guard text[index] == Byte.backslash else {
        plain.append(text[index])
        index += 1
        continue
      }
      guard index + 1 < text.count else { return nil }
      let kind = text[index + 1]
      index += 2
      switch kind {
      case Byte.quote, Byte.backslash, UInt8(ascii: "/"): plain.append(kind)
      case UInt8(ascii: "b"): plain.append(0x08)
      case UInt8(ascii: "f"): plain.append(0x0C)
      case UInt8(ascii: "n"): plain.append(Byte.lineFeed)
      case UInt8(ascii: "r"): plain.append(Byte.carriageReturn)
      case UInt8(ascii: "t"): plain.append(Byte.tab)
      case UInt8(ascii: "u"):
        guard let scalar = unicode(text, &index) else { return nil }
        plain.append(contentsOf: String(Character(scalar)).utf8)
      default:
        return nil
      }
    }
    return plain
  }

  /// Reads the four digits at `index`, and the low half of a pair when a high one leads.
  private static func unicode(_ text: [UInt8], _ index: inout Int) -> Unicode.Scalar? {
    guard let unit = hexadecimal(text, index) else { return nil }
    index += 4
    if let scalar = Unicode.Scalar(unit) { return scalar }
    if unit < 0xDC00, index + 1 < text.count, text[index] == Byte.backslash,
      text[index + 1] == UInt8(ascii: "u"), let low = hexadecimal(text, index + 2),
      (0xDC00...0xDFFF).contains(low)
    {
      index += 6
      return Unicode.Scalar(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00))
    }
    return "\u{FFFD}"
  }

  private static func hexadecimal(_ text: [UInt8], _ start: Int) -> UInt32? {
    guard start + 4 <= text.count else { return nil }
    var value: UInt32 = 0
    for byte in text[start..<start + 4] {
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | UInt32(byte - UInt8(ascii: "0"))
      case UInt8(ascii: "a")...UInt8(ascii: "f"): value = value << 4 | UInt32(byte - UInt8(ascii: "a") + 10)
      case UInt8(ascii: "A")...UInt8(ascii: "F"): value = value << 4 | UInt32(byte - UInt8(ascii: "A") + 10)
      default: return nil
      }
    }
    return value
  }
}
