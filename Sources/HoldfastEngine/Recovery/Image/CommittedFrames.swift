// SPDX-License-Identifier: Apache-2.0

/// The frames of a -wal that are committed: salts and the chain of checksums hold up to the last commit.
///
/// What SQLite's `walIndexRecover` finds. Source:
/// <https://www.sqlite.org/fileformat.html#the_write_ahead_log>.
struct CommittedFrames: Sendable {
  static let headerSize = 32
  static let frameHeaderSize = 24

  let file: ImageFile
  let pageSize: Int
  let isBigEndian: Bool
  let salts: [UInt8]
  /// Frames up to the last commit; 0 when nothing is committed.
  private(set) var count = 0
  /// Frames that hold, those behind the last commit included.
  private(set) var intact = 0
  /// The database's size in pages after the last commit.
  private(set) var pageCount: UInt32 = 0
  private(set) var overlay = PageOverlay()

  /// Reads the header and every frame up to the first that does not hold.
  /// - Returns: nil when there is no valid header.
  init?(_ file: ImageFile) throws(StoreError) {
    let header = try file.bytes(at: 0, count: Self.headerSize)
    guard header.count == Self.headerSize, header.bigEndian32(0) & ~1 == 0x377f_0682,
      header.bigEndian32(4) == 3_007_000
    else { return nil }
    let size = Int(header.bigEndian32(8))
    guard PageLayout.isPageSize(size) else { return nil }
    self.file = file
    pageSize = size
    isBigEndian = header.bigEndian32(0) & 1 == 1
    salts = Array(header[16..<24])
    var sum = Checksum()
    sum.add(header, in: 0..<24, bigEndian: isBigEndian)
    guard sum == Checksum(header, at: 24) else { return nil }
    try scan(from: sum)
  }

  private mutating func scan(from start: Checksum) throws(StoreError) {
    var sum = start
    var found: [UInt64] = []
    var committed = 0
    let frameSize = Self.frameHeaderSize + pageSize
    // Many frames a read: a -wal is mostly small pages.
    let perRead = max(1, (1 << 20) / frameSize)
    var number: UInt32 = 0
    reading: while true {
      let chunk = try file.bytes(at: offset(ofFrame: number), count: perRead * frameSize)
      var at = 0
      while at + frameSize <= chunk.count {
        let page = chunk.bigEndian32(at)
        guard page != 0, Array(chunk[(at + 8)..<(at + 16)]) == salts else { break reading }
        sum.add(chunk, in: at..<(at + 8), bigEndian: isBigEndian)
        sum.add(chunk, in: (at + Self.frameHeaderSize)..<(at + frameSize), bigEndian: isBigEndian)
        guard sum == Checksum(chunk, at: at + 16) else { break reading }
        found.append(PageOverlay.entry(page: page, place: number))
        let size = chunk.bigEndian32(at + 4)
        if size != 0 { (committed, pageCount) = (found.count, size) }
        guard number < .max else { break reading }
        number += 1
        at += frameSize
      }
      guard at == perRead * frameSize else { break }
    }
    count = committed
    intact = found.count
    overlay = PageOverlay(Array(found[..<committed]))
  }

  /// Where a frame's own header begins.
  func offset(ofFrame number: UInt32) -> Int64 {
    Int64(Self.headerSize) + Int64(number) * Int64(Self.frameHeaderSize + pageSize)
  }

  /// The newest copy of page 1 with a valid header among the frames that are not committed or are of an
  /// earlier round, whose own checksum holds on the frame before it.
  func olderFirstPage() throws(StoreError) -> [UInt8]? {
    let frameSize = Self.frameHeaderSize + pageSize
    let slots = UInt32(clamping: (file.size - Int64(Self.headerSize)) / Int64(frameSize))
    var best: [UInt8]?
    var number: UInt32 = 0
    var before = Checksum(try file.bytes(at: 0, count: Self.headerSize), at: 24)
    while number < slots {
      let header = try file.bytes(at: offset(ofFrame: number), count: Self.frameHeaderSize)
      guard header.count == Self.frameHeaderSize else { break }
      if header.bigEndian32(0) == 1 {
        let page = try file.bytes(at: offset(ofFrame: number) + Int64(Self.frameHeaderSize), count: pageSize)
        var sum = before
        sum.add(header, in: 0..<8, bigEndian: isBigEndian)
        sum.add(page, in: 0..<page.count, bigEndian: isBigEndian)
        if page.count == pageSize, sum == Checksum(header, at: 16),
          PageLayout(header: page)?.pageSize == pageSize
        {
          best = page
        }
      }
      before = Checksum(header, at: 16)
      number += 1
    }
    return best
  }

  /// The running checksum of a -wal.
  struct Checksum: Equatable {
    var first: UInt32 = 0
    var second: UInt32 = 0

    init() {}

    /// Checksums are stored with the highest byte first, whatever order they were computed in.
    init(_ bytes: [UInt8], at offset: Int) {
      guard offset + 8 <= bytes.count else { return }
      first = bytes.bigEndian32(offset)
      second = bytes.bigEndian32(offset + 4)
    }

    /// Continues over whole pairs of words.
    mutating func add(_ bytes: [UInt8], in range: Range<Int>, bigEndian: Bool) {
      var (first, second) = (self.first, self.second)
      unsafe bytes.withUnsafeBytes { buffer in
        for at in stride(from: range.lowerBound, to: range.upperBound - 7, by: 8) {
          let left = unsafe buffer.loadUnaligned(fromByteOffset: at, as: UInt32.self)
          let right = unsafe buffer.loadUnaligned(fromByteOffset: at + 4, as: UInt32.self)
          first = first &+ (bigEndian ? UInt32(bigEndian: left) : UInt32(littleEndian: left)) &+ second
          second = second &+ (bigEndian ? UInt32(bigEndian: right) : UInt32(littleEndian: right)) &+ first
        }
      }
      (self.first, self.second) = (first, second)
    }
  }
}
