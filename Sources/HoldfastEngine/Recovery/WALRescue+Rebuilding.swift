// SPDX-License-Identifier: Apache-2.0

import GRDB
import Logging

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Saves what was committed into a -wal that was then cut short or overwritten in place.
///
/// The frames are gone from the file, but the writer's connection still has in its cache the pages it wrote and read.
/// Where these, what holds of the -wal and the database make up every page, they are copied out, page by page, into a
/// new database that takes the old one's name; the other processes notice that as they notice any replaced database.
/// A page that is nowhere any more ends it: the read of its frame comes back short.
extension WALRescue {
  /// Puts a database with everything `database` sees at the path. The caller has the turn.
  ///
  /// - Throws: `DatabaseError` or ``StoreError`` when not every page can be had; then the database is as it was, and
  ///   the -wal as the next recovery would have read it.
  func rebuild(from database: DatabaseQueue) throws {
    guard let index = database.inDatabase({ WALWitness.index($0) }) else {
      throw StoreError(.io, "The index of \(path.fileName)-wal could not be read.", path: path)
    }
    try cutToWhatHolds(index)
    let copy = path + "-rescued-\(UnixTime.now().milliseconds)"
    do {
      try fill(copy, from: database)
      guard index == database.inDatabase({ WALWitness.index($0) }) else {
        throw StoreError(.transient, "Another program wrote to \(path.fileName) meanwhile.", path: path)
      }
    } catch {
      for suffix in ["", "-journal", "-wal", "-shm"] { _ = unsafe unlink(copy + suffix) }
      throw error
    }
    // The old -wal first: beside the new database it would be laid over it.
    setAsideSidecars()
    try QuarantineFiles.rename(copy, to: path)
    try QuarantineFiles.synchronize(QuarantineFiles.parent(of: path))
    engineLog.warning(
      "a -wal was cut short while it was open; everything committed was saved into a new database",
      metadata: ["file": "\(path.fileName)"])
  }

  /// Cuts the -wal to the frames whose checksums hold, after a copy of it was kept.
  ///
  /// A frame that is not there reads short, and that shows; one overwritten, or in a hole somebody wrote behind,
  /// reads as if it were right. SQLite's recovery would stop at the same place. Frames that begin before those folded
  /// back already would be laid over newer pages, so then none is kept.
  private func cutToWhatHolds(_ index: WALWitness.Index) throws {
    let wal = try ImageFile(path + "-wal")
    let frames = try CommittedFrames(wal)
    let intact = frames.map { $0.salts == index.salts ? min($0.intact, index.frames) : 0 } ?? 0
    let size = intact < index.folded || intact == 0 ? 0 : index.offset(ofFrame: intact)
    guard wal.size > size else { return }
    try keepCopy(of: wal)
    guard unsafe truncate(path + "-wal", off_t(size)) == 0 else {
      throw StoreError.opening(path, errno: errno)
    }
  }

  private func keepCopy(of wal: ImageFile) throws {
    let name = "\(path)-wal.set-aside-\(UnixTime.now().milliseconds)-as-found"
    let descriptor = unsafe open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw StoreError.opening(name, errno: errno) }
    defer { close(descriptor) }
    var offset: Int64 = 0
    while offset < wal.size {
      let bytes = try wal.bytes(at: offset, count: 1 << 20)
      let count = unsafe bytes.withUnsafeBytes {
        unsafe pwrite(descriptor, $0.baseAddress, $0.count, off_t(offset))
      }
      guard count > 0 else {
        let code = errno
        _ = unsafe unlink(name)
        throw StoreError.opening(name, errno: code)
      }
      offset += Int64(count)
    }
  }

  private func fill(_ copy: String, from database: DatabaseQueue) throws {
    var info = stat()
    let isKnown = unsafe stat(path, &info) == 0
    let descriptor = unsafe open(copy, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw StoreError.opening(copy, errno: errno) }
    if isKnown {
      // Those who could use the old file can use the new one; only root may give a file away.
      _ = fchown(descriptor, info.st_uid, info.st_gid)
      _ = fchmod(descriptor, info.st_mode & 0o7777)
    }
    // Before SQLite opens it: a close would drop its locks.
    close(descriptor)
    var options = GRDB.Configuration()
    options.foreignKeysEnabled = false
    let target = try DatabaseQueue(path: copy, configuration: options)
    defer { try? target.close() }
    try target.inDatabase { try $0.execute(sql: "PRAGMA synchronous = FULL") }
    try database.backup(to: target)
    let verdict = try target.inDatabase { try String.fetchOne($0, sql: "PRAGMA integrity_check(1)") }
    guard verdict == "ok" else {
      throw StoreError(.damaged, "What could be saved is not whole (\(verdict ?? "no answer")).", path: path)
    }
    try target.close()
    for suffix in ["-wal", "-shm", "-journal"] { _ = unsafe unlink(copy + suffix) }
  }
}
