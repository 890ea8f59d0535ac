// SPDX-License-Identifier: Apache-2.0

package import GRDB

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Reads a database that another program owns, piece by piece, and leaves every byte of its files as it was.
///
/// A reader of SQLite's makes a -wal and a -shm where there are none and marks its place in the -shm. So the files
/// are read as an image of what is committed (``FileImage``), which touches nothing. An image takes no lock: it is
/// only taken of files that nobody is writing, and what was read from it counts only if they are still the same
/// afterwards. Where another program is at work, it is read as by any reader of SQLite's, a short transaction for
/// each piece, so that its -wal can start over in between.
package final class ForeignTables {
  /// The database's canonical path.
  package let path: String
  private var image: (pages: FileImage, view: ImageView)?
  private var live: LiveView?

  /// Looks whether there is such a file; nothing is read of it yet.
  ///
  /// - Throws: ``StoreError`` `missing`, `permission` or `cannotOpen`.
  package init(_ path: String) throws(StoreError) {
    self.path = try CanonicalPath.of(path)
    guard try sinceLastWrite() != nil else {
      throw StoreError(.missing, "There is no file \(self.path).", path: self.path)
    }
  }

  /// How long ago the files must have been written last: file systems tell times in steps of a few milliseconds,
  /// and a write within the step in which an image is taken would not show.
  private static let quiet = Duration.milliseconds(50)
  /// How often it is waited for that; then its program is at work.
  private static let looks = 4

  /// How long ago one of the files was written; nil when there is no database.
  private func sinceLastWrite() throws(StoreError) -> Duration? {
    let now = UnixTime.now().nanoseconds
    var last = Int64.min
    for suffix in ["", "-wal", "-journal"] {
      var info = stat()
      guard unsafe stat(path + suffix, &info) == 0 else {
        if !suffix.isEmpty { continue }
        if errno == ENOENT { return nil }
        throw .opening(path, errno: errno)
      }
      #if canImport(Darwin)
        let time = info.st_mtimespec
      #else
        let time = info.st_mtim
      #endif
      last = max(last, Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec))
    }
    return .nanoseconds(now - last)
  }

  /// An image of the files, or nothing when somebody is at work on them.
  private func makeImage() throws(StoreError) -> FileImage? {
    for _ in 0..<Self.looks {
      guard let age = try sinceLastWrite() else { break }
      // A time that has not come yet says nothing.
      guard age >= .zero, age < Self.quiet else {
        // A journal is undone, in memory, only when nobody lives who may go on with it.
        let users = FileUsers.of(path)
        if users.holdLocks, try !Self.isWAL(path) { return nil }
        return try FileImage(
          path: path, wal: path + "-wal", journal: users.isEmpty ? path + "-journal" : nil)
      }
      BlockingThread.sleep(Self.quiet - age + .milliseconds(5))
    }
    return nil
  }

  private static func isWAL(_ path: String) throws(StoreError) -> Bool {
    let header = try ImageFile(path).bytes(at: 0, count: 20)
    return header.count == 20 && header[19] == 2
  }

  /// Asks for a piece, from one consistent snapshot; the next piece may be from a later one. Blocks.
  ///
  /// - Parameter body: may be called again when the files changed meanwhile; only its last answer counts.
  /// - Throws: what `body` throws; ``StoreError`` `transient` when somebody was in the way for long, or what else
  ///   SQLite says.
  package func read<T>(_ body: (Database) throws -> T) throws -> T {
    // Twice, should its program have woken up once.
    for _ in 0..<2 where live == nil {
      if image == nil, let pages = try makeImage() { image = (pages, ImageView(pages)) }
      guard let (pages, view) = image else { break }
      let outcome = Result { try view.read(body) }
      if pages.isCurrent { return try Self.named(outcome, path) }
      image = nil
    }
    let view = live ?? LiveView(path)
    live = view
    return try Self.named(
      Result {
        try view.read { db in
          try db.execute(sql: "BEGIN")
          defer { try? db.execute(sql: "ROLLBACK") }
          return try body(db)
        }
      }, path)
  }

  private static func named<T>(_ outcome: Result<T, any Error>, _ path: String) throws -> T {
    do {
      return try outcome.get()
    } catch let error as DatabaseError {
      throw StoreError(error, path: path, doing: "Reading")
    }
  }
}
