// SPDX-License-Identifier: Apache-2.0

import Crypto
import GRDB
import GRDBSQLite

/// SHA-256 of a file, taken in as it is read.
struct BackupDigest {
  private var hash = SHA256()
  /// How many bytes were taken in.
  private(set) var bytes: Int64 = 0

  mutating func update(_ data: UnsafeRawBufferPointer) {
    unsafe hash.update(bufferPointer: data)
    bytes += Int64(data.count)
  }

  /// The hash in hexadecimal; what is taken in later is not in it.
  var text: String {
    let digits = Array("0123456789abcdef".utf8)
    return String(
      decoding: hash.finalize().flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }
}

extension BackupDigest {
  /// How much is read in one go.
  static let stretch = 1 << 20

  /// The hash of the first `bytes` bytes of a database, read through the connection's own descriptor: opening the file
  /// once more and closing it would drop the locks of every connection this process has to it (row B01).
  ///
  /// - Parameter db: inside a read transaction, which keeps the file from changing; not in WAL mode.
  /// - Throws: `DatabaseError` when it cannot be read.
  static func ofFile(behind db: Database, bytes: Int64) throws -> BackupDigest {
    var pointer: UnsafeMutablePointer<sqlite3_file>?
    let code = unsafe sqlite3_file_control(db.sqliteConnection, "main", SQLITE_FCNTL_FILE_POINTER, &pointer)
    guard code == SQLITE_OK, let file = unsafe pointer, let read = unsafe file.pointee.pMethods?.pointee.xRead
    else { throw DatabaseError(resultCode: .SQLITE_IOERR, message: "no file to read") }
    var digest = BackupDigest()
    var buffer = [UInt8](repeating: 0, count: stretch)
    while digest.bytes < bytes {
      let wanted = Int(min(Int64(stretch), bytes - digest.bytes))
      let code = unsafe buffer.withUnsafeMutableBytes { raw in
        let code = unsafe read(file, raw.baseAddress, Int32(wanted), digest.bytes)
        if code == SQLITE_OK { unsafe digest.update(UnsafeRawBufferPointer(rebasing: raw[..<wanted])) }
        return code
      }
      // A file that was cut short meanwhile is another file, which its hash says.
      if code == ResultCode.SQLITE_IOERR_SHORT_READ.rawValue { break }
      guard code == SQLITE_OK else {
        throw DatabaseError(
          resultCode: ResultCode(rawValue: code), message: unsafe String(cString: sqlite3_errstr(code)))
      }
    }
    return digest
  }
}
