// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

/// A live -wal whose bytes are cut off or replaced while its inode stays.
@Suite(.serialized) struct WALCutTests {
  private let test: PeerTest

  init() throws { test = try PeerTest() }

  private var wal: String { test.database + "-wal" }

  private func open(checkpointPages: Int = 1000) async throws -> StateFile {
    try await StateFile.open(
      test.database, configuration: .init(checkpointPages: checkpointPages), migrations: numbers)
  }

  /// A store with rows in the database and rows in its -wal alone.
  private func store() async throws -> StateFile {
    let file = try await open()
    for number in 101...105 { try await file.write(insertNumber(number)) }
    _ = try await file.checkpoint()
    for number in 106...112 { try await file.write(insertNumber(number)) }
    return file
  }

  private func refusal(of file: StateFile) async -> StoreError? {
    do {
      try await file.write(insertNumber(999))
      return nil
    } catch {
      return error as? StoreError
    }
  }

  /// The look is taken twice a transaction.
  @Test func aLookAtASoundWALFindsNothing_B02() async throws {
    let file = try await store()
    let patience = BusyPatience()
    let connection = try Connection.open(
      test.database, as: .writer, configuration: .init(), patience: patience)
    let (looks, sound, took) = try connection.inDatabase { db in
      _ = try Int.fetchOne(db, sql: "SELECT count(*) FROM number")
      var witness = WALWitness()
      let began = ContinuousClock.now
      let sound = (0..<1000).count { _ in witness.isWhole(db) }
      return (1000, sound, began.duration(to: .now))
    }
    #expect(sound == looks)
    print("\(looks) looks at a -wal took \(took)")
    try connection.close()
    await file.close()
  }

  /// What the same steps do to plain SQLite: otherwise the tests below would prove nothing.
  @Test func plainSQLiteLosesWhatItCommitsBehindTheHole_B02() throws {
    let writer = try ForeignConnection(test.database)
    try writer.run(
      "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE number(id INTEGER PRIMARY KEY, value)"
    )
    for number in 1...3 { try writer.run("INSERT INTO number(value) VALUES (\(number))") }
    #expect(unsafe truncate(wal, 0) == 0)
    try writer.run("INSERT INTO number(value) VALUES (4)")
    let copy = test.directory.file("copy.db")
    for suffix in ["", "-wal"] { try [UInt8](contentsOf: test.database + suffix).write(to: copy + suffix) }
    let found = try? ForeignConnection(copy).text("SELECT count(*) FROM number")
    #expect(found != "4")
  }

  @Test(arguments: [0, 20, 32, 4152, 5000, -1])
  func aWALCutShortUnderAWriterCostsNothing_B02(size: Int) async throws {
    let file = try await store()
    let whole = try #require(FileFacts.Entry(path: wal)?.size)
    #expect(unsafe truncate(wal, size < 0 ? off_t(whole) - 1 : off_t(size)) == 0)
    try await file.write(insertNumber(113))
    #expect(try await file.read { try Int.fetchAll($0, sql: "SELECT value FROM number") } == Array(101...113))
    #expect(try test.numbersInFile() == Array(101...113))
    #expect(try test.integrity() == "ok")
    try await file.write(insertNumber(114))
    await file.close()
    #expect(try test.numbersInFile() == Array(101...114))
    let again = try await open()
    try await again.write(insertNumber(115))
    await again.close()
    #expect(try test.numbersInFile() == Array(101...115))
  }

  @Test func aWALCutShortDuringABatchIsNoticedBeforeItIsAcknowledged_B02() async throws {
    let file = try await store()
    let wal = wal
    for (number, size) in [(113, 0), (114, 4152)] {
      try await file.write { db in
        try insertNumber(number)(db)
        #expect(unsafe truncate(wal, off_t(size)) == 0)
      }
      #expect(try test.numbersInFile() == Array(101...number))
    }
    #expect(try test.integrity() == "ok")
    await file.close()
  }

  @Test func aWALCutShortWhileIdleIsSavedBeforeClosing_B02() async throws {
    let file = try await store()
    #expect(unsafe truncate(wal, 0) == 0)
    await file.close()
    #expect(try test.numbersInFile() == Array(101...112))
  }

  /// Nothing was in it that is not in the database as well.
  @Test func aWALThatWasFoldedBackMayBeCutShort_B02() async throws {
    let file = try await store()
    _ = try await file.checkpoint()
    #expect(unsafe truncate(wal, 0) == 0)
    try await file.write(insertNumber(113))
    #expect(try test.numbersInFile() == Array(101...113))
    await file.close()
    #expect(try test.numbersInFile() == Array(101...113))
  }

