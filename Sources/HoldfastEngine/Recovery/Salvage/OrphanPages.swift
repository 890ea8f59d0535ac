// SPDX-License-Identifier: Apache-2.0

/// Pages with rows that no tree reaches and that are not free: what hangs below a lost page.
///
/// A row of such a page goes into a table only when that table's own tree has lost the range of keys the page
/// covers and the row has the table's shape; and only when that is true of one table alone. Anything else is
/// kept in `lost_and_found`: a wrong guess is worse than none.
struct OrphanPages {
  /// Pages that belong together, by the topmost page above them that is left.
  struct Group {
    var top: UInt32
    var pages: [UInt32]
  }

  /// What is known of a table when its orphans are looked for.
  struct Candidate {
    var table: SalvageTable
    var holes: [ClosedRange<Int64>]
  }

  let groups: [Group]

  /// Looks at every page that nothing reaches.
  /// - Parameter wantsIndexes: whether pages of indexes may hold rows of tables without rowids; otherwise what
  ///   they hold is in the tables.
  init(_ file: inout SalvageFile, wantsIndexes: Bool) throws {
    var pages: [UInt32] = []
    var parents: [UInt32: UInt32] = [:]
    for number in stride(from: UInt32(2), through: max(2, file.source.pageCount), by: 1)
    where !file.reached.contains(number) && !file.free.contains(number) {
      try file.check()
      guard let page = file.page(number), page.cellCount > 0 else { continue }
      for index in 0..<page.cellCount {
        guard let cell = page.anyCell(index) else { continue }
        if let child = cell.leftChild, child != number, parents[child] == nil { parents[child] = number }
      }
      if let child = page.rightmostChild, child != number, parents[child] == nil { parents[child] = number }
      if page.kind == .tableLeaf || (wantsIndexes && !page.kind.isTable) { pages.append(number) }
    }
    // What continues a row is not a page of rows, whatever it looks like.
    var continued = file
    for number in pages {
      guard let page = file.page(number) else { continue }
      for index in 0..<page.cellCount { if let cell = page.anyCell(index) { continued.markOverflow(cell) } }
    }
    var groups: [UInt32: [UInt32]] = [:]
    var order: [UInt32] = []
    for number in pages where !continued.reached.contains(number) {
      var top = number
      // No tree is deeper; a circle ends here too.
      for _ in 0..<40 {
        guard let parent = parents[top], !file.reached.contains(parent) else { break }
        top = parent
      }
      if groups[top] == nil { order.append(top) }
      groups[top, default: []].append(number)
    }
    self.groups = order.map { Group(top: $0, pages: groups[$0] ?? []) }
  }

  /// The one table a group of pages belongs to; nil with the reason when there is none or more than one.
  static func owner(
    of pages: [UInt32], in file: SalvageFile, among candidates: [Candidate], limit: Int
  ) throws -> (Candidate?, String) {
    var ranges: [ClosedRange<Int64>] = []
    var samples: [SalvageRecord] = []
    var hasRowIDs = true
    for number in pages {
      try file.check()
      guard let page = file.page(number) else { continue }
      hasRowIDs = page.kind.isTable
      var low: Int64?
      var high: Int64?
      for index in 0..<page.cellCount {
        guard let cell = page.anyCell(index) else { continue }
        if let rowID = cell.rowid {
          low = min(low ?? rowID, rowID)
          high = max(high ?? rowID, rowID)
        }
        if samples.count < 200, let record = file.record(cell, on: page, limit: min(limit, 1 << 20)),
          record.isWhole
        {
          samples.append(record)
        }
      }
      if let low, let high { ranges.append(low...high) }
    }
    guard !samples.isEmpty else { return (nil, "no row of the page is whole") }
    let fitting = candidates.compactMap { candidate -> (Candidate, Int)? in
      if hasRowIDs {
        let isLost = ranges.allSatisfy { range in
          candidate.holes.contains { $0.contains(range.lowerBound) && $0.contains(range.upperBound) }
        }
        guard isLost else { return nil }
      }
      let points = samples.compactMap { candidate.table.fit($0, hasRowID: hasRowIDs) }
      // A few garbled rows do not make the page another table's.
      guard points.count * 10 >= samples.count * 9 else { return nil }
      return (candidate, points.reduce(0, +))
    }
    .sorted { $0.1 > $1.1 }
    guard let best = fitting.first else { return (nil, "the page belongs to no table") }
    if fitting.count > 1, fitting[1].1 == best.1 {
      return (nil, "the page may belong to \(best.0.table.name) or to \(fitting[1].0.table.name)")
    }
    return (best.0, "")
  }
}
