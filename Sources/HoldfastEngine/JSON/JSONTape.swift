// SPDX-License-Identifier: Apache-2.0

/// One JSON text with the places of its values: a transcript's line is looked at in a few places, and what is kept
/// of it is kept as it was written.
///
/// Decoding each line into values of the language costs several times what writing it to the store does; this
/// reads the bytes once. It accepts exactly the JSON of RFC 8259, to a depth of ``maximumDepth``, since a part of
/// it becomes the content of a message that others decode. One tape is used again and again for line after line.
package struct JSONTape: Sendable {
  package enum Kind: UInt8, Sendable {
    case object, array
    /// A string; `escaped` has a backslash in it.
    case string, escaped
    case number, yes, no, null
  }

  /// A value, or an object's key right before its value. The first is the whole text, and what is in an object or
  /// array follows it.
  struct Node: Sendable {
    var kind: Kind
    /// Of a string without its quotes; of anything else as written.
    var start: UInt32
    var end: UInt32
    /// The node behind this one and all that is in it.
    var next: UInt32
  }

  /// Deeper than any transcript; a recursion over it fits every thread's stack.
  package static let maximumDepth = 200

  /// The text; set it, then ``scan()``.
  package var bytes: [UInt8] = []
  private(set) var nodes: [Node] = []
  /// Whether something in the text could not be stored and was replaced by U+FFFD (row D01).
  package private(set) var isRepaired = false

  package init() {}

  /// A text of its own.
  package init?(_ text: String) {
    bytes = Array(text.utf8)
    guard scan() else { return nil }
  }

  /// Finds the values of ``bytes``.
  /// - Returns: false when they are no JSON.
  package mutating func scan() -> Bool {
    isRepaired = false
    var (isValid, needsRepair) = scanOnce()
    if needsRepair {
      (bytes, isRepaired) = TextRepair.line(bytes)
      (isValid, _) = scanOnce()
    }
    return isValid
  }

  private mutating func scanOnce() -> (isValid: Bool, needsRepair: Bool) {
    // Taken out while they are filled, so that the bytes can be looked at meanwhile.
    var scan = Scan(nodes: nodes)
    nodes = []
    scan.nodes.removeAll(keepingCapacity: true)
    let isValid = scan.all(bytes.span)
    if !isValid { scan.nodes.removeAll(keepingCapacity: true) }
    nodes = scan.nodes
    // The bytes are looked at as UTF-8 only where one is not ASCII.
    if scan.isBeyondASCII, String(validating: bytes, as: UTF8.self) == nil { scan.needsRepair = true }
    return (isValid, scan.needsRepair)
  }

  /// One pass over a text.
  private struct Scan {
    var nodes: [Node]
    var isBeyondASCII = false
    /// A NUL, or half of a surrogate pair: decoders refuse the whole text for one.
    var needsRepair = false

    mutating func all(_ text: Span<UInt8>) -> Bool {
      var index = Self.afterBlanks(text, 0)
      guard value(text, &index, depth: 0) else { return false }
      return Self.afterBlanks(text, index) == text.count
    }

    static func afterBlanks(_ text: Span<UInt8>, _ start: Int) -> Int {
      var index = start
      while index < text.count {
        let byte = text[index]
        guard byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 else { return index }
        index &+= 1
      }
      return index
    }

    mutating func value(_ text: Span<UInt8>, _ index: inout Int, depth: Int) -> Bool {
      guard index < text.count else { return false }
      switch text[index] {
      case UInt8(ascii: "{"): return object(text, &index, depth: depth)
      case UInt8(ascii: "["): return array(text, &index, depth: depth)
      case UInt8(ascii: "\""): return string(text, &index)
      case UInt8(ascii: "t"): return word(text, &index, "true", .yes)
      case UInt8(ascii: "f"): return word(text, &index, "false", .no)
      case UInt8(ascii: "n"): return word(text, &index, "null", .null)
      default: return number(text, &index)
      }
    }

    private mutating func object(_ text: Span<UInt8>, _ index: inout Int, depth: Int) -> Bool {
      guard depth < maximumDepth else { return false }
      let node = open(.object, at: index)
      index = Self.afterBlanks(text, index &+ 1)
      if index < text.count, text[index] == UInt8(ascii: "}") { return close(node, &index) }
      while true {
        guard index < text.count, text[index] == UInt8(ascii: "\""), string(text, &index) else {
          return false
        }
        index = Self.afterBlanks(text, index)
        guard index < text.count, text[index] == UInt8(ascii: ":") else { return false }
        index = Self.afterBlanks(text, index &+ 1)
        guard value(text, &index, depth: depth &+ 1) else { return false }
        index = Self.afterBlanks(text, index)
        guard index < text.count else { return false }
        if text[index] == UInt8(ascii: "}") { return close(node, &index) }
        guard text[index] == UInt8(ascii: ",") else { return false }
        index = Self.afterBlanks(text, index &+ 1)
      }
    }

    private mutating func array(_ text: Span<UInt8>, _ index: inout Int, depth: Int) -> Bool {
      guard depth < maximumDepth else { return false }
      let node = open(.array, at: index)
      index = Self.afterBlanks(text, index &+ 1)
      if index < text.count, text[index] == UInt8(ascii: "]") { return close(node, &index) }
      while true {
        guard value(text, &index, depth: depth &+ 1) else { return false }
        index = Self.afterBlanks(text, index)
        guard index < text.count else { return false }
        if text[index] == UInt8(ascii: "]") { return close(node, &index) }
        guard text[index] == UInt8(ascii: ",") else { return false }
        index = Self.afterBlanks(text, index &+ 1)
      }
    }

    private mutating func open(_ kind: Kind, at index: Int) -> Int {
      nodes.append(Node(kind: kind, start: UInt32(truncatingIfNeeded: index), end: 0, next: 0))
      return nodes.count &- 1
    }

    private mutating func close(_ node: Int, _ index: inout Int) -> Bool {
      index &+= 1
      nodes[node].end = UInt32(truncatingIfNeeded: index)
      nodes[node].next = UInt32(truncatingIfNeeded: nodes.count)
      return true
    }

    private mutating func leaf(_ kind: Kind, _ start: Int, _ end: Int) {
      nodes.append(
        Node(
          kind: kind, start: UInt32(truncatingIfNeeded: start), end: UInt32(truncatingIfNeeded: end),
          next: UInt32(truncatingIfNeeded: nodes.count &+ 1)))
    }

    private mutating func string(_ text: Span<UInt8>, _ index: inout Int) -> Bool {
      let start = index &+ 1
      var hasEscapes = false
      index = start
      while true {
        index = plainEnd(text, index)
        guard index < text.count else { return false }
        let byte = text[index]
        if byte == UInt8(ascii: "\"") {
          leaf(hasEscapes ? .escaped : .string, start, index)
          index &+= 1
          return true
        }
        if byte == 0 {
          // Replaced before the text is read again.
          needsRepair = true
          index &+= 1
          continue
        }
        guard byte == UInt8(ascii: "\\"), index &+ 1 < text.count else { return false }
        hasEscapes = true
        switch text[index &+ 1] {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
          UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
          index &+= 2
        case UInt8(ascii: "u"):
          guard let unit = JSONTape.unit(text, index) else { return false }
          index &+= 6
          if (0xD800..<0xDC00).contains(unit), index &+ 1 < text.count, text[index] == UInt8(ascii: "\\"),
            text[index &+ 1] == UInt8(ascii: "u"), let low = JSONTape.unit(text, index),
            (0xDC00..<0xE000).contains(low)
          {
            index &+= 6
          } else if unit == 0 || (0xD800..<0xE000).contains(unit) {
            needsRepair = true
          }
        default: return false
        }
      }
    }

    private static let ones: UInt64 = 0x0101_0101_0101_0101
    private static let tops: UInt64 = 0x8080_8080_8080_8080

    /// The first quote, backslash or control character at or after `start`; the count when there is none.
    private mutating func plainEnd(_ text: Span<UInt8>, _ start: Int) -> Int {
      var index = start
      let raw = unsafe text.bytes
      while index &+ 8 <= text.count {
        // Within the span: index + 8 was compared with its count.
        let word = unsafe raw.unsafeLoadUnaligned(fromUncheckedByteOffset: index, as: UInt64.self)
        let quotes = word ^ (Self.ones &* 0x22)
        let slashes = word ^ (Self.ones &* 0x5C)
        // A byte is zero, or below 0x20 (Hacker's Delight, 6-1); a hit in the last eight may be false, not missed.
        let found =
          ((quotes &- Self.ones) & ~quotes) | ((slashes &- Self.ones) & ~slashes)
          | ((word &- (Self.ones &* 0x20)) & ~word)
        if found & Self.tops != 0 { break }
        if word & Self.tops != 0 { isBeyondASCII = true }
        index &+= 8
      }
      while index < text.count {
        let byte = text[index]
        if byte == 0x22 || byte == 0x5C || byte < 0x20 { return index }
        if byte >= 0x80 { isBeyondASCII = true }
        index &+= 1
      }
      return index
    }

    private mutating func word(
      _ text: Span<UInt8>, _ index: inout Int, _ word: StaticString, _ kind: Kind
    ) -> Bool {
      let start = index
      let count = word.utf8CodeUnitCount
      guard start &+ count <= text.count else { return false }
      let isSame = word.withUTF8Buffer { letters in
        for offset in 0..<count where unsafe letters[offset] != text[start &+ offset] { return false }
        return true
      }
      guard isSame else { return false }
      leaf(kind, start, start &+ count)
      index = start &+ count
      return true
    }

    private mutating func number(_ text: Span<UInt8>, _ index: inout Int) -> Bool {
      let start = index
      func digits() -> Bool {
        let first = index
        while index < text.count, text[index] &- 0x30 < 10 { index &+= 1 }
        return index > first
      }
      if text[index] == UInt8(ascii: "-") { index &+= 1 }
      let whole = index
      guard digits(), text[whole] != 0x30 || index == whole &+ 1 else { return false }
      if index < text.count, text[index] == UInt8(ascii: ".") {
        index &+= 1
        guard digits() else { return false }
      }
      if index < text.count, text[index] | 0x20 == UInt8(ascii: "e") {
        index &+= 1
        if index < text.count, text[index] == UInt8(ascii: "+") || text[index] == UInt8(ascii: "-") {
          index &+= 1
        }
        let exponent = index
        // What a Double cannot hold is refused by decoders; nobody writes it into a transcript.
        guard digits(), index &- exponent < 3 else { return false }
      }
      leaf(.number, start, index)
      return true
    }
  }

  /// The code unit of the escape `\uXXXX` at `index`.
  static func unit(_ text: Span<UInt8>, _ index: Int) -> UInt32? {
    guard index &+ 6 <= text.count else { return nil }
    var unit: UInt32 = 0
    for offset in 2..<6 {
      let byte = text[index &+ offset]
      let digit: UInt8
      switch byte {
      case 0x30...0x39: digit = byte &- 0x30
      case 0x41...0x46: digit = byte &- 0x37
      case 0x61...0x66: digit = byte &- 0x57
      default: return nil
      }
      unit = unit << 4 | UInt32(digit)
    }
    return unit
  }
}
