// SPDX-License-Identifier: Apache-2.0

import CHoldfast
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

/// A segment in memory, written by the same code as a real one.
@safe private final class MemorySegment {
  let id = SegmentID(high: 7, low: 9)
  let bytes: UnsafeMutableRawBufferPointer
  private(set) var records: [(position: Int, end: Int, sequence: UInt64, payload: [UInt8])] = []
  private(set) var offset = SegmentFormat.headerBytes

  init(size: Int) {
    unsafe bytes = .allocate(byteCount: size, alignment: 4096)
    unsafe _ = bytes.initializeMemory(as: UInt8.self, repeating: 0)
    unsafe SegmentFormat.writeHeader(at: bytes.baseAddress!, size: size, id: id, created: 0)
  }

  deinit { unsafe bytes.deallocate() }

  /// Appends random records until the next would not fit, or `count` are there.
  func fill(_ random: inout SplitMix64, count: Int = .max, from first: UInt64 = 1) {
    var sequence = first
    while records.count < count {
      let payload = (0..<Int.random(in: 0...300, using: &random)).map { _ in
        UInt8.random(in: 0...255, using: &random)
      }
      let needed = SegmentFormat.footprint(ofPayload: payload.count)
      guard unsafe offset + needed <= bytes.count else { return }
      unsafe payload.withUnsafeBytes {
        unsafe SegmentFormat.writeRecord(
          at: bytes.baseAddress!, position: offset, seed: id.seed, sequence: sequence, nanoseconds: 1,
          payload: $0)
      }
      records.append((offset, offset + needed, sequence, payload))
      offset += needed
      sequence += 1
    }
  }

  func read(ownerLives: Bool = false, limit: Int? = nil) -> (found: [(UInt64, [UInt8])], lost: UInt64) {
    let reader = unsafe SegmentReader(
      UnsafeRawBufferPointer(start: bytes.baseAddress, count: limit ?? bytes.count), id: id,
      ownerLives: ownerLives)
    var position = SegmentFormat.headerBytes
    var expected: UInt64? = 1
    var found: [(UInt64, [UInt8])] = []
    var lost: UInt64 = 0
    while true {
      switch reader.step(at: position, expecting: expected) {
      case .end: return (found, lost)
      case .damage(nil, let count): return (found, lost + count)
      case .damage(.some(let record), let count):
        lost += count
        found.append((record.sequence, reader.payload(of: record)))
        (position, expected) = (record.end, record.sequence + 1)
      case .record(let record):
        found.append((record.sequence, reader.payload(of: record)))
        (position, expected) = (record.end, record.sequence + 1)
      }
    }
  }
}

