// SPDX-License-Identifier: Apache-2.0

/// Who owns each page of a database, and what is wrong with its structure.
///
/// All b-trees are walked from their roots, with their overflow chains, the free list and the pointer maps. A
/// page that is damaged costs itself and what only it leads to; no bytes make the walk trap or go round:
/// every page is entered once. Four bytes are kept a page.
package struct PageMap: Sendable {
  /// The schema's rows that could be read.
  package private(set) var objects: [SchemaObject] = []
  /// In the order they were found; at most ``problemLimit``.
  package private(set) var problems: [PageProblem] = []
  /// How many problems there were, those beyond the limit included.
  package private(set) var problemCount = 0
  package let pageCount: UInt32
  /// What the header fixes; nil when page 1 has none that SQLite would take, and then nothing is reachable.
  package let layout: PageLayout?

  package static let problemLimit = 1000

  /// SQLite's own bound on a b-tree's depth (`BTCURSOR_MAX_DEPTH`).
  private static let maximumDepth = 20

  /// The owners that occur; pages have their index into this.
  private var owners: [PageOwner] = [.unreachable]
  private var ownerIndex: [PageOwner: UInt32] = [.unreachable: 0]
  private var ofPage: [UInt32]

  /// Walks everything. A page the device does not give is a problem, not an error.
  package init(_ source: any PageSource) {
    self.init(source, progress: { _ in })
  }

  /// Walks everything.
  /// - Parameter progress: called now and then with the share of pages seen, 0 … 1; throws to stop.
  /// - Throws: what `progress` throws. A page the device does not give is a problem, not an error.
  package init(_ source: any PageSource, progress: (Double) throws -> Void) rethrows {
    let first = (try? source.page(1)) ?? nil
    layout = first.flatMap { PageLayout(header: $0) }
    let count = source.pageCount
    // Pages behind the end that the header notes are in the file and not in the database.
    pageCount = layout.map { $0.notedPages == 0 ? count : min(count, $0.notedPages) } ?? count
    ofPage = [UInt32](repeating: 0, count: Int(pageCount) + 1)
    guard let layout else { return }
    var walk = Walk(source: source, layout: layout)
    claimFixedPages(layout)
    try visitTree(root: 1, owner: .schema, &walk, progress)
    readSchema(&walk)
    for object in objects where object.root != 0 {
      let owner: PageOwner =
        object.type == "index"
        ? .index(name: object.name, table: object.table, root: object.root)
        : .table(name: object.name, root: object.root)
      try visitTree(root: object.root, owner: owner, &walk, progress)
    }
    visitFreelist(&walk)
    noteUnreachable()
  }

  /// Who owns a page; ``PageOwner/unreachable`` also for numbers beyond the end.
  package func owner(of page: UInt32) -> PageOwner {
    page >= 1 && page <= pageCount ? owners[Int(ofPage[Int(page)])] : .unreachable
  }

  /// How many pages belong to an object, its overflow pages included.
  package func pageTotal(of owner: PageOwner) -> Int {
    let wanted = Set(owners.indices.filter { owners[$0].object == owner }.map { UInt32($0) })
    return ofPage.dropFirst().count { wanted.contains($0) }
  }

  /// The pages nothing leads to, ascending: where lost rows may be found.
  package var unreachablePages: [UInt32] {
    ofPage.indices.dropFirst().filter { ofPage[$0] == 0 }.map { UInt32($0) }
  }

  // MARK: The walk

  /// What the walk needs beside the map.
  private struct Walk {
    let source: any PageSource
    let layout: PageLayout
    var seen = 0
    /// The rows of the schema, gathered while its tree is walked.
    var schemaRows: [(page: UInt32, record: [UInt8])] = []
    private var mapNumber: UInt32 = 0
    private var mapBytes: [UInt8] = []

    init(source: any PageSource, layout: PageLayout) {
      self.source = source
      self.layout = layout
    }

    /// nil too when the device does not give it.
    func page(_ number: UInt32) -> [UInt8]? { (try? source.page(number)) ?? nil }

    /// The pointer map's entry of a page: its type and its parent.
    mutating func pointer(of page: UInt32) -> (type: UInt8, parent: UInt32)? {
      let map = layout.pointerMap(of: page)
      guard map >= 2, map < page else { return nil }
      if map != mapNumber {
        mapNumber = map
        mapBytes = self.page(map) ?? []
      }
      let at = 5 * Int(page - map - 1)
      guard at + 5 <= min(layout.usableSize, mapBytes.count) else { return nil }
      return (mapBytes[at], mapBytes.bigEndian32(at + 1))
    }
  }

  private mutating func claimFixedPages(_ layout: PageLayout) {
    if layout.lockBytePage <= pageCount { set(layout.lockBytePage, .lockByte) }
    guard layout.largestRoot != 0 else { return }
    var page: UInt32 = 2
    let span = UInt32(layout.usableSize / 5 + 1)
    while page <= pageCount {
      let map = page == layout.lockBytePage ? page + 1 : page
      if map <= pageCount { set(map, .pointerMap) }
      guard page <= UInt32.max - span else { break }
      page += span
    }
  }

  /// Makes a page an owner's, unless it is somebody's already or does not exist: both are problems of `from`.
  private mutating func claim(_ page: UInt32, _ owner: PageOwner, from: UInt32) -> Bool {
    guard page >= 1, page <= pageCount else {
      note(from, owner, "it leads to page \(page), which does not exist")
      return false
    }
    guard ofPage[Int(page)] == 0 else {
      note(from, owner, "it leads to page \(page), which is in use already by \(self.owner(of: page).words)")
      return false
    }
    set(page, owner)
    return true
  }

  private mutating func set(_ page: UInt32, _ owner: PageOwner) {
    if let known = ownerIndex[owner] {
      ofPage[Int(page)] = known
    } else {
      ownerIndex[owner] = UInt32(owners.count)
      ofPage[Int(page)] = UInt32(owners.count)
      owners.append(owner)
    }
  }

  private mutating func note(_ page: UInt32, _ owner: PageOwner, _ what: String) {
    problemCount += 1
    if problems.count < Self.problemLimit {
      problems.append(PageProblem(page: page, owner: owner, what: what))
    }
  }

  private mutating func checkPointer(
    _ page: UInt32, type: UInt8, parent: UInt32, _ owner: PageOwner, _ walk: inout Walk
  ) {
    guard walk.layout.largestRoot != 0, page > 1, let entry = walk.pointer(of: page) else { return }
    guard entry.type != type || entry.parent != parent else { return }
    note(
      walk.layout.pointerMap(of: page), .pointerMap,
      "its entry for page \(page) reads \(entry.type), \(entry.parent) instead of \(type), \(parent)")
  }

  private mutating func visitTree(
    root: UInt32, owner: PageOwner, _ walk: inout Walk, _ progress: (Double) throws -> Void
  ) rethrows {
    guard claim(root, owner, from: root) else { return }
    checkPointer(root, type: 1, parent: 0, owner, &walk)
    // Whether it is a table's kind of tree is said by its root: tables WITHOUT ROWID are of the other kind.
    var isTable: Bool?
    if case .index = owner { isTable = false }
    if case .schema = owner { isTable = true }
    var pending: [(page: UInt32, depth: Int)] = [(root, 1)]
    while let (number, depth) = pending.popLast() {
      walk.seen += 1
      if walk.seen % 256 == 0 { try progress(min(1, Double(walk.seen) / Double(pageCount))) }
      guard let bytes = walk.page(number) else {
        note(number, owner, "it cannot be read from the device")
        continue
      }
      guard let node = BTreePage(bytes, number: number, usableSize: walk.layout.usableSize) else {
        note(number, owner, "it is no page of a b-tree")
        continue
      }
      guard node.kind.isTable == isTable ?? node.kind.isTable else {
        note(number, owner, "it is a page of another kind of b-tree")
        continue
      }
      isTable = node.kind.isTable
      if let defect = node.defect { note(number, owner, defect) }
      if node.kind.isTable { checkRowids(node, owner) }
      visitPayloads(of: node, owner, &walk)
      guard depth < Self.maximumDepth || node.kind.isLeaf else {
        note(number, owner, "the b-tree is deeper than \(Self.maximumDepth) pages")
        continue
      }
      for child in node.children.reversed() where claim(child, owner, from: number) {
        checkPointer(child, type: 5, parent: number, owner, &walk)
        pending.append((child, depth + 1))
      }
    }
  }

  private mutating func checkRowids(_ node: BTreePage, _ owner: PageOwner) {
    var last: Int64?
    for index in 0..<node.cellCount {
      guard let rowid = node.cell(index)?.rowid else { continue }
      if let last, rowid <= last, node.kind == .tableLeaf || rowid < last {
        note(node.number, owner, "its rowids are out of order at cell \(index)")
        return
      }
      last = rowid
    }
  }

  private mutating func visitPayloads(of node: BTreePage, _ owner: PageOwner, _ walk: inout Walk) {
    let isSchema = owner == .schema && node.kind == .tableLeaf
    for index in 0..<node.cellCount {
      guard let cell = node.cell(index) else { continue }
      var record = isSchema ? Array(node.bytes[cell.local]) : []
      if let first = cell.overflow {
        visitChain(from: first, cell, in: node, owner, &walk) { part in if isSchema { record += part } }
      }
      if isSchema { walk.schemaRows.append((node.number, record)) }
    }
  }

  private mutating func visitChain(
    from first: UInt32, _ cell: BTreePage.Cell, in node: BTreePage, _ owner: PageOwner, _ walk: inout Walk,
    each: (ArraySlice<UInt8>) -> Void
  ) {
    var left = cell.payloadSize - cell.local.count
    var (next, from) = (first, node.number)
    while left > 0 {
      guard claim(next, .overflow(of: owner), from: from) else { return }
      checkPointer(next, type: from == node.number ? 3 : 4, parent: from, owner, &walk)
      walk.seen += 1
      guard let bytes = walk.page(next) else {
        note(next, .overflow(of: owner), "it cannot be read from the device")
        return
      }
      let part = min(left, walk.layout.usableSize - 4)
      each(bytes[4..<(4 + part)])
      left -= part
      (from, next) = (next, bytes.bigEndian32(0))
    }
    if next != 0 { note(from, .overflow(of: owner), "it leads on to page \(next) behind its payload's end") }
  }

  // MARK: Schema, free list, the rest

  private mutating func readSchema(_ walk: inout Walk) {
    var roots: Set<UInt32> = []
    for (page, record) in walk.schemaRows {
      guard let values = RecordFormat.decode(record),
        let object = SchemaObject(values, encoding: walk.layout.encoding)
      else {
        note(page, .schema, "a row of the schema cannot be read")
        continue
      }
      if object.root != 0, object.root == 1 || object.root > pageCount || !roots.insert(object.root).inserted
      {
        note(page, .schema, "the \(object.type) \(object.name) has page \(object.root) for its root")
        objects.append(object)
        objects[objects.count - 1].root = 0
        continue
      }
      objects.append(object)
    }
    walk.schemaRows = []
  }

  private mutating func visitFreelist(_ walk: inout Walk) {
    var (next, from) = (walk.layout.firstFreelistTrunk, UInt32(1))
    var total: UInt32 = 0
    while next != 0 {
      guard claim(next, .freelist, from: from) else { break }
      checkPointer(next, type: 2, parent: 0, .freelist, &walk)
      total += 1
      guard let bytes = walk.page(next) else {
        note(next, .freelist, "it cannot be read from the device")
        break
      }
      let leaves = bytes.bigEndian32(4)
      if leaves > UInt32(walk.layout.usableSize / 4 - 2) {
        note(next, .freelist, "it notes \(leaves) free pages, more than it has room for")
      } else {
        for index in 0..<Int(leaves) {
          let leaf = bytes.bigEndian32(8 + 4 * index)
          if claim(leaf, .freelist, from: next) {
            total += 1
            checkPointer(leaf, type: 2, parent: 0, .freelist, &walk)
          }
        }
      }
      (from, next) = (next, bytes.bigEndian32(0))
    }
    if total != walk.layout.freelistPages {
      note(
        1, .freelist, "the header counts \(walk.layout.freelistPages) free pages and the list has \(total)")
    }
  }

  private mutating func noteUnreachable() {
    for page in 1...max(1, pageCount) where page <= pageCount && ofPage[Int(page)] == 0 {
      note(page, .unreachable, "nothing leads to it")
    }
  }
}

extension PageOwner {
  /// For messages.
  package var words: String {
    switch self {
    case .schema: "the schema"
    case .table(let name, _): "the table \(name)"
    case .index(let name, _, _): "the index \(name)"
    case .freelist: "the free list"
    case .overflow(let owner): owner.words
    case .pointerMap: "a pointer map"
    case .lockByte: "the lock bytes"
    case .unreachable: "nothing"
    }
  }
}
