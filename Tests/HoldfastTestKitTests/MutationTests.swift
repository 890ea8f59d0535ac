// SPDX-License-Identifier: Apache-2.0

import HoldfastTestKit
import Testing

@Suite struct MutationTests {
  private func sample(_ seed: UInt64, state: SampleDatabase.State? = nil) throws -> FileSet {
    var random = SplitMix64(seed: seed)
    var shape = SampleDatabase(using: &random)
    while let state, shape.state != state { shape = SampleDatabase(using: &random) }
    let directory = try TemporaryDirectory()
    return try shape.build(in: directory.path)
  }

  @Test(arguments: 1...24) func aSampleIsWhatItsShapeSays(_ seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    let shape = SampleDatabase(using: &random)
    let directory = try TemporaryDirectory()
    let set = try shape.build(in: directory.path)
    #expect(set.pageSize == shape.pageSize)
    switch shape.state {
    case .closed: break
    case .liveWAL: #expect((set.files[.wal]?.count ?? 0) > 32)
    case .hotJournal:
      let journal = set.files[.journal] ?? []
      // The magic of https://www.sqlite.org/fileformat.html#the_rollback_journal.
      #expect(journal.prefix(8) == [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7])
    }
    // Whoever opens it finds the rows that were committed, and no damage.
    let copy = try TemporaryDirectory()
    try set.write(to: copy.file("copy.db"))
    let reader = try ForeignConnection(copy.file("copy.db"))
    #expect(try reader.text("PRAGMA integrity_check") == "ok")
    #expect(try reader.text("SELECT count(*) FROM note WHERE id > 20000") == "0")
    let wanted = shape.state == .liveWAL ? shape.rows + shape.rows / 2 + 5 : shape.rows
    #expect(try reader.text("SELECT count(*) FROM setting") == "\(wanted)")
    for table in SampleDatabase.tables {
      #expect(try reader.text("SELECT count(DISTINCT \(table.key)) FROM \(table.name)") != nil)
    }
  }

  @Test(arguments: Mutation.allCases) func theSameSeedDoesTheSameDamage(_ mutation: Mutation) throws {
    let set = try sample(1, state: .liveWAL)
    let donor = try sample(2, state: .hotJournal)
    var changed = 0
    for seed in UInt64(1)...20 {
      var (first, second) = (set, set)
      var random = SplitMix64(seed: seed)
      mutation.apply(to: &first, donor: donor, using: &random)
      random = SplitMix64(seed: seed)
      mutation.apply(to: &second, donor: donor, using: &random)
      #expect(first == second)
      if first != set { changed += 1 }
    }
    #expect(changed > 0, "\(mutation) never changed anything")
  }

  @Test func noMutationTrapsOnAnEmptySet() {
    for mutation in Mutation.allCases {
      for files: [FileSet.Part: [UInt8]] in [[:], [.database: []], [.database: [1, 2, 3]], [.wal: []]] {
        var set = FileSet(files: files)
        var random = SplitMix64(seed: 7)
        mutation.apply(to: &set, donor: FileSet(), using: &random)
      }
    }
  }
}
