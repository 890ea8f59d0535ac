// SPDX-License-Identifier: Apache-2.0

import CHoldfast
import GRDB
import GRDBSQLite

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A database that is read to be copied or checked, through a read-only connection of its own.
///
/// For one of the engine's files a handle is kept beside it: the guard of that file, were it closed by another
/// handle of this process, would take the connection's locks with it (row B01).
final class BackupSource {
  /// The version of the library, as in `3.40.1`.
  static var sqliteVersion: String { unsafe String(cString: sqlite3_libversion()) }

  /// Canonical.
  let path: String
  private let queue: DatabaseQueue
  private let busy: BusyPatience
  private let patience: Duration
  /// The size of all pages of the database when it was opened, in bytes.
  let bytes: Int64

  /// How long the passing states of a foreign file are waited out when it is opened.
  private static let openingPatience = Duration.seconds(2)

  /// Opens the file, calls `body` on a thread that may block, and closes.
  static func using<T: Sendable>(
    _ path: String, patience: Duration, isForeign: Bool = false,
    _ body: @escaping @Sendable (BackupSource) throws -> T
  ) async throws -> T {
    let path = try CanonicalPath.of(path)
    // Whoever owns a foreign file has looked at it through SQLite; a descriptor closed here might take its locks along.
    if !isForeign { try judge(path) }
    var handle: StateFile?
    if !isForeign, FileIdentity(path: LockedFile.lane.path(of: path)) != nil {
      handle = try await open(path, patience: patience)
    }
    let result: Result<T, any Error>
    do {
      result = .success(
        try await BlockingThread.run(named: "hf-backup") {
          let source = try BackupSource(path, patience: patience)
          defer { source.close() }
          do {
            return try body(source)
          } catch let error as DatabaseError {
            throw source.describe(error)
          }
        })
    } catch {
      result = .failure(error)
    }
    await handle?.close()
    return try result.get()
  }

  /// Its durability matters to writes only, but all handles of a process must name the same.
  private static func open(_ path: String, patience: Duration) async throws -> StateFile {
    do {
      return try await StateFile.open(path, configuration: .init(durability: .power, patience: patience))
    } catch let error as StoreError where error.code == .misuse {
      return try await StateFile.open(
        path, configuration: .init(durability: .processDeathOnly, patience: patience))
    }
  }

  /// Refuses what is no database before SQLite sees it: it would delete the -wal of an empty one.
  private static func judge(_ path: String) throws(StoreError) {
    let name = path.fileName
    guard let identity = FileIdentity(path: path) else { throw .opening(path, errno: errno) }
    // Where this process has it open, reading it here would drop the locks; and it was judged then.
    guard !FileUsers.areOpenHere([identity]) else { return }
    let descriptor = openFile(path)
    guard descriptor >= 0 else { throw .opening(path, errno: errno) }
    let header = DatabaseHeader(descriptor: descriptor)
    _ = closeFile(descriptor)
    switch header {
    case .wal, .rollback: return
    case .empty:
      throw StoreError(
        .notADatabase, "\(name) is empty, so there is nothing in it to copy or check.", path: path)
    case .foreign:
      throw StoreError(
        .notADatabase,
        """
        \(name) does not begin like an SQLite database; nothing was changed: keep it and its -wal as they are and run \
        `holdfast doctor` on it.
        """, path: path)
    }
  }

  /// Opens a connection. Blocks.
  init(_ path: String, patience: Duration) throws {
    self.path = path
    self.patience = patience
    let opened = try ForeignReader.attempt(path: path, deadline: .now + min(patience, Self.openingPatience)) {
      busy in
      busy.wait(until: .now + patience)
      let queue = try Connection.open(path, as: .reader, configuration: .init(), patience: busy)
      do {
        let pages = try queue.read { db in
          (try Int64.fetchOne(db, sql: "PRAGMA page_count") ?? 0)
            * (try Int64.fetchOne(db, sql: "PRAGMA page_size") ?? 0)
        }
        return (queue: queue, busy: busy, bytes: pages)
      } catch {
        try? queue.close()
        throw error
      }
    }
    queue = opened.queue
    busy = opened.busy
    bytes = opened.bytes
  }

  /// Closes the connection.
  func close() {
    // A reader's close writes nothing; should it fail, the handle goes with its last reference.
    try? queue.close()
  }

  /// Checks the whole file in one read transaction, against its manifest if it has one.
  ///
  /// - Throws: ``StoreError`` with code `damaged` and what was found first.
  func examineAsBackup() throws -> BackupContents {
    guard let manifest = try BackupManifest.read(besideBackupAt: path) else { return try examine() }
    let (contents, sha256) = try examineAndHash()
    // What people can make something of comes first.
    try manifest.compare(with: contents, path: path)
    try manifest.compare(withFile: sha256, path: path)
    return contents
  }

  /// Checks the whole file in one read transaction.
  ///
  /// - Throws: ``StoreError`` with code `damaged` and what was found first.
  func examine() throws -> BackupContents { try examine { _, _ in } }

