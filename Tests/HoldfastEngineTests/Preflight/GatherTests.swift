// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

/// Facts of real files.
@Suite struct GatherTests {
  private let directory: TemporaryDirectory
  private var path: String { directory.file("f.db") }

  init() throws { directory = try TemporaryDirectory() }

  private func foreign(mode: String) throws -> ForeignConnection {
    let foreign = try ForeignConnection(path)
    try foreign.run("PRAGMA journal_mode = \(mode); CREATE TABLE note(id INTEGER PRIMARY KEY, text TEXT)")
    for text in ["one", "two"] { try foreign.run("INSERT INTO note(text) VALUES ('\(text)')") }
    return foreign
  }

  private func verdict() throws -> FileVerdict { try Preflight.judge(.gather(path)).verdict }

  /// A plain open and close of the database would drop the lock of a writer that is in the middle of it.
  @Test func aLockOfThisProcessOutlivesTheLook_B01() throws {
    let foreign = try foreign(mode: "DELETE")
    try foreign.run("BEGIN IMMEDIATE")
    let held = LockTable.holders(ofDatabaseAt: path)
    #expect(held.map(\.lock) == ["a RESERVED lock"])
    let facts = try FileFacts.gather(path, scansWAL: true)
    #expect(facts.header.starts(with: Array("SQLite format 3\0".utf8)))
    #expect(facts.holders.contains { $0.pid == getpid() && $0.lock == "a RESERVED lock" })
    #expect(LockTable.holders(ofDatabaseAt: path) == held)
    #expect(Preflight.judge(facts).verdict == .healthy)
    try foreign.run("ROLLBACK")
  }

  @Test func aStoreThatIsOpenIsLookedAtWithoutHarmAndLeavesAMarker_B01() async throws {
    let file = try await StateFile.open(path)
    try await file.write { try $0.execute(sql: "CREATE TABLE t(x)") }
    let held = LockTable.locks(ofDatabaseAt: path).map(\.holder.lock)
    let facts = try FileFacts.gather(path, scansWAL: true)
    #expect(!held.isEmpty)
    #expect(LockTable.locks(ofDatabaseAt: path).map(\.holder.lock) == held)
    #expect(Preflight.judge(facts).verdict == .healthy)
    #expect(facts.marker?.inode == FileIdentity(path: path)?.inode)
    #expect(facts.walFrames.map { $0.committedFrames > 0 && $0.hasFirstPage } == true)
    await file.close()
    #expect(try verdict() == .healthy)
    try [UInt8]().write(to: path)
    #expect(try verdict() == .walOrphan)
    try FileManager.default.removeItem(atPath: path + "-wal")
    #expect(try verdict() == .zeroed)
  }

  @Test func nothingIsLeftOpenWhenNobodyElseHasTheFile() throws {
    try foreign(mode: "DELETE").run("SELECT 1")
    _ = try FileFacts.gather(path)
    let identity = try #require(FileIdentity(path: path))
    #expect(!ProcFile.descriptors().contains { FileIdentity(descriptor: $0) == identity })
  }

  @Test func committedFramesAreCountedAsSQLiteCountsThem() throws {
    let foreign = try foreign(mode: "WAL")
    let whole = try #require(try FileFacts.gather(path, scansWAL: true).walFrames)
    let pages = try Int(#require(try foreign.text("PRAGMA page_count")))
    #expect(whole.pageCount == UInt32(pages ?? 0))
    #expect(whole.hasFirstPage)
    let bytes = try [UInt8](contentsOf: path + "-wal")
    #expect(whole.committedFrames == (bytes.count - 32) / (24 + 4096))
    // Copies: the connection still has its own.
    let copy = directory.file("copy-wal")
    // A frame that is not whole, one whose page was changed, and a header that does not add up.
    try Array(bytes.dropLast()).write(to: copy)
    #expect(try #require(WALSummary(walAt: copy)).committedFrames == whole.committedFrames - 1)
    var changed = bytes
    changed[32 + 24 + 100] ^= 1
    try changed.write(to: copy)
    #expect(WALSummary(walAt: copy)?.committedFrames == 0)
    changed = bytes
    changed[20] ^= 1
    try changed.write(to: copy)
    #expect(WALSummary(walAt: copy) == nil)
  }

  @Test func framesOfATransactionThatWasNotCommittedDoNotCount() throws {
    let foreign = try foreign(mode: "WAL")
    let before = try #require(try FileFacts.gather(path, scansWAL: true).walFrames)
    try foreign.run("PRAGMA cache_size = 2; BEGIN IMMEDIATE")
    try foreign.run(
      """
      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
      INSERT INTO note(text) SELECT hex(zeroblob(2000)) FROM n
      """)
    #expect(try #require(fileSize(path + "-wal")) > 1_000_000)
    #expect(try FileFacts.gather(path, scansWAL: true).walFrames == before)
    try foreign.run("COMMIT")
    #expect(try #require(try FileFacts.gather(path, scansWAL: true).walFrames).pageCount > 200)
  }

  @Test func filesThatWereHarmedGetTheirVerdicts() throws {
    try foreign(mode: "DELETE").run("SELECT 1")
    let whole = try [UInt8](contentsOf: path)
    #expect(try verdict() == .healthy)
    try Array(whole.dropLast(4096)).write(to: path)
    #expect(try verdict() == .truncated)
    try [UInt8](repeating: 0, count: 300_000).write(to: path)
    #expect(try verdict() == .zeroed)
    var last = [UInt8](repeating: 0, count: 300_000)
    last[299_999] = 1
    try last.write(to: path)
    #expect(try verdict() == .notADatabase)
    try Array("hello".utf8).write(to: path)
    #expect(try verdict() == .notADatabase)
    try [].write(to: path)
    #expect(try verdict() == .fresh)
    try FileManager.default.removeItem(atPath: path)
    #expect(try verdict() == .fresh)
    #expect(try FileFacts.gather(path).database == nil)
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
    #expect(try verdict() == .notADatabase)
  }

  @Test func aWALThatHoldsTheMissingPagesMakesTheDatabaseWhole() throws {
    let foreign = try foreign(mode: "WAL")
    // The file itself has no more than its first page yet.
    #expect(try #require(fileSize(path)) < 8192 + 1)
    #expect(try verdict() == .healthy)
    try foreign.run("PRAGMA wal_checkpoint(TRUNCATE)")
    for _ in 0..<3 { try foreign.run("INSERT INTO note(text) VALUES (hex(zeroblob(20000)))") }
    #expect(try verdict() == .healthy)
  }

  #if os(Linux)
    @Test func theFilesystemIsNamed() throws {
      let found = try #require(Filesystem.of(directory.path))
      #expect(directory.path.hasPrefix(found.mountPoint))
      #expect(Filesystem.of("/proc/self")?.type == "proc")
      #expect(Filesystem.of("/proc/self")?.isCoherent == false)
    }
  #endif
}
