// SPDX-License-Identifier: Apache-2.0

/// A page read as a node of a b-tree, so that no bytes whatever make it trap.
///
/// Source: <https://www.sqlite.org/fileformat.html#b_tree_pages>.
package struct BTreePage: Sendable {
  /// The four types of nodes, by their first byte.
  package enum Kind: UInt8, Sendable {
    case indexInterior = 2
    case tableInterior = 5
    case indexLeaf = 10
    case tableLeaf = 13

    package var isLeaf: Bool { rawValue >= 8 }
    package var isTable: Bool { self == .tableInterior || self == .tableLeaf }
  }

  /// One cell: where its parts lie in the page.
  package struct Cell: Hashable, Sendable {
    /// The page with the keys before this one; interior nodes only.
    package var leftChild: UInt32?
    /// Tables only.
    package var rowid: Int64?
    /// The whole payload's length in bytes; 0 in a table's interior nodes, which have none.
    package var payloadSize: Int
    /// The part of the payload in the page.
    package var local: Range<Int>
    /// The first page of the rest.
    package var overflow: UInt32?
    /// All of it, the four-byte minimum included.
    package var extent: Range<Int>
  }

  package let number: UInt32
  package let bytes: [UInt8]
  package let usableSize: Int
  package let kind: Kind
  /// 100 on page 1, 0 elsewhere.
  package let headerOffset: Int
  package let cellCount: Int
  /// Where cells begin; what lies between the pointers and this is free.
  package let contentStart: Int
  package let firstFreeblock: Int
  package let fragmentedBytes: Int
  /// Interior nodes only.
  package let rightmostChild: UInt32?

  /// Reads the node's header.
  /// - Returns: nil when the first byte is no node's, or the cell pointers do not fit in the page.
  package init?(_ bytes: [UInt8], number: UInt32, usableSize: Int) {
    let offset = number == 1 ? 100 : 0
    guard usableSize >= 480, bytes.count >= usableSize, let kind = Kind(rawValue: bytes[offset]) else {
      return nil
    }
    self.number = number
    self.bytes = bytes
    self.usableSize = usableSize
    self.kind = kind
    headerOffset = offset
    firstFreeblock = Int(bytes.bigEndian16(offset + 1))
    cellCount = Int(bytes.bigEndian16(offset + 3))
    let start = Int(bytes.bigEndian16(offset + 5))
    contentStart = start == 0 ? 65_536 : start
    fragmentedBytes = Int(bytes[offset + 7])
    rightmostChild = kind.isLeaf ? nil : bytes.bigEndian32(offset + 8)
    guard offset + (kind.isLeaf ? 8 : 12) + 2 * cellCount <= usableSize else { return nil }
  }

  /// Where the array of cell pointers ends.
  package var pointersEnd: Int { headerOffset + (kind.isLeaf ? 8 : 12) + 2 * cellCount }

  /// A cell by its index; nil when it does not lie within the page as a cell of this kind must.
  package func cell(_ index: Int) -> Cell? {
    guard index >= 0, index < cellCount else { return nil }
    let at = Int(bytes.bigEndian16(pointersEnd - 2 * (cellCount - index)))
    return at >= pointersEnd ? cell(at: at) : nil
  }

  /// The cell that would begin at an offset, also of what no pointer leads to any more.
  package func cell(at start: Int) -> Cell? {
    guard start >= 0, start <= usableSize - 4 else { return nil }
    var at = start
    var leftChild: UInt32?
    if !kind.isLeaf {
      leftChild = bytes.bigEndian32(at)
      at += 4
    }
    if kind == .tableInterior {
      guard let (rowid, length) = RecordFormat.varint(bytes, at: at, end: usableSize) else { return nil }
      at += length
      return Cell(leftChild: leftChild, rowid: rowid, payloadSize: 0, local: at..<at, extent: start..<at)
    }
    guard let (size, length) = RecordFormat.varint(bytes, at: at, end: usableSize), size >= 0,
      size <= 0x7fff_ffff
    else { return nil }
    at += length
    var rowid: Int64?
    if kind == .tableLeaf {
      guard let (key, length) = RecordFormat.varint(bytes, at: at, end: usableSize) else { return nil }
      rowid = key
      at += length
    }
    let local = Self.localSize(payload: Int(size), kind: kind, usableSize: usableSize)
    let end = at + local + (local < Int(size) ? 4 : 0)
    guard end <= usableSize else { return nil }
    return Cell(
      leftChild: leftChild, rowid: rowid, payloadSize: Int(size), local: at..<(at + local),
      overflow: local < Int(size) ? bytes.bigEndian32(at + local) : nil,
      extent: start..<min(usableSize, max(end, start + 4)))
  }

  /// How much of a payload stays in the page.
  package static func localSize(payload: Int, kind: Kind, usableSize: Int) -> Int {
    let largest = kind == .tableLeaf ? usableSize - 35 : (usableSize - 12) * 64 / 255 - 23
    if payload <= largest { return payload }
    let smallest = (usableSize - 12) * 32 / 255 - 23
    let fitting = smallest + (payload - smallest) % (usableSize - 4)
    return fitting <= largest ? fitting : smallest
  }

  /// The pages this node leads to, in order; unchecked.
  package var children: [UInt32] {
    guard let rightmostChild else { return [] }
    return (0..<cellCount).compactMap { cell($0)?.leftChild } + [rightmostChild]
  }

  /// What is wrong within the page: bytes that belong to two cells, to none, or a cell beyond the end.
  /// - Returns: nil when every byte is accounted for.
  package var defect: String? {
    var parts: [Range<Int>] = []
    parts.reserveCapacity(cellCount)
    let content = contentStart
    guard content <= 65_536, content <= usableSize || cellCount == 0 && content == 65_536 else {
      return "its cells begin beyond its end"
    }
    guard content >= pointersEnd || cellCount == 0 && usableSize == 65_536 else {
      return "its cells begin within its pointers"
    }
    for index in 0..<cellCount {
      guard let cell = cell(index) else { return "cell \(index) does not lie within the page" }
      guard cell.extent.lowerBound >= content else { return "cell \(index) lies in the unused part" }
      parts.append(cell.extent)
    }
    var free = firstFreeblock
    while free != 0 {
      guard free >= content, free <= usableSize - 4 else { return "a free block lies outside the content" }
      let (next, size) = (Int(bytes.bigEndian16(free)), Int(bytes.bigEndian16(free + 2)))
      guard size >= 4, free + size <= usableSize, next == 0 || next > free + size else {
        return "the list of free blocks is broken"
      }
      parts.append(free..<(free + size))
      free = next
    }
    parts.sort { $0.lowerBound < $1.lowerBound }
    var at = min(content, usableSize)
    var fragments = 0
    for part in parts {
      guard part.lowerBound >= at else { return "two of its parts overlap at byte \(part.lowerBound)" }
      fragments += part.lowerBound - at
      at = part.upperBound
    }
    fragments += usableSize - at
    return fragments == fragmentedBytes
      ? nil : "\(fragments) of its bytes belong to nothing and it notes \(fragmentedBytes)"
  }
}

extension PageSource {
  /// A payload that was gathered from a cell and its overflow pages.
  package func payload(
    of cell: BTreePage.Cell, in page: BTreePage, limit: Int = .max
  ) throws -> Payload {
    var payload = Payload(bytes: Array(page.bytes[cell.local]), pages: [])
    let wanted = min(cell.payloadSize, limit)
    guard cell.payloadSize > cell.local.count, var next = cell.overflow else { return payload }
    var seen: Set<UInt32> = []
    while payload.bytes.count < wanted {
      guard next >= 2, seen.insert(next).inserted, let bytes = try self.page(next) else {
        payload.isCut = true
        return payload
      }
      payload.pages.append(next)
      let part = min(page.usableSize - 4, cell.payloadSize - payload.bytes.count)
      payload.bytes += bytes[4..<(4 + part)]
      next = bytes.bigEndian32(0)
    }
    return payload
  }
}

/// What a cell holds, with the overflow pages it was gathered from.
package struct Payload: Hashable, Sendable {
  package var bytes: [UInt8]
  /// The overflow pages, in order.
  package var pages: [UInt32]
  /// Whether the chain led beyond the file or in a circle before the payload's end.
  package var isCut = false
}
