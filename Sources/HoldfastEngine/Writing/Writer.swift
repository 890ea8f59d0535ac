// SPDX-License-Identifier: Apache-2.0

import GRDB

/// The one writer of a file in this process: a thread, a connection, and the queue of callers before it.
///
/// Each turn in the lane is one transaction shared by whoever waits (group commit) or one bare job. There is
/// no timer: what arrived during the last commit forms the next batch.
final class Writer: ReadFallback {
  let path: String
  let lane: WriteLane
  let jobs: JobQueue
  let latch: DamageLatch
  let configuration: StateFileConfiguration
  let patience: BusyPatience
  let migrations: Monitor<[DatabaseMigrator]>
  private let thread: Monitor<ThreadState>
  /// Called on the writer's thread after the file was opened anew; see ``onReopen(_:)``.
  let reopened = Monitor<(@Sendable () -> Void)?>(nil)

  private enum ThreadState {
    /// No job was ever submitted; no thread.
    case idle(OpenedFile)
    case running
    case ended
  }

  init(
    path: String, lane: WriteLane, opened: sending OpenedFile, migrations: DatabaseMigrator,
    patience: BusyPatience, latch: DamageLatch, configuration: StateFileConfiguration
  ) {
    self.path = path
    self.lane = lane
    self.latch = latch
    self.patience = patience
    self.configuration = configuration
    self.migrations = Monitor([migrations])
    thread = Monitor(.idle(opened))
    let starter = Starter()
    let name = path.fileName
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
    let opened: OpenedFile? = thread.withLock { state in
      guard case .idle(let opened) = state else { return nil }
      state = .running
      return opened
    }
    guard let opened else { return }
    // The file moves to the writer's thread for good: the state that held it has let go.
    let box = Handover(opened)
    BlockingThread.start(named: "hf-writer") { self.run(box.opened) }
  }

  /// Carries the opened file to the writer's thread; `@unchecked Sendable`: one thread made it and lets go,
  /// another takes it, and the start of the second orders the two.
  private final class Handover: @unchecked Sendable {
    let opened: OpenedFile
    init(_ opened: OpenedFile) { self.opened = opened }
  }

  /// Closes the queue, waits until every accepted job was served or told its deadline, and closes the
  /// connection. Blocks.
  func close() {
    jobs.close()
    // The thread also looks whether the file is still in place, even if it never had anything to write.
    startIfNeeded()
    thread.wait { state in if case .ended = state { () } else { nil } }
  }

  /// Runs migrations in the queue. Blocks.
  func migrate(with migrator: DatabaseMigrator) throws {
    guard !migrator.migrations.isEmpty else { return }
    let (path, latch) = (path, latch)
    try perform(.bare, by: .now + configuration.patience) { database in
      if let refusal = latch.refusal { throw refusal }
      try OpenedFile.migrate(database, with: migrator, path: path)
    }
    migrations.withLock { known in
      if !known.contains(where: { $0.migrations == migrator.migrations }) { known.append(migrator) }
    }
  }

  /// Has the file looked at, and opened anew if the path stands for another one. Blocks.
  func settle(by deadline: ContinuousClock.Instant) throws {
    try perform(.bare, by: deadline) { _ in }
  }

  /// Runs a read between two transactions, for a reader that could get no connection. Blocks.
  func read(by deadline: ContinuousClock.Instant, _ body: @escaping (Database) throws -> Void) throws {
    let box = UncheckedBody(body)
    try perform(.reading, by: deadline) { try $0.read { try box.body($0) } }
  }

  /// A body whose maker is blocked while the writer's thread runs it; `@unchecked Sendable`: the monitor it
  /// waits on orders the two.
  private struct UncheckedBody: @unchecked Sendable {
    let body: (Database) throws -> Void
    init(_ body: @escaping (Database) throws -> Void) { self.body = body }
  }

  /// Sets what is called, on the writer's thread, after the path was found to stand for other files and
  /// was opened anew.
  func onReopen(_ body: (@Sendable () -> Void)?) {
    reopened.withLock { $0 = body }
  }

