// SPDX-License-Identifier: Apache-2.0

import HoldfastTestKit
import Testing

@testable import HoldfastEngine

@Suite struct RecordFormatTests {
  @Test func varintsOfEveryLengthAreRead() {
    let cases: [([UInt8], Int64, Int)] = [
      ([0x00], 0, 1), ([0x7f], 127, 1), ([0x81, 0x00], 128, 2), ([0xff, 0x7f], 16_383, 2),
      ([0x81, 0x80, 0x00], 16_384, 3), ([UInt8](repeating: 0xff, count: 9), -1, 9),
      ([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], 0xff_ffff_ffff_ffff, 8),
    ]
    for (bytes, value, length) in cases {
      let read = RecordFormat.varint(bytes, at: 0)
      #expect(read?.value == value)
      #expect(read?.length == length)
      #expect(RecordFormat.varint(bytes, at: 0, end: length - 1) == nil)
    }
  }

  @Test func recordsAreReadByTheirSerialTypes() {
    let record: [UInt8] = [
      9, 0, 1, 2, 7, 8, 9, 17, 16, 0xff, 0xff, 0x00, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0, 65, 66, 1, 2,
    ]
    #expect(
      RecordFormat.decode(record) == [
        .null, .integer(-1), .integer(-256), .real(1.5), .integer(0), .integer(1), .text([65, 66]),
        .blob([1, 2]),
      ])
    #expect(RecordFormat.decode(Array(record.dropLast())) == nil)
    #expect(RecordFormat.decode(Array(record.dropLast()), partially: true)?.count == 7)
    #expect(RecordFormat.decode([2, 10]) == nil)
    #expect(RecordFormat.decode([]) == nil)
  }

  @Test func textIsReadInItsEncoding() {
    #expect(RecordFormat.text([0x41, 0, 0xe9, 0], encoding: .utf16LittleEndian) == "Aé")
    #expect(RecordFormat.text([0, 0x41, 0, 0xe9], encoding: .utf16BigEndian) == "Aé")
    #expect(RecordFormat.text([0x41, 0xc3, 0xa9], encoding: .utf8) == "Aé")
  }

  @Test func garbageIsNoRecordAndNoTrap() {
    var random = SplitMix64(seed: 3)
    for _ in 0..<20_000 {
      let count = Int.random(in: 0..<40, using: &random)
      let bytes = (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &random) }
      _ = RecordFormat.decode(bytes)
      _ = RecordFormat.decode(bytes, partially: true)
    }
  }
}
