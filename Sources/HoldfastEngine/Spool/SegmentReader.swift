// SPDX-License-Identifier: Apache-2.0

import CHoldfast

/// Reads the records of one segment: a pure function of its bytes, so that every damage can be tried.
///
/// Only what checks out is ever returned. Behind damage the reader looks for the next good record at every
/// boundary, so a torn or zeroed stretch costs the records in it and never those behind it.
@safe struct SegmentReader {
  /// The segment's bytes, the header included; of a living one, up to what has been published.
  private let bytes: UnsafeRawBufferPointer
  private let count: Int
  private let seed: UInt32
  /// Whether the owner is alive, in this process: then `bytes` ends at the last record, and a word of 0
  /// before that is damage. In an orphan it is where the owner died, unless a good record follows.
  private let ownerLives: Bool

  init(_ bytes: UnsafeRawBufferPointer, id: SegmentID, ownerLives: Bool) {
    unsafe self.bytes = unsafe bytes
    count = bytes.count
    seed = id.seed
    self.ownerLives = ownerLives
  }

  /// One whole record, by where it lies.
  struct Record: Equatable {
    let position: Int
    /// Where the next one begins.
    let end: Int
    let sequence: UInt64
    let nanoseconds: Int64
    let payload: Range<Int>
  }

  enum Step: Equatable {
    case record(Record)
    /// Nothing more.
    case end
    /// Unreadable up to the record given, or to the end where there is none. `lost` is how many records were
    /// there by the sequence; at least 1.
    case damage(next: Record?, lost: UInt64)
  }

  /// What lies at `position`, which is the header's end, a former record's end, or a landed cursor.
  ///
  /// - Parameter expected: the sequence due there; nil where it is not known.
  func step(at position: Int, expecting expected: UInt64?) -> Step {
    if position >= count { return .end }
    if let record = record(at: position, expecting: expected) {
      if let expected, record.sequence != expected {
        return .damage(next: record, lost: record.sequence - expected)
      }
      return .record(record)
    }
    let next = search(from: position + 8, expecting: expected)
    if let next {
      // Without a sequence to count from, or where the count says nothing, one record is known to be gone.
      let lost = expected.map { next.sequence - $0 } ?? 1
      return .damage(next: next, lost: max(1, lost))
    }
    // Nothing readable follows. A word of 0 is an orphan's ordinary end: what lies behind it is at most the
    // record its owner was writing when it died, which was never acknowledged.
    if !ownerLives, word(at: position) == 0 { return .end }
    return .damage(next: nil, lost: 1)
  }

  /// How many records can be read from `position` on.
  func count(from position: Int, expecting expected: UInt64?) -> Int {
    var found = 0
    var position = position
    var expected = expected
    while true {
      switch step(at: position, expecting: expected) {
      case .end, .damage(next: nil, _): return found
      case .record(let record), .damage(next: .some(let record), _):
        found += 1
        position = record.end
        expected = record.sequence + 1
      }
    }
  }

  /// A copy of a record's payload.
  func payload(of record: Record) -> [UInt8] {
    unsafe [UInt8](UnsafeRawBufferPointer(rebasing: bytes[record.payload]))
  }

  private func word(at position: Int) -> UInt64 {
    guard position + 8 <= count, let base = unsafe bytes.baseAddress else { return 0 }
    return unsafe chf_load_acquire(base + position)
  }

  private func record(at position: Int, expecting expected: UInt64?) -> Record? {
    let word = word(at: position)
    let length = Int(UInt32(truncatingIfNeeded: word))
    guard length >= SegmentFormat.recordHeaderBytes, length <= count - position,
      let base = unsafe bytes.baseAddress
    else { return nil }
    let sequence = unsafe (base + position).load(fromByteOffset: 8, as: UInt64.self)
    if let expected {
      // Cheaper than the checksum, and it keeps an older record from being read behind a newer one.
      let most = UInt64(count / SegmentFormat.recordHeaderBytes)
      guard sequence >= expected, sequence - expected <= most else { return nil }
    }
    let crc = unsafe chf_crc32c(
      seed &+ UInt32(truncatingIfNeeded: length), base + position + 8, length - 8)
    guard crc == UInt32(truncatingIfNeeded: word >> 32) else { return nil }
    let nanoseconds = unsafe (base + position).load(fromByteOffset: 16, as: Int64.self)
    return Record(
      position: position, end: position + SegmentFormat.aligned(length), sequence: sequence,
      nanoseconds: nanoseconds,
      payload: position + SegmentFormat.recordHeaderBytes..<position + length)
  }

  private func search(from start: Int, expecting expected: UInt64?) -> Record? {
    var position = start
    while position + SegmentFormat.recordHeaderBytes <= count {
      if word(at: position) != 0, let record = record(at: position, expecting: expected) { return record }
      position += 8
    }
    return nil
  }
}
