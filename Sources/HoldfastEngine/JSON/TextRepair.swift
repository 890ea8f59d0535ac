// SPDX-License-Identifier: Apache-2.0

/// Makes text storable: what is no Unicode text, and NUL, which ends a text for half of SQLite's readers, become
/// U+FFFD (row D01). Whoever repairs says so in its acknowledgement.
public enum TextRepair {
  /// The text with each NUL replaced; nil when it has none.
  package static func withoutNUL(_ text: String) -> String? {
    guard text.utf8.contains(0) else { return nil }
    return String(String.UnicodeScalarView(text.unicodeScalars.map { $0.value == 0 ? "\u{FFFD}" : $0 }))
  }

  /// A line of JSON with every invalid byte sequence, lone surrogate escape and NUL of its strings replaced.
  ///
  /// JSON decoders refuse the whole line for one of these.
  /// - Returns: the line, and whether anything was replaced.
  public static func line(_ bytes: [UInt8]) -> (bytes: [UInt8], isRepaired: Bool) {
    let text = String(decoding: bytes, as: UTF8.self)
    var isRepaired = !text.utf8.elementsEqual(bytes)
    var output: [UInt8] = []
    let input = Array(text.utf8)
    output.reserveCapacity(input.count)
    var index = 0
    let replacement = Array("\u{FFFD}".utf8)
    while index < input.count {
      let byte = input[index]
      if byte == 0 {
        output += replacement
        isRepaired = true
        index += 1
      } else if byte == UInt8(ascii: "\\"), index + 1 < input.count {
        guard input[index + 1] == UInt8(ascii: "u"), let unit = unit(input, index) else {
          output += input[index...(index + 1)]
          index += 2
          continue
        }
        let isPair =
          (0xD800..<0xDC00).contains(unit)
          && unitAfter(input, index + 6).map { (0xDC00..<0xE000).contains($0) } == true
        if isPair {
          output += input[index..<(index + 12)]
          index += 12
        } else if unit == 0 || (0xD800..<0xE000).contains(unit) {
          output += replacement
          isRepaired = true
          index += 6
        } else {
          output += input[index..<(index + 6)]
          index += 6
        }
      } else {
        output.append(byte)
        index += 1
      }
    }
    return (output, isRepaired)
  }

  private static func unitAfter(_ bytes: [UInt8], _ index: Int) -> UInt32? {
    guard index + 1 < bytes.count, bytes[index] == UInt8(ascii: "\\"), bytes[index + 1] == UInt8(ascii: "u")
    else { return nil }
    return unit(bytes, index)
  }

  private static func unit(_ bytes: [UInt8], _ index: Int) -> UInt32? {
    guard index + 6 <= bytes.count else { return nil }
    let digits = bytes[(index + 2)..<(index + 6)]
    guard digits.allSatisfy({ Character(UnicodeScalar($0)).isHexDigit }) else { return nil }
    return UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
  }
}