@Suite struct SegmentReaderTests {
  @Test func theTableAndTheInstructionAgreeOnCRC32C() {
    var random = SplitMix64(seed: 1)
    // The check value of the CRC catalogue for "123456789".
    let check = Array("123456789".utf8)
    #expect(unsafe chf_crc32c(0, check, check.count) == 0xe306_9283)
    for length in 0..<200 {
      let bytes = (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) }
      let start = UInt32.random(in: 0...(.max), using: &random)
      #expect(unsafe chf_crc32c(start, bytes, length) == chf_crc32c_table(start, bytes, length))
    }
  }

  @Test func everyRecordIsReadBackInOrder() {
    var random = SplitMix64(seed: 2)
    let segment = MemorySegment(size: 64 << 10)
    segment.fill(&random)
    let (found, lost) = segment.read()
    #expect(lost == 0)
    #expect(found.map(\.0) == segment.records.map(\.sequence))
    #expect(found.map(\.1) == segment.records.map(\.payload))
  }

  /// A kill leaves the bytes of the record being written, without its length word: row B10.
  @Test func aRecordCutAnywhereBeforeItsLastStoreIsNotThere_B10() {
    for seed in 0..<64 {
      var random = SplitMix64(seed: UInt64(seed))
      let segment = MemorySegment(size: 16 << 10)
      segment.fill(&random, count: 20)
      let last = segment.records[19]
      // Any part of it may have reached memory, but the word, which is stored last, has not.
      unsafe segment.bytes.storeBytes(of: 0, toByteOffset: last.position, as: UInt64.self)
      for byte in last.position + 8..<last.end where random.chance(0.5) { unsafe segment.bytes[byte] = 0 }
      let (found, lost) = segment.read()
      #expect(found.count == 19 && lost == 0)
    }
  }

  @Test func aFlippedBitCostsItsRecordAndIsCounted() {
    var random = SplitMix64(seed: 3)
    for _ in 0..<200 {
      let segment = MemorySegment(size: 16 << 10)
      segment.fill(&random, count: 30)
      let victim = segment.records.randomElement(using: &random)!
      let used = SegmentFormat.recordHeaderBytes + victim.payload.count
      let byte = victim.position + Int.random(in: 0..<used, using: &random)
      unsafe segment.bytes[byte] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      let (found, lost) = segment.read(ownerLives: random.chance(0.5), limit: segment.offset)
      #expect(found.map(\.0) == segment.records.map(\.sequence).filter { $0 != victim.sequence })
      #expect(lost == 1)
    }
  }

  /// What a power cut leaves: any of the sectors not written. Row B11.
  @Test func lostSectorsCostOnlyTheRecordsInThem_B11() {
    var random = SplitMix64(seed: 4)
    for _ in 0..<500 {
      let segment = MemorySegment(size: 32 << 10)
      segment.fill(&random, count: Int.random(in: 1...150, using: &random))
      var whole: Set<UInt64> = Set(segment.records.map(\.sequence))
      let density = Double.random(in: 0..<0.6, using: &random)
      for sector in 1..<(segment.offset + 511) / 512 where random.chance(density) {
        let range = sector * 512..<(sector + 1) * 512
        for record in segment.records
        where record.position < range.upperBound && record.end > range.lowerBound {
          // A record all of whose lost bytes were zero anyway is whole.
          let lost = max(record.position, range.lowerBound)..<min(record.end, range.upperBound)
          if unsafe segment.bytes[lost].contains(where: { $0 != 0 }) { whole.remove(record.sequence) }
        }
        for byte in range { unsafe segment.bytes[byte] = 0 }
      }
      let (found, lost) = segment.read()
      #expect(found.map(\.0) == whole.sorted())
      for (sequence, payload) in found { #expect(payload == segment.records[Int(sequence) - 1].payload) }
      // What is missing between records is counted; what is missing behind the last cannot be known.
      let missing = (found.last?.0).map { Int($0) - found.count } ?? 0
      #expect(Int(lost) >= missing)
    }
  }

  /// Bytes that look like a record because someone chose a payload to look so.
  @Test func aRecordInsideAPayloadIsNeverReadAsOne() {
    var random = SplitMix64(seed: 5)
    let forger = MemorySegment(size: 16 << 10)
    forger.fill(&random, count: 3, from: 2)
    let forged = unsafe Array(forger.bytes[SegmentFormat.headerBytes..<forger.offset])
    let other = SegmentID(high: 1, low: 2)
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 16 << 10, alignment: 4096)
    defer { unsafe bytes.deallocate() }
    unsafe _ = bytes.initializeMemory(as: UInt8.self, repeating: 0)
    unsafe forged.withUnsafeBytes {
      unsafe SegmentFormat.writeRecord(
        at: bytes.baseAddress!, position: SegmentFormat.headerBytes, seed: other.seed, sequence: 1,
        nanoseconds: 0,
        payload: $0)
    }
    // Damage to the outer record makes the reader search through its payload.
    unsafe bytes[SegmentFormat.headerBytes + 9] ^= 1
    let reader = unsafe SegmentReader(UnsafeRawBufferPointer(bytes), id: other, ownerLives: false)
    #expect(reader.step(at: SegmentFormat.headerBytes, expecting: 1) == .damage(next: nil, lost: 1))
  }

  @Test func segmentNamesAreReadBackAndNothingElseIs() {
    let name = SegmentName(stream: "usage", id: SegmentID(high: 1, low: .max))
    #expect(name.path(in: "/d") == "/d/usage-0000000000000001ffffffffffffffff.spool")
    #expect(SegmentName("usage-0000000000000001ffffffffffffffff.spool", stream: "usage") == name)
    for wrong in [
      "usage-0000000000000001ffffffffffffffff.spool.damaged", "usag-0000000000000001ffffffffffffffff.spool",
      "usage-000000000000001ffffffffffffffff.spool", "usage-+000000000000001ffffffffffffffff.spool",
      "usage-.spool",
    ] {
      #expect(SegmentName(wrong, stream: "usage") == nil)
    }
  }
}
