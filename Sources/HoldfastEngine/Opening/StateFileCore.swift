// SPDX-License-Identifier: Apache-2.0

import GRDB

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// What all handles of one file share: its guard, its writer and its readers.
final class StateFileCore: Sendable {
  let path: String
  let pid: Int32
  let configuration: StateFileConfiguration
  let writer: Writer
  let readers: ReaderPool
  let changeFeed: ChangeFeed
  /// Held last, released last: see ``FileGuard``.
  private let fileGuard: Monitor<FileGuard?>

  /// Opens the file by the open protocol, on the calling thread.
  ///
  /// In the lane, so that of many first openers exactly one creates the file, puts it in WAL mode and
  /// migrates it (rows A04, A05, A15): the header is judged before SQLite sees the file, the busy handler
  /// is the first thing every connection gets, and a mode that is already right is read, not set again.
  init(path: String, configuration: StateFileConfiguration, migrations: DatabaseMigrator) throws {
    let deadline = ContinuousClock.now + configuration.patience
    let lane = try WriteLane(databasePath: path)
    try lane.enter(by: deadline)
    defer { lane.leave() }

    let fileGuard = try FileGuard(databasePath: path)
    try Self.judge(fileGuard.header, path: path)

    let patience = BusyPatience()
    patience.wait(until: deadline)
    do {
      let database = try Connection.open(path, as: .writer, configuration: configuration, patience: patience)
      do {
        if fileGuard.header != .wal { try Self.putInWALMode(database, deadline: deadline) }
        if try database.inDatabase({ try String.fetchOne($0, sql: "PRAGMA journal_mode") }) == "wal" {
          try Self.protect(fileGuard, deadline: deadline)
        }
        try Self.migrate(database, with: migrations, path: path)
      } catch {
        try? database.close()
        throw error
      }
      self.writer = Writer(
        path: path, lane: lane, database: database, patience: patience, configuration: configuration)
    } catch let error as DatabaseError {
      var described = StoreError(error, path: path, doing: "Opening")
      if described.code == .deadline { described.holders = LockTable.holders(ofDatabaseAt: path) }
      throw described
    }
    self.path = path
    self.pid = getpid()
    self.configuration = configuration
    self.readers = ReaderPool(path: path, configuration: configuration)
    self.changeFeed = ChangeFeed(path: path, configuration: configuration)
    self.fileGuard = Monitor(fileGuard)
  }

  /// Runs migrations on a file that is already open here, in the write queue.
  func migrate(with migrations: DatabaseMigrator) throws {
    let path = path
    try writer.performBare { try Self.migrate($0, with: migrations, path: path) }
  }

  /// Drains and closes, connections first, the guard last. Blocks.
  func close() {
    changeFeed.close()
    readers.close()
    writer.close()
    fileGuard.withLock { $0 = nil }
  }

  private static func judge(_ header: DatabaseHeader, path: String) throws(StoreError) {
    let name = path.fileName
    switch header {
    case .wal, .rollback: return
    case .empty:
      guard let orphan = fileSize(path + "-wal"), orphan > 0 else { return }
      throw StoreError(
        .damaged,
        """
        \(name) is empty but \(name)-wal beside it holds \(orphan) bytes, so the database was truncated: keep both \
        files as they are and run `holdfast doctor` on it.
        """, path: path)
    case .foreign:
      throw StoreError(
        .notADatabase,
        """
        \(name) does not begin like an SQLite database, so it was not opened and nothing was changed: keep it and \
        its -wal as they are and run `holdfast doctor` on it.
        """, path: path)
    }
  }

  /// The mode is changed only where nobody else has the file: SQLite needs it exclusively for that, and
  /// says so at once when it does not get it. A file that others keep open in rollback mode is used as it
  /// is, and the next opening tries again (row B13).
  private static func putInWALMode(_ database: DatabaseQueue, deadline: ContinuousClock.Instant) throws {
    try database.inDatabase { db in
      do {
        _ = try String.fetchOne(db, sql: "PRAGMA journal_mode = WAL")
      } catch let error as DatabaseError where ResultClass(error) == .lock {
        return
      }
    }
  }

  private static func protect(_ fileGuard: FileGuard, deadline: ContinuousClock.Instant) throws(StoreError) {
    while try !fileGuard.protectWAL() {
      guard ContinuousClock.now < deadline else {
        throw StoreError(
          .deadline,
          "Opening \(fileGuard.file.path) waited for a program that has it exclusively; try again.",
          path: fileGuard.file.path, holders: LockTable.holders(ofDatabaseAt: fileGuard.file.path))
      }
      usleep(2000)
    }
  }

  private static func migrate(_ database: DatabaseQueue, with migrations: DatabaseMigrator, path: String)
    throws
  {
    guard !migrations.migrations.isEmpty else { return }
    let (isComplete, isNewer) = try database.inDatabase { db in
      (try migrations.hasCompletedMigrations(db), try migrations.hasBeenSuperseded(db))
    }
    guard !isNewer else {
      let name = path.fileName
      throw StoreError(
        .newerSchema,
        "\(name) was written by a newer version of Holdfast, so it was left alone: upgrade this program.",
        path: path)
    }
    if !isComplete { try migrations.migrate(database) }
  }
}
