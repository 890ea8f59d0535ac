// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
public import Logging
public import ServiceLifecycle

/// Makes backups of a home by its plan while the daemon runs.
///
/// It is nobody's to wait for: the copying has a thread of its own, and requests know nothing of it.
public final class ScheduledBackups: Service {
  /// What making backups once came to.
  enum Outcome: Sendable, Hashable {
    case made(bytes: Int64)
    /// Somebody else, in whatever process, is at it.
    case elsewhere
    case failed(String)
  }

  /// What it does to the world; tests put their own in place.
  struct Actions: Sendable {
    var now: @Sendable () -> UnixTime
    /// Sleeps for a while; throws when cancelled.
    var sleep: @Sendable (Duration) async throws -> Void
    /// When the database that waits longest for a backup got its last; nil when one has none.
    var lastSuccess: @Sendable () -> UnixTime?
    /// Makes the backups that are due.
    var make: @Sendable () async -> Outcome
  }

  /// What is known of it.
  public let progress: BackupProgress
  private let plan: BackupPlan
  private let actions: Actions
  private let logger: Logger

  /// Backups of the databases in `home`.
  public convenience init(plan: BackupPlan, home: String, logger: Logger) {
    let work = HomeBackup(plan: plan, home: home)
    self.init(
      plan: plan,
      actions: Actions(
        now: { .now() }, sleep: { try await Task.sleep(for: $0) },
        lastSuccess: { work.lastSuccess(now: .now()) },
        make: { await work.make(now: .now()) }),
      logger: logger)
  }

  init(plan: BackupPlan, actions: Actions, logger: Logger) {
    self.plan = plan
    self.actions = actions
    self.logger = logger
    progress = BackupProgress(directory: plan.directory)
  }

  /// The longest sleep: a machine that was asleep, or whose clock was set, is noticed after it.
  private static let longestSleep = Duration.seconds(60)

  /// Makes backups until told to stop. One that is being made then is left to end with the process; what it leaves is
  /// removed by the next.
  public func run() async throws {
    await cancelWhenGracefulShutdown { await self.loop() }
  }

  func loop() async {
    var machine = BackupScheduleMachine(
      plan.schedule, lastSuccess: actions.lastSuccess(), started: actions.now())
    while !Task.isCancelled {
      let now = actions.now()
      switch machine.action(now: now) {
      case .wait(let moment):
        note(machine, now)
        let pause = min(Self.longestSleep, max(.milliseconds(1), now.duration(to: moment)))
        guard (try? await actions.sleep(pause)) != nil else { return }
      case .run:
        // Somebody may have made one by hand.
        machine.found(lastSuccess: actions.lastSuccess())
        if case .run = machine.action(now: now) { await make(&machine) }
      }
    }
  }

  private func make(_ machine: inout BackupScheduleMachine) async {
    let began = actions.now()
    let clock = ContinuousClock.now
    progress.update { $0.isRunning = true }
    // Not a child: an order to stop must not wait for it.
    let actions = actions
    let work = Task.detached { await actions.make() }
    let waiting = AsyncStream.makeStream(of: Outcome.self)
    Task.detached {
      waiting.continuation.yield(await work.value)
      waiting.continuation.finish()
    }
    var made: Outcome?
    for await outcome in waiting.stream { made = outcome }
    // Cancelled, so the process is about to end.
    guard let outcome = made else { return }
    let took = clock.duration(to: .now)
    switch outcome {
    case .made(let bytes):
      machine.succeeded(began: began)
      progress.update {
        ($0.made, $0.lastDuration, $0.lastBytes, $0.failure) = ($0.made + 1, took, bytes, nil)
      }
      logger.info(
        "backups were made",
        metadata: ["directory": "\(plan.directory)", "bytes": "\(bytes)", "took": "\(took)"])
    case .elsewhere:
      machine.postponed(now: actions.now())
      logger.debug("another process makes backups", metadata: ["directory": "\(plan.directory)"])
    case .failed(let reason):
      machine.failed(now: actions.now())
      progress.update { ($0.failed, $0.failure) = ($0.failed + 1, reason) }
      logger.error(
        "a scheduled backup failed",
        metadata: [
          "directory": "\(plan.directory)", "reason": "\(reason)", "failures": "\(machine.failures)",
        ])
    }
    note(machine, actions.now())
    progress.update { $0.isRunning = false }
  }

  private func note(_ machine: BackupScheduleMachine, _ now: UnixTime) {
    var machine = machine
    let next: UnixTime =
      if case .wait(let moment) = machine.action(now: now) { moment } else { now }
    progress.update {
      $0.lastSuccess = machine.lastSuccess
      $0.next = next
      $0.isOverdue = machine.isOverdue(now: now)
    }
  }
}
