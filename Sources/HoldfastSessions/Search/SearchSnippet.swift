// SPDX-License-Identifier: Apache-2.0

/// A piece of a message around what was found in it.
public struct SearchSnippet: Hashable, Sendable {
  /// The piece, on one line; `…` where the message goes on.
  public var text: String
  /// What was found, as UTF-8 offsets in `text`.
  public var highlights: [Range<Int>]

  /// Characters around the first find, about.
  private static let before = 60
  private static let length = 240
  /// Bytes of a message that are looked at for a find.
  private static let looked = 200_000

  init(_ message: String, for query: SearchQuery) {
    var head = message
    if message.utf8.count > Self.looked {
      head = String(decoding: Array(message.utf8.prefix(Self.looked)), as: UTF8.self)
    }
    let tokens = SearchText(head).tokens
    let finds = Self.finds(tokens, query)
    let bytes = Array(head.utf8)
    var start = max(0, (finds.first?.lowerBound ?? 0) - Self.before)
    var end = min(bytes.count, start + Self.length)
    // To the bounds of characters, which may be several scalars; and to a blank if one is near.
    start = Self.boundary(bytes, start, upTo: finds.first?.lowerBound ?? start)
    while end < bytes.count, bytes[end] & 0xC0 == 0x80 { end += 1 }
    var text = start > 0 ? "…" : ""
    let shift = text.utf8.count - start
    text += String(decoding: bytes[start..<end].map { $0 < 0x20 ? 0x20 : $0 }, as: UTF8.self)
    if end < message.utf8.count { text += "…" }
    self.text = text
    highlights = finds.filter { $0.lowerBound >= start && $0.upperBound <= end }
      .map { $0.lowerBound + shift..<$0.upperBound + shift }
  }

  private static func boundary(_ bytes: [UInt8], _ start: Int, upTo limit: Int) -> Int {
    var place = start
    while place > 0, place < bytes.count, bytes[place] & 0xC0 == 0x80 { place -= 1 }
    guard place > 0 else { return place }
    for blank in place..<max(place, min(limit, place + 20)) where bytes[blank] == 0x20 { return blank + 1 }
    return place
  }

  /// Where the wanted phrases stand, in order and without overlaps.
  private static func finds(_ tokens: [SearchText.Token], _ query: SearchQuery) -> [Range<Int>] {
    var finds: [Range<Int>] = []
    for phrase in query.wanted {
      guard let first = phrase.tokens.first else { continue }
      for start in tokens.indices where finds.count < 64 {
        let token = tokens[start]
        if phrase.tokens.count == 1 {
          let fits =
            token.text == first || phrase.isPrefix && token.text.hasPrefix(first)
            || token.pieces.contains(first) || phrase.isSoughtInside && WordParts.isInside(first, token.text)
          if fits { finds.append(token.range) }
        } else if start + phrase.tokens.count <= tokens.count, token.text == first {
          let window = tokens[start..<(start + phrase.tokens.count)]
          let fits = zip(window, phrase.tokens).allSatisfy {
            $0.text == $1 || phrase.isPrefix && $0.text.hasPrefix($1)
          }
          if fits, let last = window.last { finds.append(token.range.lowerBound..<last.range.upperBound) }
        }
      }
    }
    finds.sort { ($0.lowerBound, $0.upperBound) < ($1.lowerBound, $1.upperBound) }
    return finds.reduce(into: []) { merged, find in
      if let last = merged.last, find.lowerBound < last.upperBound {
        merged[merged.count - 1] = last.lowerBound..<max(last.upperBound, find.upperBound)
      } else {
        merged.append(find)
      }
    }
  }
}
