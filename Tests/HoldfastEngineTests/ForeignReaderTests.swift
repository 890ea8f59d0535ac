// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

@Suite struct ForeignReaderTests {
  private func foreignFile(_ directory: TemporaryDirectory, mode: String) throws -> ForeignConnection {
    let foreign = try ForeignConnection(directory.file("f.db"))
    try foreign.run("PRAGMA journal_mode = \(mode); CREATE TABLE note(id INTEGER PRIMARY KEY, text TEXT)")
    try foreign.run("INSERT INTO note(text) VALUES ('old')")
    return foreign
  }

  @Test(arguments: ["WAL", "DELETE"])
  func aFileOfAnotherProgramIsReadAndLeftAsItWas(mode: String) async throws {
    let directory = try TemporaryDirectory()
    let foreign = try foreignFile(directory, mode: mode)
    let bytes = try [UInt8](contentsOf: directory.file("f.db"))
    let reader = try ForeignReader(directory.file("f.db"))
    #expect(try await reader.read(countNotes) == 1)
    await #expect { try await reader.read { try $0.execute(sql: "DELETE FROM note") } } throws: {
      $0 is StoreError
    }
    #expect(try [UInt8](contentsOf: directory.file("f.db")) == bytes)
    try foreign.run("INSERT INTO note(text) VALUES ('new')")
    #expect(try await reader.read(countNotes) == 2)
  }

  /// A writer in DELETE mode that spilled pages holds the file exclusively: the read waits its patience,
  /// says who, and works once the writer has committed. Nothing is rolled back.
  @Test func aLiveWritersTransactionIsNeverRecovered_C02() async throws {
    let directory = try TemporaryDirectory()
    let foreign = try foreignFile(directory, mode: "DELETE")
    try foreign.run("PRAGMA cache_size = 2; BEGIN IMMEDIATE")
    try foreign.run(
      """
      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
      INSERT INTO note(text) SELECT hex(zeroblob(2000)) FROM n
      """)
    #expect(FileManager.default.fileExists(atPath: directory.file("f.db-journal")))
    let reader = try ForeignReader(directory.file("f.db"), patience: .milliseconds(50))
    await #expect { try await reader.read(countNotes) } throws: { error in
      guard let error = error as? StoreError else { return false }
      return error.code == .transient && error.holders.contains { $0.pid == getpid() }
    }
    try foreign.run("COMMIT")
    #expect(try await reader.read(countNotes) == 501)
  }

  @Test func aDriverThatFailsOnceWithAHotJournalIsAskedAgain_C02() throws {
    var calls = 0
    let value = try ForeignReader.attempt(path: "/f.db", deadline: .now + .seconds(10)) { _ in
      calls += 1
      if calls == 1 {
        throw DatabaseError(resultCode: ResultCode(rawValue: 776), message: "attempt to write")
      }
      return calls
    }
    #expect(value == 2)
  }

  @Test func lastingTroubleIsNotTakenForAPassingOne() {
    let now = ContinuousClock.now
    var retries = TransientRetries(deadline: now + .seconds(1))
    #expect(retries.failed(with: 11, at: now) == .notPassing)
    #expect(retries.failed(with: 26, at: now) == .notPassing)
    #expect(retries.failed(with: 1, at: now) == .notPassing)
    for code: Int32 in [5, 261, 264, 520, 776, 1288, 14, 10, 4618] {
      #expect(retries.failed(with: code, at: now) != .notPassing)
    }
    #expect(retries.failed(with: 776, at: now + .seconds(1)) == .giveUp)
    #expect(retries.failed(with: 14, at: now + .seconds(1)) == .notPassing)
  }

  /// Read-only opens beside a loop that closes, so deletes, and recreates the WAL.
  @Test func opensBesideWALResetsNeverFail_C04() async throws {
    let directory = try TemporaryDirectory()
    _ = try foreignFile(directory, mode: "WAL")
    let done = Task {
      for round in 0..<60 {
        try await BlockingThread.run(named: "test-peer") {
          let peer = try ForeignConnection(directory.file("f.db"), busyTimeout: 5000)
          try peer.run("INSERT INTO note(text) VALUES ('\(round)'); PRAGMA wal_checkpoint(TRUNCATE)")
        }
      }
    }
    let reader = try ForeignReader(directory.file("f.db"))
    var last = 0
    while last < 61 {
      let count = try await reader.read(countNotes)
      #expect(count >= last)
      last = count
    }
    try await done.value
  }
}