  /// A checkpoint of another program's that cuts the -wal itself is none of this.
  @Test func aForeignCheckpointThatCutsTheWALIsNoBreach_B02_B05() async throws {
    let file = try await store()
    let identity = FileIdentity(path: test.database)
    for number in 113...120 {
      let foreign = try ForeignConnection(test.database, busyTimeout: 60_000)
      #expect(try foreign.text("PRAGMA wal_checkpoint(TRUNCATE)") == "0")
      try await file.write(insertNumber(number))
    }
    #expect(FileIdentity(path: test.database) == identity)
    #expect(try test.numbersInFile() == Array(101...120))
    await file.close()
  }

  @Test func anotherProcessTakesUpWhatWasSaved_B02() async throws {
    let other = try test.start(.holdTurn, first: 500)
    try await other.arrival(at: "start")
    let file = try await store()
    #expect(unsafe truncate(wal, 0) == 0)
    try await file.write(insertNumber(113))
    other.open("start")
    try await other.pass("inside")
    // Its first attempt may have met the old file; then it is run once more.
    other.open("inside")
    #expect(await other.word() == "written")
    #expect(await other.end() == .exited(0))
    try await file.write(insertNumber(114))
    #expect(try test.numbersInFile() == Array(101...113) + [500, 114])
    #expect(try test.integrity() == "ok")
    await file.close()
  }

  /// Wrong bytes cannot be told from right ones by reading them, so none of them is read.
  @Test(arguments: [0, 40, 5000])
  func aWALOverwrittenInPlaceCostsNothingThatIsCached_B02(from offset: Int) async throws {
    let file = try await store()
    let size = try [UInt8](contentsOf: wal).count
    let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: wal))
    try handle.seek(toOffset: UInt64(offset))
    try handle.write(contentsOf: Data(repeating: 7, count: size - offset))
    try handle.close()
    try await file.write(insertNumber(113))
    #expect(try test.numbersInFile() == Array(101...113))
    #expect(try test.integrity() == "ok")
    await file.close()
    let names = try FileManager.default.contentsOfDirectory(atPath: test.directory.path)
    let kept = try #require(names.first { $0.hasSuffix("-as-found") })
    // It was noticed behind the commit, which is in it too.
    let bytes = try [UInt8](contentsOf: test.directory.file(kept))
    #expect(bytes.count >= size)
    #expect(bytes[offset..<(offset + 1000)].allSatisfy { $0 == 7 })
  }

  /// An older state of the same -wal, put back by hand: its salts are right and its end is not.
  @Test func anOlderWALCopiedOntoALiveOneIsNoticed_B02() async throws {
    let file = try await store()
    let older = try [UInt8](contentsOf: wal)
    for number in 113...115 { try await file.write(insertNumber(number)) }
    let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: wal))
    try handle.truncate(atOffset: 0)
    try handle.write(contentsOf: Data(older))
    try handle.close()
    try await file.write(insertNumber(116))
    #expect(try test.numbersInFile() == Array(101...116))
    #expect(try test.integrity() == "ok")
    await file.close()
  }

  /// More in the -wal than any cache keeps: what is gone is gone, and that is said before anything is built on it.
  @Test func aWALThatNoCacheHoldsIsRefusedAndNotBuiltOn_B02() async throws {
    let file = try await open(checkpointPages: 1 << 30)
    try await file.write { db in
      try db.execute(sql: "CREATE TABLE filler(text BLOB); PRAGMA cache_size = 10")
    }
    for number in 101...150 {
      try await file.write { db in
        try insertNumber(number)(db)
        try db.execute(sql: "INSERT INTO filler VALUES (zeroblob(40000))")
      }
    }
    #expect(unsafe truncate(wal, 100_000) == 0)
    for _ in 0..<2 {
      let error = try #require(await refusal(of: file))
      #expect(error.code == .damaged, "\(error)")
      #expect(error.outcome == .notApplied)
      #expect(error.message.contains("holdfast doctor"))
    }
    // What still holds is there, and what was found is kept.
    let frames = try #require(try CommittedFrames(ImageFile(wal)))
    #expect(frames.intact == (100_000 - 32) / 4120)
    let names = try FileManager.default.contentsOfDirectory(atPath: test.directory.path)
    #expect(!names.contains { $0.contains("rescued") }, "\(names)")
    #expect(names.count { $0.hasSuffix("-as-found") } == 1)
    await file.close()
  }
}
