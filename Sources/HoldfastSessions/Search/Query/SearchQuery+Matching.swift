// SPDX-License-Identifier: Apache-2.0

extension SearchQuery.Phrase {
  /// The phrase as FTS5 takes it. Every token is between quotes and holds no ASCII but letters and digits, so
  /// nothing a person types is ever syntax (row D10).
  private static func quoted(_ tokens: [String], isPrefix: Bool) -> String {
    "\"" + tokens.joined(separator: " ") + "\"" + (isPrefix ? " *" : "")
  }

  /// Where a single word may be besides standing alone: inside a long word.
  var isSoughtInside: Bool {
    !isQuoted && tokens.count == 1 && WordParts.mayBeInside(tokens[0])
  }

  /// The expression that finds it in either column, or one of the words it is inside of.
  func expression(_ insides: [String] = []) -> String {
    var ways = [Self.quoted(tokens, isPrefix: isPrefix)]
    if !pieces.isEmpty { ways.append(Self.quoted(pieces, isPrefix: isPrefix)) }
    ways += insides.map { "text : " + Self.quoted([$0], isPrefix: false) }
    return ways.count == 1 ? ways[0] : "(" + ways.joined(separator: " OR ") + ")"
  }

  /// The expression that finds it as written only, for what must not be there.
  var strictExpression: String { "text : " + Self.quoted(tokens, isPrefix: isPrefix) }
}

extension SearchQuery {
  /// The words wanted as an FTS5 expression; nil when there are none.
  ///
  /// - Parameter insides: words that hold a phrase inside them, by the phrase's place.
  func wantedExpression(_ insides: [Int: [String]] = [:]) -> String? {
    guard !wanted.isEmpty else { return nil }
    return wanted.enumerated().map { $1.expression(insides[$0] ?? []) }.joined(separator: " AND ")
  }

  /// The words not wanted; nil when there are none.
  var unwantedExpression: String? {
    unwanted.isEmpty ? nil : unwanted.map(\.strictExpression).joined(separator: " OR ")
  }

  /// Whether a message is an answer, by its own text: what the scan of the tail and the degraded form use, with
  /// the meaning the index gives the question.
  func matches(_ document: SearchDocument) -> Bool {
    guard filter.passes(document) else { return false }
    if wanted.isEmpty, unwanted.isEmpty { return true }
    guard mayMatch(document.text) else { return false }
    let text = SearchText(ScalarFold.composed(document.text))
    let words = text.tokens.map(\.text)
    let parts = wanted.isEmpty ? [] : WordParts.all(of: text)
    return wanted.allSatisfy { phrase in
      Self.holds(words, phrase.tokens, phrase.isPrefix) || Self.holds(parts, phrase.tokens, phrase.isPrefix)
        || !phrase.pieces.isEmpty
          && (Self.holds(words, phrase.pieces, phrase.isPrefix)
            || Self.holds(parts, phrase.pieces, phrase.isPrefix))
        || phrase.isSoughtInside && words.contains { WordParts.isInside(phrase.tokens[0], $0) }
    } && !unwanted.contains { Self.holds(words, $0.tokens, $0.isPrefix) }
  }

  /// Whether a text has the letters of what is wanted: tells most texts apart without cutting them into words.
  private func mayMatch(_ text: String) -> Bool {
    // Beyond ASCII a letter may be written in several ways.
    guard text.utf8.allSatisfy({ $0 < 0x80 }) else { return true }
    let lowered = text.utf8.map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }
    return wanted.allSatisfy { phrase in
      !phrase.pieces.isEmpty || phrase.tokens.allSatisfy { lowered.holds(Array($0.utf8)) }
    }
  }

  private static func holds(_ words: [String], _ phrase: [String], _ isPrefix: Bool) -> Bool {
    guard phrase.count <= words.count, let last = phrase.last else { return false }
    for start in 0...(words.count - phrase.count) {
      let window = words[start..<(start + phrase.count)]
      guard window.dropLast().elementsEqual(phrase.dropLast()), let end = window.last else { continue }
      if isPrefix ? end.utf8.starts(with: last.utf8) : end == last { return true }
    }
    return false
  }
}
