// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

/// One session's worker, from the host's start to its end: decisions only, no I/O.
///
/// It is told what happened and answers with what to do, in order; the driver does that, and tells of the last of
/// it or of the first that failed. States and where they go:
///
/// - `working(stage)`: the driver is at one of the ``Stage``s. Done → the next stage; failed →
///   `pausing`, and the same stage again after a while, for as long as it takes.
/// - `pausing(stage, until)`: only the time ends it.
/// - `resting`: there is no worker and nothing to be cleaned up. Wanted, due and the pause over →
///   `working(.start)`.
/// - `running`: a worker runs. Its end → `working(.recover)`. Silent, stuck, not wanted any more or the host
///   stops → `terminating`.
/// - `terminating(killAt)`: SIGTERM was sent. Its end → `working(.recover)`; the time is up → `killing`.
/// - `killing(again)`: SIGKILL was sent, and is sent again as long as no end is confirmed: nothing else leads on,
///   since what is left behind may be recovered only when nobody writes any more (row C02).
/// - `over`: the host stops and nothing is left to be done.
///
/// Every way into `resting` leads through `.recover` and `.settle`: the journal is rolled back, what the worker
/// wrote is taken in (row E07), and its claims are given back, in this order, whatever ended it.
struct SupervisorMachine<Instant: InstantProtocol> where Instant.Duration == Duration, Instant: Sendable {
  /// Work that may fail and is then done again.
  enum Stage: String, Hashable, Sendable, CaseIterable {
    /// Looking whether a worker of an earlier host still runs.
    case look
    /// Rolling back what the dead worker left half done.
    case recover
    /// Taking in what it wrote and giving its claims back.
    case settle
    /// Starting a worker.
    case start
  }

  /// Why a worker was told to end.
  enum Reason: Hashable, Sendable {
    /// It is an earlier host's.
    case orphan
    /// No heartbeat for longer than the ceiling.
    case silent
    /// It sat on a message.
    case stuck(message: String)
    /// Somebody does not want it any more.
    case unwanted
    /// The host stops.
    case shutDown

    var name: String {
      switch self {
      case .orphan: "orphan"
      case .silent: "silent"
      case .stuck(let message): "stuck on \(message)"
      case .unwanted: "stop wanted"
      case .shutDown: "host stops"
      }
    }
  }

  enum State: Hashable, Sendable {
    case working(Stage)
    case pausing(Stage, until: Instant)
    case resting
    case running
    case terminating(Reason, killAt: Instant)
    case killing(Reason, again: Instant)
    case over
  }

  enum Event: Hashable, Sendable {
    /// A look at the mailbox.
    case tick(WorkerFacts)
    /// The last of what was to be done is done.
    case done
    /// What the worker left is taken in; the progress that it had made by then.
    case settled(progress: Int64?)
    /// One of it failed; the rest was not tried.
    case failed(String)
    /// A worker of an earlier host was looked for.
    case looked(orphan: Bool)
    /// A worker runs.
    case spawned(WorkerIdentity)
    /// The worker and everything it started are gone: confirmed, not assumed.
    case exited(WorkerExit)
    /// The host stops: the worker, too, and for good.
    case shutDown
  }

  enum Action: Hashable, Sendable {
    case findOrphan
    case clearHeartbeat
    case releaseClaims(through: Int64)
    case save(WorkerRecord)
    case spawn(incarnation: Int64)
    case terminate
    case kill
    case recoverJournal
    case drain
    case report(WorkerNews)
  }

  private(set) var state: State
  private(set) var record: WorkerRecord
  private let policy: WorkerPolicy
  private var watch: WorkerWatch<Instant>?
  private var isStopping = false
  private var nextStart: Instant?
  /// Failures in a row of the present stage.
  private var failures = 0
  private var progressAtStart: Int64?
  private var progress: Int64?
  private var exit: WorkerExit?
  private var reason: Reason?

  /// How long a stage that failed waits for its next try.
  static func stagePause(afterFailures failures: Int) -> Duration {
    min(.seconds(30), .milliseconds(250) * (1 << min(failures - 1, 10)))
  }

  /// - Parameters:
  ///   - record: what an earlier host kept.
  ///   - wall: milliseconds since 1970, for what the record says in such.
  init(policy: WorkerPolicy, record: WorkerRecord?, at now: Instant, wall: Int64) {
    self.policy = policy
    self.record = record ?? WorkerRecord()
    state = .working(.look)
    if let next = self.record.nextStart, self.record.restarts > 0 {
      // A wall clock that stepped meanwhile does not make it longer than it can have been.
      let left = Duration.milliseconds(max(0, next - wall))
      nextStart = now.advanced(by: min(left, policy.pause(afterEnds: self.record.restarts)))
    }
  }

