// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB

/// What one transaction of a drain does: apply the records and advance the cursors, both or neither.
///
/// The cursor table belongs to the database the records land in, so a commit whose outcome was lost (a kill,
/// an I/O error at COMMIT) is answered by reading it: a batch begins by comparing every cursor with where it
/// believes it to be, and writes nothing when one is elsewhere.
struct SpoolLanding: Sendable {
  /// A stretch of one segment.
  struct Slice: Sendable {
    let segment: String
    /// Where the cursor is believed to be; nil where that is not known (a segment just adopted).
    let from: Int?
    let to: Int
    /// The sequence due at `to`.
    let next: UInt64
  }

  enum Outcome: Sendable {
    /// Done. `hold` is the time the records took to apply; `rejected` says that the one record was set aside.
    case landed(hold: Duration, rejected: Bool)
    /// Nothing was written: these cursors are elsewhere.
    case moved([String: Cursor])
  }

  /// A row of the cursor table.
  struct Cursor: Sendable, Equatable {
    let position: Int
    let sequence: UInt64
  }

  typealias Apply = @Sendable (Database, [SpoolRecord]) throws -> Void

  let stream: String
  let directory: String
  let slices: [Slice]
  let records: [SpoolRecord]
  /// Segments whose files are gone for good: their rows are not needed any more.
  let forgotten: [String]
  /// Whether to look for rows left by processes that died between removing a file and forgetting its row.
  let sweep: (@Sendable ([String]) -> [String])?

  /// Runs in the write transaction; may be run again after a rollback.
  ///
  /// - Throws: ``ApplyFault`` when `apply` refused one of several records; anything else is the database's.
  func run(_ database: Database, apply: Apply) throws -> Outcome {
    try makeTables(database)
    var elsewhere: [String: Cursor] = [:]
    for slice in slices {
      let stored = try cursor(of: slice.segment, database)
      // A row that is missing means the beginning, or that foreign hands removed the file and somebody swept
      // the row: then what is remembered here is right.
      guard let stored, stored.position != slice.from else {
        continue
      }
      elsewhere[slice.segment] = stored
    }
    if !elsewhere.isEmpty { return .moved(elsewhere) }

    let start = ContinuousClock.now
    let rejected = try applyRecords(database, apply)
    let now = UnixTime.now().milliseconds
    let upsert = try database.cachedStatement(
      sql: """
        INSERT INTO holdfast_spool(segment, stream, directory, position, sequence, updated_ms)
        VALUES (?, ?, ?, ?, ?, ?)
        ON CONFLICT(segment) DO UPDATE
        SET position = excluded.position, sequence = excluded.sequence, updated_ms = excluded.updated_ms
        """)
    for slice in slices {
      try upsert.execute(arguments: [
        slice.segment, stream, directory, slice.to, Int64(bitPattern: slice.next), now,
      ])
    }
    try forget(database)
    return .landed(hold: start.duration(to: .now), rejected: rejected)
  }

  private func applyRecords(_ database: Database, _ apply: Apply) throws -> Bool {
    if records.isEmpty { return false }
    if records.count > 1 {
      do {
        try apply(database, records)
      } catch  where Self.isFaultOfRecord(error) {
        throw ApplyFault(underlying: error)
      }
      return false
    }
    var fault: (any Error)?
    try database.inSavepoint {
      do {
        try apply(database, records)
        return .commit
      } catch  where Self.isFaultOfRecord(error) {
        fault = error
        return .rollback
      }
    }
    guard let fault else { return false }
    let record = records[0]
    try database.execute(
      sql: """
        INSERT INTO holdfast_spool_rejected(
          segment, sequence, stream, payload, reason, appended_ms, rejected_ms)
        VALUES (?, ?, ?, ?, ?, ?, ?)
        """,
      arguments: [
        record.segment, Int64(bitPattern: record.sequence), stream, Data(record.payload),
        String(describing: fault),
        record.time.milliseconds, UnixTime.now().milliseconds,
      ])
    return true
  }

  /// Whether an error thrown by the caller's code is about the record, so that the rest can go on without it.
  ///
  /// Everything that is not SQLite's is. Of SQLite's errors those are that a statement or its values brought
  /// about; a lock, a full disk, damage or an interruption would meet any other record just the same.
  static func isFaultOfRecord(_ error: any Error) -> Bool {
    if let error = error as? StoreError { return [.constraint, .sql, .misuse].contains(error.code) }
    guard let error = error as? DatabaseError else { return !(error is CancellationError) }
    switch error.resultCode {
    case .SQLITE_NOMEM, .SQLITE_ABORT, .SQLITE_SCHEMA: return false
    default: break
    }
    switch ResultClass(extendedCode: error.extendedResultCode.rawValue) {
    case .constraint, .statement: return true
    default: return false
    }
  }
}

/// A record of a batch was refused by the code that applies it; nothing of the batch was written.
struct ApplyFault: Error {
  let underlying: any Error
}

// MARK: Tables

extension SpoolLanding {
  /// `CREATE TABLE IF NOT EXISTS` would empty GRDB's statement caches each time; asking first costs one
  /// cached statement. The tables are made where they are used because the database may be a new one at any
  /// time.
  private func makeTables(_ database: Database) throws {
    let there = try Int.fetchOne(
      database.cachedStatement(
        sql: "SELECT count(*) FROM sqlite_master WHERE name IN ('holdfast_spool', 'holdfast_spool_rejected')")
    )
    if there == 2 { return }
    try database.execute(
      sql: """
        CREATE TABLE IF NOT EXISTS holdfast_spool(
          segment TEXT PRIMARY KEY NOT NULL,
          stream TEXT NOT NULL,
          directory TEXT NOT NULL,
          position INTEGER NOT NULL,
          sequence INTEGER NOT NULL,
          updated_ms INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE IF NOT EXISTS holdfast_spool_rejected(
          segment TEXT NOT NULL,
          sequence INTEGER NOT NULL,
          stream TEXT NOT NULL,
          payload BLOB NOT NULL,
          reason TEXT NOT NULL,
          appended_ms INTEGER NOT NULL,
          rejected_ms INTEGER NOT NULL,
          PRIMARY KEY(segment, sequence)
        ) STRICT;
        """)
  }

  private func cursor(of segment: String, _ database: Database) throws -> Cursor? {
    let statement = try database.cachedStatement(
      sql: "SELECT position, sequence FROM holdfast_spool WHERE segment = ?")
    guard let row = try Row.fetchOne(statement, arguments: [segment]) else { return nil }
    let sequence: Int64 = row[1]
    return Cursor(position: row[0], sequence: UInt64(bitPattern: sequence))
  }

  private func forget(_ database: Database) throws {
    var gone = forgotten
    if let sweep {
      gone += sweep(
        try String.fetchAll(
          database, sql: "SELECT segment FROM holdfast_spool WHERE stream = ? AND directory = ?",
          arguments: [stream, directory]))
    }
    guard !gone.isEmpty else { return }
    let statement = try database.cachedStatement(sql: "DELETE FROM holdfast_spool WHERE segment = ?")
    for segment in gone { try statement.execute(arguments: [segment]) }
  }
}
