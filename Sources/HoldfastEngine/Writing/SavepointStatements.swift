// SPDX-License-Identifier: Apache-2.0

import GRDB
import GRDBSQLite

/// The three savepoint statements of a batch, prepared once: no SQL text is parsed per caller.
///
/// They go around GRDB's statement layer, which would parse, authorise and track each of them; what GRDB
/// tracks savepoints for (transaction observers) is not offered on the engine's connections.
@safe final class SavepointStatements {
  private let open: OpaquePointer
  private let release: OpaquePointer
  private let rollback: OpaquePointer

  init(_ db: Database) throws {
    unsafe open = try Self.prepare("SAVEPOINT holdfast_caller", db)
    unsafe release = try Self.prepare("RELEASE holdfast_caller", db)
    unsafe rollback = try Self.prepare("ROLLBACK TO holdfast_caller", db)
  }

  /// Ends the statements; to be called once, before the connection is closed.
  func finalize() {
    unsafe sqlite3_finalize(open)
    unsafe sqlite3_finalize(release)
    unsafe sqlite3_finalize(rollback)
  }

  /// Opens a savepoint inside the transaction.
  func begin() throws { try unsafe Self.step(open) }

  /// Makes what was done since part of the transaction.
  func keep() throws { try unsafe Self.step(release) }

  /// Undoes what was done since, and ends the savepoint.
  func undo() throws {
    try unsafe Self.step(rollback)
    try unsafe Self.step(release)
  }

  private static func prepare(_ sql: String, _ db: Database) throws -> OpaquePointer {
    var statement: OpaquePointer?
    let code = unsafe sqlite3_prepare_v3(
      db.sqliteConnection, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil)
    guard code == SQLITE_OK, let statement = unsafe statement else {
      throw DatabaseError(resultCode: ResultCode(rawValue: code))
    }
    return unsafe statement
  }

  private static func step(_ statement: OpaquePointer) throws {
    _ = unsafe sqlite3_step(statement)
    // With a statement prepared by _v3 the reset returns the step's own extended code.
    let code = unsafe sqlite3_reset(statement)
    guard code == SQLITE_OK else { throw DatabaseError(resultCode: ResultCode(rawValue: code)) }
  }
}
