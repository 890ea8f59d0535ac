// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

/// A large WAL is folded back beside its writers, and nothing is lost of what they write meanwhile.
@Suite(.serialized) struct BacklogFoldTests {
  private static let wide = String(repeating: "x", count: 4000)

  private func count(_ path: String) throws -> Int {
    try Int(ForeignConnection(path).text("SELECT count(*) FROM note") ?? "") ?? -1
  }

  private func integrity(_ path: String) throws -> String? {
    try ForeignConnection(path).text("PRAGMA integrity_check")
  }

  private func connections(_ path: String) throws -> (pin: DatabaseQueue, checkpointer: DatabaseQueue) {
    let patience = BusyPatience()
    return (
      try Connection.open(path, as: .reader, configuration: .init(), patience: patience),
      try Connection.open(path, as: .checkpointer, configuration: .init(), patience: patience)
    )
  }

  /// The steps that lose rows on plain SQLite (`theWALResetBugLosesRowsOnPlainSQLite_B12`): between the fold's look at
  /// the WAL's header and its work everything is folded by somebody else, and a writer commits.
  @Test(arguments: [true, false])
  func aWriterInTheMiddleOfAFoldLosesNothing_B12(isFoldedBefore: Bool) async throws {
    let directory = try TemporaryDirectory()
    let file = try await StateFile.open(directory.file("ours.db"), migrations: notes)
    let path = file.path
    let (pin, checkpointer) = try connections(path)
    let foreign = try ForeignConnection(path)
    try foreign.run("PRAGMA wal_autocheckpoint = 0")
    let window = try checkpointer.inDatabase { db in
      _ = try Int.fetchOne(db, sql: "SELECT count(*) FROM note")
      return unsafe CheckpointWindow(connection: db.sqliteConnection!)
    }
    for _ in 0..<8 { try await file.write(insertNote(Self.wide)) }
    var written = 8
    // Then the fold's reader needs nothing of the WAL, and a writer may start it over.
    if isFoldedBefore { _ = try await file.checkpoint() }
    window.atNextCheckpoint {
      do {
        try ForeignConnection(path).run("PRAGMA wal_checkpoint(PASSIVE)")
        try foreign.run("INSERT INTO note(text) VALUES ('\(Self.wide)')")
        written += 1
      } catch {
        Issue.record("\(error)")
      }
    }
    _ = try BacklogFold.round(pin: pin, checkpointer: checkpointer)
    #expect(window.wasEntered)
    window.close()
    for _ in 0..<40 {
      try foreign.run("INSERT INTO note(text) VALUES ('later')")
      written += 1
    }
    #expect(try count(path) == written)
    #expect(try integrity(path) == "ok")
    try checkpointer.close()
    try pin.close()
    await file.close()
  }

  /// While it folds, the turn is free: a write is committed in the middle of a round.
  @Test func writersGoOnWhileABacklogIsFolded_A12() async throws {
    let directory = try TemporaryDirectory()
    let file = try await StateFile.open(
      directory.file("ours.db"), configuration: .init(durability: .processDeathOnly), migrations: notes)
    for _ in 0..<8 { try await file.write(insertNote(Self.wide)) }
    let (pin, checkpointer) = try connections(file.path)
    let window = try checkpointer.inDatabase { db in
      _ = try Int.fetchOne(db, sql: "SELECT count(*) FROM note")
      return unsafe CheckpointWindow(connection: db.sqliteConnection!)
    }
    try await file.write(insertNote(Self.wide))
    let inside = DispatchSemaphore(value: 0)
    let wrote = DispatchSemaphore(value: 0)
    window.atNextCheckpoint {
      inside.signal()
      wrote.wait()
    }
    let folding = Task {
      try await BlockingThread.run(named: "fold") {
        try BacklogFold.round(pin: pin, checkpointer: checkpointer)
      }
    }
    try await BlockingThread.run(named: "gate") { inside.wait() }
    try await file.write(insertNote("meanwhile"))
    wrote.signal()
    let report = try await folding.value
    #expect(try #require(report).foldedPages > 0)
    window.close()
    #expect(try count(file.path) == 10)
    try checkpointer.close()
    try pin.close()
    await file.close()
  }

  /// The handle is closed while the fold is under way, over and over; every row is there.
  @Test func aCloseInTheMiddleOfAFoldLosesNothing_B09() async throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("ours.db")
    let text = String(repeating: "x", count: 100_000)
    var written = 0
    for _ in 0..<12 {
      let file = try await StateFile.open(
        path, configuration: .init(durability: .processDeathOnly), migrations: notes)
      let reader = try ForeignConnection(path)
      try reader.run("BEGIN")
      _ = try reader.text("SELECT count(*) FROM note")
      for _ in 0..<60 {
        try await file.write(insertNote(text))
        written += 1
      }
      try reader.run("COMMIT")
      try await file.write(insertNote("starts a fold"))
      written += 1
      await file.close()
    }
    #expect(try count(path) == written)
    #expect(try integrity(path) == "ok")
  }
}