  private func perform(
    _ style: Job.Style, by deadline: ContinuousClock.Instant,
    _ body: @escaping @Sendable (DatabaseQueue) throws -> Void
  ) throws {
    let outcome = Monitor<Result<Void, any Error>?>(nil)
    let job = BareValueJob<Void>(patience: ContinuousClock.now.duration(to: deadline), style: style) {
      database, _ in
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
    let latch = latch
    return try await withCheckedThrowingContinuation { continuation in
      let job = BareValueJob(patience: patience) { database, checkpointer in
        if let refusal = latch.refusal { throw refusal }
        return try checkpointer.run(beside: database)
      } end: {
        continuation.resume(with: $0)
      }
      jobs.submit(job)
    }
  }

  // MARK: - The thread

  private func run(_ opened: OpenedFile) {
    var session: WriterSession?
    var lastGuard = opened.fileGuard
    do {
      session = try WriterSession(opened, path: path, lane: lane, configuration: configuration)
    } catch {
      // Three constant statements could not be prepared: no memory, or a connection that is no more. The
      // next turn opens the file anew.
      opened.close()
    }
    let watch = watchNames()
    serving: while true {
      switch jobs.awaitWork(until: latch.damage == nil ? session?.checkpointer.nextTry : nil) {
      case .work: takeTurn(&session, &lastGuard)
      case .idle: retryCheckpoint(session)
      case .closed: break serving
      }
    }
    if let watch { DirectoryWatch.names.cancel(watch) }
    saveBeforeClosing(&session)
    session?.close()
    session = nil
    // The last connection is closed, so the guard may go, and must before anybody can open the file again:
    // its close drops the locks of every connection of the process.
    lastGuard.file.close()
    thread.withLock { $0 = .ended }
    thread.signal()
  }

  /// Looks at the file when one of its names was touched, also while nobody writes: an idle process may be
  /// the only one that still reaches a removed -wal.
  private func watchNames() -> DirectoryWatch.Token? {
    let name = path.fileName
    return DirectoryWatch.names.subscribe(
      directory: String(path.dropLast(name.count)), names: [name, name + "-wal", name + "-shm"]
    ) { [weak self] in
      guard let self else { return }
      jobs.submit(LookJob(patience: configuration.patience))
    }
  }

  /// A checkpoint that a reader kept from its end is tried again while nobody writes.
  private func retryCheckpoint(_ session: WriterSession?) {
    guard let session, (try? lane.enter()) != nil else { return }
    var isMuch = false
    if session.opened.breach() == nil {
      isMuch = session.checkpointer.hasBacklog(walPages: session.meter.walPages)
      if !isMuch { checkpoint(session) }
    }
    lane.leave()
    if isMuch { foldBacklog(session) }
  }

  private func takeTurn(_ session: inout WriterSession?, _ lastGuard: inout FileGuard) {
    if let session, jobs.nextStyle == .reading {
      tell(runBare(session, style: .reading))
      return
    }
    do {
      try lane.enter()
    } catch {
      failWaiting(error)
      return
    }
    if jobs.nextStyle == .look {
      let looks = jobs.takeAll { $0.style == .look }
      // A replaced database is left to the next one who uses it; a -wal that lost its name cannot wait.
      if session?.opened.breach()?.losesCommits == true {
        // Should it fail, the next turn tries again and has somebody to tell.
        _ = try? wholeSession(&session, &lastGuard)
      }
      lane.leave()
      tell(Turn(succeeded: looks))
      return
    }
    let ready: WriterSession
    do {
      ready = try wholeSession(&session, &lastGuard)
    } catch {
      lane.leave()
      failWaiting(describe(error))
      return
    }
    if let refusal = latch.refusal, jobs.nextStyle == .shared || jobs.nextStyle == .alone {
      lane.leave()
      tell(Turn(failed: jobs.takeAll { $0.style == .shared || $0.style == .alone }.map { ($0, refusal) }))
      return
    }
    var turn: Turn
    switch jobs.nextStyle {
    case nil, .look: turn = Turn()  // every deadline passed while we queued
    case .bare: turn = runBare(ready, style: .bare)
    case .reading: turn = runBare(ready, style: .reading)
    case .shared: turn = ready.database.inDatabase { runTransaction($0, ready, alone: false) }
    case .alone: turn = ready.database.inDatabase { runTransaction($0, ready, alone: true) }
    }
    if !turn.succeeded.isEmpty, let breach = ready.opened.breach() {
      confirm(&turn, after: breach, &session, &lastGuard)
    }
    if let session, session.checkpointer.isDue(walPages: session.meter.walPages),
      session.opened.breach() == nil
    {
      tell(turn)
      let isMuch = session.checkpointer.hasBacklog(walPages: session.meter.walPages)
      if !isMuch { checkpoint(session) }
      lane.leave()
      if isMuch { foldBacklog(session) }
    } else {
      lane.leave()
      tell(turn)
    }
  }

  /// What a turn came to, told once the turn is given back.
  struct Turn {
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

  private func runTransaction(_ db: Database, _ session: WriterSession, alone: Bool) -> Turn {
    let (meter, savepoints) = (session.meter, session.savepoints)
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
    if latch.damage != nil {
      // One of them met damage, or a reader did meanwhile: none is written on top of it. Their next turn says why.
      rollback(db)
      settle(batch.transactionLost(), error: nil, &turn)
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

  func describe(_ error: any Error, outcome: StoreError.Outcome = .notApplied) -> any Error {
    latch.note(error)
    guard let error = error as? DatabaseError else { return error }
    return StoreError(error, path: path, doing: "Writing to", outcome: outcome)
      .namingTheFile(ofDatabaseAt: path)
  }

  // MARK: - Bare jobs

  private func runBare(_ session: WriterSession, style: Job.Style) -> Turn {
    guard let job = jobs.take(where: { $0.style == style }) as? BareJob else { return Turn() }
    patience.wait(until: job.deadline)
    do {
      try job.run(on: session.database, &session.checkpointer)
      return Turn(succeeded: [job])
    } catch {
      session.database.inDatabase(rollback)
      return Turn(failed: [(job, describe(error))])
    }
  }

  /// Has what a reader held back folded beside the writers, and the last of it in the queue.
  private func foldBacklog(_ session: WriterSession) {
    guard latch.damage == nil else { return }
    session.checkpointer.leave(walPages: session.meter.walPages)
    let (path, generation, fileGuard) = (path, session.opened.generation, session.opened.fileGuard)
    session.backlog.start(from: session.checkpointer.folded, syncing: fileGuard) {
      generation.breach(ofDatabaseAt: path) == nil
    } end: { [weak self] outcome in
      guard let self else { return }
      jobs.submit(FinishFoldJob(outcome, patience: configuration.patience))
    }
  }

  private func checkpoint(_ session: WriterSession) {
    // Frames laid over a damaged file are no better kept there than in the WAL, from which they can be salvaged.
    guard latch.damage == nil else { return }
    patience.wait(until: .now + .milliseconds(50))
    do {
      _ = try session.checkpointer.run(beside: session.database)
    } catch {
      // It loses nothing: the frames stay in the WAL.
      session.checkpointer.failed(with: describe(error), walPages: session.meter.walPages)
    }
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
