// SPDX-License-Identifier: Apache-2.0

/// One value of a record as it is stored, before any column's affinity.
package enum StoredValue: Hashable, Sendable {
  case null
  case integer(Int64)
  case real(Double)
  /// In the database's encoding, as it lies in the file, valid or not: ``RecordFormat/text(_:encoding:)``.
  case text([UInt8])
  case blob([UInt8])
}

/// SQLite's record format, read so that no bytes whatever make it trap.
///
/// Source: <https://www.sqlite.org/fileformat.html#record_format>.
package enum RecordFormat {
  /// Reads a variable-length integer of one to nine bytes.
  /// - Returns: nil when it does not end before `end` (or before the array does).
  package static func varint(_ bytes: [UInt8], at start: Int, end: Int? = nil) -> (value: Int64, length: Int)?
  {
    let end = min(end ?? bytes.count, bytes.count)
    guard start >= 0 else { return nil }
    var value: UInt64 = 0
    for index in 0..<9 {
      guard start + index < end else { return nil }
      let byte = bytes[start + index]
      if index == 8 {
        value = value << 8 | UInt64(byte)
        return (Int64(bitPattern: value), 9)
      }
      value = value << 7 | UInt64(byte & 0x7f)
      if byte & 0x80 == 0 { return (Int64(bitPattern: value), index + 1) }
    }
    return nil
  }

  /// What a serial type says of its value's length in bytes; nil for the two types that are reserved.
  package static func length(ofSerialType type: Int64) -> Int? {
    switch type {
    case 0, 8, 9: 0
    case 1...4: Int(type)
    case 5: 6
    case 6, 7: 8
    case 12...: Int((type - 12) / 2)
    default: nil
    }
  }

  /// The serial types of a record's header and the offset of its first value.
  /// - Returns: nil when the header is not one: a length beyond the payload, an unknown type, more columns
  ///   than SQLite's upper bound of 32,767.
  package static func header(of payload: [UInt8]) -> (types: [Int64], bodyOffset: Int)? {
    guard let (size, first) = varint(payload, at: 0), size >= Int64(first), size <= Int64(payload.count)
    else {
      return nil
    }
    let end = Int(size)
    var types: [Int64] = []
    var at = first
    while at < end {
      guard let (type, length) = varint(payload, at: at, end: end), Self.length(ofSerialType: type) != nil,
        types.count < 32_767
      else { return nil }
      types.append(type)
      at += length
    }
    return (types, end)
  }

  /// Decodes a record.
  /// - Parameter partially: whether values that lie beyond the payload's end are left out, with those behind
  ///   them, instead of the whole record being refused. For records whose overflow chain is cut.
  /// - Returns: nil when the bytes are no record. Bytes behind the last value are not looked at, as by
  ///   SQLite.
  package static func decode(_ payload: [UInt8], partially: Bool = false) -> [StoredValue]? {
    guard let (types, body) = header(of: payload) else { return nil }
    var values: [StoredValue] = []
    values.reserveCapacity(types.count)
    var at = body
    for type in types {
      guard let length = length(ofSerialType: type) else { return nil }
      guard length <= payload.count - at else { return partially ? values : nil }
      values.append(value(ofType: type, bytes: payload[at..<(at + length)]))
      at += length
    }
    return values
  }

  private static func value(ofType type: Int64, bytes: ArraySlice<UInt8>) -> StoredValue {
    switch type {
    case 0: return .null
    case 1...6:
      var value: Int64 = (bytes.first ?? 0) & 0x80 == 0 ? 0 : -1
      for byte in bytes { value = value << 8 | Int64(byte) }
      return .integer(value)
    case 7:
      let number = Double(bitPattern: bytes.reduce(0) { $0 << 8 | UInt64($1) })
      // SQLite reads a NaN, which it never writes, as NULL.
      return number.isNaN ? .null : .real(number)
    case 8: return .integer(0)
    case 9: return .integer(1)
    default: return type % 2 == 0 ? .blob(Array(bytes)) : .text(Array(bytes))
    }
  }

  /// A stored text as a string; what is not valid in the encoding becomes U+FFFD.
  package static func text(_ bytes: [UInt8], encoding: PageLayout.Encoding) -> String {
    guard encoding != .utf8 else { return String(decoding: bytes, as: UTF8.self) }
    let high = encoding == .utf16BigEndian ? 0 : 1
    let units = stride(from: 0, to: bytes.count - 1, by: 2).map {
      UInt16(bytes[$0 + high]) << 8 | UInt16(bytes[$0 + 1 - high])
    }
    return String(decoding: units, as: UTF16.self)
  }
}
