// SPDX-License-Identifier: Apache-2.0

/// A value as the file holds it; text in the database's encoding, whatever bytes it has.
enum SalvageValue: Hashable {
  case null
  case integer(Int64)
  case real(Double)
  case text([UInt8])
  case blob([UInt8])

  /// Whether the whole of a text is a number to SQLite, so that a column of numbers makes one of it: blanks, a
  /// sign, digits with a point, an exponent, blanks.
  static func isNumber(_ text: [UInt8], encoding: Int) -> Bool {
    var rest: ArraySlice<UInt8> = text[...]
    if encoding != 1 {
      let (high, low) = encoding == 3 ? (0, 1) : (1, 0)
      let pairs = stride(from: 0, to: text.count - 1, by: 2)
      guard pairs.allSatisfy({ text[$0 + high] == 0 }) else { return false }
      rest = pairs.map { text[$0 + low] }[...]
    }
    func skip(_ isWanted: (UInt8) -> Bool) -> Int {
      let before = rest.count
      rest = rest.drop(while: isWanted)
      return before - rest.count
    }
    func skipSign() { if let first = rest.first, [0x2b, 0x2d].contains(first) { rest = rest.dropFirst() } }
    func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
    func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0d).contains(byte) }
    _ = skip(isBlank)
    skipSign()
    var digits = skip(isDigit)
    if rest.first == 0x2e {
      rest = rest.dropFirst()
      digits += skip(isDigit)
    }
    guard digits > 0 else { return false }
    if let first = rest.first, first | 0x20 == 0x65 {
      rest = rest.dropFirst()
      skipSign()
      guard skip(isDigit) > 0 else { return false }
    }
    _ = skip(isBlank)
    return rest.isEmpty
  }
}

/// The fields of a row. Source: <https://www.sqlite.org/fileformat.html#record_format>.
struct SalvageRecord {
  /// The fields that are there from the first on.
  var values: [SalvageValue] = []
  /// How many the record says it has.
  var fieldCount = 0
  /// Whether all of them are there and fill the record exactly as it says.
  var isWhole = false

  /// Reads what is there of a record; nil when not even its header makes sense.
  /// - Parameter declared: the record's bytes as its cell says; `bytes` may be fewer when its pages are lost.
  init?(_ bytes: [UInt8], declared: Int) {
    var at = 0
    guard let size = bytes.varint(&at, end: bytes.count), size >= 1, size <= declared, size <= bytes.count
    else { return nil }
    let headerEnd = Int(size)
    guard at <= headerEnd else { return nil }
    var body = headerEnd
    var isComplete = true
    while at < headerEnd {
      guard let type = bytes.varint(&at, end: headerEnd), fieldCount < 32767 else { return nil }
      fieldCount += 1
      guard isComplete else { continue }
      let length = Self.length(of: type)
      if length > declared - body || body + length > bytes.count {
        isComplete = false
        continue
      }
      guard let value = Self.value(of: type, bytes, body..<(body + length)) else { return nil }
      values.append(value)
      body += length
    }
    isWhole = isComplete && bytes.count >= declared
  }

  private static func length(of type: UInt64) -> Int {
    switch type {
    case 0, 8, 9: 0
    case 1...4: Int(type)
    case 5: 6
    case 6, 7: 8
    case 10, 11: 0
    default: Int(min((type - 12) / 2, UInt64(Int32.max)))
    }
  }

  private static func value(of type: UInt64, _ bytes: [UInt8], _ range: Range<Int>) -> SalvageValue? {
    switch type {
    case 0: return .null
    case 1...6:
      var value: Int64 = bytes[range.lowerBound] >= 0x80 ? -1 : 0
      for byte in bytes[range] { value = value << 8 | Int64(byte) }
      return .integer(value)
    case 7:
      let bits = bytes[range].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
      let value = Double(bitPattern: bits)
      // SQLite has no NaN: it reads one as NULL.
      return value.isNaN ? .null : .real(value)
    case 8: return .integer(0)
    case 9: return .integer(1)
    case 10, 11: return nil
    default: return type % 2 == 0 ? .blob(Array(bytes[range])) : .text(Array(bytes[range]))
    }
  }
}
