// SPDX-License-Identifier: Apache-2.0

/// The bytes the wire parsers look for, by name.
enum Byte {
  static let tab = UInt8(ascii: "\t")
  static let lineFeed = UInt8(ascii: "\n")
  static let carriageReturn = UInt8(ascii: "\r")
  static let space = UInt8(ascii: " ")
  static let quote = UInt8(ascii: "\"")
  static let backslash = UInt8(ascii: "\\")
  static let colon = UInt8(ascii: ":")
  static let comma = UInt8(ascii: ",")
  static let openBrace = UInt8(ascii: "{")
  static let closeBrace = UInt8(ascii: "}")
  static let openBracket = UInt8(ascii: "[")
  static let closeBracket = UInt8(ascii: "]")
}

/// Searches over bytes, eight at a time.
///
/// A relayed stream is mostly text that no parser needs; these two searches are what is spent on it.
enum ByteScan {
  private static let ones: UInt64 = 0x0101_0101_0101_0101
  private static let tops: UInt64 = 0x8080_8080_8080_8080

  /// The index of the first CR or LF at or after `start`; the count when there is none.
  static func lineEnd(_ bytes: Span<UInt8>, from start: Int) -> Int {
    first(of: Byte.carriageReturn, or: Byte.lineFeed, in: bytes, from: start)
  }

  /// The index of the first quote or backslash at or after `start`; the count when there is none.
  static func stringSpecial(_ bytes: Span<UInt8>, from start: Int) -> Int {
    first(of: Byte.quote, or: Byte.backslash, in: bytes, from: start)
  }

  @inline(__always)
  private static func first(of a: UInt8, or b: UInt8, in bytes: Span<UInt8>, from start: Int) -> Int {
    var index = start
    let count = bytes.count
    let wordA = ones &* UInt64(a)
    let wordB = ones &* UInt64(b)
    let raw = unsafe bytes.bytes
    while index &+ 8 <= count {
      // Within the span: index + 8 was compared with its count.
      let word = unsafe raw.unsafeLoadUnaligned(fromUncheckedByteOffset: index, as: UInt64.self)
      if zeroByteMask(word ^ wordA) | zeroByteMask(word ^ wordB) != 0 { break }
      index &+= 8
    }
    while index < count {
      let byte = bytes[index]
      if byte == a || byte == b { return index }
      index &+= 1
    }
    return count
  }

  /// Non-zero exactly when one of the word's bytes is zero (Hacker's Delight, 6-1).
  @inline(__always)
  private static func zeroByteMask(_ word: UInt64) -> UInt64 {
    (word &- ones) & ~word & tops
  }
}
