// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import HoldfastEngine

@Suite struct SidecarFactsTests {
  /// The first 100 bytes of a database.
  private static func header(wal: Bool, counter: UInt32 = 7, pageSize: Int = 4096) -> [UInt8] {
    var bytes = PageLayout.magic + [UInt8](repeating: 0, count: 84)
    (bytes[16], bytes[17]) = (UInt8(pageSize >> 8), UInt8(pageSize & 0xff))
    (bytes[18], bytes[19]) = wal ? (2, 2) : (1, 1)
    (bytes[21], bytes[22], bytes[23]) = (64, 32, 32)
    bytes.setBigEndian32(counter, at: 24)
    return bytes
  }

  private static func facts(wal isWAL: Bool = true, counter: UInt32 = 7) -> FileFacts {
    var facts = FileFacts(path: "/a/x.db")
    facts.header = header(wal: isWAL, counter: counter)
    facts.database = .init(size: 8192)
    facts.wal = .init(size: 4152)
    facts.sharedMemory = .init(size: 32_768)
    return facts
  }

  private static func codes(
    _ sidecars: SidecarFacts, _ facts: FileFacts, isInUse: Bool = false
  ) -> [String] { sidecars.findings(facts, isInUse: isInUse).map(\.code) }

  @Test func aLogThatGoesOnFromItsDatabaseIsWaitingToBeFoldedBack() {
    for counter in [UInt32(7), 8, 900] {
      var sidecars = SidecarFacts()
      sidecars.wal = .init(
        pageSize: 4096, committedFrames: 3, firstPage: Self.header(wal: true, counter: counter))
      #expect(Self.codes(sidecars, Self.facts()) == ["wal-pending"])
      #expect(Self.codes(sidecars, Self.facts(), isInUse: true).isEmpty)
    }
  }

  @Test func aLogThatIsOlderThanItsDatabaseIsAnothers() {
    var sidecars = SidecarFacts()
    sidecars.wal = .init(pageSize: 4096, committedFrames: 3, firstPage: Self.header(wal: true, counter: 6))
    #expect(Self.codes(sidecars, Self.facts()) == ["foreign-wal"])
  }

  @Test func aLogBesideADatabaseInRollbackModeIsAnothers() {
    var sidecars = SidecarFacts()
    sidecars.wal = .init(pageSize: 4096, committedFrames: 3)
    #expect(Self.codes(sidecars, Self.facts(wal: false)) == ["foreign-wal"])
    sidecars.wal?.committedFrames = 0
    #expect(Self.codes(sidecars, Self.facts(wal: false)).isEmpty)
  }

  @Test func aLogOfOtherPagesIsAnothersUnlessItHasTheFirst() {
    var sidecars = SidecarFacts()
    sidecars.wal = .init(pageSize: 1024, committedFrames: 3)
    #expect(Self.codes(sidecars, Self.facts()) == ["foreign-wal"])
    sidecars.wal?.firstPage = Self.header(wal: true)
    #expect(Self.codes(sidecars, Self.facts()) == ["wal-pending"])
  }

  @Test func aLogWithoutAHeaderIsSaidUnlessItIsBlank() {
    var sidecars = SidecarFacts()
    sidecars.wal = .init(pageSize: nil)
    #expect(Self.codes(sidecars, Self.facts()) == ["unreadable-wal"])
    sidecars.wal?.isBlank = true
    #expect(Self.codes(sidecars, Self.facts()).isEmpty)
  }

  @Test func aJournalFitsTheTransactionItUndoesAndNoOther_C02() throws {
    var bytes: [UInt8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7] + [UInt8](repeating: 0, count: 20)
    bytes.setBigEndian32(4096, at: 24)
    var facts = Self.facts(wal: false)
    (facts.wal, facts.sharedMemory) = (nil, nil)
    var sidecars = SidecarFacts()
    sidecars.journal = .init(
      header: JournalHeader(bytes: bytes), pages: 4,
      firstPage: Self.header(wal: false, counter: 7))
    // Before and after the writer got to page 1.
    for counter in [UInt32(7), 8] {
      facts.header = Self.header(wal: false, counter: counter)
      #expect(Self.codes(sidecars, facts).isEmpty)
    }
    for counter in [UInt32(6), 9] {
      facts.header = Self.header(wal: false, counter: counter)
      #expect(Self.codes(sidecars, facts) == ["foreign-journal"])
    }
    facts.header = Self.header(wal: false, counter: 7, pageSize: 1024)
    #expect(Self.codes(sidecars, facts) == ["foreign-journal"])
    sidecars.journal?.pages = nil
    #expect(Self.codes(sidecars, facts) == ["stale-journal"])
    // While somebody is at it, nothing can be said.
    #expect(Self.codes(sidecars, facts, isInUse: true).isEmpty)
  }

  @Test func sharedMemoryWithoutALogIsLeftOver() {
    var facts = Self.facts()
    facts.wal = nil
    #expect(Self.codes(SidecarFacts(), facts) == ["stale-shm"])
    #expect(Self.codes(SidecarFacts(), facts, isInUse: true).isEmpty)
  }
}
