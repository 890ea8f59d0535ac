// SPDX-License-Identifier: Apache-2.0

import GRDB

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The pages of a database nobody writes, read without SQLite.
///
/// For private copies: its close drops this process's POSIX locks on the file (row B01).
final class PageFile {
  let pageSize: Int
  private let descriptor: Int32

  /// - Returns: nil when the file cannot be read or its header states no page size there is.
  init?(_ path: String) {
    let opened = unsafe open(path, O_RDONLY | O_CLOEXEC)
    var header = [UInt8](repeating: 0, count: 18)
    let count = unsafe header.withUnsafeMutableBytes { unsafe pread(opened, $0.baseAddress, $0.count, 0) }
    descriptor = opened
    let stated = Int(header[16]) << 8 | Int(header[17])
    pageSize = stated == 1 ? 65536 : stated
    // The descriptor is closed with the object, which a failed init ends too.
    guard count == 18, pageSize >= 512 else { return nil }
  }

  deinit { if descriptor >= 0 { _ = close(descriptor) } }

  /// A page by its number, from 1; nil where the file has none.
  func page(_ number: UInt32) -> [UInt8]? {
    guard number > 0 else { return nil }
    var bytes = [UInt8](repeating: 0, count: pageSize)
    let count = unsafe bytes.withUnsafeMutableBytes {
      unsafe pread(descriptor, $0.baseAddress, $0.count, off_t(number - 1) * off_t(pageSize))
    }
    return count == pageSize ? bytes : nil
  }
}

/// Which pages belong to which index, found by walking the trees from their roots.
struct IndexPages {
  private var names: [UInt32: String] = [:]

  init() {}

  /// Walks every index. A page that makes no sense is still its parent's, and ends its branch; a page two
  /// trees claim belongs to none.
  init(of db: Database, _ pages: PageFile) throws {
    var claims: [UInt32: Set<String>] = [:]
    // The tables' trees too: a page that a table claims as well must not pass for an index's.
    let sql = "SELECT type, name, rootpage FROM sqlite_schema WHERE rootpage > 0"
    for row in try Row.fetchAll(db, sql: sql) {
      guard let type = row["type"] as String?, let name = row["name"] as String?,
        let root = (row["rootpage"] as Int64?).flatMap(UInt32.init(exactly:))
      else { continue }
      let owner = type == "index" ? name : "\u{0}table"
      var waiting = [root]
      while let number = waiting.popLast() {
        // Also what ends a walk round a ring.
        guard claims[number, default: []].insert(owner).inserted else { continue }
        if let page = pages.page(number) { waiting += Self.children(of: page) }
      }
    }
    for (number, owners) in claims where owners.count == 1 {
      if let owner = owners.first, owner != "\u{0}table" { names[number] = owner }
    }
  }

  /// The children of an interior page, index or table; a leaf, and anything that is no b-tree page, has none.
  ///
  /// Page 1, a table's, is not read: its header lies behind the file's. Source:
  /// <https://www.sqlite.org/fileformat.html#b_tree_pages>.
  private static func children(of page: [UInt8]) -> [UInt32] {
    guard page[0] == 2 || page[0] == 5 else { return [] }
    let cells = Int(page[3]) << 8 | Int(page[4])
    var found = [DoctorInput.word(page, 8)]
    for cell in 0..<cells {
      let pointer = 12 + 2 * cell
      guard pointer + 2 <= page.count else { break }
      let at = Int(page[pointer]) << 8 | Int(page[pointer + 1])
      if at >= 12, at + 4 <= page.count { found.append(DoctorInput.word(page, at)) }
    }
    return found
  }

  /// The index all pages of a line belong to; the line is SQLite's, as in `On tree page 7 cell 3: …`.
  func owner(of line: String) -> String? {
    let words = line.split { " :,".contains($0) }
    var pages: [UInt32] = []
    for (word, next) in zip(words, words.dropFirst()) where ["page", "Page", "Tree"].contains(word) {
      if let number = UInt32(next) { pages.append(number) }
    }
    let owners = Set(pages.map { names[$0] })
    return owners.count == 1 ? owners.first! : nil
  }
}
