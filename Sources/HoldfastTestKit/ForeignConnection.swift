// SPDX-License-Identifier: Apache-2.0

import GRDBSQLite
import HoldfastEngine

/// A plain SQLite connection, as any other program would have it: no lane, no settings of ours.
///
/// For tests that need a peer in the same process. Its close drops the process's POSIX locks on the file,
/// which is itself a thing to test (row B01).
///
/// `@unchecked Sendable`: the handle is used only inside `lock`.
@safe public final class ForeignConnection: @unchecked Sendable {
  /// An SQL call that failed: SQLite's extended result code and text.
  public struct Failure: Error, CustomStringConvertible {
    /// The extended result code.
    public var code: Int32
    /// SQLite's own words.
    public var description: String
  }

  private let lock = Monitor(false)
  private let handle: OpaquePointer

  /// Opens the file as `sqlite3_open` does, with the busy timeout in milliseconds.
  ///
  /// - Parameter vfs: SQLite's name of the VFS, a ``PowerLossDisk/vfsName`` say; nil for the system's.
  public init(_ path: String, busyTimeout: Int32 = 0, vfs: String? = nil) throws {
    var opened: OpaquePointer?
    let code = unsafe sqlite3_open_v2(
      path, &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX, vfs)
    guard code == SQLITE_OK, let opened = unsafe opened else {
      unsafe sqlite3_close_v2(opened)
      throw Failure(code: code, description: "cannot open \(path)")
    }
    unsafe handle = opened
    unsafe sqlite3_extended_result_codes(handle, 1)
    unsafe sqlite3_busy_timeout(handle, busyTimeout)
  }

  deinit { unsafe sqlite3_close_v2(handle) }

  /// The connection itself, for a test that reaches below SQL; used by one thread at a time.
  @unsafe public var rawHandle: OpaquePointer { unsafe handle }

  /// Runs SQL without results.
  public func run(_ sql: String) throws {
    try lock.withLock { _ in
      let code = unsafe sqlite3_exec(handle, sql, nil, nil, nil)
      guard code == SQLITE_OK else {
        throw Failure(code: code, description: unsafe String(cString: sqlite3_errmsg(handle)))
      }
    }
  }

  /// The first column of the first row, as text; nil for NULL or no row.
  public func text(_ sql: String) throws -> String? {
    try lock.withLock { _ in
      var statement: OpaquePointer?
      var code = unsafe sqlite3_prepare_v2(handle, sql, -1, &statement, nil)
      defer { unsafe sqlite3_finalize(statement) }
      if code == SQLITE_OK { code = unsafe sqlite3_step(statement) }
      switch code {
      case SQLITE_ROW: return unsafe sqlite3_column_text(statement, 0).map { unsafe String(cString: $0) }
      case SQLITE_DONE: return nil
      default: throw Failure(code: code, description: unsafe String(cString: sqlite3_errmsg(handle)))
      }
    }
  }
}
