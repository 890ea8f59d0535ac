// SPDX-License-Identifier: Apache-2.0

/// What kind of JSON value stands at a wanted place.
enum JSONScalarKind: Sendable {
  case string
  case number
  case boolean(Bool)
  case null
  /// An object or an array where a scalar was looked for.
  case composite
}

/// Receives the values a ``JSONFieldScanner`` was asked for.
protocol JSONFieldSink {
  /// The value at one wanted place; `text` is a string unescaped, or a number as written.
  mutating func value(_ field: UInt8, _ kind: JSONScalarKind, _ text: [UInt8])
}

/// Reads a few values out of a JSON document as its bytes arrive, holding nothing else of it.
///
/// A response's usage stands beside output of any length (an image, a thousand embeddings), and a request's
/// model beside up to 32 MB of prompt; this reads them at any split of the bytes in memory that does not
/// grow. What is not on a wanted path is skipped by counting brackets outside strings, and is not otherwise
/// checked. It never throws: a document it cannot follow is ``isMalformed``.
struct JSONFieldScanner: Sendable {
  private enum State: Sendable {
    case value
    case firstElement
    case firstKey
    case key
    case inKey
    case colon
    case inString
    case inLiteral
    case afterValue
    case skippingString
    case skippingLiteral
    case skippingComposite
    case skippingCompositeString
    case complete
    case malformed
  }

  private struct Level: Sendable {
    var node: Int
    var isArray: Bool
  }

  /// Longer keys and scalars than these are none of ours: they are passed over as unwanted.
  private static let maximumKeyBytes = 64
  private static let maximumScalarBytes = 1024

  private let paths: JSONFieldPaths
  private var state = State.value
  private var levels: [Level] = []
  /// The node of the value to come, or -1 when it is not wanted.
  private var node = 0
  private var skipDepth = 0
  private var escapes = false
  private var hasEscapes = false
  private var overflowed = false
  private var text: [UInt8] = []

  init(_ paths: JSONFieldPaths) {
    self.paths = paths
    levels.reserveCapacity(8)
    text.reserveCapacity(128)
  }

  /// True when one whole document, and nothing but blanks after it, has been read.
  var isComplete: Bool { state == .complete }

  /// True when the bytes cannot be a JSON document.
  var isMalformed: Bool { state == .malformed }

  /// Forgets everything, ready for another document.
  mutating func reset() {
    state = .value
    levels.removeAll(keepingCapacity: true)
    node = 0
    skipDepth = 0
    clearText()
  }

  /// True when the document is a bare number or word that only the end of the bytes ends.
  var isBareLiteral: Bool { levels.isEmpty && (state == .inLiteral || state == .skippingLiteral) }

  /// Takes the document's next bytes.
  mutating func consume(_ bytes: Span<UInt8>, into sink: inout some JSONFieldSink) {
    var index = 0
    let count = bytes.count
    while index < count {
      switch state {
      case .value, .firstElement:
        index = takeValueStart(bytes, index, into: &sink)
      case .firstKey, .key:
        index = takeKeyStart(bytes, index)
      case .inKey, .inString:
        index = takeText(bytes, index, into: &sink)
      case .colon:
        let byte = bytes[index]
        index += 1
        if byte == Byte.colon {
          state = .value
        } else if !Self.isBlank(byte) {
          state = .malformed
        }
      case .inLiteral, .skippingLiteral:
        index = takeLiteral(bytes, index, into: &sink)
      case .afterValue:
        takeAfterValue(bytes[index])
        index += 1
      case .skippingString, .skippingCompositeString:
        index = skipString(bytes, index)
      case .skippingComposite:
        index = skipComposite(bytes, index)
      case .complete:
        if !Self.isBlank(bytes[index]) { state = .malformed }
        index += 1
      case .malformed:
        return
      }
    }
  }

  // MARK: Values on a wanted path

