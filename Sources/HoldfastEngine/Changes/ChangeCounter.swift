// SPDX-License-Identifier: Apache-2.0

import GRDB
import GRDBSQLite

/// The change counter in a database's header, which every commit in rollback mode raises
/// (<https://www.sqlite.org/fileformat.html#file_change_counter>).
enum ChangeCounter {
  /// Reads it by the connection's own descriptor: opening another one and closing it would drop locks (row B01).
  ///
  /// - Parameter db: inside a read transaction.
  /// - Returns: 0 for a file without a header.
  static func value(in db: Database) throws -> Int {
    // The transaction takes its lock with the first statement that reads.
    _ = try Int.fetchOne(db, sql: "SELECT count(*) FROM sqlite_schema")
    var file: UnsafeMutablePointer<sqlite3_file>?
    let found = unsafe sqlite3_file_control(db.sqliteConnection, "main", SQLITE_FCNTL_FILE_POINTER, &file)
    guard found == SQLITE_OK, let file = unsafe file, let methods = unsafe file.pointee.pMethods else {
      return 0
    }
    var bytes: [UInt8] = [0, 0, 0, 0]
    let code = unsafe methods.pointee.xRead(file, &bytes, 4, 24)
    return code == SQLITE_OK ? bytes.reduce(0) { $0 << 8 | Int($1) } : 0
  }
}
