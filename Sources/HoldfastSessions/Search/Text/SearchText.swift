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
    // Bytes of ASCII, which most texts are made of, are cut without being decoded.
    text.withUTF8 { bytes in
      var run = Run()
      var offset = 0
      let kinds = Self.kinds
      while offset < bytes.count, tokens.count < limit {
        let byte = unsafe bytes[offset]
        if byte < 0x80 {
          let kind = kinds[Int(byte)]
          if kind == .other { finish(&run) } else { take(byte, kind, offset, &run) }
          offset += 1
        } else {
          let (scalar, length) = unsafe Self.scalar(bytes, at: offset)
          take(scalar, offset, length, &run)
          offset += length
        }
      }
      finish(&run)
    }
    if tokens.count > limit { tokens.removeLast(tokens.count - limit) }
  }

  /// A scalar beyond ASCII; Swift's strings hold valid UTF-8 only.
  private static func scalar(
    _ bytes: UnsafeBufferPointer<UInt8>, at offset: Int
  ) -> (Unicode.Scalar, length: Int) {
    let first = unsafe bytes[offset]
    let length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4
    var value = UInt32(first) & (0x7F >> UInt32(length))
    for place in (offset + 1)..<(offset + length) {
      value = unsafe value << 6 | UInt32(bytes[place] & 0x3F)
    }
    return (Unicode.Scalar(value) ?? "\u{FFFD}", length)
  }

  /// What is being collected.
  private struct Run {
    var role: ScalarFold.Role?
    var start = 0
    var end = 0
    /// The folded scalars as UTF-8.
    var folded: [UInt8] = []
    /// Where in `folded` each scalar begins; of a word only while it is shorter than ``longestToken``.
    var starts: [Int] = []
    /// UTF-8 offsets in the text of each scalar in `folded`, for pairs.
    var offsets: [Int] = []
    /// Where in `folded` a piece begins.
    var cuts: [Int] = []
    var last: Kind = .other
    var beforeLast: Kind = .other
    /// Scalars in `folded`.
    var count = 0

    mutating func clear() {
      role = nil
      folded.removeAll(keepingCapacity: true)
      starts.removeAll(keepingCapacity: true)
      offsets.removeAll(keepingCapacity: true)
      cuts.removeAll(keepingCapacity: true)
      (last, beforeLast, count) = (.other, .other, 0)
    }

    mutating func append(_ byte: UInt8) {
      starts.append(folded.count)
      folded.append(byte)
      count += 1
    }

    mutating func append(_ scalar: Unicode.Scalar) {
      starts.append(folded.count)
      folded.append(contentsOf: scalar.utf8)
      count += 1
    }
  }

  private enum Kind { case upper, lower, digit, other }

  private static let kinds: [Kind] = (0..<128).map { byte in
    switch UInt8(byte) {
    case UInt8(ascii: "a")...UInt8(ascii: "z"): .lower
    case UInt8(ascii: "A")...UInt8(ascii: "Z"): .upper
    case UInt8(ascii: "0")...UInt8(ascii: "9"): .digit
    default: .other
    }
  }

  /// Takes an ASCII letter or digit.
  private mutating func take(_ byte: UInt8, _ kind: Kind, _ offset: Int, _ run: inout Run) {
    if run.role != .word { begin(.word, offset, &run) }
    cut(before: kind, &run)
    run.append(kind == .upper ? byte | 0x20 : byte)
    run.end = offset + 1
  }

  /// Takes a scalar beyond ASCII.
  private mutating func take(_ scalar: Unicode.Scalar, _ offset: Int, _ length: Int, _ run: inout Run) {
    switch ScalarFold.role(of: scalar) {
    case .ignored:
      if run.role != nil { run.end = offset + length }
      return
    case .separator: return finish(&run)
    case .symbol:
      finish(&run)
      return tokens.append(Token(text: String(scalar), range: offset..<(offset + length), role: .symbol))
    case .word:
      if run.role != .word { begin(.word, offset, &run) }
      cut(before: Self.kind(of: scalar), &run)
      for folded in ScalarFold.folded(scalar) { run.append(folded) }
    case .gram:
      if run.role != .gram { begin(.gram, offset, &run) }
      for folded in ScalarFold.folded(scalar) {
        run.append(folded)
        run.offsets.append(offset)
      }
    }
    run.end = offset + length
  }

  private mutating func begin(_ role: ScalarFold.Role, _ offset: Int, _ run: inout Run) {
    finish(&run)
    run.role = role
    run.start = offset
  }

  /// Begins a piece where the kind of letter changes.
  private func cut(before kind: Kind, _ run: inout Run) {
    if kind != run.last, run.count > 0 {
      switch (run.last, kind) {
      case (.lower, .upper), (.digit, .upper), (.digit, .lower), (.upper, .digit), (.lower, .digit):
        run.cuts.append(run.folded.count)
      case (.upper, .lower) where run.beforeLast == .upper:
        // HTTPServer: the last capital belongs to the next piece.
        run.cuts.append(run.starts[run.count - 1])
      default: break
      }
    }
    run.beforeLast = run.last
    run.last = kind
  }

  private static func kind(of scalar: Unicode.Scalar) -> Kind {
    switch scalar.properties.generalCategory {
    case .uppercaseLetter: .upper
    case .lowercaseLetter: .lower
    case .decimalNumber: .digit
    default: .other
    }
  }

  private mutating func finish(_ run: inout Run) {
    guard let role = run.role else { return }
    defer { run.clear() }
    guard run.count > 0 else { return }
    if role == .gram { return addPairs(run) }
    let end = run.count > Self.longestToken ? run.starts[Self.longestToken] : run.folded.count
    var token = Token(text: Self.string(run, 0..<end), range: run.start..<run.end, role: role)
    if !run.cuts.isEmpty {
      var start = 0
      for cut in run.cuts where cut > start && cut < end {
        token.pieces.append(Self.string(run, start..<cut))
        start = cut
      }
      if start > 0 { token.pieces.append(Self.string(run, start..<end)) }
    }
    tokens.append(token)
  }

  private mutating func addPairs(_ run: Run) {
    for index in run.starts.indices {
      let isLast = index + 1 == run.count
      let next = isLast ? index + 1 : index + 2
      let end = next < run.count ? run.starts[next] : run.folded.count
      let stop = next < run.count ? run.offsets[next] : run.end
      tokens.append(
        Token(
          text: Self.string(run, run.starts[index]..<end),
          range: run.offsets[index]..<max(stop, run.offsets[index]), role: .gram, endsRun: isLast))
    }
  }

  private static func string(_ run: Run, _ bytes: Range<Int>) -> String {
    String(decoding: run.folded[bytes], as: UTF8.self)
  }
}
