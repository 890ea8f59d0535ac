// SPDX-License-Identifier: Apache-2.0

/// A text cut into what is indexed and asked for: one rule for both, so that whatever is asked as it was
/// written is found.
///
/// - A word of a script with spaces is one token, folded (``ScalarFold``). Punctuation ends it, so a path, a
///   URL or a snake_case name is a row of tokens and is asked for as a phrase.
/// - A run of a script without spaces becomes its overlapping pairs, and its last character alone: then every
///   character begins a token, a single one is found by prefix and a longer piece as a phrase of pairs.
/// - An emoji or another symbol is a token.
struct SearchText: Sendable {
  /// One token, and where in the text it stands.
  struct Token: Hashable, Sendable {
    /// What is compared: no ASCII but lower-case letters and digits.
    var text: String
    /// UTF-8 offsets in the text.
    var range: Range<Int>
    /// The pieces of a name written in camelCase or with digits; empty when it is in one piece.
    var pieces: [String] = []
    var role: ScalarFold.Role
    /// Whether it is a lone last character of a run of pairs.
    var endsRun = false
  }

  /// Scalars of a token beyond which it is cut, in the index and in the question alike: FTS5 keeps a term
  /// within a page.
  static let longestToken = 120

  private(set) var tokens: [Token] = []

  /// - Parameter limit: tokens after which to stop, for a question that may be 100 KB of anything.
  init(_ text: String, limit: Int = .max) {
    var text = text
    text.makeContiguousUTF8()
    var run = Run()
    var offset = 0
    for scalar in text.unicodeScalars {
      if tokens.count >= limit { break }
      let length = UTF8.width(scalar)
      defer { offset += length }
      if scalar.isASCII {
        let value = UInt8(scalar.value)
        switch value {
        case 0x61...0x7A, 0x30...0x39, 0x41...0x5A:
          take(scalar, .word, offset, length, &run)
        default: finish(&run)
        }
        continue
      }
      switch ScalarFold.role(of: scalar) {
      case .ignored: if run.role != nil { run.end = offset + length }
      case .separator: finish(&run)
      case .symbol:
        finish(&run)
        tokens.append(Token(text: String(scalar), range: offset..<(offset + length), role: .symbol))
      case .word: take(scalar, .word, offset, length, &run)
      case .gram: take(scalar, .gram, offset, length, &run)
      }
    }
    finish(&run)
    if tokens.count > limit { tokens.removeLast(tokens.count - limit) }
  }

  /// What is being collected.
  private struct Run {
    var role: ScalarFold.Role?
    var start = 0
    var end = 0
    var folded: [Unicode.Scalar] = []
    /// UTF-8 offsets of each scalar in `folded`, for pairs.
    var offsets: [Int] = []
    /// Where in `folded` a piece begins.
    var cuts: [Int] = []
    var last: Kind = .other
    var beforeLast: Kind = .other
  }

  private enum Kind { case upper, lower, digit, other }

  private mutating func take(
    _ scalar: Unicode.Scalar, _ role: ScalarFold.Role, _ offset: Int, _ length: Int, _ run: inout Run
  ) {
    if run.role != role {
      finish(&run)
      run.role = role
      run.start = offset
    }
    if role == .word {
      let kind = Self.kind(of: scalar)
      if kind != run.last, !run.folded.isEmpty {
        switch (run.last, kind) {
        case (.lower, .upper), (.digit, .upper), (.digit, .lower), (.upper, .digit), (.lower, .digit):
          run.cuts.append(run.folded.count)
        case (.upper, .lower) where run.beforeLast == .upper:
          // HTTPServer: the last capital belongs to the next piece.
          run.cuts.append(run.folded.count - 1)
        default: break
        }
      }
      run.beforeLast = run.last
      run.last = kind
      if scalar.isASCII {
        let value = scalar.value
        run.folded.append(kind == .upper ? Unicode.Scalar(UInt8(value | 0x20)) : scalar)
      } else {
        run.folded += ScalarFold.folded(scalar)
      }
    } else {
      for folded in ScalarFold.folded(scalar) {
        run.folded.append(folded)
        run.offsets.append(offset)
      }
    }
    run.end = offset + length
  }

  private static func kind(of scalar: Unicode.Scalar) -> Kind {
    switch scalar.value {
    case 0x61...0x7A: return .lower
    case 0x41...0x5A: return .upper
    case 0x30...0x39: return .digit
    case 0..<0x80: return .other
    default: break
    }
    switch scalar.properties.generalCategory {
    case .uppercaseLetter: return .upper
    case .lowercaseLetter: return .lower
    case .decimalNumber: return .digit
    default: return .other
    }
  }

  private mutating func finish(_ run: inout Run) {
    defer { run = Run() }
    guard let role = run.role, !run.folded.isEmpty else { return }
    if role == .gram { return addPairs(run) }
    let folded = run.folded.prefix(Self.longestToken)
    var token = Token(text: Self.string(folded), range: run.start..<run.end, role: role)
    let cuts = run.cuts.filter { $0 > 0 && $0 < folded.count }
    if !cuts.isEmpty {
      let bounds = [0] + cuts + [folded.count]
      token.pieces = zip(bounds, bounds.dropFirst()).filter { $0 < $1 }.map { Self.string(folded[$0..<$1]) }
    }
    tokens.append(token)
  }

  private mutating func addPairs(_ run: Run) {
    for index in run.folded.indices {
      let isLast = index + 1 == run.folded.count
      let end = isLast ? index + 1 : index + 2
      let stop = end < run.offsets.count ? run.offsets[end] : run.end
      tokens.append(
        Token(
          text: Self.string(run.folded[index..<end]),
          range: run.offsets[index]..<max(stop, run.offsets[index]), role: .gram, endsRun: isLast))
    }
  }

  private static func string(_ scalars: some Sequence<Unicode.Scalar>) -> String {
    var string = ""
    string.unicodeScalars.append(contentsOf: scalars)
    return string
  }
}
