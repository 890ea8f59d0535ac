// SPDX-License-Identifier: Apache-2.0

import GRDB
import GRDBSQLite

/// SQLite's online backup in steps, of one moment of the source.
///
/// <https://www.sqlite.org/backup.html>: a commit by another process between two steps begins a copy anew. A read
/// transaction that is kept open prevents that. In WAL mode it is in nobody's way, so the whole copy runs in one; in
/// rollback-journal mode nobody could commit meanwhile, so only the last step and the count of rows do.
@safe final class BackupCopy {
  private let source: Database
  private let destination: Database
  private let isWAL: Bool
  private let pagesPerStep: Int32
  private let afterStep: () throws -> Void
  private var handle: OpaquePointer?
  /// Pages copied of the moment that is being copied.
  private var copied: Int32 = 0
  /// How often a commit of others began the copy anew.
  private(set) var restarts = 0

  /// - Parameter afterStep: called after each step but the last.
  init(
    from source: Database, to destination: Database, stepBytes: Int, afterStep: @escaping () throws -> Void
  ) throws {
    self.source = source
    self.destination = destination
    self.afterStep = afterStep
    isWAL = try String.fetchOne(source, sql: "PRAGMA journal_mode") == "wal"
    let pageSize = try Int.fetchOne(source, sql: "PRAGMA page_size") ?? 4096
    pagesPerStep = Int32(clamping: max(1, stepBytes / max(1, pageSize)))
    unsafe handle = nil
  }

  deinit { unsafe sqlite3_backup_finish(handle) }

  /// Copies to the end.
  ///
  /// - Returns: the rows by table of the moment copied; nil when the copy was begun anew more than `limit` times, and
  ///   may be gone on with.
  func run(restartingAtMost limit: Int) throws -> [String: Int64]? {
    while restarts < limit {
      let isLast = try unsafe handle != nil ? remaining <= pagesPerStep : pageCount() <= pagesPerStep
      guard isWAL || isLast else {
        if try step() { try beginAnew() }
        try afterStep()
        continue
      }
      if let rows = try runHeld() { return rows }
      try afterStep()
    }
    return nil
  }

  /// The rest of the copy, the rows, and the end, in one read transaction of the source.
  ///
  /// - Returns: nil when somebody had committed before it began, so that there is more than a step to do.
  private func runHeld() throws -> [String: Int64]? {
    try source.execute(sql: "BEGIN")
    defer { try? source.execute(sql: "COMMIT") }
    // A deferred transaction begins with its first read.
    _ = try Int.fetchOne(source, sql: "SELECT count(*) FROM sqlite_schema")
    while try !step() {
      guard isWAL else { return nil }
      try afterStep()
    }
    let rows = try BackupSource.rows(source)
    try end()
    return rows
  }

  /// The whole copy, from its beginning, in one read transaction: in rollback-journal mode nobody commits meanwhile.
  func runAtOnce() throws -> [String: Int64] {
    try end()
    copied = 0
    try source.execute(sql: "BEGIN")
    defer { try? source.execute(sql: "COMMIT") }
    _ = try Int.fetchOne(source, sql: "SELECT count(*) FROM sqlite_schema")
    while try !step() {}
    let rows = try BackupSource.rows(source)
    try end()
    return rows
  }

  /// - Returns: whether all pages are copied.
  private func step() throws -> Bool {
    if unsafe handle == nil {
      unsafe handle = sqlite3_backup_init(
        destination.sqliteConnection, "main", source.sqliteConnection, "main")
      guard unsafe handle != nil else {
        throw error(unsafe sqlite3_extended_errcode(destination.sqliteConnection))
      }
    }
    let code = unsafe sqlite3_backup_step(handle, pagesPerStep)
    if code == SQLITE_DONE { return true }
    guard code == SQLITE_OK else { throw error(code) }
    let now = unsafe sqlite3_backup_pagecount(handle) - remaining
    if now <= copied { restarts += 1 }
    copied = now
    return false
  }

  /// A database that shrank beneath the copy was finished outside the transaction in which its rows are counted.
  private func beginAnew() throws {
    try end()
    copied = 0
    restarts += 1
  }

  private func end() throws {
    let code = unsafe sqlite3_backup_finish(handle)
    unsafe handle = nil
    guard code == SQLITE_OK else { throw error(code) }
  }

  private var remaining: Int32 { unsafe sqlite3_backup_remaining(handle) }

  private func pageCount() throws -> Int64 { try Int64.fetchOne(source, sql: "PRAGMA page_count") ?? 0 }

  private func error(_ code: Int32) -> DatabaseError {
    DatabaseError(
      resultCode: ResultCode(rawValue: code), message: unsafe String(cString: sqlite3_errstr(code)))
  }
}
