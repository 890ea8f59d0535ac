// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
public import Logging

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Whose worker is watched over, and how.
public struct WorkerPlan: Sendable {
  /// Whose.
  public var address: MailboxAddress
  /// The mailbox's directory, absolute.
  public var directory: String
  /// How patiently.
  public var policy: WorkerPolicy
  /// How it is run.
  public var runtime: any WorkerRuntime
  /// How often the worker is asked to touch its heartbeat file.
  public var heartbeatSeconds: Int

  /// Makes a plan.
  public init(
    address: MailboxAddress, directory: String, policy: WorkerPolicy = .init(), runtime: any WorkerRuntime,
    heartbeatSeconds: Int = 10
  ) {
    self.address = address
    self.directory = directory
    self.policy = policy
    self.runtime = runtime
    self.heartbeatSeconds = heartbeatSeconds
  }
}

/// Does what ``SupervisorMachine`` decides, for one session: nothing here decides.
///
/// One task; what happens meanwhile waits in a stream. Whatever fails is this session's alone (row E03).
public final class WorkerSupervisor<C: Clock>: Sendable where C.Duration == Duration, C.Instant: Sendable {
  private typealias Machine = SupervisorMachine<C.Instant>

  private enum Input: Sendable {
    case tick
    /// What a look found, and the worker it was at.
    case looked(WorkerFacts, at: Int)
    case exited(WorkerExit)
    case shutDown
  }

  private let plan: WorkerPlan
  private let book: any WorkerBook
  private let clock: C
  private let tick: Duration
  private let logger: Logger
  private let tell: @Sendable (WorkerNews) -> Void
  private let inputs: AsyncStream<Input>
  private let input: AsyncStream<Input>.Continuation
  private let flags = Monitor(Flags())

  private struct Flags {
    var isTickWaiting = false
    var isStopping = false
  }

  /// Makes a supervisor of one session; ``run()`` starts it.
  ///
  /// - Parameters:
  ///   - book: the session's mailbox.
  ///   - tick: how often it looks.
  ///   - tell: called with what happens, in order, from the supervisor's task.
  public init(
    _ plan: WorkerPlan, book: any WorkerBook, clock: C, tick: Duration = .seconds(1), logger: Logger,
    tell: @escaping @Sendable (WorkerNews) -> Void
  ) {
    self.plan = plan
    self.book = book
    self.clock = clock
    self.tick = tick
    var logger = logger
    logger[metadataKey: "mailbox"] = "\(plan.address)"
    self.logger = logger
    self.tell = tell
    (inputs, input) = AsyncStream.makeStream()
  }

  /// Ends the worker and then ``run()``. What is wanted stays as it is.
  public func shutDown() {
    flags.withLock { $0.isStopping = true }
    input.yield(.shutDown)
  }

  /// Looks at once instead of at the next tick.
  public func look() { yieldTick() }

  /// How soon a supervisor that waits for its session heeds the order to stop.
  private static var patience: Duration { .milliseconds(250) }

  /// So long a sign stands for those that follow it.
  private static var signPause: Duration { .milliseconds(50) }

  private func yieldTick() {
    let isFirst = flags.withLock { flags in
      defer { flags.isTickWaiting = true }
      return !flags.isTickWaiting
    }
    if isFirst { input.yield(.tick) }
  }

  private var isStopping: Bool { flags.withLock { $0.isStopping } || Task.isCancelled }

  /// Watches over the session until ``shutDown()``; cancelled, it leaves a worker that does not end to the next host.
  public func run() async {
    await withTaskGroup { group in
      group.addTask { [clock, tick] in
        while (try? await clock.sleep(for: tick)) != nil { self.yieldTick() }
      }
      await self.supervise()
      group.cancelAll()
    }
  }

