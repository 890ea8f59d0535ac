// SPDX-License-Identifier: Apache-2.0

extension SearchQuery {
  /// Understands any bytes as a question; what is not UTF-8 is repaired.
  ///
  /// - Parameter now: what ages (`7d`) are counted from, in milliseconds since 1970.
  public init(bytes: some Sequence<UInt8>, now: Int64) {
    self.init(String(decoding: Array(bytes), as: UTF8.self), now: now)
  }

  /// Understands any text as a question.
  ///
  /// - Parameter now: what ages (`7d`) are counted from, in milliseconds since 1970.
  public init(_ text: String, now: Int64) {
    var words = Words(text)
    var tokens = 0
    while let word = words.next() {
      if !word.isQuoted || word.field != nil, apply(word, now: now) { continue }
      guard wanted.count + unwanted.count < Self.mostPhrases, tokens < Self.mostTokens else {
        leftOut += 1
        continue
      }
      let spelled = word.isQuoted || word.field == nil ? word.value : word.whole
      guard let phrase = Self.phrase(spelled, word, room: Self.mostTokens - tokens) else { continue }
      tokens += phrase.tokens.count
      if word.isNegated { unwanted.append(phrase) } else { wanted.append(phrase) }
    }
  }

  private static func phrase(_ text: String, _ word: Words.Word, room: Int) -> Phrase? {
    let cut = SearchText(ScalarFold.composed(text), limit: room + 1).tokens
    guard let last = cut.last else { return nil }
    var tokens = cut.prefix(room).map(\.text)
    var isPrefix = word.isPrefix && cut.count <= room && last.role == .word
    if cut.count <= room, last.role == .gram, last.endsRun {
      // In a text a run of pairs may go on where the question's ends.
      if cut.count > 1, cut[cut.count - 2].role == .gram, !cut[cut.count - 2].endsRun {
        tokens.removeLast()
      } else {
        isPrefix = true
      }
    }
    var phrase = Phrase(tokens: tokens, isPrefix: isPrefix, isQuoted: word.isQuoted)
    if tokens.count == 1 { phrase.pieces = cut[0].pieces }
    return phrase
  }

  /// Takes a filter in; false when it is none.
  private mutating func apply(_ word: Words.Word, now: Int64) -> Bool {
    guard let field = word.field, !word.value.isEmpty, word.value.utf8.count <= 1024 else { return false }
    switch (field, word.isNegated) {
    case ("role", false): filter.roles.append(word.value.lowercased())
    case ("role", true): filter.excludedRoles.append(word.value.lowercased())
    case ("source", false): filter.sources.append(word.value)
    case ("source", true): filter.excludedSources.append(word.value)
    case ("session", false): filter.sessions.append(word.value)
    case ("session", true): filter.excludedSessions.append(word.value)
    case ("lineage", false): filter.lineages.append(word.value)
    case ("after", false):
      guard let time = SearchTime.milliseconds(word.value, now: now) else { return false }
      filter.after = max(filter.after ?? .min, time)
    case ("before", false):
      guard let time = SearchTime.milliseconds(word.value, now: now) else { return false }
      filter.before = min(filter.before ?? .max, time)
    default: return false
    }
    return true
  }
}

/// Cuts a question at its blanks and quotes.
private struct Words {
  struct Word {
    var isNegated = false
    var field: String?
    var value = ""
    /// The word with its field, as typed.
    var whole = ""
    var isQuoted = false
    var isPrefix = false
  }

  private let characters: [Unicode.Scalar]
  private var index = 0
  private static let fields: Set<String> = ["role", "source", "session", "lineage", "after", "before"]

  init(_ text: String) { characters = Array(text.unicodeScalars) }

  mutating func next() -> Word? {
    while index < characters.count, characters[index].properties.isWhitespace { index += 1 }
    guard index < characters.count else { return nil }
    var word = Word()
    if characters[index] == "-", index + 1 < characters.count, !characters[index + 1].properties.isWhitespace
    {
      word.isNegated = true
      index += 1
    }
    let start = index
    if Self.isQuote(characters[index]) {
      quoted(&word)
      return word
    }
    var text = ""
    while index < characters.count, !characters[index].properties.isWhitespace {
      let scalar = characters[index]
      if Self.isQuote(scalar) {
        // A quote inside a word belongs to it only right after a filter's colon.
        guard word.field != nil, text.isEmpty else { break }
        quoted(&word)
        word.whole = string(start..<index)
        return word
      }
      index += 1
      if scalar == ":", word.field == nil, Self.fields.contains(text.lowercased()) {
        word.field = text.lowercased()
        text = ""
        continue
      }
      text.unicodeScalars.append(scalar)
    }
    word.value = text
    word.whole = string(start..<index)
    word.isPrefix = text.hasSuffix("*")
    return word
  }

  private static func isQuote(_ scalar: Unicode.Scalar) -> Bool {
    scalar == "\"" || scalar == "\u{201C}" || scalar == "\u{201D}" || scalar == "\u{201E}"
  }

  /// Takes what is between quotes; an open quote reaches to the end.
  private mutating func quoted(_ word: inout Word) {
    index += 1
    let start = index
    while index < characters.count, !Self.isQuote(characters[index]) { index += 1 }
    word.value = string(start..<index)
    word.isQuoted = true
    if index < characters.count { index += 1 }
    if index < characters.count, characters[index] == "*" {
      word.isPrefix = true
      index += 1
    }
  }

  private func string(_ range: Range<Int>) -> String {
    var string = ""
    string.unicodeScalars.append(contentsOf: characters[range])
    return string
  }
}
