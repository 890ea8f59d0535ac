// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

@Suite struct GenerationTests {
  private func notesInFile(_ path: String) throws -> [String] {
    let foreign = try ForeignConnection(path, busyTimeout: 5000)
    return try foreign.text("SELECT group_concat(text, ',') FROM (SELECT text FROM note ORDER BY id)")?
      .split(separator: ",").map(String.init) ?? []
  }

  /// An unlinked -wal takes every later commit with it, although each of them "succeeds".
  @Test func aWALUnlinkedUnderAWriterCostsNothing_B02() async throws {
    let directory = try TemporaryDirectory()
    let file = try await StateFile.open(directory.file("a.db"), migrations: notes)
    var expected: [String] = []
    for round in 0..<20 {
      try await file.write(insertNote("before \(round)"))
      try FileManager.default.removeItem(atPath: file.path + "-wal")
      try await file.write(insertNote("after \(round)"))
      expected += ["before \(round)", "after \(round)"]
    }
    #expect(
      try await file.read { try String.fetchAll($0, sql: "SELECT text FROM note ORDER BY id") } == expected)
    #expect(try notesInFile(file.path) == expected)
    #expect(try ForeignConnection(file.path).text("PRAGMA integrity_check") == "ok")
    await file.close()
  }

  @Test func aWALUnlinkedDuringABatchIsNoticedBeforeItIsAcknowledged_B02() async throws {
    let directory = try TemporaryDirectory()
    let file = try await StateFile.open(directory.file("a.db"), migrations: notes)
    try await file.write(insertNote("first"))
    try await file.write { db in
      try insertNote("second")(db)
      try FileManager.default.removeItem(atPath: file.path + "-wal")
    }
    #expect(try notesInFile(file.path) == ["first", "second"])
    await file.close()
  }

  @Test func bothSidecarsUnlinkedWhileIdleAreSavedBeforeClosing_B02() async throws {
    let directory = try TemporaryDirectory()
    let file = try await StateFile.open(directory.file("a.db"), migrations: notes)
    try await file.write(insertNote("only in the wal"))
    try FileManager.default.removeItem(atPath: file.path + "-wal")
    try FileManager.default.removeItem(atPath: file.path + "-shm")
    await file.close()
    #expect(try notesInFile(directory.file("a.db")) == ["only in the wal"])
  }

  @Test func aWALReplacedByGarbageIsSetAsideAndCostsNothing_B02() async throws {
    let directory = try TemporaryDirectory()
    let file = try await StateFile.open(directory.file("a.db"), migrations: notes)
    try await file.write(insertNote("first"))
    try [UInt8](repeating: 7, count: 9000).write(to: directory.file("garbage"))
    #expect(unsafe rename(directory.file("garbage"), file.path + "-wal") == 0)
    try await file.write(insertNote("second"))
    #expect(try notesInFile(file.path) == ["first", "second"])
    let names = try FileManager.default.contentsOfDirectory(atPath: directory.path)
    #expect(names.contains { $0.hasPrefix("a.db-wal.set-aside-") })
    await file.close()
  }

  @Test func manyWritersSurviveAWALThatIsUnlinkedAgainAndAgain_B02() async throws {
    let directory = try TemporaryDirectory()
    let file = try await StateFile.open(directory.file("a.db"), migrations: notes)
    await withTaskGroup(of: Void.self) { group in
      for task in 0..<8 {
        group.addTask {
          for round in 0..<25 {
            do {
              try await file.write(insertNote("\(task).\(round)"))
            } catch {
              Issue.record("\(error)")
            }
          }
        }
      }
      group.addTask {
        for _ in 0..<50 {
          _ = unsafe unlink(file.path + "-wal")
          await Task.yield()
        }
      }
    }
    let rows = try notesInFile(file.path)
    #expect(Set(rows).count == rows.count)
    #expect(rows.count == 200)
    #expect(try ForeignConnection(file.path).text("PRAGMA integrity_check") == "ok")
    await file.close()
  }

  /// The old -wal beside a restored database would be replayed into it.
  @Test func aReplacedDatabaseIsReopenedAndTheStaleWALStaysOut_B03_B04() async throws {
    let directory = try TemporaryDirectory()
    let file = try await StateFile.open(directory.file("a.db"), migrations: notes)
    let other = try await StateFile.open(directory.file("b.db"), migrations: notes)
    try await other.write(insertNote("restored"))
    _ = try await other.checkpoint()
    await other.close()
    for sidecar in ["-wal", "-shm"] { _ = unsafe unlink(directory.file("b.db") + sidecar) }
    for round in 0..<5 { try await file.write(insertNote("old \(round)")) }
    #expect(unsafe rename(directory.file("b.db"), file.path) == 0)
    try await file.write(insertNote("new"))
    #expect(try notesInFile(file.path) == ["restored", "new"])
    #expect(
      try await file.read { try String.fetchAll($0, sql: "SELECT text FROM note ORDER BY id") } == [
        "restored", "new",
      ])
    #expect(try ForeignConnection(file.path).text("PRAGMA integrity_check") == "ok")
    await file.close()
  }

  @Test func closingWhileTheDatabaseIsReplacedLeavesTheNewOneByteIdentical_B04() async throws {
    let directory = try TemporaryDirectory()
    let file = try await StateFile.open(directory.file("a.db"), migrations: notes)
    let other = try ForeignConnection(directory.file("b.db"))
    try other.run("CREATE TABLE other(x); INSERT INTO other VALUES (1)")
    try await file.write(insertNote("old"))
    #expect(unsafe rename(directory.file("b.db"), file.path) == 0)
    let bytes = try [UInt8](contentsOf: file.path)
    await file.close()
    #expect(try [UInt8](contentsOf: directory.file("a.db")) == bytes)
  }

  @Test func aDeletedDatabaseIsNotRecreatedAndWritingWorksOnceItIsBack_C17() async throws {
    let directory = try TemporaryDirectory()
    let file = try await StateFile.open(directory.file("a.db"), migrations: notes)
    try await file.write(insertNote("kept"))
    #expect(unsafe rename(file.path, directory.file("moved.db")) == 0)
    await #expect { try await file.write(insertNote("lost")) } throws: {
      ($0 as? StoreError)?.code == .replaced
    }
    #expect(!FileManager.default.fileExists(atPath: file.path))
    #expect(unsafe rename(directory.file("moved.db"), file.path) == 0)
    try await file.write(insertNote("back"))
    #expect(try notesInFile(file.path) == ["kept", "back"])
    await file.close()
  }
}
