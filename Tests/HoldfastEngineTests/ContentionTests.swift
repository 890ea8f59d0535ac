// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

@Suite struct ContentionTests {
  /// Two transactions that read first and write later: the foreign one, deferred, loses with 517 whatever
  /// its timeout; ours has the write lock from its first statement.
  @Test func readThenWriteNeverMeetsAStaleSnapshot_A01() async throws {
    let directory = try TemporaryDirectory()
    let file = try await StateFile.open(directory.file("a.db"), migrations: notes)
    let foreign = try ForeignConnection(file.path, busyTimeout: 5000)
    try foreign.run("BEGIN")
    _ = try foreign.text("SELECT count(*) FROM note")
    try await file.write { db in
      _ = try countNotes(db)
      // Our transaction is IMMEDIATE, so nobody can write between our read and our write.
      let impatient = try ForeignConnection(file.path)
      #expect(throws: ForeignConnection.Failure.self) {
        try impatient.run("INSERT INTO note(text) VALUES ('x')")
      }
      try insertNote("ours")(db)
    }
    #expect {
      try foreign.run("INSERT INTO note(text) VALUES ('theirs')")
    } throws: {
      ($0 as? ForeignConnection.Failure)?.code == 517
    }
    try foreign.run("ROLLBACK")
    #expect(try await file.read(countNotes) == 1)
    await file.close()
  }

  @Test func aForeignLockIsWaitedOutAndADeadlineNamesItsHolder_A03_A16() async throws {
    let directory = try TemporaryDirectory()
    let file = try await StateFile.open(directory.file("a.db"), migrations: notes)
    let foreign = try ForeignConnection(file.path)
    try foreign.run("BEGIN EXCLUSIVE")
    let patient = Task { try await file.write(insertNote("patient")) }
    await #expect {
      try await file.write(within: .milliseconds(30), insertNote("impatient"))
    } throws: { error in
      guard let error = error as? StoreError else { return false }
      return error.code == .deadline && error.outcome == .notApplied
        && error.holders.contains { $0.pid == getpid() && $0.lock == "the WAL write lock" }
    }
    #expect(await eventually { file.status().waitingWrites == 1 })
    try foreign.run("COMMIT")
    try await patient.value
    #expect(try await file.read { try String.fetchAll($0, sql: "SELECT text FROM note") } == ["patient"])
    await file.close()
  }

  @Test func openingWaitsForALockLikeWritingDoes_A04() async throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("a.db")
    await (try StateFile.open(path)).close()
    let foreign = try ForeignConnection(path)
    try foreign.run("BEGIN IMMEDIATE")
    let opening = Task { try await StateFile.open(path, migrations: notes) }
    await #expect {
      // The task above has the turn and waits for the lock: this one's own patience ends.
      try await StateFile.open(
        directory.file("a.db"), configuration: .init(patience: .milliseconds(30)), migrations: notes)
    } throws: { ($0 as? StoreError)?.code == .deadline }
    try foreign.run("COMMIT")
    let file = try await opening.value
    try await file.write(insertNote("open"))
    #expect(try await file.read(countNotes) == 1)
    await file.close()
  }

  /// The queue stands behind the foreign holder, and the one who only wants to read does not stand in it.
  @Test func aFileThatNeedsNothingDoneOpensWhileItIsLocked_A04() async throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("a.db")
    await (try StateFile.open(path, migrations: notes)).close()
    let lane = try WriteLane(databasePath: path)
    #expect(try lane.tryEnter())
    let foreign = try ForeignConnection(path)
    try foreign.run("BEGIN EXCLUSIVE")
    let file = try await StateFile.open(path, migrations: notes)
    #expect(try await file.read(countNotes) == 0)
    try foreign.run("COMMIT")
    lane.leave()
    try await file.write(insertNote("later"))
    await file.close()
  }

  @Test func everySpellingOfAPathLeadsToOneWriter_A09() async throws {
    let directory = try TemporaryDirectory()
    let manager = FileManager.default
    try manager.createDirectory(atPath: directory.file("sub"), withIntermediateDirectories: false)
    try manager.createSymbolicLink(atPath: directory.file("link"), withDestinationPath: directory.file("sub"))
    let first = try await StateFile.open(directory.file("sub/a.db"), migrations: notes)
    try manager.createSymbolicLink(
      atPath: directory.file("alias.db"), withDestinationPath: directory.file("sub/a.db"))
    let up = String(repeating: "../", count: manager.currentDirectoryPath.split(separator: "/").count)
    let spellings = [
      directory.file("link/a.db"), directory.file("sub/../sub/./a.db"), directory.file("alias.db"),
      up + first.path.dropFirst(),
    ]
    var handles = [first]
    for spelling in spellings { handles.append(try await StateFile.open(spelling, migrations: notes)) }
    #expect(Set(handles.map(\.path)) == [first.path])
    for handle in handles { try await handle.write(insertNote("one writer")) }
    // The guard and the writer's connection: no other descriptor is open on the database.
    #expect(try OpenDescriptors.count(of: first.path) == 2)
    for handle in handles { await handle.close() }
    #expect(try OpenDescriptors.count(of: first.path) == 0)
  }

  @Test func concurrentCallersShareCommitsAndAFailingOneCostsNobody_A10() async throws {
    struct Unlucky: Error {}
    let directory = try TemporaryDirectory()
    let file = try await StateFile.open(directory.file("a.db"), migrations: notes)
    let commitsBefore = try await file.read { try Int.fetchOne($0, sql: "PRAGMA data_version") }
    #expect(commitsBefore != nil)
    let failures = await withTaskGroup(of: Int.self) { group in
      for task in 0..<64 {
        group.addTask {
          var failures = 0
          for round in 0..<20 {
            do {
              try await file.write { db in
                try insertNote("\(task)/\(round)")(db)
                if round % 64 == task % 20 { throw Unlucky() }
              }
            } catch is Unlucky {
              failures += 1
            } catch {
              Issue.record("\(error)")
            }
          }
          return failures
        }
      }
      return await group.reduce(0, +)
    }
    #expect(failures == 64)
    let rows = try await file.read { try String.fetchAll($0, sql: "SELECT text FROM note") }
    #expect(rows.count == 64 * 19)
    #expect(Set(rows).count == rows.count)
    await file.close()
  }

  /// SQLite rolls the whole transaction back when the disk is full: the neighbours of the one who filled it
  /// are run again and lose nothing.
  @Test func aCallerThatFillsTheDiskCostsItsNeighboursNothing_A10() async throws {
    let directory = try TemporaryDirectory()
    let file = try await StateFile.open(directory.file("a.db"), migrations: notes)
    try await file.write { db in try db.execute(sql: "PRAGMA max_page_count = 40") }
    let foreign = try ForeignConnection(file.path)
    try foreign.run("BEGIN IMMEDIATE")
    let small = (0..<8).map { number in Task { try await file.write(insertNote("small \(number)")) } }
    let huge = Task { try await file.write(insertNote(String(repeating: "x", count: 1 << 20))) }
    let later = (8..<16).map { number in Task { try await file.write(insertNote("small \(number)")) } }
    #expect(await eventually { file.status().waitingWrites == 17 })
    try foreign.run("ROLLBACK")
    await #expect { try await huge.value } throws: {
      ($0 as? StoreError)?.code == .diskFull && ($0 as? StoreError)?.outcome == .notApplied
    }
    for task in small + later { try await task.value }
    #expect(try await file.read(countNotes) == 16)
    await file.close()
  }

  /// A deferred constraint fails at COMMIT, when it is not known who broke it.
  @Test func aDeferredConstraintFailsOnlyTheOneWhoBrokeIt_A10() async throws {
    let directory = try TemporaryDirectory()
    var migrator = notes
    migrator.registerMigration("reply") { db in
      try db.execute(
        sql: """
          CREATE TABLE reply(
            id INTEGER PRIMARY KEY, note INTEGER REFERENCES note(id) DEFERRABLE INITIALLY DEFERRED) STRICT
          """)
    }
    let file = try await StateFile.open(directory.file("a.db"), migrations: migrator)
    let foreign = try ForeignConnection(file.path)
    try foreign.run("BEGIN IMMEDIATE")
    let good = (0..<4).map { number in Task { try await file.write(insertNote("\(number)")) } }
    let bad = Task { try await file.write { try $0.execute(sql: "INSERT INTO reply(note) VALUES (4711)") } }
    #expect(await eventually { file.status().waitingWrites == 5 })
    try foreign.run("ROLLBACK")
    await #expect { try await bad.value } throws: {
      ($0 as? StoreError)?.code == .constraint && ($0 as? StoreError)?.outcome == .notApplied
    }
    for task in good { try await task.value }
    #expect(try await file.read(countNotes) == 4)
    await file.close()
  }

  @Test func aCallerCancelledBeforeItsTurnIsNotRun() async throws {
    let directory = try TemporaryDirectory()
    let file = try await StateFile.open(directory.file("a.db"), migrations: notes)
    let foreign = try ForeignConnection(file.path)
    try foreign.run("BEGIN IMMEDIATE")
    let cancelled = Task { try await file.write(insertNote("never")) }
    #expect(await eventually { file.status().waitingWrites == 1 })
    cancelled.cancel()
    await #expect { try await cancelled.value } throws: { ($0 as? StoreError)?.code == .cancelled }
    try foreign.run("ROLLBACK")
    try await file.write(insertNote("after"))
    #expect(try await file.read { try String.fetchAll($0, sql: "SELECT text FROM note") } == ["after"])
    await file.close()
  }

  @Test func aSlowBodyAheadDoesNotStopTheDeadlinesBehindIt() async throws {
    let directory = try TemporaryDirectory()
    let file = try await StateFile.open(directory.file("a.db"), migrations: notes)
    let entered = DispatchSemaphore(value: 0)
    let mayLeave = DispatchSemaphore(value: 0)
    let slow = Task {
      try await file.write { db in
        entered.signal()
        mayLeave.wait()
        try insertNote("slow")(db)
      }
    }
    await BlockingWait.on(entered)
    await #expect {
      try await file.write(within: .milliseconds(20), insertNote("late"))
    } throws: { ($0 as? StoreError)?.code == .deadline }
    mayLeave.signal()
    try await slow.value
    #expect(try await file.read(countNotes) == 1)
    await file.close()
  }

  @Test func readsDoNotWaitForWriters() async throws {
    let directory = try TemporaryDirectory()
    let file = try await StateFile.open(directory.file("a.db"), migrations: notes)
    try await file.write(insertNote("old"))
    let foreign = try ForeignConnection(file.path)
    try foreign.run("BEGIN EXCLUSIVE")
    try foreign.run("INSERT INTO note(text) VALUES ('new')")
    #expect(try await file.read(countNotes) == 1)
    try foreign.run("COMMIT")
    #expect(try await file.read(countNotes) == 2)
    await file.close()
  }
}

/// Waits for a semaphore off the cooperative pool.
enum BlockingWait {
  static func on(_ semaphore: DispatchSemaphore) async {
    await withCheckedContinuation { continuation in
      BlockingThread.start(named: "test-wait") {
        semaphore.wait()
        continuation.resume()
      }
    }
  }
}
