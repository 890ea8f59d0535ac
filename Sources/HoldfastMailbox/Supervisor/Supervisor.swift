// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
public import Logging
public import ServiceLifecycle

/// Watches over the workers of a home: a service that runs until it is told to stop, and then ends them all.
///
/// Each session is watched over by a task of its own, so what is wrong with one is that one's alone (row E03).
public final class Supervisor: Service {
  private let configuration: SupervisorConfiguration
  private let home: String
  private let store: SQLiteMailboxStore
  private let logger: Logger
  private let tell: @Sendable (SupervisorEvent) -> Void
  private let state = Monitor(State())

  private struct State {
    var running: [MailboxAddress: WorkerSupervisor<ContinuousClock>] = [:]
    var tasks: [MailboxAddress: Task<Void, Never>] = [:]
    /// Those whose directory is gone, and since when.
    var removed: [MailboxAddress: ContinuousClock.Instant] = [:]
    var isStopping = false
  }

  /// Makes a supervisor; ``run()`` starts it.
  ///
  /// - Parameters:
  ///   - home: where the mailboxes are.
  ///   - tell: called with what happens, from several tasks.
  public init(
    _ configuration: SupervisorConfiguration, home: String, logger: Logger,
    tell: @escaping @Sendable (SupervisorEvent) -> Void
  ) {
    self.configuration = configuration
    self.home = home
    self.logger = logger
    self.tell = tell
    store = SQLiteMailboxStore(home: home, configuration: configuration.mailboxes)
  }

  /// Watches over the workers until told to stop. Cancelled, it leaves them to the next host.
  public func run() async throws {
    await withGracefulShutdownHandler {
      await withTaskGroup { group in
        for address in configuration.workers.keys.sorted() { begin(address, &group) }
        while !configuration.agents.isEmpty, !isStopping {
          if let found = await found() {
            for address in found { begin(address, &group) }
            end(allBut: Set(found))
          }
          do { try await cancelWhenGracefulShutdown { try await Task.sleep(for: .seconds(1)) } } catch {
            break
          }
        }
        await group.waitForAll()
      }
    } onGracefulShutdown: {
      let running = self.state.withLock { state in
        state.isStopping = true
        return Array(state.running.values)
      }
      for supervisor in running { supervisor.shutDown() }
    }
    await store.close()
  }

  private var isStopping: Bool { state.withLock { $0.isStopping } || Task.isCancelled }

  /// The mailboxes of agents all of whose sessions are watched over.
  ///
  /// Nil when they could not be listed.
  private func found() async -> [MailboxAddress]? {
    do {
      return try await store.addresses().filter { configuration.agents[$0.agent] != nil }
    } catch {
      logger.warning("the mailboxes could not be listed; it is tried again", metadata: ["reason": "\(error)"])
      return nil
    }
  }

  /// Ends the workers of mailboxes that were removed, those of an agent's whole: who is named by itself has his made again
  /// by the next host. Where nothing can be written down any more, an end is not waited for longer than it may take.
  private func end(allBut addresses: Set<MailboxAddress>) {
    let now = ContinuousClock.now
    let (first, last) = state.withLock { state in
      let gone = state.running.filter { configuration.workers[$0.key] == nil && !addresses.contains($0.key) }
      var first: [WorkerSupervisor<ContinuousClock>] = []
      var last: [Task<Void, Never>] = []
      for (address, supervisor) in gone {
        guard let since = state.removed[address] else {
          state.removed[address] = now
          first.append(supervisor)
          continue
        }
        let patience = Self.removalPatience + (configuration.worker(of: address)?.policy.stopGrace ?? .zero)
        if since + patience < now, let task = state.tasks[address] { last.append(task) }
      }
      return (first, last)
    }
    for supervisor in first { supervisor.shutDown() }
    for task in last { task.cancel() }
  }

  private static let removalPatience = Duration.seconds(5)

  private func begin(_ address: MailboxAddress, _ group: inout TaskGroup<Void>) {
    guard let worker = configuration.worker(of: address) else { return }
    let plan = WorkerPlan(
      address: address, directory: MailboxDirectory(home: home, address: address).path, policy: worker.policy,
      runtime: worker.makeRuntime(), heartbeatSeconds: worker.heartbeatSeconds)
    let tell = tell
    let supervisor = state.withLock { state -> WorkerSupervisor<ContinuousClock>? in
      guard state.running[address] == nil, !state.isStopping else { return nil }
      let supervisor = WorkerSupervisor(
        plan, book: MailboxBook(store, address), clock: ContinuousClock(), logger: logger
      ) { news in tell(SupervisorEvent(mailbox: address, news: news)) }
      state.running[address] = supervisor
      return supervisor
    }
    guard let supervisor else { return }
    let running = Task { await supervisor.run() }
    state.withLock { $0.tasks[address] = running }
    group.addTask {
      await withTaskCancellationHandler {
        await running.value
      } onCancel: {
        running.cancel()
      }
      self.state.withLock {
        ($0.running[address], $0.tasks[address], $0.removed[address]) = (nil, nil, nil)
      }
    }
  }
}
