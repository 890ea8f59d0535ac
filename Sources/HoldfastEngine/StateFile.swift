// SPDX-License-Identifier: Apache-2.0

public import GRDB

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// One SQLite file that many tasks and many processes write at once.
///
/// ```swift
/// let file = try await StateFile.open("state.db", migrations: migrator)
/// try await file.write { db in try db.execute(sql: "INSERT INTO note(text) VALUES ('kept')") }
/// let count = try await file.read { db in try Int.fetchOne(db, sql: "SELECT count(*) FROM note") }
/// ```
///
/// - Writers of all processes wait in one first-come-first-served queue; no caller ever sees a lock, only
///   its own deadline, and then who held the file.
/// - Callers that wait at the same time share one durable commit; a failing one costs the others nothing.
/// - Other programs (`sqlite3`, Python, DB Browser) may have the file open at any time.
///
/// However often and under whatever spelling a path is opened in a process, all its handles share one
/// writer (row A09). A handle is closed with ``close()``; the file when its last handle is.
public final class StateFile: Sendable {
  private let core: StateFileCore
  private let isClosed = Monitor(false)

  /// Opens the file, makes it if there is none, and brings its schema up to date.
  ///
  /// - Parameters:
  ///   - path: the database; its directory must exist. New files are 0600 whatever the umask.
  ///   - configuration: durability, patience and bounds. A file already open in this process must be opened
  ///     with the same durability.
  ///   - migrations: GRDB's migrator; each migration is one transaction, run in the write queue so that of
  ///     many processes exactly one runs it. No migrations leave the schema alone.
  /// - Throws: ``StoreError``: `notADatabase` or `damaged`, and then the message says where the files were set
  ///   aside to; `missing` when a store was here and is gone; `newerSchema`, `permission`, `cannotOpen`, `deadline` with the holders, `setting`; `wrongProcess` in a forked child whose parent has used state
  ///   files: it must start another program (exec) first.
  public static func open(
    _ path: String, configuration: StateFileConfiguration = .init(), migrations: DatabaseMigrator = .init()
  ) async throws -> StateFile {
    guard StateFileRegistry.shared.isOfThisProcess else { throw StoreError.inForkedChild(path) }
    let core = try await BlockingThread.run(named: "hf-open") {
      try StateFileRegistry.shared.open(path, configuration: configuration, migrations: migrations)
    }
    return StateFile(core: core)
  }

  private init(core: StateFileCore) {
    self.core = core
  }

  deinit {
    // A handle dropped without close() still gives the file up, off this thread: closing blocks.
    let core = core
    if getpid() == core.pid, !isClosed.withLock({ $0 }) {
      BlockingThread.start(named: "hf-close") { StateFileRegistry.shared.close(core) }
    }
  }

  /// The database's canonical path.
  public var path: String { core.path }

  /// Reads from one consistent snapshot of the file.
  ///
  /// - Parameters:
  ///   - within: how long to wait for a free reader; the configuration's patience by default.
  ///   - body: runs on a thread of the engine with GRDB's `Database`; it may block.
  /// - Throws: what `body` throws; an SQLite error as ``StoreError``.
  public func read<T: Sendable>(
    within: Duration? = nil, _ body: @escaping @Sendable (Database) throws -> T
  ) async throws -> T {
    try check()
    return try await ValueJob(patience: within ?? core.configuration.patience, body).perform(
      in: core.readers.jobs)
  }

  /// Writes in one atomic, durable step; returns when it is on disk.
  ///
  /// - Parameters:
  ///   - within: how long to wait for its turn; the configuration's patience by default. Once `body` runs,
  ///     it is finished.
  ///   - body: runs on the writer's thread inside a transaction, which it must not end itself. It may be
  ///     run again when a neighbour's grave error took the shared transaction down; only the last run
  ///     counts, so keep effects other than on the database out of it.
  /// - Throws: what `body` throws, after its changes were undone; `damaged` at once when this process has met damage
  ///   in the file (``StateFileStatus/damage``); an SQLite error or a passed deadline as ``StoreError``, whose `outcome` says whether the write was applied.
  public func write<T: Sendable>(
    within: Duration? = nil, _ body: @escaping @Sendable (Database) throws -> T
  ) async throws -> T {
    try check()
    return try await ValueJob(patience: within ?? core.configuration.patience, body).perform(
      in: core.writer.jobs)
  }