  /// As ``examine()``, with the SHA-256 of the file. For files in rollback-journal mode, as backups are: where there is
  /// a -wal the file alone is not all of the database, and is no backup.
  func examineAndHash() throws -> (contents: BackupContents, sha256: String) {
    var sha256 = ""
    let contents = try examine { db, contents in
      sha256 = try BackupDigest.ofFile(behind: db, bytes: contents.bytes).text
    }
    return (contents, sha256)
  }

  private func examine(_ also: (Database, BackupContents) throws -> Void) throws -> BackupContents {
    busy.wait(until: .now + patience)
    do {
      return try queue.read { db in
        let found = try String.fetchAll(db, sql: "PRAGMA integrity_check(1)")
        guard found == ["ok"] else {
          throw StoreError(
            .damaged,
            """
            \(path.fileName) is damaged (\(found.first ?? "no answer")): keep it and its -wal as they are and run \
            `holdfast doctor` on it.
            """, path: path)
        }
        let pages = try Int64.fetchOne(db, sql: "PRAGMA page_count") ?? 0
        let pageSize = try Int64.fetchOne(db, sql: "PRAGMA page_size") ?? 0
        let contents = BackupContents(bytes: pages * pageSize, pageCount: pages, rows: try Self.rows(db))
        try also(db, contents)
        return contents
      }
    } catch let error as DatabaseError {
      throw describe(error)
    }
  }

  /// Copies the database into the temporary, finishes and checks it.
  ///
  /// - Throws: ``StoreError`` with code `damaged` when the copy is, which then its source was.
  func copy(
    into temporary: BackupTemporary, options: BackupOptions, isRestore: Bool = false
  ) throws -> (contents: BackupContents, sha256: String, restarts: Int) {
    let (rows, restarts) = try copyPages(into: temporary, options: options)
    try temporary.finish()
    // The snapshot is over, and nothing of the source is held any more: what is left is work for a processor, for
    // seconds, beside writers who need one for microseconds. The thread is this call's own. What is restored is used by
    // nobody yet, and waited for.
    if !isRestore { chf_yield_processor() }
    let copied = try BackupSource(temporary.path, patience: patience)
    defer { copied.close() }
    let contents: BackupContents
    let sha256: String
    do {
      (contents, sha256) = try copied.examineAndHash()
    } catch var error as StoreError where error.code == .damaged {
      error.message =
        "A copy of \(path.fileName) was made and found damaged, so it was thrown away: \(error.message)"
      error.path = path
      throw error
    }
    guard contents.rows == rows else {
      throw StoreError(
        .damaged,
        """
        A copy of \(path.fileName) has other rows than the file itself, so it was thrown away: run `holdfast doctor` on \
        the file.
        """, path: path)
    }
    return (contents, sha256, restarts)
  }

  private func copyPages(
    into temporary: BackupTemporary, options: BackupOptions
  ) throws -> (rows: [String: Int64], restarts: Int) {
    let destination = try DatabaseQueue(path: temporary.path)
    defer { try? destination.close() }
    return try queue.inDatabase { from in
      try destination.inDatabase { to in
        // Nobody reads it before it is whole: it needs no journal, and it is synced by us.
        try to.execute(sql: "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")
        let copy = try BackupCopy(from: from, to: to, stepBytes: options.stepBytes) {
          temporary.writeBack()
          self.busy.wait(until: .now + self.patience)
        }
        if let rows = try copy.run(restartingAtMost: Self.patientRestarts) { return (rows, copy.restarts) }
        // Of a file that others own nothing is locked for writing, and no journal of theirs is ever rolled back.
        if options.isForeign { return (try copy.runAtOnce(), copy.restarts) }
        return (try finish(copy), copy.restarts)
      }
    }
  }

  /// How often others' commits may begin the copy anew before they are made to wait.
  static let patientRestarts = 8

  /// Ends the copy with everybody kept from writing: only for a file in rollback-journal mode that is always written.
  private func finish(_ copy: BackupCopy) throws -> [String: Int64] {
    let patience = BusyPatience()
    patience.wait(until: .now + self.patience)
    let barrier = try Connection.open(path, as: .writer, configuration: .init(), patience: patience)
    defer { try? barrier.close() }
    return try barrier.inDatabase { db in
      try db.execute(sql: "BEGIN IMMEDIATE")
      defer { try? db.execute(sql: "ROLLBACK") }
      guard let rows = try copy.run(restartingAtMost: .max) else {
        preconditionFailure("a copy without a limit gave up")
      }
      return rows
    }
  }

  /// Rows by table. Tables without pages of their own are virtual; what they store is in tables that have.
  static func rows(_ db: Database) throws -> [String: Int64] {
    let tables = try String.fetchAll(
      db,
      sql: """
        SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0 AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
        """)
    var rows: [String: Int64] = [:]
    for table in tables {
      rows[table] = try Int64.fetchOne(db, sql: "SELECT count(*) FROM \(table.quotedDatabaseIdentifier)")
    }
    return rows
  }

  private func describe(_ error: DatabaseError) -> StoreError {
    var described = StoreError(error, path: path, doing: "Copying")
    if described.code == .deadline { described.holders = LockTable.holders(ofDatabaseAt: path) }
    return described
  }
}

private func openFile(_ path: String) -> Int32 { unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) }
private func closeFile(_ descriptor: Int32) -> Int32 { close(descriptor) }
