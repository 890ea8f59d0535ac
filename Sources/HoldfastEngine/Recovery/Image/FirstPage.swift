// SPDX-License-Identifier: Apache-2.0

/// Page 1 with a header that SQLite takes: the one that is there, or one made from what the files still tell.
struct FirstPage {
  var bytes: [UInt8]
  var layout: PageLayout
  var isRebuilt: Bool

  /// - Parameter notes: gets a sentence for everything that was made up.
  static func mended(
    _ pages: RawPages, guess: PageSizeGuess, notes: inout [String]
  ) throws(StoreError) -> FirstPage {
    var page = try pages.page(1) ?? []
    var isRebuilt = false
    if page.isEmpty {
      // A database without pages: nothing to mend, and nobody asks for its page.
      page = emptyPage(header(pages, reserved: 0, encoding: .utf8), pageSize: pages.pageSize)
    } else if PageLayout(header: page)?.pageSize != pages.pageSize
      || !isSane(page, pageCount: pages.pageCount)
    {
      page = try rebuilt(page, pages, guess: guess, notes: &notes)
      isRebuilt = true
    }
    guard var layout = PageLayout(header: page) else { preconditionFailure("a header made here is valid") }
    if layout.notedPages > pages.pageCount {
      notes.append(
        """
        The header counts \(layout.notedPages) pages and there are \(pages.pageCount): the rest is taken for \
        lost.
        """)
      page.setBigEndian32(pages.pageCount, at: 28)
      layout.notedPages = pages.pageCount
    }
    return FirstPage(bytes: page, layout: layout, isRebuilt: isRebuilt)
  }

  /// Whether the fields that SQLite refuses a file for, beside those of ``PageLayout``, have values that
  /// exist.
  private static func isSane(_ page: [UInt8], pageCount: UInt32) -> Bool {
    page.bigEndian32(44) <= 4 && page.bigEndian32(56) <= 3
  }

  private static func rebuilt(
    _ damaged: [UInt8], _ pages: RawPages, guess: PageSizeGuess, notes: inout [String]
  ) throws(StoreError) -> [UInt8] {
    let size = pages.pageSize
    if let older = try pages.frames?.olderFirstPage(), older.count == size {
      var page = older
      if let layout = PageLayout(header: older), holdsSchema(damaged, usableSize: layout.usableSize) {
        page.replaceSubrange(100..., with: damaged[100...])
        notes.append("The header of page 1 was bad and was taken from an older frame of the -wal.")
      } else {
        notes.append(
          """
          Page 1 was lost and was taken from an older frame of the -wal: what was created or dropped since \
          then is not in its schema.
          """)
      }
      setPageCount(pages.pageCount, in: &page)
      return page
    }
    let reserved = try guess.reserved(pageSize: size)
    let usable = size - reserved
    let keepsSchema = holdsSchema(damaged, usableSize: usable)
    let encoding = try guess.encoding(
      pageSize: size, usableSize: usable, firstPage: keepsSchema ? damaged : [])
    var header = header(pages, reserved: reserved, encoding: encoding)
    if keepsSchema, tailIsPlausible(damaged, pageCount: pages.pageCount) {
      // Only the first bytes were overwritten.
      header.replaceSubrange(24..<100, with: damaged[24..<100])
      notes.append("The first bytes of page 1 were bad and were put right; the rest of its header was kept.")
    } else {
      let root = try largestRoot(pages, usableSize: usable)
      header.setBigEndian32(root, at: 52)
      notes.append(
        """
        The header of page 1 was bad and was rebuilt (pages of \(size) bytes, \(encoding), \
        \(root == 0 ? "no auto-vacuum" : "auto-vacuum")); user_version, application_id and the free \
        list are lost.
        """)
    }
    guard !keepsSchema else { return header + damaged[100...] }
    notes.append("Nothing of page 1 is left: the schema is lost, and an empty one stands in for it.")
    return emptyPage(header, pageSize: size, usableSize: usable)
  }

