// SPDX-License-Identifier: Apache-2.0

/// A page of a b-tree, read as leniently as SQLite reads it, or more so.
///
/// Source: <https://www.sqlite.org/fileformat.html#b_tree_pages>. No byte of the page can make it trap: every
/// offset is checked where it is used.
struct SalvagePage {
  /// The page types that exist.
  enum Kind: UInt8 {
    case indexInterior = 2
    case tableInterior = 5
    case indexLeaf = 10
    case tableLeaf = 13

    var isInterior: Bool { self == .indexInterior || self == .tableInterior }
    var isTable: Bool { self == .tableInterior || self == .tableLeaf }
  }

  /// One entry of a page.
  struct Cell {
    /// The page with what is before this entry, on interior pages.
    var child: UInt32?
    /// The row's number, in tables.
    var rowID: Int64?
    /// Bytes of the record; 0 on a table's interior pages.
    var payloadSize = 0
    /// What of the record is on this page.
    var local = 0..<0
    /// The first page of the rest.
    var overflow: UInt32?
  }

  let number: UInt32
  let bytes: [UInt8]
  let usable: Int
  let kind: Kind
  private let headerStart: Int

  /// Reads the page's header; nil when it is no b-tree page.
  /// - Parameter assumed: takes the page for one of this kind whatever its first byte says.
  init?(_ number: UInt32, _ bytes: [UInt8], usable: Int, assumed: Kind? = nil) {
    headerStart = number == 1 ? 100 : 0
    guard usable >= 480, bytes.count >= usable,
      let kind = assumed ?? Kind(rawValue: bytes[number == 1 ? 100 : 0])
    else { return nil }
    self.number = number
    self.bytes = bytes
    self.usable = usable
    self.kind = kind
  }

  private var pointersStart: Int { headerStart + (kind.isInterior ? 12 : 8) }

  /// How many entries there are, bounded by what fits.
  var cellCount: Int { min(bytes.word16(headerStart + 3), (usable - pointersStart) / 2) }

  /// The page with what is after the last entry, on interior pages.
  var rightChild: UInt32? { kind.isInterior ? bytes.word32(headerStart + 8) : nil }

  /// The entry at an index below ``cellCount``; nil when its bytes make none.
  func cell(_ index: Int) -> Cell? {
    // SQLite masks the pointer with the page size, so that it never leaves the page; so does this.
    var at = bytes.word16(pointersStart + 2 * index) & (bytes.count - 1)
    var cell = Cell()
    if kind.isInterior {
      guard at + 4 <= usable else { return nil }
      cell.child = bytes.word32(at)
      at += 4
    }
    if kind != .tableInterior {
      guard let size = bytes.varint(&at, end: usable), size <= 0x7fff_ffff else { return nil }
      cell.payloadSize = Int(size)
    }
    if kind.isTable {
      guard let rowID = bytes.varint(&at, end: usable) else { return nil }
      cell.rowID = Int64(bitPattern: rowID)
    }
    if kind == .tableInterior { return cell }
    let local = localSize(of: cell.payloadSize)
    guard at + local <= usable else { return nil }
    cell.local = at..<(at + local)
    if local < cell.payloadSize {
      guard at + local + 4 <= usable else { return nil }
      cell.overflow = bytes.word32(at + local)
    }
    return cell
  }

  /// How much of a record stays on the page. Source: "Cell Payload Overflow Pages" of the file format.
  private func localSize(of payload: Int) -> Int {
    let maximum = kind == .tableLeaf ? usable - 35 : (usable - 12) * 64 / 255 - 23
    if payload <= maximum { return payload }
    let minimum = (usable - 12) * 32 / 255 - 23
    let fitting = minimum + (payload - minimum) % (usable - 4)
    return fitting <= maximum ? fitting : minimum
  }
}

extension [UInt8] {
  /// Two bytes, the higher first; 0 beyond the end.
  func word16(_ at: Int) -> Int { at + 2 <= count ? Int(self[at]) << 8 | Int(self[at + 1]) : 0 }

  /// Four bytes, the highest first; 0 beyond the end.
  func word32(_ at: Int) -> UInt32 {
    guard at + 4 <= count else { return 0 }
    return UInt32(self[at]) << 24 | UInt32(self[at + 1]) << 16 | UInt32(self[at + 2]) << 8
      | UInt32(self[at + 3])
  }

  /// SQLite's integer of one to nine bytes; nil when it runs over `end`.
  func varint(_ at: inout Int, end: Int) -> UInt64? {
    var value: UInt64 = 0
    for step in 0..<9 {
      guard at < end, at < count else { return nil }
      let byte = self[at]
      at += 1
      if step == 8 { return value << 8 | UInt64(byte) }
      value = value << 7 | UInt64(byte & 0x7f)
      if byte < 0x80 { return value }
    }
    return value
  }
}
