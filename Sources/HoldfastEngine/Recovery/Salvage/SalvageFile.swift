// SPDX-License-Identifier: Apache-2.0

/// A set of page numbers, with memory only where some are.
struct PageSet {
  private var chunks: [UInt32: [UInt64]] = [:]

  func contains(_ page: UInt32) -> Bool {
    guard let chunk = chunks[page >> 13] else { return false }
    return chunk[Int(page >> 6 & 127)] & (1 << UInt64(page & 63)) != 0
  }

  /// Adds a page; false when it was there already.
  @discardableResult mutating func insert(_ page: UInt32) -> Bool {
    let bit = UInt64(1) << UInt64(page & 63)
    let word = Int(page >> 6 & 127)
    var chunk = chunks.removeValue(forKey: page >> 13) ?? [UInt64](repeating: 0, count: 128)
    let isNew = chunk[word] & bit == 0
    chunk[word] |= bit
    chunks[page >> 13] = chunk
    return isNew
  }
}

/// The damaged database as pages: what its header says, and tolerant ways through it.
struct SalvageFile {
  /// The rows that lie beyond a child page which cannot be read.
  struct Walk {
    /// Pages with rows, in the order of the keys.
    var pages: [UInt32] = []
    /// Rowids the lost children may hold.
    var holes: [ClosedRange<Int64>] = []
    /// Whether anything is lost; for tables without rowids, which have no ranges.
    var isBroken: Bool { !holes.isEmpty }
  }

  let source: any PageSource
  /// Whether page 1 begins as a database does.
  let hasHeader: Bool
  let usable: Int
  let header: [UInt8]
  let check: () throws -> Void
  /// Pages that some tree, chain or list of the file reaches.
  var reached = PageSet()
  /// Pages the file says are free.
  var free = PageSet()
  /// Whether the list of free pages is as long as the header says.
  var freelistIsWhole = true

  init(_ source: any PageSource, check: @escaping () throws -> Void) {
    self.source = source
    self.check = check
    let first = (try? source.page(1)) ?? nil
    header = first.map { Array($0.prefix(100)) } ?? []
    hasHeader = header.count == 100 && header.starts(with: "SQLite format 3\0".utf8)
    let reserved = hasHeader ? Int(header[20]) : 0
    usable = source.pageSize - reserved >= 480 ? source.pageSize - reserved : source.pageSize
    reached.insert(1)
    // The page around byte 2^30 holds the locks and nothing else.
    reached.insert(UInt32((1 << 30) / source.pageSize) + 1)
    if hasHeader {
      markPointerMaps()
      walkFreelist()
    }
  }

  /// 1 UTF-8, 2 UTF-16 with the low byte first, 3 with the high byte first.
  var encoding: Int { hasHeader && header[59] >= 1 && header[59] <= 3 ? Int(header[59]) : 1 }
  /// 0 none, 1 full, 2 incremental.
  var autoVacuum: Int {
    guard hasHeader, header.word32(52) != 0 else { return 0 }
    return header.word32(64) != 0 ? 2 : 1
  }
  var userVersion: Int32 { hasHeader ? Int32(bitPattern: header.word32(60)) : 0 }
  var applicationID: Int32 { hasHeader ? Int32(bitPattern: header.word32(68)) : 0 }

  func isPage(_ number: UInt32) -> Bool { number >= 1 && number <= source.pageCount }

  /// A page's bytes; nil also when they cannot be read, which costs that page and nothing else.
  func bytes(_ number: UInt32) -> [UInt8]? {
    guard isPage(number), let bytes = try? source.page(number), bytes.count == source.pageSize else {
      return nil
    }
    return bytes
  }

  func page(_ number: UInt32, assumed: SalvagePage.Kind? = nil) -> SalvagePage? {
    bytes(number).flatMap { SalvagePage(number, $0, usable: usable, assumed: assumed) }
  }

  private mutating func markPointerMaps() {
    guard autoVacuum != 0 else { return }
    let span = UInt64(usable / 5 + 1)
    var map: UInt64 = 2
    while map <= UInt64(source.pageCount) {
      reached.insert(UInt32(map))
      map += span
    }
  }

  private mutating func walkFreelist() {
    var trunk = header.word32(32)
    var count: UInt32 = 0
    while trunk != 0 {
      guard trunk >= 2, !free.contains(trunk), !reached.contains(trunk), let bytes = bytes(trunk) else {
        freelistIsWhole = false
        break
      }
      free.insert(trunk)
      count &+= 1
      let leaves = Int(min(bytes.word32(4), UInt32(usable / 4 - 2)))
      for index in 0..<leaves {
        let leaf = bytes.word32(8 + 4 * index)
        guard leaf >= 2, isPage(leaf), free.insert(leaf) else {
          freelistIsWhole = false
          continue
        }
        count &+= 1
      }
      trunk = bytes.word32(0)
    }
    if count != header.word32(36) { freelistIsWhole = false }
  }

