// SPDX-License-Identifier: Apache-2.0

import GRDB

/// The one writer of a file in this process: a thread, a connection, and the queue of callers before it.
///
/// Each turn in the lane is one transaction shared by whoever waits (group commit) or one bare job. There is
/// no timer: what arrived during the last commit forms the next batch.
final class Writer: Sendable {
  let path: String
  let lane: WriteLane
  let jobs: JobQueue
  private let configuration: StateFileConfiguration
  private let patience: BusyPatience
  private let database: DatabaseQueue
  private let thread = Monitor(ThreadState.idle)

  private enum ThreadState {
    /// No job was ever submitted; no thread.
    case idle
    case running
    case ended
  }

  init(
    path: String, lane: WriteLane, database: DatabaseQueue, patience: BusyPatience,
    configuration: StateFileConfiguration
  ) {
    self.path = path
    self.lane = lane
    self.database = database
    self.patience = patience
    self.configuration = configuration
    let name = path.fileName
    let starter = Starter()
    jobs = JobQueue(
      deadlineError: { waited in
        StoreError(
          .deadline,
          "Writing to \(name) waited \(waited.inSeconds) for its turn and gave up; nothing was written, try again.",
          path: path, holders: LockTable.holders(ofDatabaseAt: path))
      },
      closedError: { StoreError(.closed, "\(name) is closed; open it again to write.", path: path) },
      onSubmit: { starter.writer?.startIfNeeded() })
    starter.writer = self
  }

  /// The way from the queue back to the writer that owns it; set once, before the writer is shared.
  private final class Starter: @unchecked Sendable {
    weak var writer: Writer?
  }

  private func startIfNeeded() {
    let start = thread.withLock { state in
      guard case .idle = state else { return false }
      state = .running
      return true
    }
    if start { BlockingThread.start(named: "hf-writer") { self.run() } }
  }

  /// Closes the queue, waits until every accepted job was served or told its deadline, and closes the
  /// connection. Blocks.
  func close() {
    jobs.close()
    let neverStarted = thread.withLock { state in
      guard case .idle = state else { return false }
      state = .ended
      return true
    }
    if neverStarted {
      try? database.close()
    } else {
      thread.wait { state in if case .ended = state { () } else { nil } }
    }
  }

  /// Runs `body` on the writer's connection with the turn held, outside any transaction. Blocks.
  func performBare(_ body: @escaping @Sendable (DatabaseQueue) throws -> Void) throws {
    let outcome = Monitor<Result<Void, any Error>?>(nil)
    let job = BareValueJob<Void>(patience: configuration.patience) { database, _ in
      try body(database)
    } end: { result in
      outcome.withLock { $0 = result }
      outcome.signal()
    }
    jobs.submit(job)
    try outcome.wait { $0 }.get()
  }

  /// Runs a checkpoint when its turn comes.
  func checkpoint(within patience: Duration) async throws -> CheckpointReport {
    try await withCheckedThrowingContinuation { continuation in
      let job = BareValueJob(patience: patience) { database, checkpointer in
        try checkpointer.run(beside: database)
      } end: {
        continuation.resume(with: $0)
      }
      jobs.submit(job)
    }
  }

  private func run() {
    var checkpointer = Checkpointer(path: path, configuration: configuration)
    let meter = CommitMeter()
    do {
      let savepoints = try database.inDatabase { db in
        meter.install(on: db)
        return try SavepointStatements(db)
      }
      while jobs.awaitWork() == .work { takeTurn(meter, savepoints, &checkpointer) }
      database.inDatabase { $0.remove(transactionObserver: meter) }
    } catch {
      // Three constant statements could not be prepared: no memory, or a connection that is no more.
      while jobs.awaitWork() == .work { failWaiting(describe(error)) }
    }
    checkpointer.close()
    try? database.close()
    thread.withLock { $0 = .ended }
    thread.signal()
  }

  private func takeTurn(
    _ meter: CommitMeter, _ savepoints: SavepointStatements, _ checkpointer: inout Checkpointer
  ) {
    do {
      try lane.enter()
    } catch {
      failWaiting(error)
      return
    }
    let turn: Turn
    switch jobs.nextStyle {
    case nil: turn = Turn()  // every deadline passed while we queued
    case .bare: turn = runBare(&checkpointer)
    case .shared: turn = database.inDatabase { runTransaction($0, meter, savepoints, alone: false) }
    case .alone: turn = database.inDatabase { runTransaction($0, meter, savepoints, alone: true) }
    }
    if checkpointer.isDue(walPages: meter.walPages) {
      tell(turn)
      checkpoint(&checkpointer)
      lane.leave()
    } else {
      lane.leave()
      tell(turn)
    }
  }

  /// What a turn came to, told once the turn is given back.
  private struct Turn {
    var succeeded: [Job] = []
    var failed: [(Job, any Error)] = []
  }

  private func tell(_ turn: Turn) {
    jobs.finish(turn.succeeded)
    jobs.finish(turn.failed.map(\.0))
    for job in turn.succeeded { job.succeed() }
    for (job, error) in turn.failed { job.fail(error) }
  }

