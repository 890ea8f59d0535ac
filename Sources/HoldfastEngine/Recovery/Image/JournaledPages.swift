// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The original pages in a hot rollback journal, found by the rules of SQLite's `pager_playback`.
///
/// Source: <https://www.sqlite.org/fileformat.html#the_rollback_journal> and `pager.c` of SQLite 3.40.1.
/// Whether the journal's writer lives is not asked here: only a journal nobody is writing is given to an
/// image.
struct JournaledPages: Sendable {
  let file: ImageFile
  let pageSize: Int
  /// The database's size in pages before the transaction, to which it is cut.
  let initialPages: UInt32
  private(set) var overlay = PageOverlay()
  /// Record offsets by their place, since segments are padded to sectors.
  private var segments: [(firstPlace: UInt32, offset: Int64)] = []

  /// Reads all segments.
  /// - Parameter databasePageSize: for the journals of old versions that note no page size.
  /// - Returns: nil when the journal is not hot: no valid first header, or a super-journal that is gone,
  ///   which says that the transaction was committed.
  init?(_ file: ImageFile, databasePageSize: Int?) throws(StoreError) {
    let start = try file.bytes(at: 0, count: 28)
    guard let header = JournalHeader(bytes: start) else { return nil }
    let size = header.pageSize == 0 ? databasePageSize ?? 0 : Int(header.pageSize)
    let sector = Int(header.sectorSize)
    guard PageLayout.isPageSize(size), sector >= 32, sector <= 65_536, sector & (sector - 1) == 0,
      file.size >= Int64(sector)
    else { return nil }
    if let name = try Self.superJournal(of: file), unsafe access(name, F_OK) != 0 { return nil }
    self.file = file
    pageSize = size
    initialPages = header.initialPages
    try scan(header, sector: Int64(sector))
  }

  private mutating func scan(_ first: JournalHeader, sector: Int64) throws(StoreError) {
    let recordSize = Int64(pageSize) + 8
    // The page whose bytes are the locks' (SQLite's PAGER_SJ_PGNO), which stands before the super-journal's
    // name.
    let lockPage = UInt32(0x4000_0000 / pageSize) + 1
    var found: [UInt64] = []
    var place: UInt32 = 0
    var header: JournalHeader? = first
    var at: Int64 = 0
    segments: while let segment = header {
      at += sector
      var records = Int64(UInt32(bitPattern: segment.pageCount))
      // Written without syncs: one header, and pages to the end of the file.
      if segment.pageCount == -1 { records = (file.size - at) / recordSize }
      // A segment without pages gives its place up to the next.
      if self.segments.last?.firstPlace == place { self.segments.removeLast() }
      self.segments.append((place, at))
      for _ in 0..<max(0, min(records, file.size / recordSize + 1)) {
        let record = try file.bytes(at: at, count: Int(recordSize))
        guard record.count == Int(recordSize) else { break segments }
        let page = record.bigEndian32(0)
        guard page != 0, page != lockPage else { break segments }
        if page <= initialPages {
          guard
            Self.checksum(record, nonce: segment.nonce, pageSize: pageSize)
              == record.bigEndian32(4 + pageSize)
          else { break segments }
          found.append(PageOverlay.entry(page: page, place: place))
        }
        guard place < .max else { break segments }
        place += 1
        at += recordSize
      }
      at = (at + sector - 1) / sector * sector
      guard at + sector <= file.size else { break }
      header = JournalHeader(bytes: try file.bytes(at: at, count: 28))
    }
    overlay = PageOverlay(found)
  }

  /// Every 200th byte from the end, added to the nonce.
  static func checksum(_ record: [UInt8], nonce: UInt32, pageSize: Int) -> UInt32 {
    var sum = nonce
    var at = pageSize - 200
    while at > 0 {
      sum = sum &+ UInt32(record[4 + at])
      at -= 200
    }
    return sum
  }

  /// Where a record's page begins.
  func offset(ofPlace place: UInt32) -> Int64 {
    let segment = segments.last { $0.firstPlace <= place } ?? (0, 0)
    return segment.offset + Int64(place - segment.firstPlace) * (Int64(pageSize) + 8) + 4
  }

  /// The name at the journal's end, if it ends in one with a valid checksum.
  private static func superJournal(of file: ImageFile) throws(StoreError) -> String? {
    guard file.size >= 16 else { return nil }
    let tail = try file.bytes(at: file.size - 16, count: 16)
    guard tail.count == 16, Array(tail[8...]) == [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7] else {
      return nil
    }
    let length = Int64(tail.bigEndian32(0))
    guard length > 0, length < 4096, length <= file.size - 16 else { return nil }
    let name = try file.bytes(at: file.size - 16 - length, count: Int(length))
    let sum = name.reduce(UInt32(0)) { $0 &+ UInt32(bitPattern: Int32(Int8(bitPattern: $1))) }
    guard sum == tail.bigEndian32(4), let first = name.first, first != 0 else { return nil }
    return String(decoding: name.prefix { $0 != 0 }, as: UTF8.self)
  }
}
