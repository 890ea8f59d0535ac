// SPDX-License-Identifier: Apache-2.0

/// What of a word is findable besides the whole.
///
/// In the index's second column, which ranks far below the first:
/// - the pieces of a name: `getUserName` by `user`, `userName` and `get_user_name`;
/// - an Arabic word without its article.
///
/// In a table of the words there are:
/// - the inside of long words, by their suffixes: `Dampfschifffahrt` in `Donaudampfschifffahrtsgesellschaft`.
///   No dictionary says where a compound is joined, so every place beyond the third letter counts.
enum WordParts {
  /// Letters of the shortest word that is searched inside.
  static let longWord = 9
  /// Letters of the shortest question that looks inside long words; shorter ones would hit them by accident.
  static let shortestInside = 5
  /// Letters of a word before which nothing is looked for.
  private static let head = 3
  /// Beyond this, letters are data (base64, say), not a word.
  private static let longestWord = 48
  /// Stands between the parts of two words, so that no phrase spans them; nobody can ask for it.
  static let fence = "\u{00B7}"

  /// The second column's tokens for a text, in order.
  static func all(of text: SearchText) -> [String] {
    var parts: [String] = []
    for token in text.tokens where token.role == .word {
      let before = parts.count
      parts += token.pieces
      if let bare = withoutArticle(token.text) { parts.append(bare) }
      if parts.count > before { parts.append(fence) }
    }
    return parts
  }

  /// Whether a word's inside is findable.
  static func isLong(_ word: String) -> Bool {
    guard word.utf8.count >= longWord else { return false }
    let scalars = word.unicodeScalars
    return (longWord...longestWord).contains(scalars.count) && scalars.allSatisfy(isLatin)
  }

  /// Where a question may begin inside a long word: its suffixes from there on.
  static func suffixes(ofLong word: String) -> [String] {
    let scalars = word.unicodeScalars
    let first = scalars.index(scalars.startIndex, offsetBy: head)
    let last = scalars.index(scalars.endIndex, offsetBy: -shortestInside)
    return scalars[first...last].indices.map { String(scalars[$0...]) }
  }

  /// Whether a question is inside a word, as the table of words has it.
  static func isInside(_ question: String, _ word: String) -> Bool {
    guard isLong(word) else { return false }
    let scalars = word.unicodeScalars
    let first = scalars.index(scalars.startIndex, offsetBy: head)
    return Array(word.utf8[first...]).holds(Array(question.utf8))
  }

  /// Whether a question may be looked for inside long words.
  static func mayBeInside(_ word: String) -> Bool {
    let scalars = word.unicodeScalars
    return scalars.count >= shortestInside && scalars.allSatisfy(isLatin)
  }

  private static func isLatin(_ scalar: Unicode.Scalar) -> Bool {
    ("a"..."z").contains(scalar) || (0xE0...0x24F).contains(scalar.value)
  }

  /// Without ال or لل, and what may be glued before it (و ف ب ك).
  private static func withoutArticle(_ word: String) -> String? {
    // The letters of Arabic begin with these bytes.
    guard let first = word.utf8.first, (0xD8...0xDB).contains(first) else { return nil }
    let scalars = Array(word.unicodeScalars)
    guard scalars.count >= 4, (0x0600...0x06FF).contains(scalars[0].value) else { return nil }
    let glued: Set<Unicode.Scalar> = ["و", "ف", "ب", "ك"]
    // At most two are glued on: وبالمدرسة.
    let before = scalars.prefix(2).prefix { glued.contains($0) }.count
    var rest: ArraySlice<Unicode.Scalar>?
    for count in 0...before where rest == nil {
      if scalars.dropFirst(count).starts(with: ["ا", "ل"])
        || scalars.dropFirst(count).starts(with: ["ل", "ل"])
      {
        rest = scalars.dropFirst(count + 2)
      }
    }
    guard let rest, rest.count >= 2 else { return nil }
    var bare = ""
    bare.unicodeScalars.append(contentsOf: rest)
    return bare
  }
}

extension [UInt8] {
  /// Whether other bytes are among these, one behind the other.
  func holds(_ piece: [UInt8]) -> Bool {
    guard let first = piece.first, piece.count <= count else { return piece.isEmpty }
    for start in 0...(count - piece.count) where self[start] == first {
      if self[start..<(start + piece.count)] == piece[...] { return true }
    }
    return false
  }
}
