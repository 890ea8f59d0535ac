// SPDX-License-Identifier: Apache-2.0

import GRDB
import GRDBSQLite

/// A file as the connection has it open. Valid as long as the connection is, and used by its thread.
@safe struct ConnectionFile {
  private let file: UnsafeMutablePointer<sqlite3_file>
  private let methods: UnsafePointer<sqlite3_io_methods>

  init?(_ db: Database, _ control: Int32) {
    var file: UnsafeMutablePointer<sqlite3_file>?
    guard unsafe sqlite3_file_control(db.sqliteConnection, "main", control, &file) == SQLITE_OK,
      let file = unsafe file, let methods = unsafe file.pointee.pMethods
    else { return nil }
    unsafe self.file = file
    unsafe self.methods = methods
  }

  var size: Int64? {
    var size: Int64 = 0
    return unsafe methods.pointee.xFileSize(file, &size) == SQLITE_OK ? size : nil
  }

  /// Cuts the file off; what is behind `size` must be needed by nobody.
  /// - Returns: whether it could be done.
  func truncate(to size: Int64) -> Bool { unsafe methods.pointee.xTruncate(file, size) == SQLITE_OK }

  /// nil when they could not be read.
  func bytes(at offset: Int64, count: Int) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: count)
    return unsafe methods.pointee.xRead(file, &bytes, Int32(count), offset) == SQLITE_OK ? bytes : nil
  }

  /// Both headers of the index and what follows them of the first 104 bytes.
  var index: [UInt8]? {
    guard unsafe methods.pointee.iVersion >= 2 else { return nil }
    var memory: UnsafeMutableRawPointer?
    guard unsafe methods.pointee.xShmMap(file, 0, 32_768, 0, &memory) == SQLITE_OK,
      let memory = unsafe memory
    else { return nil }
    unsafe methods.pointee.xShmBarrier(file)
    return unsafe Array(UnsafeRawBufferPointer(start: memory, count: 104))
  }
}
