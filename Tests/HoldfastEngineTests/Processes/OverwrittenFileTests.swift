// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

/// A database whose bytes are replaced while its inode stays: `cp` over it, `>` onto it, a restore by hand.
@Suite(.serialized) struct OverwrittenFileTests {
  private let test: PeerTest

  init() throws { test = try PeerTest() }

  /// A file with some rows in the database and some in its -wal only, and a copy of it made before.
  private func fileWithABackup() async throws -> (file: StateFile, backup: [UInt8]) {
    let file = try await test.open()
    for number in 1001...1003 { try await file.write(insertNumber(number)) }
    _ = try await file.checkpoint()
    let backup = try [UInt8](contentsOf: test.database)
    // Pages are added: a copy with as many as the file has now is not told from it.
    try await file.write { db in
      for number in 1004...4000 { try insertNumber(number)(db) }
    }
    _ = try await file.checkpoint()
    try await file.write(insertNumber(4001))
    return (file, backup)
  }

  /// Writes the bytes into the file that is there, as `cp` does: cut to nothing first.
  private func overwrite(with bytes: some Collection<UInt8>, keepingTheRest: Bool = false) throws {
    let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: test.database))
    if !keepingTheRest { try handle.truncate(atOffset: 0) }
    try handle.seek(toOffset: 0)
    try handle.write(contentsOf: Data(bytes))
    try handle.close()
  }

  private func refusal(of file: StateFile) async -> StoreError? {
    do {
      try await file.write(insertNumber(999))
      return nil
    } catch {
      return error as? StoreError
    }
  }

  @Test(arguments: [0, 4096, 5000])
  func aFileCutShortIsNotWrittenOnUntilItIsWhole_B03(size: Int) async throws {
    let (file, _) = try await fileWithABackup()
    let whole = try [UInt8](contentsOf: test.database)
    let cut = Array(whole[..<size])
    try overwrite(with: cut)
    let error = try #require(await refusal(of: file))
    #expect(error.code == .replaced, "\(error)")
    #expect(error.outcome == .notApplied)
    #expect(try [UInt8](contentsOf: test.database) == cut)
    try overwrite(with: whole)
    try await file.write(insertNumber(4002))
    #expect(try test.numbersInFile() == Array(1001...4002))
    #expect(try test.integrity() == "ok")
    await file.close()
  }

  @Test func anOverwrittenHeaderStopsWritingAndClosingChangesNothing_B03_B04() async throws {
    let (file, _) = try await fileWithABackup()
    try overwrite(with: [UInt8](repeating: 0, count: 100), keepingTheRest: true)
    let overwritten = try [UInt8](contentsOf: test.database)
    #expect(await refusal(of: file)?.code == .replaced)
    await file.close()
    #expect(try [UInt8](contentsOf: test.database) == overwritten)
  }

  @Test func aBodyUnderWhichTheFileIsCutIsNotAcknowledged_B03() async throws {
    let (file, _) = try await fileWithABackup()
    let path = test.database
    do {
      try await file.write { db in
        try insertNumber(999)(db)
        #expect(unsafe truncate(path, 0) == 0)
      }
      Issue.record("a write into a file that was cut to nothing was acknowledged")
    } catch let error as StoreError {
      #expect(error.outcome == .unknown, "\(error)")
    }
    await file.close()
  }

  /// What was committed since the copy was made is in the -wal: laid over the copy it would damage it.
  @Test(arguments: [false, true])
  func aBackupCopiedOntoALiveFileIsTakenUpWithoutTheStaleWAL_B03_B04(removingSidecars: Bool) async throws {
    let (file, backup) = try await fileWithABackup()
    try overwrite(with: backup)
    if removingSidecars {
      for sidecar in ["-wal", "-shm"] { _ = unsafe unlink(test.database + sidecar) }
    }
    try await file.write(insertNumber(400))
    #expect(
      try await file.read { try Int.fetchAll($0, sql: "SELECT value FROM number") } == [
        1001, 1002, 1003, 400,
      ])
    #expect(try test.numbersInFile() == [1001, 1002, 1003, 400])
    #expect(try test.integrity() == "ok")
    await file.close()
    #expect(try test.numbersInFile() == [1001, 1002, 1003, 400])
  }

  /// Another process that has the file open writes first after the copy: both take it up.
  @Test func aBackupCopiedUnderTwoProcessesIsTakenUpByBoth_B03() async throws {
    let (file, backup) = try await fileWithABackup()
    let other = try test.start(.holdTurn, first: 500)
    try await other.arrival(at: "start")
    try overwrite(with: backup)
    try await file.write(insertNumber(400))
    other.open("start")
    try await other.pass("inside")
    // Its first attempt may have met the old files; then it is run once more.
    other.open("inside")
    #expect(await other.word() == "written")
    #expect(await other.end() == .exited(0))
    try await file.write(insertNumber(401))
    #expect(try test.numbersInFile() == [1001, 1002, 1003, 400, 500, 401])
    #expect(try test.integrity() == "ok")
    await file.close()
  }
}
