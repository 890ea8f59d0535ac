// SPDX-License-Identifier: Apache-2.0

import CHoldfast
import GRDBSQLite
import HoldfastTestKit

/// Plain SQLite on a power-loss disk: no engine, no lane, nothing that could help it.
@safe final class DiskConnection {
  struct Failure: Error, Equatable {
    let code: Int32
  }

  private let handle: OpaquePointer

  init(_ name: String, on disk: PowerLossDisk) throws {
    var opened: OpaquePointer?
    let code = unsafe sqlite3_open_v2(
      name, &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, disk.vfsName)
    guard code == SQLITE_OK, let opened = unsafe opened else {
      unsafe sqlite3_close_v2(opened)
      throw Failure(code: code)
    }
    unsafe handle = unsafe opened
    unsafe sqlite3_extended_result_codes(opened, 1)
  }

  deinit { unsafe sqlite3_close_v2(handle) }

  /// Runs one statement; returns the first column of every row as text.
  @discardableResult
  func run(_ sql: String) throws -> [String] {
    var statement: OpaquePointer?
    var code = unsafe sqlite3_prepare_v2(handle, sql, -1, &statement, nil)
    guard code == SQLITE_OK else { throw Failure(code: code) }
    defer { unsafe sqlite3_finalize(statement) }
    var rows: [String] = []
    while true {
      code = unsafe sqlite3_step(statement)
      if code == SQLITE_DONE { return rows }
      guard code == SQLITE_ROW else { throw Failure(code: code) }
      rows.append(unsafe sqlite3_column_text(statement, 0).map { unsafe String(cString: $0) } ?? "")
    }
  }
}
