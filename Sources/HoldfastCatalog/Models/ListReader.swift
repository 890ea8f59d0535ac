// SPDX-License-Identifier: Apache-2.0

/// Reads a provider's list: one object with an array of models in it, or that array alone.
///
/// The models are handed on one by one, so that a long list is never held as a whole beside its bytes.
struct ListReader {
  /// Why a list cannot be read.
  struct Fault: Error { var reason: String }

  private let bytes: [UInt8]
  private var index = 0
  private static let deepest = 64

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// Reads all of it.
  ///
  /// - Parameters:
  ///   - name: what the array is called, as in `data`.
  ///   - take: called with each of its elements.
  /// - Returns: the other members, and whether there was such an array.
  mutating func read(
    _ name: String, _ take: (ListNode) throws(Fault) -> Void
  ) throws(Fault) -> (rest: [String: ListNode], hasList: Bool) {
    guard String(validating: bytes, as: UTF8.self) != nil else { throw Fault(reason: "it is not UTF-8") }
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { index = 3 }
    skipBlanks()
    var rest: [String: ListNode] = [:]
    var hasList = false
    if next == UInt8(ascii: "[") {
      try elements(take)
      hasList = true
    } else if self.take(UInt8(ascii: "{")) {
      skipBlanks()
      if !self.take(UInt8(ascii: "}")) {
        repeat {
          skipBlanks()
          let member = try string()
          skipBlanks()
          guard self.take(UInt8(ascii: ":")) else { throw fault }
          skipBlanks()
          if member == name, next == UInt8(ascii: "[") {
            guard !hasList else { throw Fault(reason: "“\(name)” stands in it twice") }
            hasList = true
            try elements(take)
          } else {
            rest[member] = try value(depth: 1)
          }
          skipBlanks()
        } while self.take(UInt8(ascii: ","))
        guard self.take(UInt8(ascii: "}")) else { throw fault }
      }
    } else {
      throw fault
    }
    skipBlanks()
    guard index == bytes.count else { throw fault }
    return (rest, hasList)
  }

  private mutating func elements(_ take: (ListNode) throws(Fault) -> Void) throws(Fault) {
    index += 1
    skipBlanks()
    if self.take(UInt8(ascii: "]")) { return }
    repeat {
      try take(try value(depth: 2))
      skipBlanks()
    } while self.take(UInt8(ascii: ","))
    guard self.take(UInt8(ascii: "]")) else { throw fault }
  }

  private var fault: Fault { Fault(reason: "it is no JSON (at byte \(index))") }

  private var next: UInt8 { index < bytes.count ? bytes[index] : 0 }

  private mutating func skipBlanks() {
    while index < bytes.count {
      switch bytes[index] {
      case 0x20, 0x0A, 0x0D, 0x09: index += 1
      default: return
      }
    }
  }

  private mutating func take(_ byte: UInt8) -> Bool {
    guard index < bytes.count, bytes[index] == byte else { return false }
    index += 1
    return true
  }

  private mutating func take(word: StaticString) -> Bool {
    let letters = Array(word.description.utf8)
    guard bytes.count - index >= letters.count, bytes[index..<(index + letters.count)].elementsEqual(letters)
    else { return false }
    index += letters.count
    return true
  }

