// SPDX-License-Identifier: Apache-2.0

/// Reading single values. A place is a node's index, or ``JSONTape/missing``, of which everything is nil: a path
/// through a text is written as if all of it were there.
extension JSONTape {
  /// The place of what is not there.
  package static let missing = -1

  /// Whether the whole text is an object.
  package var isObject: Bool { kind(0) == .object }

  /// What is at a place.
  package func kind(_ place: Int) -> Kind? { place >= 0 && place < nodes.count ? nodes[place].kind : nil }

  /// The value of a key of the object at a place; the whole text's when no place is given.
  package func at(_ key: StaticString, _ object: Int = 0) -> Int {
    guard kind(object) == .object else { return Self.missing }
    let end = Int(nodes[object].next)
    var index = object + 1
    let length = key.utf8CodeUnitCount
    while index < end {
      let name = nodes[index]
      if name.kind == .string {
        if Int(name.end &- name.start) == length, isText(name, key) { return index + 1 }
      } else if string(name).utf8.elementsEqual(key.description.utf8) {
        return index + 1
      }
      index = Int(nodes[index + 1].next)
    }
    return Self.missing
  }

  private func isText(_ node: Node, _ text: StaticString) -> Bool {
    text.withUTF8Buffer { letters in
      let start = Int(node.start)
      for offset in 0..<letters.count where unsafe letters[offset] != bytes[start &+ offset] { return false }
      return true
    }
  }

  /// A string's text; nil for anything else.
  package func text(_ place: Int) -> String? {
    guard let kind = kind(place), kind == .string || kind == .escaped else { return nil }
    return string(nodes[place])
  }

  /// A string's text, if it is not empty.
  package func words(_ place: Int) -> String? { text(place).flatMap { $0.isEmpty ? nil : $0 } }

  /// Whether a place has just this string.
  package func has(_ place: Int, _ text: StaticString) -> Bool {
    guard kind(place) == .string else { return false }
    let node = nodes[place]
    return Int(node.end &- node.start) == text.utf8CodeUnitCount && isText(node, text)
  }

  /// Whether a place has `true`.
  package func isTrue(_ place: Int) -> Bool { kind(place) == .yes }

  /// A whole number, or one that was written with a fraction, rounded; nil for anything else.
  package func integer(_ place: Int) -> Int64? {
    guard kind(place) == .number else { return nil }
    let text = raw(place)
    return Int64(text) ?? Double(text).flatMap { abs($0) < 9e15 ? Int64($0.rounded()) : nil }
  }

  /// A number; nil for anything else.
  package func number(_ place: Int) -> Double? { kind(place) == .number ? Double(raw(place)) : nil }

  /// The value as it was written.
  package func raw(_ place: Int) -> String {
    guard place >= 0, place < nodes.count else { return "null" }
    let node = nodes[place]
    let quote = node.kind == .string || node.kind == .escaped ? 1 : 0
    return String(decoding: bytes[(Int(node.start) - quote)..<(Int(node.end) + quote)], as: UTF8.self)
  }

  /// The places of an array's elements; none of anything else.
  package func elements(_ place: Int) -> [Int] {
    guard kind(place) == .array else { return [] }
    var places: [Int] = []
    var index = place + 1
    while index < Int(nodes[place].next) {
      places.append(index)
      index = Int(nodes[index].next)
    }
    return places
  }

  /// An object's members; none of anything else.
  package func members(_ place: Int) -> [(name: String, place: Int)] {
    guard kind(place) == .object else { return [] }
    var members: [(String, Int)] = []
    var index = place + 1
    while index < Int(nodes[place].next) {
      members.append((string(nodes[index]), index + 1))
      index = Int(nodes[index + 1].next)
    }
    return members
  }

  private func string(_ node: Node) -> String {
    let range = Int(node.start)..<Int(node.end)
    guard node.kind == .escaped else { return String(decoding: bytes[range], as: UTF8.self) }
    var plain: [UInt8] = []
    plain.reserveCapacity(range.count)
    let text = bytes.span
    var index = range.lowerBound
    while index < range.upperBound {
      let byte = text[index]
      guard byte == UInt8(ascii: "\\") else {
        plain.append(byte)
        index &+= 1
        continue
      }
      let letter = text[index &+ 1]
      index &+= 2
      switch letter {
      case UInt8(ascii: "b"): plain.append(0x08)
      case UInt8(ascii: "f"): plain.append(0x0C)
      case UInt8(ascii: "n"): plain.append(0x0A)
      case UInt8(ascii: "r"): plain.append(0x0D)
      case UInt8(ascii: "t"): plain.append(0x09)
      case UInt8(ascii: "u"):
        var unit = Self.unit(text, index &- 2) ?? 0xFFFD
        index &+= 4
        if (0xD800..<0xDC00).contains(unit), let low = Self.unit(text, index) {
          unit = 0x10000 + (unit - 0xD800) << 10 + (low & 0x3FF)
          index &+= 6
        }
        plain += Array(String(UnicodeScalar(unit) ?? "\u{FFFD}").utf8)
      default: plain.append(letter)
      }
    }
    return String(decoding: plain, as: UTF8.self)
  }
}
