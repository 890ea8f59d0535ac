// SPDX-License-Identifier: Apache-2.0

/// One way to damage a set of files, drawn from a seed: the same seed and set give the same damage.
public enum Mutation: String, CaseIterable, Hashable, Sendable {
  /// A file ends early, anywhere.
  case truncated
  /// The database ends early at a page's border.
  case truncatedAtPage
  /// The database has no byte left.
  case emptied
  /// The whole database is NUL.
  case allZero
  /// A range of bytes is NUL.
  case zeroedRange
  /// Whole pages are NUL.
  case zeroedPages
  /// The first 100 bytes are something else.
  case headerOverwritten
  /// The whole first page is something else.
  case firstPageOverwritten
  /// One field of the header is another number.
  case headerFieldEdited
  /// A few single bits are turned.
  case flippedBits
  /// A few bytes are others.
  case flippedBytes
  /// A page of another database lies where one of this was.
  case splicedPage
  /// Two pages have changed places.
  case shuffledPages
  /// The sidecars are those of another database.
  case foreignSidecars
  /// The -wal is called -journal and the other way round.
  case swappedSidecars
  /// A sidecar ends early.
  case truncatedSidecar
  /// A sidecar has bytes turned.
  case flippedSidecar
  /// The database is gone, its sidecars are there.
  case databaseGone

  /// Damages the set.
  ///
  /// - Parameter donor: another database, for damage that mixes two.
  public func apply(to set: inout FileSet, donor: FileSet, using random: inout SplitMix64) {
    let page = set.pageSize
    var bytes = set.files[.database] ?? []
    defer { if set.files[.database] != nil { set.files[.database] = bytes } }
    let pages = bytes.count / page
    switch self {
    case .truncated: bytes.removeLast(Int.random(in: 0...bytes.count, using: &random))
    case .truncatedAtPage:
      if pages > 0 { bytes.removeLast(bytes.count - Int.random(in: 0..<pages, using: &random) * page) }
    case .emptied: bytes = []
    case .allZero: bytes = [UInt8](repeating: 0, count: bytes.count)
    case .zeroedRange:
      Self.overwrite(&bytes, at: Self.range(in: bytes.count, atMost: 3 * page, &random)) { 0 }
    case .zeroedPages:
      for _ in 0..<Int.random(in: 1...3, using: &random) where pages > 0 {
        let first = Int.random(in: 0..<pages, using: &random) * page
        Self.overwrite(&bytes, at: first..<(first + page)) { 0 }
      }
    case .headerOverwritten:
      Self.overwrite(&bytes, at: 0..<min(100, bytes.count)) { UInt8.random(in: 0...255, using: &random) }
    case .firstPageOverwritten:
      Self.overwrite(&bytes, at: 0..<min(page, bytes.count)) { UInt8.random(in: 0...255, using: &random) }
    case .headerFieldEdited:
      // Offsets and lengths of https://www.sqlite.org/fileformat.html#the_database_header.
      let fields = [
        (16, 2), (18, 1), (19, 1), (20, 1), (21, 1), (24, 4), (28, 4), (32, 4), (36, 4), (40, 4), (44, 4),
        (52, 4), (56, 4), (64, 4), (92, 4), (96, 4),
      ]
      let (at, length) = fields.randomElement(using: &random)!
      let isSmall = random.chance(0.5)
      guard bytes.count >= 100 else { return }
      Self.overwrite(&bytes, at: at..<(at + length)) {
        UInt8.random(in: 0...(isSmall ? 3 : 255), using: &random)
      }
    case .flippedBits: Self.flip(&bytes, bits: true, &random)
    case .flippedBytes: Self.flip(&bytes, bits: false, &random)
    case .splicedPage:
      guard pages > 0, let other = donor.files[.database], other.count >= page else { return }
      let from = Int.random(in: 0..<(other.count / page), using: &random) * page
      let to = Int.random(in: 0..<pages, using: &random) * page
      bytes.replaceSubrange(to..<(to + page), with: other[from..<(from + page)])
    case .shuffledPages:
      guard pages > 1 else { return }
      let first = Int.random(in: 0..<pages, using: &random) * page
      let second = Int.random(in: 0..<pages, using: &random) * page
      let kept = Array(bytes[first..<(first + page)])
      bytes.replaceSubrange(first..<(first + page), with: bytes[second..<(second + page)])
      bytes.replaceSubrange(second..<(second + page), with: kept)
    case .foreignSidecars:
      for part in [FileSet.Part.wal, .sharedMemory, .journal] {
        if let sidecar = donor.files[part] { set.files[part] = sidecar }
      }
    case .swappedSidecars:
      let (wal, journal) = (set.files[.wal], set.files[.journal])
      set.files[.wal] = journal
      set.files[.journal] = wal
    case .truncatedSidecar:
      Self.withSidecar(of: &set, &random) { bytes, random in
        bytes.removeLast(Int.random(in: 0...bytes.count, using: &random))
      }
    case .flippedSidecar:
      Self.withSidecar(of: &set, &random) { bytes, random in Self.flip(&bytes, bits: false, &random) }
    case .databaseGone: set.files[.database] = nil
    }
  }

  private static func withSidecar(
    of set: inout FileSet, _ random: inout SplitMix64,
    _ change: (inout [UInt8], inout SplitMix64) -> Void
  ) {
    // In a fixed order: a dictionary's own would make the seed mean something else in every run.
    let parts = [FileSet.Part.wal, .sharedMemory, .journal].filter { set.files[$0] != nil }
    guard let part = parts.randomElement(using: &random), var bytes = set.files[part] else { return }
    change(&bytes, &random)
    set.files[part] = bytes
  }

  private static func range(in count: Int, atMost most: Int, _ random: inout SplitMix64) -> Range<Int> {
    guard count > 0 else { return 0..<0 }
    let first = Int.random(in: 0..<count, using: &random)
    return first..<min(count, first + Int.random(in: 1...most, using: &random))
  }

  private static func overwrite(_ bytes: inout [UInt8], at range: Range<Int>, with value: () -> UInt8) {
    for index in range { bytes[index] = value() }
  }

  private static func flip(_ bytes: inout [UInt8], bits: Bool, _ random: inout SplitMix64) {
    guard !bytes.isEmpty else { return }
    for _ in 0..<Int.random(in: 1...8, using: &random) {
      let index = Int.random(in: 0..<bytes.count, using: &random)
      bytes[index] ^=
        bits ? 1 << UInt8.random(in: 0...7, using: &random) : .random(in: 1...255, using: &random)
    }
  }
}
