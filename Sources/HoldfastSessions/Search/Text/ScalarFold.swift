// SPDX-License-Identifier: Apache-2.0

import Foundation

/// What one Unicode scalar is to search, and the form in which it is compared.
enum ScalarFold {
  /// What a scalar does to the text around it.
  enum Role: UInt8 {
    /// Ends a word.
    case separator
    /// Part of a word of a script that writes spaces, or of a number.
    case word
    /// Part of a script that is searched by overlapping pairs: it writes no spaces, or glues particles on.
    case gram
    /// A word by itself: an emoji, an arrow, a currency.
    case symbol
    /// Not there as far as search is concerned: joiners, variation selectors, skin tones, diacritics.
    case ignored
  }

  /// The role of a scalar beyond ASCII.
  static func role(of scalar: Unicode.Scalar) -> Role {
    let value = scalar.value
    if isIgnored(value) { return .ignored }
    if isGram(value) { return .gram }
    switch scalar.properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter,
      .decimalNumber, .letterNumber, .otherNumber, .nonspacingMark, .spacingMark, .enclosingMark:
      // Circled and parenthesised characters fold to what they hold; a keycap's frame holds nothing.
      return value == 0x20E3 ? .ignored : .word
    case .otherSymbol, .mathSymbol, .currencySymbol: return .symbol
    default: return .separator
    }
  }

  /// Joiners and marks that two spellings of one word may differ in.
  private static func isIgnored(_ value: UInt32) -> Bool {
    switch value {
    case 0x00AD, 0x034F, 0x061C, 0x0640, 0x200B...0x200F, 0x202A...0x202E, 0x2060...0x2064, 0xFEFF: true
    case 0x0300...0x036F, 0x1AB0...0x1AFF, 0x1DC0...0x1DFF, 0x20D0...0x20F0: true  // Latin, Greek, Cyrillic
    case 0x0591...0x05BD, 0x05BF, 0x05C1...0x05C2, 0x05C4...0x05C5, 0x05C7: true  // Hebrew points
    case 0x0610...0x061A, 0x064B...0x065F, 0x0670, 0x06D6...0x06ED: true  // Arabic vowels
    case 0x093C, 0x09BC, 0x0A3C, 0x0ABC, 0x0B3C: true  // nukta
    case 0xFE00...0xFE0F, 0x1F3FB...0x1F3FF, 0xE0000...0xE01EF: true
    default: false
    }
  }

  /// Scripts of overlapping pairs: Thai, Lao, Burmese, Khmer, Han, kana, bopomofo, Hangul, Yi.
  private static func isGram(_ value: UInt32) -> Bool {
    switch value {
    case 0x0E01...0x0E3A, 0x0E40...0x0E4E, 0x0E81...0x0ECE, 0x0EDC...0x0EDF: true
    case 0x1000...0x103F, 0x1050...0x108F, 0x1780...0x17D3: true
    case 0x1100...0x11FF, 0x3131...0x318E, 0xA960...0xA97C, 0xAC00...0xD7A3, 0xD7B0...0xD7FB: true
    case 0x2E80...0x2FD5, 0x3005...0x3007, 0x3021...0x3029, 0x3400...0x4DBF, 0x4E00...0x9FFF: true
    case 0x3041...0x3096, 0x309D...0x309F, 0x30A1...0x30FA, 0x30FC...0x312F, 0x31A0...0x31BF: true
    case 0x31F0...0x31FF, 0xA000...0xA48C, 0xF900...0xFAD9, 0x20000...0x323AF: true
    default: false
    }
  }

  /// The scalars a scalar is compared as: lower case, without diacritics, compatibility forms undone.
  ///
  /// й stays apart from и (it is a letter of its own to its readers), ё becomes е as in print.
  static func folded(_ scalar: Unicode.Scalar) -> [Unicode.Scalar] {
    let value = scalar.value
    if value < 0x3000 { return low[Int(value)] }
    if isGram(value), !(0xF900...0xFAD9).contains(value) { return [scalar] }
    return computed(scalar)
  }

  /// Every fold below the ideographs, made at the first text that is not ASCII.
  private static let low: [[Unicode.Scalar]] = (0..<0x3000 as Range<UInt32>).map { value in
    Unicode.Scalar(value).map(computed) ?? []
  }

  private static func computed(_ scalar: Unicode.Scalar) -> [Unicode.Scalar] {
    switch scalar {
    case "ß", "ẞ": return ["s", "s"]
    case "ø", "Ø": return ["o"]
    case "æ", "Æ": return ["a", "e"]
    case "œ", "Œ": return ["o", "e"]
    case "ł", "Ł": return ["l"]
    case "đ", "Đ", "ð", "Ð": return ["d"]
    case "þ", "Þ": return ["t", "h"]
    case "ı": return ["i"]
    case "ς": return ["σ"]
    case "й", "Й": return ["й"]
    case "ى": return ["ي"]
    // Thai and Lao AM: composing takes them apart, so they always are.
    case "\u{0E33}": return ["\u{0E4D}", "\u{0E32}"]
    case "\u{0EB3}": return ["\u{0ECD}", "\u{0EB2}"]
    default: break
    }
    if isGram(scalar.value), scalar.value < 0x2E80 { return [scalar] }
    let lowered = scalar.properties.lowercaseMapping
    return lowered.decomposedStringWithCompatibilityMapping.lowercased().unicodeScalars.filter {
      // A compatibility form may hold spaces and brackets, as in ㈱; none of them is part of a word.
      $0.isASCII ? ($0.properties.isAlphabetic || ("0"..."9").contains($0)) : !isIgnored($0.value)
    }
  }

  /// Whether some scalar is written in a form that has to be composed before it can be folded one by one.
  static func needsComposing(_ text: String) -> Bool {
    text.unicodeScalars.contains { scalar in
      switch scalar.value {
      case 0x0..<0x0306: false
      // й apart from its breve, conjoining jamo, voicing marks, half-width kana and Hangul.
      case 0x0306, 0x1100...0x11FF, 0x3099...0x309A, 0xA960...0xA97C, 0xD7B0...0xD7FB, 0xFF65...0xFFDC: true
      default: false
      }
    }
  }

  /// The text in the form search stores and compares it.
  static func composed(_ text: String) -> String {
    needsComposing(text) ? text.precomposedStringWithCompatibilityMapping : text
  }
}
