// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The one descriptor the engine itself opens on a database, for as long as any connection to it lives.
///
/// POSIX locks belong to (process, inode): closing *any* descriptor of the file drops all the locks SQLite
/// holds on it in this process, and then another program's last close may unlink the live -wal, after which
/// inserts return OK and are lost (row B01). So the header is read through this descriptor, it is closed
/// after the last connection, and on a WAL file it carries an OFD read lock on SQLite's SHARED range, which
/// no close by foreign code can drop: nobody gets the EXCLUSIVE lock that unlinking the -wal needs.
final class FileGuard: Sendable {
  /// SHARED_FIRST and SHARED_SIZE of SQLite's `os.h`.
  private static let sharedFirst: Int64 = 0x4000_0002
  private static let sharedSize: Int64 = 510
  /// PENDING_BYTE: the first of all bytes SQLite locks in a database, RESERVED and SHARED follow it.
  private static let pendingByte: Int64 = 0x4000_0000

  let file: LockFile
  let identity: FileIdentity

  /// Opens the file; if there is none and `creates` is true, makes it, empty and with mode 0600.
  init(databasePath: String, creates: Bool) throws(StoreError) {
    file = try LockFile(path: databasePath, creates: creates)
    guard let identity = FileIdentity(descriptor: file.descriptor) else {
      throw StoreError.opening(databasePath, errno: 0)
    }
    self.identity = identity
  }

  var header: DatabaseHeader { DatabaseHeader(descriptor: file.descriptor) }

  /// Whether the path still names the file that was opened.
  var isInPlace: Bool { FileIdentity(path: file.path) == identity }

  /// Keeps the WAL from being unlinked. Only for a file in WAL mode: in rollback mode every commit needs
  /// the EXCLUSIVE lock this forbids.
  /// - Returns: false while somebody has the file exclusively.
  func protectWAL() throws(StoreError) -> Bool {
    try file.tryLock(.shared, at: Self.sharedFirst, length: Self.sharedSize)
  }

  /// Keeps every program from the file, as SQLite's own EXCLUSIVE lock does, until ``admitOthers()``.
  /// - Returns: false while somebody has it open in WAL mode or a transaction in any other.
  func excludeOthers() throws(StoreError) -> Bool {
    try file.tryLock(
      .exclusive, at: Self.pendingByte, length: Self.sharedFirst - Self.pendingByte + Self.sharedSize)
  }

  /// Ends ``excludeOthers()``. Closing the file is not enough: a child this process is just starting has its
  /// descriptors until it runs its own program, and an OFD lock lives as long as any of them.
  func admitOthers() {
    file.unlock(at: Self.pendingByte, length: Self.sharedFirst - Self.pendingByte + Self.sharedSize)
  }
}