  /// Whether the driver may end.
  var isOver: Bool { state == .over }

  /// Whether a process of ours may be alive.
  var mayLive: Bool {
    switch state {
    case .running, .terminating, .killing, .working(.start): true
    default: false
    }
  }

  /// Notes how workers are run from now on.
  mutating func adopt(runtime: String) { record.runtime = runtime }

  /// What to begin with.
  func begin() -> [Action] { [.findOrphan] }

  /// - Returns: what to do, in this order, up to the first that fails.
  mutating func handle(_ event: Event, at now: Instant, wall: Int64) -> [Action] {
    switch (event, state) {
    case (.shutDown, _):
      return stop(at: now)
    case (.tick(let facts), _):
      return tick(facts, at: now, wall: wall)
    case (.exited(let exit), .running), (.exited(let exit), .terminating), (.exited(let exit), .killing):
      return ended(exit)
    case (.looked(let orphan), .working(.look)):
      failures = 0
      return orphan ? terminate(.orphan, at: now) : recover()
    case (.done, .working(.recover)):
      failures = 0
      state = .working(.settle)
      return settleActions
    case (.settled(let progress), .working(.settle)):
      failures = 0
      if let progress { self.progress = progress }
      return settled(at: now, wall: wall)
    case (.spawned(let identity), .working(.start)):
      failures = 0
      return spawned(identity, at: now, wall: wall)
    case (.failed(let message), .working(.start)):
      return startFailed(message, at: now)
    case (.failed(let message), .working(let stage)):
      failures += 1
      // The next host begins by looking, and so with this very work.
      if isStopping {
        state = .over
        return [.report(.troubled(stage: stage.rawValue, message: message, failures: failures))]
      }
      let until = now.advanced(by: Self.stagePause(afterFailures: failures))
      state = .pausing(stage, until: until)
      return [.report(.troubled(stage: stage.rawValue, message: message, failures: failures))]
    // A signal or a save beside a running worker that failed is told and tried again when it is next due.
    case (.failed(let message), _):
      return [.report(.troubled(stage: "run", message: message, failures: 1))]
    case (.done, _):
      return []
    // The driver tells of an end once and of a stage while it is at it.
    case (.exited, _), (.looked, _), (.spawned, _), (.settled, _):
      preconditionFailure("\(event) was told in the state \(state)")
    }
  }

  /// Whole milliseconds, rounded up.
  private static func milliseconds(_ duration: Duration) -> Int64 {
    let (seconds, attoseconds) = duration.components
    return seconds * 1000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000
  }

  // MARK: The clock

  private mutating func tick(_ facts: WorkerFacts, at now: Instant, wall: Int64) -> [Action] {
    if let progress = facts.progress { self.progress = progress }
    switch state {
    case .working, .over:
      return []
    case .pausing(let stage, let until):
      return now < until ? [] : again(stage)
    case .resting:
      guard !isStopping, facts.isWanted == true, now >= nextStart ?? now else { return [] }
      guard policy.start == .always || (facts.due ?? 0) > 0 else { return [] }
      return start(wall: wall)
    case .running:
      return watchOver(facts, at: now)
    case .terminating(let reason, let killAt):
      guard now >= killAt else { return [] }
      state = .killing(reason, again: now.advanced(by: policy.stopGrace))
      return [.kill, .report(.killed(reason: reason.name))]
    case .killing(let reason, let again):
      guard now >= again else { return [] }
      state = .killing(reason, again: now.advanced(by: policy.stopGrace))
      return [.kill, .report(.stubborn(reason: reason.name))]
    }
  }

  private mutating func watchOver(_ facts: WorkerFacts, at now: Instant) -> [Action] {
    guard var watch else { preconditionFailure("a worker runs and nobody watches") }
    let signs = watch.look(facts, at: now)
    self.watch = watch
    if facts.isWanted == false { return terminate(.unwanted, at: now) }
    switch WorkerHealth.judge(signs, by: policy) {
    case .silent: return terminate(.silent, at: now)
    case .stuck(let message): return terminate(.stuck(message: message), at: now)
    case .fine: break
    }
    guard record.restarts > 0, signs.uptime >= policy.healthyAfter else { return [] }
    record.restarts = 0
    return [.save(record), .report(.healthy)]
  }

  // MARK: Starting

  private mutating func start(wall: Int64) -> [Action] {
    record.incarnation += 1
    record.state = .starting
    record.process = nil
    record.container = nil
    record.startedAt = wall
    record.nextStart = nil
    state = .working(.start)
    return startActions
  }