  private func failWaiting(_ error: any Error) {
    for job in jobs.finishAllWaiting() { job.fail(error) }
  }

  // MARK: - One transaction

  private func runTransaction(
    _ db: Database, _ meter: CommitMeter, _ savepoints: SavepointStatements, alone: Bool
  ) -> Turn {
    var turn = Turn()
    patience.wait { [jobs] in jobs.waitingCount > 0 }
    do {
      try db.cachedStatement(sql: "BEGIN IMMEDIATE TRANSACTION").execute()
    } catch let error as DatabaseError where ResultClass(error) == .lock {
      return turn  // the handler gave up because nobody waits any more: they were told by their deadlines
    } catch {
      failWaiting(describe(error))
      return turn
    }
    let began = ContinuousClock.now
    let commits = meter.commits
    var batch = BatchMachine<Job>()
    while let job = jobs.take(where: { alone ? batch.isEmpty : $0.style == .shared }) {
      patience.wait(until: max(job.deadline, began + .seconds(1)))
      let admission = batch.admit(job)
      var failure: (any Error)?
      do {
        if admission == .savepoint { try savepoints.begin() }
        try job.run(db)
        if admission == .savepoint, db.isInsideTransaction { try savepoints.keep() }
      } catch {
        failure = describe(error)
      }
      guard db.isInsideTransaction else {
        let ending: BatchMachine<Job>.Ending = meter.commits == commits ? .rolledBack : .committed
        turn.failed.append((job, failure ?? endedByBody(ending)))
        settle(batch.transactionEnded(ending, during: job), error: nil, &turn)
        return turn
      }
      if let failure {
        turn.failed.append((job, failure))
        switch batch.bodyThrew(job) {
        case .transaction:
          rollback(db)
          return turn
        case .savepoint:
          do { try savepoints.undo() } catch {
            rollback(db)
            settle(batch.transactionLost(), error: nil, &turn)
            return turn
          }
        }
      }
      if alone || batch.isDue(after: began.duration(to: .now), contended: lane.isContended) { break }
    }
    guard !batch.isEmpty else {
      rollback(db)
      return turn
    }
    do {
      try db.cachedStatement(sql: "COMMIT TRANSACTION").execute()
      lane.markCommit()
      settle(batch.committed(), error: nil, &turn)
    } catch {
      rollback(db)
      let reason = (error as? DatabaseError).map { ResultClass($0) } ?? .statement
      settle(batch.commitFailed(reason), error: error, &turn)
    }
    return turn
  }

  private func settle(_ verdict: BatchMachine<Job>.Verdict, error: (any Error)?, _ turn: inout Turn) {
    turn.succeeded += verdict.acknowledged
    jobs.putBack(verdict.replayed, as: verdict.replayAlone ? .alone : nil)
    for job in verdict.failed {
      var failure = error.map { describe($0, outcome: verdict.outcome) } ?? endedByBody(.rolledBack)
      if var store = failure as? StoreError, store.code == .deadline {
        store.holders = LockTable.holders(ofDatabaseAt: path)
        failure = store
      }
      turn.failed.append((job, failure))
    }
  }

  private func rollback(_ db: Database) {
    // A rollback cannot fail in a way that leaves the transaction open: at worst SQLite has already ended
    // it, or the connection replays the journal at its next use.
    if db.isInsideTransaction { try? db.rollback() }
  }

  private func endedByBody(_ ending: BatchMachine<Job>.Ending) -> StoreError {
    StoreError(
      .misuse,
      "A write ended its own transaction (COMMIT or ROLLBACK inside the body); let it return or throw instead.",
      path: path, outcome: ending == .committed ? .applied : .notApplied)
  }

  private func describe(_ error: any Error, outcome: StoreError.Outcome = .notApplied) -> any Error {
    guard let error = error as? DatabaseError else { return error }
    return StoreError(error, path: path, doing: "Writing to", outcome: outcome)
  }

  // MARK: - Bare jobs

  private func runBare(_ checkpointer: inout Checkpointer) -> Turn {
    guard let job = jobs.take(where: { $0.style == .bare }) as? BareJob else { return Turn() }
    patience.wait(until: job.deadline)
    do {
      try job.run(on: database, &checkpointer)
      return Turn(succeeded: [job])
    } catch {
      database.inDatabase(rollback)
      return Turn(failed: [(job, describe(error))])
    }
  }

  private func checkpoint(_ checkpointer: inout Checkpointer) {
    // A failed checkpoint loses nothing: the frames stay in the WAL and the next commit asks again.
    patience.wait(until: .now + .milliseconds(50))
    _ = try? checkpointer.run(beside: database)
  }
}

extension ResultClass {
  init(_ error: DatabaseError) { self.init(extendedCode: error.extendedResultCode.rawValue) }
}

extension Duration {
  /// As in "2.5 s", for messages.
  var inSeconds: String {
    let (seconds, attoseconds) = components
    let tenths = (attoseconds + 50_000_000_000_000_000) / 100_000_000_000_000_000
    return tenths == 10 ? "\(seconds + 1).0 s" : "\(seconds).\(tenths) s"
  }
}