  private mutating func takeValueStart(
    _ bytes: Span<UInt8>, _ index: Int, into sink: inout some JSONFieldSink
  ) -> Int {
    let byte = bytes[index]
    let field = node >= 0 ? paths.nodes[node].field : -1
    switch byte {
    case Byte.openBrace:
      if field >= 0 { sink.value(UInt8(field), .composite, []) }
      if node >= 0, !paths.nodes[node].keys.isEmpty {
        levels.append(Level(node: node, isArray: false))
        state = .firstKey
      } else {
        state = .skippingComposite
        skipDepth = 1
      }
    case Byte.openBracket:
      if field >= 0 { sink.value(UInt8(field), .composite, []) }
      if node >= 0, paths.nodes[node].element >= 0 {
        levels.append(Level(node: node, isArray: true))
        node = paths.nodes[node].element
        state = .firstElement
      } else {
        state = .skippingComposite
        skipDepth = 1
      }
    case Byte.quote:
      clearText()
      state = field >= 0 ? .inString : .skippingString
    case Byte.closeBracket where state == .firstElement:
      endLevel()
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "t"), UInt8(ascii: "f"),
      UInt8(ascii: "n"):
      clearText()
      state = field >= 0 ? .inLiteral : .skippingLiteral
      return index
    default:
      if !Self.isBlank(byte) { state = .malformed }
    }
    return index + 1
  }

  private mutating func takeKeyStart(_ bytes: Span<UInt8>, _ index: Int) -> Int {
    switch bytes[index] {
    case Byte.quote:
      clearText()
      state = .inKey
    case Byte.closeBrace where state == .firstKey:
      endLevel()
    case let byte where !Self.isBlank(byte):
      state = .malformed
    default:
      break
    }
    return index + 1
  }

  private mutating func takeText(
    _ bytes: Span<UInt8>, _ start: Int, into sink: inout some JSONFieldSink
  ) -> Int {
    let limit = state == .inKey ? Self.maximumKeyBytes : Self.maximumScalarBytes
    var index = start
    while index < bytes.count {
      let byte = bytes[index]
      index += 1
      if escapes {
        escapes = false
      } else if byte == Byte.backslash {
        escapes = true
        hasEscapes = true
      } else if byte == Byte.quote {
        endText(into: &sink)
        return index
      }
      if text.count < limit { text.append(byte) } else { overflowed = true }
    }
    return index
  }

  private mutating func endText(into sink: inout some JSONFieldSink) {
    let isKey = state == .inKey
    var readable = !overflowed
    if readable, hasEscapes {
      if let plain = JSONStringEscapes.decoded(text) { text = plain } else { readable = false }
    }
    if isKey {
      node = readable ? paths.node(under: levels[levels.count - 1].node, key: text) ?? -1 : -1
      state = .colon
    } else {
      if readable { sink.value(UInt8(paths.nodes[node].field), .string, text) }
      endValue()
    }
  }

  private mutating func takeLiteral(
    _ bytes: Span<UInt8>, _ start: Int, into sink: inout some JSONFieldSink
  ) -> Int {
    var index = start
    while index < bytes.count {
      let byte = bytes[index]
      if byte == Byte.comma || byte == Byte.closeBrace || byte == Byte.closeBracket || Self.isBlank(byte) {
        endLiteral(into: &sink)
        return index
      }
      if state == .inLiteral {
        if text.count < Self.maximumKeyBytes { text.append(byte) } else { overflowed = true }
      }
      index += 1
    }
    return index
  }

  private mutating func endLiteral(into sink: inout some JSONFieldSink) {
    if state == .inLiteral {
      let field = UInt8(paths.nodes[node].field)
      switch text[0] {
      case _ where overflowed:
        // A number of more than 64 digits: reported as a value that is no number, so it is never believed.
        sink.value(field, .composite, [])
      case UInt8(ascii: "t"):
        sink.value(field, .boolean(true), [])
      case UInt8(ascii: "f"):
        sink.value(field, .boolean(false), [])
      case UInt8(ascii: "n"):
        sink.value(field, .null, [])
      default:
        sink.value(field, .number, text)
      }
    }
    endValue()
  }

  private mutating func takeAfterValue(_ byte: UInt8) {
    let level = levels[levels.count - 1]
    switch byte {
    case Byte.comma:
      if level.isArray {
        node = paths.nodes[level.node].element
        state = .value
      } else {
        state = .key
      }
    case Byte.closeBrace where !level.isArray, Byte.closeBracket where level.isArray:
      endLevel()
    default:
      if !Self.isBlank(byte) { state = .malformed }
    }
  }

  private mutating func endLevel() {
    levels.removeLast()
    endValue()
  }

  private mutating func endValue() {
    state = levels.isEmpty ? .complete : .afterValue
  }

  // MARK: Values nobody asked for

  private mutating func skipString(_ bytes: Span<UInt8>, _ start: Int) -> Int {
    var index = start
    if escapes {
      escapes = false
      index += 1
    }
    while index < bytes.count {
      index = ByteScan.stringSpecial(bytes, from: index)
      guard index < bytes.count else { break }
      if bytes[index] == Byte.quote {
        if state == .skippingCompositeString { state = .skippingComposite } else { endValue() }
        return index + 1
      }
      // The byte after a backslash is passed over unseen, maybe in the next piece.
      if index + 1 == bytes.count { escapes = true }
      index += 2
    }
    return bytes.count
  }

  private mutating func skipComposite(_ bytes: Span<UInt8>, _ start: Int) -> Int {
    var index = start
    while index < bytes.count {
      let byte = bytes[index]
      index += 1
      switch byte {
      case Byte.quote:
        state = .skippingCompositeString
        return index
      case Byte.openBrace, Byte.openBracket:
        skipDepth += 1
      case Byte.closeBrace, Byte.closeBracket:
        skipDepth -= 1
        if skipDepth == 0 {
          endValue()
          return index
        }
      default:
        break
      }
    }
    return index
  }

  private mutating func clearText() {
    text.removeAll(keepingCapacity: true)
    escapes = false
    hasEscapes = false
    overflowed = false
  }

  private static func isBlank(_ byte: UInt8) -> Bool {
    byte == Byte.space || byte == Byte.lineFeed || byte == Byte.carriageReturn || byte == Byte.tab
  }
}