  /// As ``write(within:_:)``, for the engine's own threads: no task is needed, so a cooperative pool that is
  /// busy or blocked holds nothing up. `end` is called once, by the writer's thread or before this returns.
  ///
  /// - Returns: withdraws the write if it still waits for its turn.
  func write<T: Sendable>(
    _ body: @escaping @Sendable (Database) throws -> T,
    end: @escaping @Sendable (Result<T, any Error>) -> Void
  ) -> @Sendable () -> Void {
    do throws(StoreError) {
      try check()
    } catch {
      end(.failure(error))
      return {}
    }
    let job = CallbackJob(patience: core.configuration.patience, body, end: end)
    let jobs = core.writer.jobs
    jobs.submit(job)
    return { jobs.cancel(job) }
  }

  /// Folds the WAL back into the database as far as readers allow.
  ///
  /// The engine does this by itself; call it before copying the file by other means, say.
  public func checkpoint(within: Duration? = nil) async throws -> CheckpointReport {
    try check()
    return try await core.writer.checkpoint(within: within ?? core.configuration.patience)
  }

  /// The commits that become visible in the file from now on, made by any process.
  ///
  /// Commits that follow each other closely may come as one element; none is ever missed. Nothing is polled
  /// while nobody writes, and no descriptor is opened on the file for it. The sequence ends when the last
  /// handle of the file is closed.
  public func changes() async throws -> AsyncStream<StateFileChange> {
    try check()
    let core = core
    return try await BlockingThread.run(named: "hf-listen") { core.changeFeed.listen() }
  }

  /// What can be said of the file without waiting for it.
  public func status() -> StateFileStatus {
    StateFileStatus(
      path: core.path, bytes: fileSize(core.path) ?? 0, walBytes: fileSize(core.path + "-wal") ?? 0,
      waitingWrites: core.writer.jobs.waitingCount, waitingReads: core.readers.jobs.waitingCount,
      damage: core.latch.damage)
  }

  /// Who holds locks on the file now that keep others from writing.
  ///
  /// Reads the kernel's lock table, which takes milliseconds; not for a hot path. Empty where the system
  /// does not tell.
  public func lockHolders() -> [LockHolder] {
    LockTable.holders(ofDatabaseAt: core.path)
  }

  /// Who has a read transaction open and so keeps the WAL from starting over.
  ///
  /// Reads the kernel's lock table, which takes milliseconds. Empty where the system does not tell.
  public func walReaders() -> [LockHolder] {
    LockTable.walReaders(ofDatabaseAt: core.path)
  }

  /// Ends this handle. The last one of the process drains: every accepted write is committed or its caller
  /// told, before this returns. Closing twice does nothing, and neither does closing in a forked child: the
  /// file is its parent's.
  public func close() async {
    guard getpid() == core.pid else { return }
    let first = isClosed.withLock { closed in
      defer { closed = true }
      return !closed
    }
    guard first else { return }
    let core = core
    await withCheckedContinuation { continuation in
      BlockingThread.start(named: "hf-close") {
        StateFileRegistry.shared.close(core)
        continuation.resume()
      }
    }
  }

  private func check() throws(StoreError) {
    guard getpid() == core.pid else { throw .inForkedChild(core.path) }
    guard !isClosed.withLock({ $0 }) else {
      throw StoreError(
        .closed, "This handle of \(core.path) is closed; open the file again.", path: core.path)
    }
  }
}

extension StoreError {
  /// SQLite keeps its locks in tables of the process, which fork() copies and the kernel's locks do not
  /// follow: a child that went on, or opened a file anew, would take locks for held that nobody holds
  /// (howtocorrupt.html, section 2.6; row B06).
  fileprivate static func inForkedChild(_ path: String) -> StoreError {
    StoreError(
      .wrongProcess,
      """
      \(path.fileName) cannot be used in a child that was forked while its parent had state files open; nothing \
      was done: start a program of its own (exec) for that.
      """, path: path)
  }
}

/// What can be said of a state file without waiting for it.
public struct StateFileStatus: Hashable, Sendable {
  /// The database's canonical path.
  public var path: String
  /// The size of the database, in bytes.
  public var bytes: Int64
  /// The size of its -wal, in bytes; it keeps its largest size until it is reset.
  public var walBytes: Int64
  /// Writes of this process waiting for their turn.
  public var waitingWrites: Int
  /// Reads of this process waiting for a reader.
  public var waitingReads: Int
  /// What SQLite found wrong with the file, if this process has met it: nothing more is written to it until another
  /// file or whole contents are at the path, or until every handle in the process was closed and opened again.
  public var damage: FileDamage?
}
