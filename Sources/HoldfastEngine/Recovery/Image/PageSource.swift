// SPDX-License-Identifier: Apache-2.0

/// The pages of a database, wherever they come from. Pages are numbered from 1.
package protocol PageSource: Sendable {
  /// The size of every page in bytes: a power of two, 512 … 65,536.
  var pageSize: Int { get }
  /// The number of pages.
  var pageCount: UInt32 { get }
  /// The bytes of a page, always ``pageSize`` of them; nil when the number is 0 or beyond ``pageCount``.
  /// - Throws: ``StoreError`` with code `io` when the device does not give it.
  func page(_ number: UInt32) throws -> [UInt8]?
}

/// A database that is in memory already, for what is small and for tests.
package struct BytesPageSource: PageSource {
  package let pageSize: Int
  private let bytes: [UInt8]

  /// Takes a whole database file; a last page that is not whole is padded with zeros.
  package init(_ bytes: [UInt8], pageSize: Int) {
    precondition(PageLayout.isPageSize(pageSize), "\(pageSize) is no page size")
    self.bytes = bytes
    self.pageSize = pageSize
  }

  package var pageCount: UInt32 { UInt32(clamping: (bytes.count + pageSize - 1) / pageSize) }

  package func page(_ number: UInt32) -> [UInt8]? {
    guard number >= 1, number <= pageCount else { return nil }
    let start = Int(number - 1) * pageSize
    let page = Array(bytes[start..<min(start + pageSize, bytes.count)])
    return page.count == pageSize ? page : page + [UInt8](repeating: 0, count: pageSize - page.count)
  }
}

/// What the header of page 1 fixes for the whole file.
/// <https://www.sqlite.org/fileformat.html#the_database_header>
package struct PageLayout: Hashable, Sendable {
  /// The encodings of text.
  package enum Encoding: UInt32, Sendable { case utf8 = 1, utf16LittleEndian, utf16BigEndian }

  /// In bytes.
  package var pageSize: Int
  /// Bytes at every page's end that are not SQLite's.
  package var reserved: Int
  package var encoding: Encoding
  package var schemaFormat: UInt32
  /// The size in pages the header notes; 0 when it notes none that can be believed.
  package var notedPages: UInt32
  package var firstFreelistTrunk: UInt32
  package var freelistPages: UInt32
  /// Not 0 in auto-vacuum databases, which have pointer maps.
  package var largestRoot: UInt32
  package var isIncrementalVacuum: Bool

  /// What is left of a page for SQLite.
  package var usableSize: Int { pageSize - reserved }

  static func isPageSize(_ size: Int) -> Bool { size >= 512 && size <= 65_536 && size & (size - 1) == 0 }

  /// Reads the first 100 bytes; nil when SQLite would not take them for a database's.
  package init?(header: [UInt8]) {
    guard header.count >= 100, Array(header[..<16]) == Self.magic, header[19] <= 2,
      header[21] == 64, header[22] == 32, header[23] == 32
    else { return nil }
    let noted = Int(header.bigEndian16(16))
    let size = noted == 1 ? 65_536 : noted
    guard Self.isPageSize(size), size - Int(header[20]) >= 480 else { return nil }
    pageSize = size
    reserved = Int(header[20])
    encoding = Encoding(rawValue: header.bigEndian32(56) & 3) ?? .utf8
    schemaFormat = header.bigEndian32(44)
    // SQLite before 3.7.0 does not keep the count; it leaves the two counters apart.
    notedPages = header.bigEndian32(24) == header.bigEndian32(92) ? header.bigEndian32(28) : 0
    firstFreelistTrunk = header.bigEndian32(32)
    freelistPages = header.bigEndian32(36)
    largestRoot = header.bigEndian32(52)
    isIncrementalVacuum = header.bigEndian32(64) != 0
  }

  static let magic = Array("SQLite format 3\0".utf8)

  /// The page that holds the lock bytes and never any content; there is one in files beyond 1 GiB.
  package var lockBytePage: UInt32 { UInt32(0x4000_0000 / pageSize) + 1 }

  /// Whether a page of an auto-vacuum database is a pointer map.
  package func isPointerMap(_ number: UInt32) -> Bool {
    largestRoot != 0 && number >= 2 && pointerMap(of: number) == number
  }

  /// The pointer map that has the entry of a page (SQLite's `ptrmapPageno`).
  package func pointerMap(of number: UInt32) -> UInt32 {
    guard number >= 2 else { return 0 }
    let span = UInt32(usableSize / 5 + 1)
    let map = (number - 2) / span * span + 2
    return map == lockBytePage ? map + 1 : map
  }
}

extension [UInt8] {
  /// Two bytes, the higher first; the caller has looked that they are there.
  func bigEndian16(_ at: Int) -> UInt16 { UInt16(self[at]) << 8 | UInt16(self[at + 1]) }

  /// Four bytes, the highest first; the caller has looked that they are there.
  func bigEndian32(_ at: Int) -> UInt32 {
    UInt32(self[at]) << 24 | UInt32(self[at + 1]) << 16 | UInt32(self[at + 2]) << 8 | UInt32(self[at + 3])
  }

  mutating func setBigEndian32(_ value: UInt32, at: Int) {
    for index in 0..<4 { self[at + index] = UInt8(truncatingIfNeeded: value >> UInt32(24 - 8 * index)) }
  }
}