  /// The messages that made it due were counted before the claims on some of them are given back, and the stale
  /// heartbeat goes before there is a worker whom it could be held against (row E02). The incarnation is kept
  /// before there is a worker that uses it.
  private var startActions: [Action] {
    [
      .clearHeartbeat, .releaseClaims(through: record.incarnation - 1), .save(record),
      .spawn(incarnation: record.incarnation),
    ]
  }

  private mutating func spawned(_ identity: WorkerIdentity, at now: Instant, wall: Int64) -> [Action] {
    record.state = .running
    record.process = identity.process
    record.container = identity.container
    record.startedAt = wall
    watch = WorkerWatch(incarnation: record.incarnation, spawned: now)
    progressAtStart = progress
    exit = nil
    reason = nil
    state = .running
    // Told first: the book may not be writable just now, and it runs all the same.
    let news = [Action.report(.started(identity, incarnation: record.incarnation)), .save(record)]
    return isStopping ? news + terminate(.shutDown, at: now) : news
  }

  /// No process came to be, so there is nobody whose end could be told.
  private mutating func startFailed(_ message: String, at now: Instant) -> [Action] {
    exit = .notStarted(message)
    watch = nil
    return recover()
  }

  // MARK: Ending

  private mutating func terminate(_ reason: Reason, at now: Instant) -> [Action] {
    self.reason = reason
    state = .terminating(reason, killAt: now.advanced(by: policy.stopGrace))
    record.state = .stopping
    record.lastReason = reason.name
    // The signal first: what it is for may be that the book cannot be written.
    return [.terminate, .report(.stopping(reason: reason.name)), .save(record)]
  }

  private mutating func ended(_ exit: WorkerExit) -> [Action] {
    self.exit = exit
    return recover()
  }

  private mutating func recover() -> [Action] {
    failures = 0
    state = .working(.recover)
    return [.recoverJournal]
  }

  private var settleActions: [Action] { [.drain, .releaseClaims(through: record.incarnation)] }

  /// What the worker left is taken in: what becomes of the session.
  private mutating func settled(at now: Instant, wall: Int64) -> [Action] {
    var news: [Action] = []
    if let exit {
      count(exit, at: now)
      record.lastExit = exit.description
      record.lastReason = reason?.name
      news.append(.report(.ended(exit, reason: reason?.name, incarnation: record.incarnation)))
      let pause = policy.pause(afterEnds: record.restarts)
      nextStart = pause > .zero ? now.advanced(by: pause) : nil
      if pause > .zero, !isStopping { news.append(.report(.pausing(pause, ends: record.restarts))) }
    }
    watch = nil
    exit = nil
    reason = nil
    record.process = nil
    record.container = nil
    record.nextStart = nextStart.map { wall + Self.milliseconds(max(.zero, now.duration(to: $0))) }
    record.state =
      if record.restarts >= policy.breakerEnds { .broken } else { nextStart == nil ? .stopped : .waiting }
    state = isStopping ? .over : .resting
    return news + [.save(record)]
  }

  /// Whether an end counts against the worker: not when it was asked to end, nor when it ended by itself having
  /// got something done.
  private mutating func count(_ exit: WorkerExit, at now: Instant) {
    let uptime = watch?.uptime(at: now) ?? .zero
    if uptime >= policy.healthyAfter { record.restarts = 0 }
    switch reason {
    case .unwanted: record.restarts = 0
    // A host that stops or was killed is none the wiser about the worker.
    case .shutDown, .orphan: break
    case .silent, .stuck: record.restarts += 1
    case nil:
      let gotOn = progress != nil && progress != progressAtStart
      if exit == .exited(0), gotOn { record.restarts = 0 } else { record.restarts += 1 }
    }
  }

  // MARK: Again, and over

  private mutating func again(_ stage: Stage) -> [Action] {
    state = .working(stage)
    switch stage {
    case .look: return [.findOrphan]
    case .recover: return [.recoverJournal]
    case .settle: return settleActions
    case .start: preconditionFailure("a start that failed is an end, and no stage to try again")
    }
  }

  private mutating func stop(at now: Instant) -> [Action] {
    guard !isStopping else { return [] }
    isStopping = true
    switch state {
    case .working, .terminating, .killing: return []
    case .running: return terminate(.shutDown, at: now)
    case .resting:
      state = .over
      return []
    // One more try at once; after that the session is left as it is, to the next host.
    case .pausing(let stage, _): return again(stage)
    case .over: return []
    }
  }
}