  private func supervise() async {
    guard let (host, lock, record) = await begin() else { return }
    var machine = Machine(
      policy: plan.policy, record: record, at: clock.now, wall: UnixTime.now().milliseconds)
    var hands = Hands(lock: lock)
    machine.adopt(runtime: plan.runtime.name)
    // What is sent, said or finished is seen within a moment, and not with the next tick.
    let listening = Task { [book] in
      for await _ in await book.changes() {
        self.yieldTick()
        try? await Task.sleep(for: Self.signPause)
      }
    }
    defer { listening.cancel() }
    await perform(machine.begin(), &machine, &hands)
    for await input in inputs {
      if machine.isOver || Task.isCancelled { break }
      switch input {
      case .tick:
        flags.withLock { $0.isTickWaiting = false }
        look(&hands)
      case .looked(let facts, let number):
        hands.looking = nil
        // What was seen of a worker that has ended meanwhile says nothing of the next one.
        let isStale = number != hands.number
        if !isStale { await handle(.tick(facts), &machine, &hands) }
        if isStale || hands.isLookWanted { look(&hands) }
      case .exited(let exit):
        hands.worker = nil
        hands.number += 1
        await handle(.exited(exit), &machine, &hands)
      case .shutDown:
        await handle(.shutDown, &machine, &hands)
      }
      if machine.isOver { break }
    }
    await hands.looking?.value
    withExtendedLifetime(host) {}
  }

  /// What the driver holds on to between two decisions.
  private struct Hands {
    let lock: WorkerLock
    var worker: (any RunningWorker)?
    /// Counts the beginnings and ends of workers.
    var number = 0
    /// A look under way.
    var looking: Task<Void, Never>?
    /// Something happened during it.
    var isLookWanted = false
  }

  /// Waits until the session is this host's and its record can be read.
  ///
  /// Told to stop before that, it tries once all the same: a worker that the host before it left is to be ended.
  private func begin() async -> (HostLock, WorkerLock, WorkerRecord?)? {
    var pause = Duration.milliseconds(250)
    var failures = 0
    while !Task.isCancelled {
      do {
        try await book.make()
        let host = try HostLock(mailbox: plan.directory, address: plan.address)
        return (host, try WorkerLock(mailbox: plan.directory), try await book.worker())
      } catch {
        failures += 1
        report(.troubled(stage: "open", message: "\(error)", failures: failures))
        var left = pause
        while !isStopping, left > .zero {
          try? await clock.sleep(for: min(left, Self.patience))
          left -= Self.patience
        }
        if isStopping { return nil }
        pause = min(pause * 2, .seconds(30))
      }
    }
    return nil
  }

  // MARK: Looking

  /// Looks, while what else happens is seen to: a worker that died in the middle of something keeps its file from
  /// being read until its end has been seen to.
  private func look(_ hands: inout Hands) {
    hands.isLookWanted = hands.looking != nil
    guard hands.looking == nil else { return }
    hands.looking = Task { [input, number = hands.number, isWorking = hands.worker != nil] in
      input.yield(.looked(await self.facts(isWorking: isWorking), at: number))
    }
  }

  private func facts(isWorking: Bool) async -> WorkerFacts {
    var facts = WorkerFacts(heartbeat: heartbeat())
    // What it finished is no claim any more, and neither that nor what it said need wait for its end.
    if isWorking { await attempt { try await self.book.drain() } }
    facts.isWanted = await attempt { try await self.book.isWanted() }
    facts.due = await attempt { try await self.book.dueCount() }
    if isWorking {
      facts.claims = await attempt { try await self.book.claims() }
      facts.progress = await attempt { try await self.book.progress() }
    }
    return facts
  }

  /// A part that cannot be read now is read at the next tick, and nothing is concluded from it.
  @discardableResult private func attempt<T>(_ body: () async throws -> T) async -> T? {
    do {
      return try await body()
    } catch {
      logger.debug("a look at a mailbox failed; it is tried again", metadata: ["reason": "\(error)"])
      return nil
    }
  }