  /// Finds pages that look exactly like a part of the list of free pages, when the list itself is broken:
  /// what they name was deleted, and must not rise from the dead.
  mutating func findLostFreelist() {
    for number in stride(from: UInt32(2), through: max(2, source.pageCount), by: 1)
    where !reached.contains(number) && !free.contains(number) {
      guard let bytes = bytes(number), bytes[0] == 0 else { continue }
      let next = bytes.word32(0)
      let count = Int(bytes.word32(4))
      guard next == 0 || isPage(next), count >= 1, count <= usable / 4 - 2 else { continue }
      let leaves = (0..<count).map { bytes.word32(8 + 4 * $0) }
      guard leaves.allSatisfy({ $0 >= 2 && isPage($0) && !reached.contains($0) }),
        Set(leaves).count == leaves.count
      else { continue }
      free.insert(number)
      for leaf in leaves { free.insert(leaf) }
    }
  }

  /// Walks a tree from its root around whatever cannot be read, marking what it reaches.
  mutating func walk(root: UInt32, isTable: Bool) throws -> Walk {
    struct Step {
      var page: UInt32
      var low: Int64
      var high: Int64
    }
    var walk = Walk()
    var stack = [Step(page: root, low: .min, high: .max)]
    var isFirst = true
    while let step = stack.popLast() {
      try check()
      // Page 1 is marked before any walk; only as a root may it be visited.
      let mayVisit = !reached.contains(step.page) || (isFirst && root == 1)
      isFirst = false
      let range = step.low <= step.high ? step.low...step.high : Int64.min...Int64.max
      guard isPage(step.page), mayVisit,
        let page = child(step.page, isTable: isTable, within: range)
      else {
        walk.holes.append(range)
        continue
      }
      reached.insert(step.page)
      if !page.kind.isInterior || !isTable { walk.pages.append(step.page) }
      guard page.kind.isInterior else { continue }
      var children: [Step] = []
      var low = step.low
      for index in 0..<page.cellCount {
        guard let cell = page.cell(index), let left = cell.child else {
          walk.holes.append(range)
          continue
        }
        let key = cell.rowID ?? 0
        if isTable, key >= low, key < step.high {
          children.append(Step(page: left, low: low, high: key))
          low = key + 1
        } else {
          children.append(Step(page: left, low: step.low, high: step.high))
        }
      }
      children.append(Step(page: page.rightChild ?? 0, low: low, high: step.high))
      stack.append(contentsOf: children.reversed())
    }
    return walk
  }

  /// A child page of the right sort; also one whose first byte alone is wrong, when its rows are the ones
  /// its parent says.
  private func child(_ number: UInt32, isTable: Bool, within range: ClosedRange<Int64>) -> SalvagePage? {
    if let page = page(number), page.kind.isTable == isTable { return page }
    guard isTable, let page = page(number, assumed: .tableLeaf), page.cellCount > 0 else { return nil }
    var last: Int64?
    for index in 0..<page.cellCount {
      guard let cell = page.cell(index), let rowID = cell.rowID, range.contains(rowID),
        last.map({ $0 < rowID }) ?? true
      else { return nil }
      guard let record = record(cell, on: page, limit: 1 << 20), record.fieldCount > 0 else { return nil }
      last = rowID
    }
    return page
  }

  /// A row's fields, as far as its pages are there.
  func record(_ cell: SalvagePage.Cell, on page: SalvagePage, limit: Int) -> SalvageRecord? {
    guard cell.payloadSize <= limit, cell.payloadSize / usable <= Int(source.pageCount) else { return nil }
    var payload = Array(page.bytes[cell.local])
    var next = cell.overflow ?? 0
    while payload.count < cell.payloadSize, next >= 2, let bytes = bytes(next) {
      payload += bytes[4..<min(usable, 4 + cell.payloadSize - payload.count)]
      next = bytes.word32(0)
    }
    return SalvageRecord(payload, declared: cell.payloadSize)
  }

  /// Marks the pages of a row that continue it, so that they are not taken for lost pages of a tree.
  mutating func markOverflow(_ cell: SalvagePage.Cell) {
    guard var next = cell.overflow else { return }
    var left = cell.payloadSize - cell.local.count
    while left > 0, next >= 2, isPage(next), reached.insert(next), let bytes = bytes(next) {
      left -= usable - 4
      next = bytes.word32(0)
    }
  }
}
