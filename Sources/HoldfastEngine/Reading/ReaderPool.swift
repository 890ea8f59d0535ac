// SPDX-License-Identifier: Apache-2.0

import GRDB

/// A bounded number of read-only connections to one file, each with a thread of its own.
///
/// A read sees one snapshot, never waits for a writer in WAL mode, and is never run on the cooperative pool.
/// A connection that could not be opened is tried again by the next read: nothing is sticky (row A06). When
/// the process is short of descriptors, or has as many readers as it may, the read goes through the writer's
/// connection instead of failing (row B08). A reader idle for half a minute closes.
final class ReaderPool: Sendable {
  let jobs: JobQueue
  private let path: String
  private let configuration: StateFileConfiguration
  private let threads: Monitor<Threads>
  private let latch: DamageLatch
  private let writer: any ReadFallback
  /// Whether each read has a connection of its own: what another machine wrote may be missing from what an
  /// earlier one remembers (row C14).
  private let readsAfresh: Bool

  private struct Threads {
    var running = 0
    var idle = 0
    /// Raised when the connections open so far are to be replaced.
    var epoch = 0
  }

  init(
    path: String, configuration: StateFileConfiguration, latch: DamageLatch, writer: any ReadFallback,
    readsAfresh: Bool
  ) {
    self.path = path
    self.readsAfresh = readsAfresh
    self.latch = latch
    self.configuration = configuration
    self.writer = writer
    let threads = Monitor(Threads())
    self.threads = threads
    let name = path.fileName
    let starter = Starter()
    jobs = JobQueue(
      deadlineError: { waited in
        StoreError(
          .deadline, "Reading \(name) waited \(waited.inSeconds) for its turn and gave up; try again.",
          path: path,
          holders: LockTable.holders(ofDatabaseAt: path))
      },
      closedError: { StoreError(.closed, "\(name) is closed; open it again to read.", path: path) },
      onSubmit: { starter.pool?.startIfNeeded() })
    starter.pool = self
  }

  /// The way from the queue back to the pool that owns it; set once, before the pool is shared.
  private final class Starter: @unchecked Sendable {
    weak var pool: ReaderPool?
  }

  private func startIfNeeded() {
    let start = threads.withLock { state in
      guard state.idle == 0, state.running < configuration.maximumReaders else { return false }
      state.running += 1
      return true
    }
    if start { BlockingThread.start(named: "hf-reader") { self.run() } }
  }

  /// Has every connection replaced before its next read: the path stands for other files now.
  func reopen() {
    threads.withLock { $0.epoch += 1 }
  }

  /// Refuses new reads, waits until the accepted ones are done, and closes the connections. Blocks.
  func close() {
    jobs.close()
    threads.wait { $0.running == 0 ? () : nil }
  }

  private func run() {
    let patience = BusyPatience()
    var connection: ReaderConnection?
    while let job = next() {
      patience.wait(until: job.deadline)
      do {
        if let queue = try open(&connection, patience: patience, deadline: job.deadline) {
          try read(job, queue)
        } else {
          try writer.read(by: job.deadline) { try job.run($0) }
        }
        if readsAfresh { drop(&connection) }
        jobs.finish([job])
        job.succeed()
      } catch {
        jobs.finish([job])
        job.fail(describe(error))
      }
    }
    drop(&connection)
    threads.withLock { $0.running -= 1 }
    threads.signal()
    // A read submitted while this thread still counted as idle found no reason to start another.
    if jobs.waitingCount > 0 { startIfNeeded() }
  }

  /// A read-only connection cannot roll back what a dead writer left in a rollback journal, and then fails before
  /// it has read anything; the writer's can.
  private func read(_ job: Job, _ queue: DatabaseQueue) throws {
    do {
      try queue.read { try job.run($0) }
    } catch let error as DatabaseError where ResultClass(error) == .readOnlyTransient {
      try writer.read(by: job.deadline) { try job.run($0) }
    }
  }

  /// A connection, and which files it was opened on.
  private struct ReaderConnection {
    var queue: DatabaseQueue
    var epoch: Int
    var database: FileIdentity?
  }

  /// The thread's connection to the file that is at the path now; nil when there can be none.
  private func open(
    _ connection: inout ReaderConnection?, patience: BusyPatience, deadline: ContinuousClock.Instant
  ) throws -> DatabaseQueue? {
    if let connection, connection.database != FileIdentity(path: path) { try writer.settle(by: deadline) }
    let epoch = threads.withLock { $0.epoch }
    if let known = connection, known.epoch == epoch { return known.queue }
    drop(&connection)
    guard ReaderBudget.take() else { return nil }
    defer { ReaderBudget.opened() }
    do {
      let identity = FileIdentity(path: path)
      let queue = try Connection.open(path, as: .reader, configuration: configuration, patience: patience)
      connection = ReaderConnection(queue: queue, epoch: epoch, database: identity)
      return queue
    } catch {
      ReaderBudget.giveBack()
      // With no descriptor left SQLite says CANTOPEN, for the database or for a sidecar; and a journal that must be
      // rolled back first is none of a reader's business.
      if let error = error as? DatabaseError, [.cannotOpen, .readOnlyTransient].contains(ResultClass(error)) {
        return nil
      }
      throw error
    }
  }

  private func drop(_ connection: inout ReaderConnection?) {
    guard let known = connection else { return }
    // A reader's close writes nothing; should it fail, the handle goes with its last reference.
    try? known.queue.close()
    connection = nil
    ReaderBudget.giveBack()
  }

  private func next() -> Job? {
    threads.withLock { $0.idle += 1 }
    defer { threads.withLock { $0.idle -= 1 } }
    return jobs.takeNext(until: .now + .seconds(30))
  }

  private func describe(_ error: any Error) -> any Error {
    latch.note(error)
    guard let error = error as? DatabaseError else { return error }
    var described = StoreError(error, path: path, doing: "Reading")
    if described.code == .deadline { described.holders = LockTable.holders(ofDatabaseAt: path) }
    return described.namingTheFile(ofDatabaseAt: path)
  }
}
