// SPDX-License-Identifier: Apache-2.0

/// Where pages lie in a -wal or a journal: eight bytes a page, found by halving.
struct PageOverlay: Sendable {
  /// The page in the upper half, the place (a frame's or record's number) in the lower; sorted, one a page.
  private var entries: [UInt64] = []

  init() {}

  /// - Parameter additions: page and place, in the order they were written; the last of a page counts.
  init(_ additions: [UInt64]) {
    // Places grow with time, so the last of a page is the largest.
    entries = []
    for entry in additions.sorted() {
      if let last = entries.last, last >> 32 == entry >> 32 {
        entries[entries.count - 1] = entry
      } else {
        entries.append(entry)
      }
    }
  }

  static func entry(page: UInt32, place: UInt32) -> UInt64 { UInt64(page) << 32 | UInt64(place) }

  subscript(page: UInt32) -> UInt32? {
    var (low, high) = (0, entries.count)
    while low < high {
      let middle = (low + high) / 2
      if entries[middle] >> 32 < UInt64(page) { low = middle + 1 } else { high = middle }
    }
    guard low < entries.count, entries[low] >> 32 == UInt64(page) else { return nil }
    return UInt32(truncatingIfNeeded: entries[low])
  }

  var pages: [UInt32] { entries.map { UInt32($0 >> 32) } }
  var count: Int { entries.count }
  var isEmpty: Bool { entries.isEmpty }
  var highestPage: UInt32 { entries.last.map { UInt32($0 >> 32) } ?? 0 }
}
