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

  /// The expression that finds it in either column.
  var expression: String {
    var ways = [Self.quoted(tokens, isPrefix: isPrefix)]
    if !pieces.isEmpty { ways.append(Self.quoted(pieces, isPrefix: isPrefix)) }
    if isSoughtInside { ways.append("parts : " + Self.quoted(tokens, isPrefix: true)) }
    return ways.count == 1 ? ways[0] : "(" + ways.joined(separator: " OR ") + ")"
  }

  /// The expression that finds it as written only, for what must not be there.
  var strictExpression: String { "text : " + Self.quoted(tokens, isPrefix: isPrefix) }
}

extension SearchQuery {
  /// The words wanted as an FTS5 expression; nil when there are none.
  var wantedExpression: String? {
    wanted.isEmpty ? nil : wanted.map(\.expression).joined(separator: " AND ")
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
    let text = SearchText(ScalarFold.composed(document.text))
    let words = text.tokens.map(\.text)
    let parts = wanted.isEmpty ? [] : WordParts.all(of: text)
    return wanted.allSatisfy { phrase in
      Self.holds(words, phrase.tokens, phrase.isPrefix) || Self.holds(parts, phrase.tokens, phrase.isPrefix)
        || !phrase.pieces.isEmpty
          && (Self.holds(words, phrase.pieces, phrase.isPrefix)
            || Self.holds(parts, phrase.pieces, phrase.isPrefix))
        || phrase.isSoughtInside && Self.holds(parts, phrase.tokens, true)
    } && !unwanted.contains { Self.holds(words, $0.tokens, $0.isPrefix) }
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
