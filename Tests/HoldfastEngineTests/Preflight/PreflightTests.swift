// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import HoldfastEngine

/// Verdicts on facts made by hand.
@Suite struct PreflightTests {
  /// A database of ten pages of 4096 bytes, in WAL mode, with nothing beside it.
  private static let whole: FileFacts = {
    var facts = FileFacts(path: "/d/f.db")
    facts.database = .init(size: 40_960)
    var header = Array("SQLite format 3\0".utf8) + [UInt8](repeating: 0, count: 84)
    header[16] = 16
    header.replaceSubrange(18..<24, with: [2, 2, 0, 64, 32, 32])
    header[27] = 5
    header[31] = 10
    header[47] = 4
    header[59] = 1
    header[95] = 5
    facts.header = header
    return facts
  }()

  private static let journal: [UInt8] =
    [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7, 255, 255, 255, 255, 0, 0, 0, 7, 0, 0, 0, 9, 0, 0, 2, 0]
    + [0, 0, 16, 0]

  private static func holder(_ lock: String) -> LockHolder { LockHolder(pid: 7, command: "w", lock: lock) }

  struct Case: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var verdict: FileVerdict
    var change: @Sendable (inout FileFacts) -> Void

    init(_ name: String, _ verdict: FileVerdict, _ change: @escaping @Sendable (inout FileFacts) -> Void) {
      testDescription = name
      self.verdict = verdict
      self.change = change
    }
  }

  private static func empty(_ facts: inout FileFacts) {
    facts.database = .init(size: 0)
    facts.header = []
  }

  private static func hotJournal(_ facts: inout FileFacts) {
    facts.journal = .init(size: 9000)
    facts.journalFirstByte = 0xd9
    facts.journalHeader = JournalHeader(bytes: journal)
  }

  static let marker = StoreMarker(device: 1, inode: 2)
  static let firstPageOnly = WALSummary(committedFrames: 3, pageCount: 10, hasFirstPage: true, pages: [1])

  static let cases = [
    Case("whole", .healthy) { _ in },
    Case("whole with readers", .healthy) { $0.holders = [holder("a SHARED lock")] },
    Case("whole with a WAL being written", .healthy) { $0.holders = [holder("the WAL write lock")] },
    Case("whole and larger than its header says", .healthy) { $0.database?.size = 81_920 },
    Case("no file", .fresh) { $0 = FileFacts(path: $0.path) },
    Case("no file where a store was", .zeroed) {
      $0 = FileFacts(path: $0.path)
      $0.marker = marker
    },
    Case("empty", .fresh) { empty(&$0) },
    Case("empty, with an empty -wal", .fresh) {
      empty(&$0)
      $0.wal = .init(size: 0)
    },
    Case("empty where a store was", .zeroed) {
      empty(&$0)
      $0.marker = marker
    },
    Case("empty beside commits", .walOrphan) {
      empty(&$0)
      $0.wal = .init(size: 9000)
      $0.walFrames = firstPageOnly
    },
    Case("empty beside a garbled -wal", .walOrphan) {
      empty(&$0)
      $0.wal = .init(size: 9000)
    },
    Case("empty beside a -wal without a commit", .fresh) {
      empty(&$0)
      $0.wal = .init(size: 9000)
      $0.walFrames = WALSummary(committedFrames: 0, pageCount: 0, hasFirstPage: false)
    },
    Case("empty beside the journal of a larger one", .zeroed) {
      empty(&$0)
      hotJournal(&$0)
    },
    Case("all zero", .zeroed) {
      $0.header = [UInt8](repeating: 0, count: 100)
      $0.isAllZero = true
    },
    Case("overwritten first page", .notADatabase) { $0.header[0] = 0 },
    Case("shorter than its header", .truncated) {
      $0.header = Array($0.header[..<60])
      $0.database?.size = 60
    },
    Case("a directory", .notADatabase) { $0.database?.kind = .directory },
    Case("a link to nothing", .unreadable) { $0.database?.kind = .symlink },
    Case("not to be read", .unreadable) { $0.database?.isReadable = false },
    Case("a -wal not to be read", .unreadable) {
      $0.wal = .init(size: 9000)
      $0.wal?.isReadable = false
    },
    Case("reading failed", .unreadable) { $0.header = [] },
    Case("read version 3", .newerSchema) { $0.header[19] = 3 },
    Case("schema format 5", .newerSchema) { $0.header[47] = 5 },
    Case("page size 4097", .damaged) { $0.header[17] = 1 },
    Case("page size 256", .damaged) { $0.header[16] = 1 },
    Case("page size 65,536", .healthy) {
      $0.header.replaceSubrange(16..<18, with: [0, 1])
      $0.database?.size = 655_360
    },
    Case("a page full of reserve", .damaged) {
      $0.header.replaceSubrange(16..<21, with: [2, 0, 1, 1, 33])
    },
    Case("payload fraction 65", .damaged) { $0.header[21] = 65 },
    Case("text encoding 4", .damaged) { $0.header[59] = 4 },
    Case("cut short", .truncated) { $0.database?.size = 40_959 },
    Case("cut short, counted by nobody", .healthy) {
      $0.database?.size = 4096
      $0.header[95] = 4
    },
    Case("a count of four thousand million", .truncated) {
      $0.header.replaceSubrange(28..<32, with: [255, 255, 255, 255])
    },
    Case("cut short and in the -wal", .healthy) {
      $0.database?.size = 32_768
      $0.wal = .init(size: 9000)
      $0.walFrames = WALSummary(
        committedFrames: 2, pageCount: 10, hasFirstPage: false, pages: [9, 10])
    },
    Case("cut short and in the -wal in part", .truncated) {
      $0.database?.size = 32_768
      $0.wal = .init(size: 9000)
      $0.walFrames = WALSummary(committedFrames: 1, pageCount: 10, hasFirstPage: false, pages: [10])
    },
    Case("shrunk by a commit in the -wal", .healthy) {
      $0.database?.size = 4096
      $0.wal = .init(size: 9000)
      $0.walFrames = WALSummary(committedFrames: 1, pageCount: 1, hasFirstPage: true, pages: [1])
    },
    Case("hot journal", .hotJournal) { hotJournal(&$0) },
    Case("hot journal over a torn first page", .hotJournal) {
      hotJournal(&$0)
      $0.header[0] = 0
    },
    Case("journal whose header is zero", .healthy) {
      $0.journal = .init(size: 9000)
      $0.journalFirstByte = 0
    },
    Case("empty journal", .healthy) { $0.journal = .init(size: 0) },
    Case("journal of a live writer", .busy) {
      hotJournal(&$0)
      $0.holders = [holder("a RESERVED lock")]
    },
    Case("journal while somebody reads", .busy) {
      hotJournal(&$0)
      $0.holders = [holder("a SHARED lock")]
    },
    Case("a writer that has not spilled", .healthy) {
      $0.journal = .init(size: 512)
      $0.journalFirstByte = 0
      $0.holders = [holder("a RESERVED lock")]
    },
    Case("held exclusively", .busy) { $0.holders = [holder("an EXCLUSIVE lock")] },
    Case("held by one who waits for readers to leave", .busy) { $0.holders = [holder("a PENDING lock")] },
    Case("held exclusively, half written", .busy) {
      $0.holders = [holder("an EXCLUSIVE lock")]
      $0.header[0] = 0
    },
  ]

  @Test(arguments: cases) func factsGiveTheVerdict(_ example: Case) {
    var facts = Self.whole
    example.change(&facts)
    let verdict = Preflight.judge(facts)
    #expect(verdict.verdict == example.verdict, "\(verdict.reason)")
    #expect(verdict.reason.hasSuffix("."))
  }

  @Test func aCutThatALiveWriterMayExplainIsNotCertain() {
    var facts = Self.whole
    facts.database?.size = 4096
    #expect(Preflight.judge(facts).isCertain)
    facts.holders = [Self.holder("a SHARED lock")]
    #expect(!Preflight.judge(facts).isCertain)
  }
}
