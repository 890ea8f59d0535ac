// SPDX-License-Identifier: Apache-2.0

import GRDB

/// Rolls back what a writer that was killed left half done, where nobody else is going to.
///
/// A rollback journal that is hot makes every read-only open fail (SQLITE_READONLY_ROLLBACK, 776) until some
/// program opens the database for writing. A supervisor of workers that read only can be that program, once
/// the writer is known to be dead (row C01). SQLite does the rollback; what is added is when it may.
public enum JournalRecovery {
  /// What was found and done.
  public enum Outcome: Hashable, Sendable {
    /// No journal that counts is there, whatever lies at its name; nothing was opened.
    case notHot
    /// The transaction is undone; so many pages were laid back.
    case recovered(pages: Int)
  }

  /// Rolls the hot journal of a database back, after the end of the process that wrote it.
  ///
  /// Nothing is done while anybody holds a lock of the database: a transaction that is under way looks the same
  /// (row C02). Nor is anything concluded from the journal's presence or age (row C03).
  ///
  /// ```swift
  /// let worker = try #require(ExitedProcess(reaped: pid, status: status))
  /// try await JournalRecovery.recoverJournal(of: "/srv/jobs.db", after: worker)
  /// ```
  ///
  /// - Parameters:
  ///   - path: the database, of any program.
  ///   - process: the writer that has ended.
  ///   - patience: how long to wait for the locks of others.
  /// - Throws: ``StoreError`` with code `transient` and the holders while locks are held; `permission` when
  ///   the files may not be written; or what SQLite said of the rollback.
  @discardableResult
  public static func recoverJournal(
    of path: String, after process: ExitedProcess, within patience: Duration = .seconds(2)
  ) async throws(StoreError) -> Outcome {
    let path = try CanonicalPath.of(path)
    return try await recoverOnThread(path, within: patience)
  }

  /// Rolls the hot journal of a database back where the writers are known by a lock, and not by their numbers.
  ///
  /// Whoever may write holds a lock of this byte of a file for as long as it lives, through fork(2) and exec(2):
  /// an OFD lock of its standard input, say. It is taken exclusively here, for as long as this takes, so that
  /// all of them are gone and none comes meanwhile (row C02).
  ///
  /// - Parameters:
  ///   - path: the database.
  ///   - lock: an open file of the caller's own, without a lock of the byte.
  ///   - byte: the byte that every writer holds.
  ///   - patience: how long to wait for the locks of others on the database.
  /// - Throws: ``StoreError`` with code `transient` while a writer lives; otherwise as
  ///   ``recoverJournal(of:after:within:)``.
  @discardableResult
  public static func recoverJournal(
    of path: String, afterAllWhoHold lock: LockFile, at byte: Int64, within patience: Duration = .seconds(2)
  ) async throws(StoreError) -> Outcome {
    guard try lock.tryLock(.exclusive, at: byte) else {
      throw StoreError(
        .transient,
        """
        The journal of \(path.fileName) was not looked at since somebody who may be writing lives; nothing was \
        changed: try again when it has ended.
        """, path: path)
    }
    defer { lock.unlock(at: byte) }
    let path = try CanonicalPath.of(path)
    return try await recoverOnThread(path, within: patience)
  }

  private static func recoverOnThread(
    _ path: String, within patience: Duration
  ) async throws(StoreError) -> Outcome {
    do {
      return try await BlockingThread.run(named: "hf-rollback") {
        try recover(path, deadline: .now + patience)
      }
    } catch let error as StoreError {
      throw error
    } catch {
      throw StoreError(
        .io, "Rolling back \(path.fileName) failed: see the error beneath.", path: path, underlying: error)
    }
  }

  /// Rolls back what nobody is at any more; that the writer is dead is the caller's to know. Blocks.
  static func recover(_ path: String, deadline: ContinuousClock.Instant) throws -> Outcome {
    var pause = Duration.milliseconds(1)
    while true {
      let facts = try FileFacts.gather(path)
      guard facts.journalLooksHot else { return .notHot }
      try checkAccess(facts)
      if !facts.holders.contains(where: \.holdsDatabase), let outcome = try rollBack(path) { return outcome }
      guard ContinuousClock.now + pause < deadline else { throw held(facts) }
      BlockingThread.sleep(pause)
      pause = min(pause * 2, .milliseconds(50))
    }
  }

  /// One attempt; the lock table may not show holders of another pid namespace, but SQLite's own lock does.
  /// - Returns: nil when somebody was in the way.
  private static func rollBack(_ path: String) throws -> Outcome? {
    let pages = pagesLaidBack(path)
    do {
      // The first statement that reads takes the SHARED lock, finds the journal hot and rolls it back under
      // EXCLUSIVE. Without patience: waiting is done outside, with a look at who holds it each time.
      let queue = try Connection.open(
        path, as: .writer, configuration: .init(), patience: BusyPatience())
      defer { try? queue.close() }
      _ = try queue.inDatabase { try Int.fetchOne($0, sql: "SELECT count(*) FROM sqlite_schema") }
    } catch let error as DatabaseError {
      if ResultClass(error) == .lock { return nil }
      // The database may have other faults; those are not this call's to judge once the journal is gone.
      guard try !FileFacts.gather(path).journalLooksHot else {
        throw StoreError(error, path: path, doing: "Rolling back the journal of")
      }
    }
    return try FileFacts.gather(path).journalLooksHot ? nil : .recovered(pages: pages)
  }

  /// How many pages get their old contents back; none when only the journal is to be removed, as where the
  /// transaction was over several files and was committed.
  private static func pagesLaidBack(_ path: String) -> Int {
    guard let file = try? ImageFile(path + "-journal"),
      let pages = try? JournaledPages(file, databasePageSize: nil)
    else { return 0 }
    return pages.overlay.count
  }

  private static func checkAccess(_ facts: FileFacts) throws(StoreError) {
    let name = facts.path.fileName
    let isWritable = [facts.database, facts.journal].allSatisfy { $0?.isWritable ?? true }
    guard isWritable, facts.directoryIsWritable else {
      throw StoreError(
        .permission,
        """
        \(name) has a transaction to be rolled back and this user may not: give it write access to \(name), \
        \(name)-journal and their directory.
        """, path: facts.path)
    }
  }

  private static func held(_ facts: FileFacts) -> StoreError {
    let holders = facts.holders.filter(\.holdsDatabase)
    return StoreError(
      .transient,
      """
      The journal of \(facts.path.fileName) was not rolled back since \(holders.isEmpty ? "somebody" : "a process") \
      holds a lock of the database; nothing was changed: try again when it is done or has ended.
      """, path: facts.path, holders: holders)
  }
}