  private static func setPageCount(_ count: UInt32, in page: inout [UInt8]) {
    page.setBigEndian32(count, at: 28)
    page.setBigEndian32(page.bigEndian32(24), at: 92)
  }

  /// Whether behind the header there is a b-tree node of a table, most of whose cells are whole.
  private static func holdsSchema(_ page: [UInt8], usableSize: Int) -> Bool {
    guard let node = BTreePage(page, number: 1, usableSize: usableSize), node.kind.isTable else {
      return false
    }
    guard node.cellCount > 0 else {
      return node.kind == .tableInterior ? node.rightmostChild ?? 0 > 1 : node.defect == nil
    }
    return (0..<node.cellCount).count { node.cell($0) != nil } * 2 > node.cellCount
  }

  /// Whether bytes 24 to 99 of a header may be what SQLite wrote.
  private static func tailIsPlausible(_ page: [UInt8], pageCount: UInt32) -> Bool {
    (1...4).contains(page.bigEndian32(44)) && (1...3).contains(page.bigEndian32(56))
      && page[72..<92].allSatisfy { $0 == 0 } && page.bigEndian32(32) <= pageCount
      && page.bigEndian32(36) <= pageCount && page.bigEndian32(52) <= pageCount && page.bigEndian32(64) <= 1
  }

  /// A header from nothing but the layout.
  private static func header(
    _ pages: RawPages, reserved: Int, encoding: PageLayout.Encoding
  ) -> [UInt8] {
    var header = PageLayout.magic + [UInt8](repeating: 0, count: 84)
    header[16] = UInt8(truncatingIfNeeded: pages.pageSize >> 8)
    header[17] = pages.pageSize == 65_536 ? 1 : 0
    if pages.pageSize == 65_536 { header[16] = 0 }
    (header[18], header[19], header[20]) = (1, 1, UInt8(reserved))
    (header[21], header[22], header[23]) = (64, 32, 32)
    header.setBigEndian32(1, at: 24)
    header.setBigEndian32(pages.pageCount, at: 28)
    header.setBigEndian32(1, at: 40)
    header.setBigEndian32(4, at: 44)
    header.setBigEndian32(encoding.rawValue, at: 56)
    header.setBigEndian32(1, at: 92)
    header.setBigEndian32(3_040_001, at: 96)
    return header
  }

  /// A header followed by the node of an empty table.
  private static func emptyPage(_ header: [UInt8], pageSize: Int, usableSize: Int? = nil) -> [UInt8] {
    var page = header + [UInt8](repeating: 0, count: pageSize - 100)
    let usable = usableSize ?? pageSize
    page[100] = BTreePage.Kind.tableLeaf.rawValue
    // 65,536 is written as 0.
    page[105] = UInt8(truncatingIfNeeded: usable >> 8)
    page[106] = UInt8(truncatingIfNeeded: usable)
    return page
  }

  /// The largest root page by the pointer maps; 0 when page 2 is none, so that this is no auto-vacuum
  /// database.
  private static func largestRoot(_ pages: RawPages, usableSize: Int) throws(StoreError) -> UInt32 {
    let span = UInt32(usableSize / 5)
    var largest: UInt32 = 0
    var map: UInt32 = 2
    while map < pages.pageCount, let bytes = try pages.page(map) {
      for index in 0..<span {
        let page = map + 1 + index
        guard page <= pages.pageCount else { break }
        let (type, parent) = (bytes[Int(index) * 5], bytes.bigEndian32(Int(index) * 5 + 1))
        switch (type, parent) {
        case (1, 0): largest = page
        case (2, 0): break
        case (3...5, 1...pages.pageCount): break
        default:
          // Not a map at all, unless an earlier one was.
          if map == 2 { return 0 }
        }
      }
      guard map <= UInt32.max - span - 2 else { break }
      map += span + 1
    }
    return largest
  }
}