  private var heartbeatPath: String { plan.directory + "/heartbeat" }

  private func heartbeat() -> Int64? {
    var found = stat()
    guard unsafe lstat(heartbeatPath, &found) == 0 else { return nil }
    #if os(Linux)
      let time = found.st_mtim
    #else
      let time = found.st_mtimespec
    #endif
    return Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec)
  }

  // MARK: Doing

  private func handle(_ event: Machine.Event, _ machine: inout Machine, _ hands: inout Hands) async {
    await perform(machine.handle(event, at: clock.now, wall: UnixTime.now().milliseconds), &machine, &hands)
  }

  private func perform(_ first: [Machine.Action], _ machine: inout Machine, _ hands: inout Hands) async {
    var actions = first
    while !actions.isEmpty {
      var answer = Machine.Event.done
      do {
        for action in actions {
          if let event = try await perform(action, machine.record, &hands) { answer = event }
        }
      } catch {
        answer = .failed("\(error)")
      }
      actions = machine.handle(answer, at: clock.now, wall: UnixTime.now().milliseconds)
    }
  }

  private func perform(
    _ action: Machine.Action, _ record: WorkerRecord, _ hands: inout Hands
  ) async throws -> Machine.Event? {
    switch action {
    case .report(let news): report(news)
    case .findOrphan:
      let orphan = try await plan.runtime.orphan(
        of: record, address: plan.address, lock: hands.lock, logger: logger)
      if let orphan { watch(orphan, &hands) }
      return .looked(orphan: orphan != nil)
    case .clearHeartbeat:
      guard unsafe unlink(heartbeatPath) == 0 || errno == ENOENT else {
        throw WorkerRuntimeError(
          "\(heartbeatPath) could not be cleared: \(unsafe String(cString: strerror(errno))).")
      }
    case .releaseClaims(let incarnation): try await book.releaseClaims(through: incarnation)
    case .save(let record): try await book.save(record)
    case .spawn(let incarnation):
      try await book.prepare()
      let launch = WorkerLaunch(
        address: plan.address, directory: plan.directory, incarnation: incarnation,
        heartbeatSeconds: plan.heartbeatSeconds)
      let worker = try await plan.runtime.start(launch, lock: hands.lock, logger: logger)
      watch(worker, &hands)
      return .spawned(worker.identity)
    case .terminate: try await hands.worker?.terminate()
    case .kill: try await hands.worker?.kill()
    case .recoverJournal:
      let file = plan.directory + "/outbound.db"
      let lock = hands.lock
      let outcome = try await book.alone { try await lock.recoverJournal(of: file) }
      if case .recovered(let pages) = outcome { report(.recovered(file: "outbound.db", pages: pages)) }
    case .drain:
      try await book.drain()
      return .settled(progress: try? await book.progress())
    }
    return nil
  }

  private func watch(_ worker: any RunningWorker, _ hands: inout Hands) {
    hands.worker = worker
    hands.number += 1
    let input = input
    // Not a child of this task: an end is waited for even when nobody listens any more, so that it is reaped.
    Task.detached { input.yield(.exited(await worker.end())) }
  }

  private func report(_ news: WorkerNews) {
    switch news {
    case .troubled(let stage, let message, let failures):
      // A first failure is often somebody else's turn at a file; what stays is said.
      logger.log(
        level: failures == 2 ? .warning : .debug, "a worker's session is in trouble; it is tried again",
        metadata: ["stage": "\(stage)", "reason": "\(message)", "failures": "\(failures)"])
    case .stubborn(let reason):
      logger.warning("a killed worker has not ended", metadata: ["reason": "\(reason)"])
    case .recovered(let file, let pages):
      logger.notice(
        "a dead worker's transaction was undone", metadata: ["file": "\(file)", "pages": "\(pages)"])
    default:
      logger.info("\(news.name)")
    }
    tell(news)
  }
}
