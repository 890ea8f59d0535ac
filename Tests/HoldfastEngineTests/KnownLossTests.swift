// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import GRDBSQLite
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

/// Two ways in which plain SQLite loses committed rows. Each is shown to lose them here, on the library that
/// is linked, so that the same steps through the engine prove something.
@Suite(.serialized) struct KnownLossTests {
  private static let rowOfManyPages = String(repeating: "x", count: 4000)

  /// Foreign writers of one row each, in one page-sized frame or two.
  private func write(_ text: String, through writer: ForeignConnection) throws {
    try writer.run("INSERT INTO note(text) VALUES ('\(text)')")
  }

  private func count(_ path: String) throws -> Int {
    try Int(ForeignConnection(path).text("SELECT count(*) FROM note") ?? "") ?? -1
  }

  /// The WAL restarts between a checkpoint's look at its header and its work.
  @Test func theWALResetBugLosesRowsOnPlainSQLite_B12() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("plain.db")
    let writer = try ForeignConnection(path)
    try writer.run("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0")
    try writer.run("CREATE TABLE note(id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
    let checkpointer = try ForeignConnection(path)
    try checkpointer.run("PRAGMA wal_autocheckpoint = 0; PRAGMA wal_checkpoint(PASSIVE)")
    let window = unsafe CheckpointWindow(connection: checkpointer.rawHandle)
    var written = 0
    for _ in 0..<8 {
      try write(Self.rowOfManyPages, through: writer)
      written += 1
    }
    // Everything is folded back by another connection: the next writer may restart the WAL.
    try ForeignConnection(path).run("PRAGMA wal_checkpoint(PASSIVE)")
    window.atNextCheckpoint {
      // Exactly what a writer does at any time: one committed row, in a WAL that starts over.
      do {
        try writer.run("INSERT INTO note(text) VALUES ('\(Self.rowOfManyPages)')")
        written += 1
      } catch {
        Issue.record("\(error)")
      }
    }
    try checkpointer.run("PRAGMA wal_checkpoint(PASSIVE)")
    #expect(window.wasEntered)
    window.close()
    // What the stale checkpoint marked as folded back and was not is missing now: rows, or whole pages of
    // the table's tree, and then the file is malformed.
    let survived: Bool
    do {
      for _ in 0..<40 {
        try write("later", through: writer)
        written += 1
      }
      survived = try count(path) == written && ForeignConnection(path).text("PRAGMA integrity_check") == "ok"
    } catch let error as ForeignConnection.Failure where error.code & 0xff == SQLITE_CORRUPT {
      survived = false
    }
    // A library with the fix must lose nothing; one without must, or the probe proves nothing.
    #expect(survived != CheckpointWindow.linkedSQLiteIsAffected)
  }

  @Test func theSameCheckpointThroughTheEngineLosesNothing_B12() async throws {
    let directory = try TemporaryDirectory()
    let file = try await StateFile.open(directory.file("ours.db"), migrations: notes)
    let path = file.path
    for _ in 0..<8 { try await file.write(insertNote(Self.rowOfManyPages)) }
    var written = 8
    let patience = BusyPatience()
    let writer = try Connection.open(path, as: .writer, configuration: .init(), patience: patience)
    var checkpointer = Checkpointer(path: path, configuration: .init())
    let connection = try checkpointer.connection
    let window = try connection.inDatabase { db in
      _ = try Int.fetchOne(db, sql: "SELECT count(*) FROM note")
      return unsafe CheckpointWindow(connection: db.sqliteConnection!)
    }
    try await file.write(insertNote(Self.rowOfManyPages))
    written += 1
    _ = try await file.checkpoint()
    let foreign = try ForeignConnection(path)
    var refused = false
    window.atNextCheckpoint {
      do {
        try foreign.run("INSERT INTO note(text) VALUES ('in the window')")
        written += 1
      } catch {
        // Nobody can write, so nobody can restart the WAL: the writer lock is taken.
        refused = true
      }
    }
    _ = try checkpointer.run(beside: writer)
    #expect(window.wasEntered)
    window.close()
    #expect(refused)
    for _ in 0..<40 {
      try foreign.run("INSERT INTO note(text) VALUES ('later')")
      written += 1
    }
    #expect(try count(path) == written)
    checkpointer.close()
    try writer.close()
    await file.close()
  }

  /// Any close of the file drops the process's POSIX locks; a sibling that opens and closes it then takes
  /// itself for the last one and unlinks the live -wal.
  @Test func aStrayCloseLosesRowsOnPlainSQLite_B01() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("plain.db")
    let writer = try ForeignConnection(path)
    try writer.run("PRAGMA journal_mode = WAL; CREATE TABLE note(id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
    try write("first", through: writer)
    close(unsafe open(path, O_RDONLY))
    try runSibling(path)
    #expect(!FileManager.default.fileExists(atPath: path + "-wal"))
    try write("second", through: writer)
    // The insert returned OK, and no other connection will ever see it.
    #expect(try runSibling(path) == "1")
  }

  @Test func theSameStrayCloseUnderTheEngineLosesNothing_B01() async throws {
    let directory = try TemporaryDirectory()
    let file = try await StateFile.open(directory.file("ours.db"), migrations: notes)
    try await file.write(insertNote("first"))
    close(unsafe open(file.path, O_RDONLY))
    try runSibling(file.path)
    #expect(FileManager.default.fileExists(atPath: file.path + "-wal"))
    try await file.write(insertNote("second"))
    #expect(try runSibling(file.path) == "2")
    await file.close()
  }

  /// Counts the rows in another process, which opens the file and closes it.
  @discardableResult
  private func runSibling(_ path: String) throws -> String {
    let sibling = Process()
    sibling.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    sibling.arguments = ["sqlite3", path, "SELECT count(*) FROM note"]
    let output = Pipe()
    sibling.standardOutput = output
    try sibling.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    sibling.waitUntilExit()
    #expect(sibling.terminationStatus == 0)
    return text.trimmingCharacters(in: .whitespacesAndNewlines)
  }
}
