// SPDX-License-Identifier: Apache-2.0

import CHoldfast

/// The bytes of a segment file: a header, then records back to back, each on an 8-byte boundary.
///
/// Header (``headerBytes``): magic (8), version (4), header length (4), file size (8), creation time in
/// nanoseconds (8), segment id (16), CRC32C of all that (4), zeros.
///
/// Record: one word of length (low half: header and payload, without padding) and CRC32C (high half), then
/// sequence (8), time in nanoseconds since 1970 (8), payload, zeros up to the boundary. The word is stored
/// last and with release order, so a process killed anywhere leaves a whole record or none: a word of 0 is
/// where the records end.
///
/// The CRC starts from the segment's id, so bytes copied out of another segment, or made up by whoever chose
/// a payload, do not pass for a record when damaged ground is searched for the next good one.
///
/// Integers are in the machine's order (little-endian on every machine Swift runs on): a spool never leaves
/// the machine it was written on.
enum SegmentFormat {
  static let magic: UInt64 = 0x0a4c_4f4f_5053_4648  // "HFSPOOL\n"
  static let version: UInt32 = 1
  static let headerBytes = 256
  static let recordHeaderBytes = 24
  static let createdOffset = 24
  /// The part of the header its checksum covers.
  static let checkedHeaderBytes = 48

  /// Where the record after one of `length` bytes begins, counted from the start of that one.
  static func aligned(_ length: Int) -> Int { (length + 7) & ~7 }

  /// What a record with this payload takes up in the file.
  static func footprint(ofPayload bytes: Int) -> Int { aligned(recordHeaderBytes + bytes) }

  static func writeHeader(at base: UnsafeMutableRawPointer, size: Int, id: SegmentID, created: Int64) {
    unsafe base.storeBytes(of: version, toByteOffset: 8, as: UInt32.self)
    unsafe base.storeBytes(of: UInt32(headerBytes), toByteOffset: 12, as: UInt32.self)
    unsafe base.storeBytes(of: UInt64(size), toByteOffset: 16, as: UInt64.self)
    unsafe base.storeBytes(of: created, toByteOffset: createdOffset, as: Int64.self)
    unsafe base.storeBytes(of: id.high, toByteOffset: 32, as: UInt64.self)
    unsafe base.storeBytes(of: id.low, toByteOffset: 40, as: UInt64.self)
    // The magic is part of what is checked; it is stored first, the checksum last.
    unsafe base.storeBytes(of: magic, toByteOffset: 0, as: UInt64.self)
    let crc = unsafe chf_crc32c(0, base, checkedHeaderBytes)
    unsafe base.storeBytes(of: crc, toByteOffset: checkedHeaderBytes, as: UInt32.self)
  }

  enum HeaderVerdict: Equatable {
    case good
    /// Made by a newer build: leave it to that build.
    case newer(UInt32)
    /// Not a header of ours, or a damaged one; records are still looked for.
    case damaged
  }

  static func judgeHeader(_ bytes: UnsafeRawBufferPointer, id: SegmentID) -> HeaderVerdict {
    guard bytes.count >= headerBytes, let base = bytes.baseAddress else { return .damaged }
    guard unsafe base.load(as: UInt64.self) == magic else { return .damaged }
    let crc = unsafe base.load(fromByteOffset: checkedHeaderBytes, as: UInt32.self)
    guard unsafe chf_crc32c(0, base, checkedHeaderBytes) == crc else { return .damaged }
    let version = unsafe base.load(fromByteOffset: 8, as: UInt32.self)
    guard version == Self.version else { return .newer(version) }
    let high = unsafe base.load(fromByteOffset: 32, as: UInt64.self)
    let low = unsafe base.load(fromByteOffset: 40, as: UInt64.self)
    return high == id.high && low == id.low ? .good : .damaged
  }

  /// Writes one record at `position`; the caller has made sure that it fits and that it is alone.
  @inline(__always)
  static func writeRecord(
    at base: UnsafeMutableRawPointer, position: Int, seed: UInt32, sequence: UInt64,
    nanoseconds: Int64, payload: UnsafeRawBufferPointer
  ) {
    let record = unsafe base + position
    let length = recordHeaderBytes + payload.count
    unsafe record.storeBytes(of: sequence, toByteOffset: 8, as: UInt64.self)
    unsafe record.storeBytes(of: nanoseconds, toByteOffset: 16, as: Int64.self)
    if let source = payload.baseAddress {
      unsafe (record + recordHeaderBytes).copyMemory(from: source, byteCount: payload.count)
    }
    let crc = unsafe chf_crc32c(seed &+ UInt32(truncatingIfNeeded: length), record + 8, length - 8)
    unsafe chf_store_release(record, UInt64(UInt32(truncatingIfNeeded: length)) | UInt64(crc) << 32)
  }
}

/// A segment's name for good: 128 random bits, never used twice.
struct SegmentID: Hashable, Sendable {
  let high: UInt64
  let low: UInt64

  init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  static func random() -> SegmentID {
    SegmentID(high: .random(in: 1 ... .max), low: .random(in: 0 ... .max))
  }

  /// Reads 32 hexadecimal digits.
  init?(_ text: some StringProtocol) {
    guard text.utf8.count == 32, text.utf8.allSatisfy({ $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "-") }),
      let high = UInt64(text.prefix(16), radix: 16), let low = UInt64(text.suffix(16), radix: 16)
    else { return nil }
    self.init(high: high, low: low)
  }

  /// What the CRC of this segment's records starts from.
  var seed: UInt32 {
    var bytes = (high, low)
    return unsafe withUnsafeBytes(of: &bytes) { unsafe chf_crc32c(0, $0.baseAddress, $0.count) }
  }
}

extension SegmentID: CustomStringConvertible {
  var description: String { Self.hex(high) + Self.hex(low) }

  private static func hex(_ value: UInt64) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}
