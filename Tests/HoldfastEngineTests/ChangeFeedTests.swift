// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastTestKit
import Testing

@Suite struct ChangeFeedTests {
  @Test func commitsOfThisProcessAndOfForeignOnesAreSeen() async throws {
    let directory = try TemporaryDirectory()
    let file = try await StateFile.open(directory.file("a.db"), migrations: notes)
    let foreign = try ForeignConnection(file.path, busyTimeout: 5000)
    var changes = try await file.changes().makeAsyncIterator()
    try await file.write(insertNote("ours"))
    let first = await changes.next()
    #expect(first != nil)
    try foreign.run("INSERT INTO note(text) VALUES ('theirs')")
    let second = await changes.next()
    #expect(second != nil)
    #expect(first != second)
    await file.close()
    #expect(await changes.next() == nil)
  }

  @Test func aRolledBackTransactionIsNoChange() async throws {
    let directory = try TemporaryDirectory()
    let file = try await StateFile.open(directory.file("a.db"), migrations: notes)
    let foreign = try ForeignConnection(file.path, busyTimeout: 5000)
    var changes = try await file.changes().makeAsyncIterator()
    try foreign.run("BEGIN IMMEDIATE; INSERT INTO note(text) VALUES ('never'); ROLLBACK")
    try await file.write(insertNote("kept"))
    _ = await changes.next()
    #expect(try await file.read(countNotes) == 1)
    await file.close()
    #expect(await changes.next() == nil)
  }

  @Test func manyListenersOnOneFileAllHearOfIt() async throws {
    let directory = try TemporaryDirectory()
    let file = try await StateFile.open(directory.file("a.db"), migrations: notes)
    let streams = [try await file.changes(), try await file.changes(), try await file.changes()]
    let listening = streams.map { stream in
      Task {
        for await _ in stream { return true }
        return false
      }
    }
    try await file.write(insertNote("x"))
    for task in listening { #expect(await task.value) }
    await file.close()
  }

  /// The watch is on the directory: no descriptor is opened on the database beyond the guard's, the writer's
  /// and the feed's own SQLite connection (row B01).
  @Test func listeningOpensNothingButAnSQLiteConnection_B01() async throws {
    let directory = try TemporaryDirectory()
    let file = try await StateFile.open(directory.file("a.db"), migrations: notes)
    let before = try OpenDescriptors.count(of: file.path)
    let stream = try await file.changes()
    #expect(try OpenDescriptors.count(of: file.path) == before + 1)
    await file.close()
    for await _ in stream {}
    #expect(try OpenDescriptors.count(of: file.path) == 0)
  }
}