  private mutating func value(depth: Int) throws(Fault) -> ListNode {
    guard depth <= Self.deepest else { throw Fault(reason: "it is nested too deep") }
    skipBlanks()
    switch next {
    case UInt8(ascii: "{"): return .object(try object(depth))
    case UInt8(ascii: "["): return .array(try array(depth))
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): if take(word: "true") { return .bool(true) }
    case UInt8(ascii: "f"): if take(word: "false") { return .bool(false) }
    case UInt8(ascii: "n"): if take(word: "null") { return .null }
    case UInt8(ascii: "N"): if take(word: "NaN") { return .noNumber }
    case UInt8(ascii: "I"): if take(word: "Infinity") { return .noNumber }
    default: return take(word: "-Infinity") ? .noNumber : .number(try number())
    }
    throw fault
  }

  private mutating func object(_ depth: Int) throws(Fault) -> [String: ListNode] {
    index += 1
    var fields: [String: ListNode] = [:]
    skipBlanks()
    if take(UInt8(ascii: "}")) { return fields }
    repeat {
      skipBlanks()
      let name = try string()
      skipBlanks()
      guard take(UInt8(ascii: ":")) else { throw fault }
      fields[name] = try value(depth: depth + 1)
      skipBlanks()
    } while take(UInt8(ascii: ","))
    guard take(UInt8(ascii: "}")) else { throw fault }
    return fields
  }

  private mutating func array(_ depth: Int) throws(Fault) -> [ListNode] {
    index += 1
    var list: [ListNode] = []
    skipBlanks()
    if take(UInt8(ascii: "]")) { return list }
    repeat {
      list.append(try value(depth: depth + 1))
      skipBlanks()
    } while take(UInt8(ascii: ","))
    guard take(UInt8(ascii: "]")) else { throw fault }
    return list
  }

  private mutating func number() throws(Fault) -> String {
    let start = index
    _ = take(UInt8(ascii: "-"))
    let whole = index
    guard skipDigits(), !(bytes[whole] == UInt8(ascii: "0") && index > whole + 1) else { throw fault }
    if take(UInt8(ascii: ".")) { guard skipDigits() else { throw fault } }
    if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
      _ = take(UInt8(ascii: "+")) || take(UInt8(ascii: "-"))
      guard skipDigits() else { throw fault }
    }
    return String(decoding: bytes[start..<index], as: UTF8.self)
  }

  private mutating func skipDigits() -> Bool {
    let start = index
    while index < bytes.count, (0x30...0x39).contains(bytes[index]) { index += 1 }
    return index > start
  }

  private mutating func string() throws(Fault) -> String {
    guard take(UInt8(ascii: "\"")) else { throw fault }
    var out: [UInt8] = []
    while index < bytes.count {
      let byte = bytes[index]
      index += 1
      switch byte {
      case UInt8(ascii: "\""): return String(decoding: out, as: UTF8.self)
      case 0..<0x20: throw fault
      case UInt8(ascii: "\\"): try escape(into: &out)
      default: out.append(byte)
      }
    }
    throw fault
  }

  private mutating func escape(into out: inout [UInt8]) throws(Fault) {
    let kind = next
    index += 1
    switch kind {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): out.append(kind)
    case UInt8(ascii: "b"): out.append(0x08)
    case UInt8(ascii: "f"): out.append(0x0C)
    case UInt8(ascii: "n"): out.append(0x0A)
    case UInt8(ascii: "r"): out.append(0x0D)
    case UInt8(ascii: "t"): out.append(0x09)
    case UInt8(ascii: "u"): out += Array(String(Character(try escapedScalar())).utf8)
    default: throw fault
    }
  }

  /// Behind `\u`; half of a pair alone becomes U+FFFD (row D01).
  private mutating func escapedScalar() throws(Fault) -> Unicode.Scalar {
    let unit = try fourDigits()
    if let scalar = Unicode.Scalar(unit) { return scalar }
    let place = index
    if (0xD800..<0xDC00).contains(unit), take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")) {
      let low = try fourDigits()
      if (0xDC00..<0xE000).contains(low),
        let scalar = Unicode.Scalar(0x10000 + (UInt32(unit) - 0xD800) << 10 + (UInt32(low) - 0xDC00))
      {
        return scalar
      }
    }
    index = place
    return "\u{FFFD}"
  }

  private mutating func fourDigits() throws(Fault) -> UInt16 {
    guard bytes.count - index >= 4, bytes[index] != UInt8(ascii: "+"), bytes[index] != UInt8(ascii: "-"),
      let value = UInt16(String(decoding: bytes[index..<(index + 4)], as: UTF8.self), radix: 16)
    else { throw fault }
    index += 4
    return value
  }
}
