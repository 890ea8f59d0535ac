// SPDX-License-Identifier: Apache-2.0

/// Tells JSON text (RFC 8259) from anything else, without keeping any of it.
enum JSONText {
  /// How deep lists and objects may be in each other.
  static let deepest = 256

  /// Whether the bytes are one JSON value in UTF-8, of the allowed depth, with blanks around it at most.
  static func isValid(_ bytes: some Collection<UInt8>) -> Bool {
    // UTF-8 is checked as a whole; between quotation marks only escapes are looked at then.
    guard String(validating: bytes, as: UTF8.self) != nil else { return false }
    var scanner = Scanner(bytes: Array(bytes))
    return scanner.isWhole()
  }

  /// Valid JSON text on one line, without the blanks between its parts.
  static func compacted(_ text: String) -> String {
    var out: [UInt8] = []
    var isString = false
    var isEscaped = false
    for byte in text.utf8 {
      if isString {
        if isEscaped {
          isEscaped = false
        } else if byte == UInt8(ascii: "\\") {
          isEscaped = true
        } else if byte == UInt8(ascii: "\"") {
          isString = false
        }
      } else if byte == UInt8(ascii: "\"") {
        isString = true
      } else if byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
        continue
      }
      out.append(byte)
    }
    return String(decoding: out, as: UTF8.self)
  }

  private struct Scanner {
    let bytes: [UInt8]
    var index = 0

    var next: UInt8 { index < bytes.count ? bytes[index] : 0 }

    mutating func isWhole() -> Bool {
      guard skipValue(depth: 0) else { return false }
      skipBlanks()
      return index == bytes.count
    }

    mutating func skipBlanks() {
      while index < bytes.count {
        switch bytes[index] {
        case 0x20, 0x0A, 0x0D, 0x09: index += 1
        default: return
        }
      }
    }

    mutating func take(_ byte: UInt8) -> Bool {
      guard index < bytes.count, bytes[index] == byte else { return false }
      index += 1
      return true
    }

    mutating func take(_ word: StaticString) -> Bool {
      let letters = Array(word.description.utf8)
      guard bytes.count - index >= letters.count,
        bytes[index..<(index + letters.count)].elementsEqual(letters)
      else { return false }
      index += letters.count
      return true
    }

    mutating func skipValue(depth: Int) -> Bool {
      guard depth <= JSONText.deepest else { return false }
      skipBlanks()
      switch next {
      case UInt8(ascii: "{"): return skipMembers(depth, end: UInt8(ascii: "}"), named: true)
      case UInt8(ascii: "["): return skipMembers(depth, end: UInt8(ascii: "]"), named: false)
      case UInt8(ascii: "\""): return skipString()
      case UInt8(ascii: "t"): return take("true")
      case UInt8(ascii: "f"): return take("false")
      case UInt8(ascii: "n"): return take("null")
      default: return skipNumber()
      }
    }

    mutating func skipMembers(_ depth: Int, end: UInt8, named: Bool) -> Bool {
      index += 1
      skipBlanks()
      if take(end) { return true }
      while true {
        if named {
          skipBlanks()
          guard next == UInt8(ascii: "\""), skipString() else { return false }
          skipBlanks()
          guard take(UInt8(ascii: ":")) else { return false }
        }
        guard skipValue(depth: depth + 1) else { return false }
        skipBlanks()
        if take(end) { return true }
        guard take(UInt8(ascii: ",")) else { return false }
      }
    }

    mutating func skipString() -> Bool {
      index += 1
      while index < bytes.count {
        let byte = bytes[index]
        index += 1
        switch byte {
        case UInt8(ascii: "\""): return true
        case 0..<0x20: return false
        case UInt8(ascii: "\\"):
          let kind = next
          guard index < bytes.count else { return false }
          index += 1
          switch kind {
          case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"),
            UInt8(ascii: "f"), UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            break
          case UInt8(ascii: "u"):
            guard bytes.count - index >= 4, bytes[index..<(index + 4)].allSatisfy(Self.isHexadecimal) else {
              return false
            }
            index += 4
          default: return false
          }
        default: break
        }
      }
      return false
    }

    static func isHexadecimal(_ byte: UInt8) -> Bool {
      switch byte {
      case 0x30...0x39, 0x41...0x46, 0x61...0x66: true
      default: false
      }
    }

    mutating func skipDigits() -> Bool {
      let start = index
      while index < bytes.count, (0x30...0x39).contains(bytes[index]) { index += 1 }
      return index > start
    }

    mutating func skipNumber() -> Bool {
      _ = take(UInt8(ascii: "-"))
      let start = index
      guard skipDigits(), !(bytes[start] == UInt8(ascii: "0") && index > start + 1) else { return false }
      if take(UInt8(ascii: ".")) { guard skipDigits() else { return false } }
      if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
        _ = take(UInt8(ascii: "+")) || take(UInt8(ascii: "-"))
        guard skipDigits() else { return false }
      }
      return true
    }
  }
}
