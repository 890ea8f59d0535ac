// SPDX-License-Identifier: Apache-2.0

/// The fields of a row, as far as they are left.
struct SalvageRecord {
  /// The fields that are there from the first on.
  let values: [StoredValue]
  /// How many the record says it has.
  let fieldCount: Int
  /// Whether all of them are there, and all of the record is.
  let isWhole: Bool

  /// Reads what is there of a record; nil when not even its header makes sense.
  /// - Parameter declared: the record's bytes as its cell says; `bytes` are fewer when its pages are lost.
  init?(_ bytes: [UInt8], declared: Int) {
    if let values = RecordFormat.decode(bytes) {
      self.values = values
      fieldCount = values.count
      isWhole = bytes.count >= declared
      return
    }
    guard let values = RecordFormat.decode(bytes, partially: true),
      let header = RecordFormat.header(of: bytes)
    else { return nil }
    self.values = values
    fieldCount = header.types.count
    isWhole = false
  }
}

extension StoredValue {
  /// Whether the whole of a text is a number to SQLite, so that a column of numbers makes one of it: blanks, a
  /// sign, digits with a point, an exponent, blanks.
  static func isNumber(_ text: [UInt8], encoding: PageLayout.Encoding) -> Bool {
    var rest: ArraySlice<UInt8> = text[...]
    if encoding != .utf8 {
      let (high, low) = encoding == .utf16BigEndian ? (0, 1) : (1, 0)
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
