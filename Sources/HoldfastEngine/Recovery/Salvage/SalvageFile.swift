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

/// Pages of which those that cannot be read are missing: that costs the page, and nothing else.
struct ReadablePages: PageSource {
  let pages: FileImage
  var pageSize: Int { pages.pageSize }
  var pageCount: UInt32 { pages.pageCount }

  func page(_ number: UInt32) -> [UInt8]? {
    guard let bytes = try? pages.page(number), bytes.count == pageSize else { return nil }
    return bytes
  }
}

extension BTreePage {
  /// The cell at an index below ``cellCount``, also when its pointer leads among the pointers: a count of cells
  /// that is too large makes pointers of cells. As by SQLite, no pointer leaves the page.
  func anyCell(_ index: Int) -> Cell? {
    cell(at: Int(bytes.bigEndian16(pointersEnd - 2 * (cellCount - index))) & (bytes.count - 1))
  }
}

/// The damaged database as pages: what its header says, and tolerant ways through it.
///
/// ``PageMap`` walks the same trees to say what is wrong with them; this walk is for what is left: it notes the
/// keys below lost children, and enters pages that only their parents and their rows vouch for.
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

  let source: ReadablePages
  let layout: PageLayout
  /// Whether page 1 had to be made up, so that what it said of the file is not known.
  let isHeaderRebuilt: Bool
  let userVersion: Int32
  let applicationID: Int32
  let check: () throws -> Void
  /// Pages that some tree, chain or list of the file reaches.
  var reached = PageSet()
  /// Pages the file says are free.
  var free = PageSet()
  /// Whether the list of free pages is as long as the header says.
  var freelistIsWhole: Bool

  init(_ image: FileImage, check: @escaping () throws -> Void) {
    source = ReadablePages(pages: image)
    layout = image.layout
    isHeaderRebuilt = image.isHeaderRebuilt
    self.check = check
    let first = source.page(1) ?? [UInt8](repeating: 0, count: 100)
    userVersion = Int32(bitPattern: first.bigEndian32(60))
    applicationID = Int32(bitPattern: first.bigEndian32(68))
    freelistIsWhole = !isHeaderRebuilt
    reached.insert(1)
    reached.insert(layout.lockBytePage)
    markPointerMaps()
    walkFreelist()
  }

  var usable: Int { layout.usableSize }
  var encoding: PageLayout.Encoding { layout.encoding }
  /// 0 none, 1 full, 2 incremental.
  var autoVacuum: Int { layout.largestRoot == 0 ? 0 : layout.isIncrementalVacuum ? 2 : 1 }

  func isPage(_ number: UInt32) -> Bool { number >= 1 && number <= source.pageCount }

  /// A page as a node of a b-tree. A count of cells beyond what there is room for is taken for as many as there
  /// is room for: SQLite gives such a page up, though its cells may all be there.
  /// - Parameter assumed: takes the page for one of this kind whatever its first byte says.
  func page(_ number: UInt32, assumed: BTreePage.Kind? = nil) -> BTreePage? {
    guard var bytes = source.page(number) else { return nil }
    let start = number == 1 ? 100 : 0
    if let assumed { bytes[start] = assumed.rawValue }
    if let page = BTreePage(bytes, number: number, usableSize: usable) { return page }
    guard let kind = BTreePage.Kind(rawValue: bytes[start]) else { return nil }
    let room = (usable - start - (kind.isLeaf ? 8 : 12)) / 2
    bytes[start + 3] = UInt8(truncatingIfNeeded: room >> 8)
    bytes[start + 4] = UInt8(truncatingIfNeeded: room)
    return BTreePage(bytes, number: number, usableSize: usable)
  }

  private mutating func markPointerMaps() {
    guard layout.largestRoot != 0 else { return }
    let span = UInt64(usable / 5 + 1)
    var page: UInt64 = 2
    while page <= UInt64(source.pageCount) {
      reached.insert(layout.pointerMap(of: UInt32(page)))
      page += span
    }
  }

  private mutating func walkFreelist() {
    var trunk = layout.firstFreelistTrunk
    var count: UInt32 = 0
    while trunk != 0 {
      guard trunk >= 2, !free.contains(trunk), !reached.contains(trunk), let bytes = source.page(trunk) else {
        freelistIsWhole = false
        break
      }
      free.insert(trunk)
      count &+= 1
      let leaves = Int(min(bytes.bigEndian32(4), UInt32(usable / 4 - 2)))
      for index in 0..<leaves {
        let leaf = bytes.bigEndian32(8 + 4 * index)
        guard leaf >= 2, isPage(leaf), free.insert(leaf) else {
          freelistIsWhole = false
          continue
        }
        count &+= 1
      }
      trunk = bytes.bigEndian32(0)
    }
    if count != layout.freelistPages { freelistIsWhole = false }
  }

  /// Finds pages that look exactly like a part of the list of free pages, when the list itself is broken:
  /// what they name was deleted, and must not rise from the dead.
  mutating func findLostFreelist() {
    for number in stride(from: UInt32(2), through: max(2, source.pageCount), by: 1)
    where !reached.contains(number) && !free.contains(number) {
      guard let bytes = source.page(number), bytes[0] == 0 else { continue }
      let next = bytes.bigEndian32(0)
      let count = Int(bytes.bigEndian32(4))
      guard next == 0 || isPage(next), count >= 1, count <= usable / 4 - 2 else { continue }
      let leaves = (0..<count).map { bytes.bigEndian32(8 + 4 * $0) }
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
      if page.kind.isLeaf || !isTable { walk.pages.append(step.page) }
      guard !page.kind.isLeaf else { continue }
      var children: [Step] = []
      var low = step.low
      for index in 0..<page.cellCount {
        guard let cell = page.anyCell(index), let left = cell.leftChild else {
          walk.holes.append(range)
          continue
        }
        let key = cell.rowid ?? 0
        if isTable, key >= low, key < step.high {
          children.append(Step(page: left, low: low, high: key))
          low = key + 1
        } else {
          children.append(Step(page: left, low: step.low, high: step.high))
        }
      }
      children.append(Step(page: page.rightmostChild ?? 0, low: low, high: step.high))
      stack.append(contentsOf: children.reversed())
    }
    return walk
  }

  /// A child page of the right sort; also one whose first byte alone is wrong, when its rows are the ones
  /// its parent says.
  private func child(_ number: UInt32, isTable: Bool, within range: ClosedRange<Int64>) -> BTreePage? {
    if let page = page(number), page.kind.isTable == isTable { return page }
    guard isTable, let page = page(number, assumed: .tableLeaf), page.cellCount > 0 else { return nil }
    var last: Int64?
    for index in 0..<page.cellCount {
      guard let cell = page.anyCell(index), let rowID = cell.rowid, range.contains(rowID),
        last.map({ $0 < rowID }) ?? true
      else { return nil }
      guard let record = record(cell, on: page, limit: 1 << 20), record.fieldCount > 0 else { return nil }
      last = rowID
    }
    return page
  }

  /// A row's fields, as far as its pages are there.
  func record(_ cell: BTreePage.Cell, on page: BTreePage, limit: Int) -> SalvageRecord? {
    guard cell.payloadSize <= limit, cell.payloadSize / usable <= Int(source.pageCount),
      let payload = try? source.payload(of: cell, in: page)
    else { return nil }
    return SalvageRecord(payload.bytes, declared: cell.payloadSize)
  }

  /// Marks the pages of a row that continue it, so that they are not taken for lost pages of a tree.
  mutating func markOverflow(_ cell: BTreePage.Cell) {
    guard var next = cell.overflow else { return }
    var left = cell.payloadSize - cell.local.count
    while left > 0, next >= 2, isPage(next), reached.insert(next), let bytes = source.page(next) {
      left -= usable - 4
      next = bytes.bigEndian32(0)
    }
  }
}
