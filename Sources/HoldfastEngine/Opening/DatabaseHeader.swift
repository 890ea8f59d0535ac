// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// What the first bytes of a file say, judged before SQLite sees it.
///
/// SQLite takes an empty file for a new database and, given a file whose first page was overwritten, says
/// "not a database" and deletes the -wal beside it (rows C05, C06).
enum DatabaseHeader: Equatable {
  /// No byte yet: the file is to be created.
  case empty
  /// An SQLite database whose header asks for WAL.
  case wal
  /// An SQLite database whose header asks for a rollback journal.
  case rollback
  /// Anything else.
  case foreign

  /// Reads the header through a descriptor that stays open: closing it would drop the process's locks.
  init(descriptor: Int32) {
    self.init(bytes: Self.bytes(of: descriptor))
  }

  /// The first 100 bytes of a file, or as many as there are.
  static func bytes(of descriptor: Int32) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 100)
    let count = unsafe bytes.withUnsafeMutableBytes { unsafe pread(descriptor, $0.baseAddress, $0.count, 0) }
    return Array(bytes[..<max(0, count)])
  }

  /// Source: <https://www.sqlite.org/fileformat.html#the_database_header>; bytes 18 and 19 are the write
  /// and read versions, 2 for WAL.
  init(bytes: some Collection<UInt8>) {
    let bytes = Array(bytes)
    if bytes.isEmpty {
      self = .empty
    } else if bytes.count < 100 || Array(bytes[..<16]) != Array("SQLite format 3\0".utf8) {
      self = .foreign
    } else {
      self = bytes[18] == 2 && bytes[19] == 2 ? .wal : .rollback
    }
  }
}
