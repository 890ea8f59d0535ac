// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine
public import Logging
public import ServiceLifecycle

/// Runs the schedules of all mailboxes of a home, until it is told to stop.
///
/// Any number of hosts may do so at once: a schedule is run by one of them. A mailbox that cannot be used costs the others
/// nothing (row E03), and is looked at again after a few seconds.
///
/// Times of schedules are whole minutes, so it looks at each: a schedule that another process added meanwhile is run in
/// time, and a clock that was moved is noticed with the next minute (row E10).
public struct ScheduleRunner<C: Clock>: Service where C.Duration == Duration {
  /// Something a host may want to know.
  public typealias News = ScheduleNews

  /// Mailboxes looked at together.
  private static var width: Int { 16 }
  /// After it a mailbox that could not be used is looked at again.
  private static var pauseAfterFault: Duration { .seconds(5) }

  /// What a look at a mailbox told, good for as long as nobody has written to it.
  private struct Known {
    var stamp: MailboxStamp
    var next: UTCInstant?
  }

  private let store: any MailboxStore
  private let clock: C
  private let now: @Sendable () -> UTCInstant
  private let logger: Logger
  private let tell: @Sendable (News) -> Void

  /// A runner; ``run()`` starts it.
  ///
  /// - Parameters:
  ///   - store: the mailboxes; one that waits long for a mailbox keeps others waiting with it.
  ///   - clock: what it sleeps on.
  ///   - now: the wall clock's time, which schedules go by.
  ///   - tell: called when something was sent, left out or retired.
  public init(
    _ store: any MailboxStore, clock: C, now: @escaping @Sendable () -> UTCInstant, logger: Logger,
    tell: @escaping @Sendable (News) -> Void = { _ in }
  ) {
    (self.store, self.clock, self.now, self.logger, self.tell) = (store, clock, now, logger, tell)
  }

  /// Runs what is due, minute by minute, until it is cancelled or told to stop. Closes the store.
  public func run() async {
    var faults: [MailboxAddress?: String] = [:]
    var known: [MailboxAddress: Known] = [:]
    var (last, looks) = (now(), 0)
    while !Task.isCancelled, !Task.isShuttingDownGracefully {
      // A clock that was set back makes others due, by rules that are in the files.
      if now() < last || looks % 60 == 0 { known = [:] }
      (last, looks) = (now(), looks + 1)
      await look(&faults, &known)
      let pause = faults.isEmpty ? untilNextMinute : min(untilNextMinute, Self.pauseAfterFault)
      do {
        try await cancelWhenGracefulShutdown { try await clock.sleep(for: pause) }
      } catch {
        break
      }
    }
    await store.close()
  }

  private var untilNextMinute: Duration {
    let rest = now().milliseconds % 60_000
    return .milliseconds(60_000 - (rest < 0 ? rest + 60_000 : rest))
  }

  /// Looks at every mailbox once. `faults` has those that could not be used, nil standing for the list of them, and is
  /// told from the last look, so that the same reason is logged once.
  private func look(
    _ faults: inout [MailboxAddress?: String], _ known: inout [MailboxAddress: Known]
  ) async {
    var failed: [MailboxAddress?: String] = [:]
    do {
      let all = try await store.addresses()
      var found: [MailboxAddress: Known] = [:]
      var changed: [(MailboxAddress, MailboxStamp?)] = []
      for address in all {
        let stamp = (store as? SQLiteMailboxStore).map {
          MailboxStamp(inboundOf: MailboxDirectory(home: $0.home, address: address))
        }
        if let before = known[address], before.stamp == stamp, before.next.map({ $0 > now() }) ?? true {
          found[address] = before
        } else {
          changed.append((address, stamp.flatMap { $0.isSettled() ? $0 : nil }))
        }
      }
      var rest = changed[...]
      await withTaskGroup(of: (MailboxAddress, String?, Known?).self) { group in
        func add(_ next: (MailboxAddress, MailboxStamp?)) {
          group.addTask {
            let (fault, time) = await runDue(next.0)
            guard fault == nil, let stamp = next.1 else { return (next.0, fault, nil) }
            return (next.0, nil, Known(stamp: stamp, next: time))
          }
        }
        for _ in 0..<Self.width {
          guard let next = rest.popFirst() else { break }
          add(next)
        }
        while let (address, fault, looked) = await group.next() {
          if let fault { failed[address] = fault }
          if let looked { found[address] = looked }
          if let next = rest.popFirst() { add(next) }
        }
      }
      known = found
    } catch {
      failed[nil] = Self.reason(error)
    }
    for (address, reason) in failed where faults[address] != reason {
      logger.warning(
        "schedules could not be run; it is tried again",
        metadata: ["mailbox": "\(address?.description ?? "all")", "reason": "\(reason)"])
    }
    faults = failed
  }

  /// Returns why a mailbox could not be used, or when the next of its schedules is due.
  private func runDue(_ address: MailboxAddress) async -> (String?, UTCInstant?) {
    guard !Task.isCancelled else { return (nil, nil) }
    do {
      let runs = try await store.runDueSchedules(in: address, now: now())
      report(runs, address)
      return (nil, runs.next)
    } catch let error as MailboxError where error.code == .notFound {
      // It was removed since it was listed.
      return (nil, nil)
    } catch {
      return (Self.reason(error), nil)
    }
  }

  private func report(_ runs: ScheduleRuns, _ address: MailboxAddress) {
    guard !runs.sent.isEmpty || runs.leftOut > 0 || !runs.retired.isEmpty else { return }
    for fault in runs.retired {
      logger.error(
        "a schedule cannot be run any more and was retired",
        metadata: [
          "mailbox": "\(address)", "series": "\(fault.subject)", "reason": "\(fault.reason)",
        ])
    }
    if !runs.sent.isEmpty || runs.leftOut > 0 {
      logger.debug(
        "schedules were run",
        metadata: [
          "mailbox": "\(address)", "sent": "\(runs.sent.count)", "left_out": "\(runs.leftOut)",
        ])
    }
    tell(News(time: now(), mailbox: address, runs: runs))
  }

  private static func reason(_ error: any Error) -> String {
    (error as? StoreError)?.description ?? "\(error)"
  }
}

extension ScheduleRunner<ContinuousClock> {
  /// A runner for a home, by the machine's clock.
  public init(
    home: String, configuration: MailboxConfiguration = .init(), logger: Logger,
    tell: @escaping @Sendable (News) -> Void = { _ in }
  ) {
    var configuration = configuration
    // Whoever is held up is looked at again; the others' minute is not to pass meanwhile.
    configuration.patience = .seconds(5)
    // A look a minute is no reason to keep hundreds of files open.
    configuration.maximumOpen = Self.width
    self.init(
      SQLiteMailboxStore(home: home, configuration: configuration), clock: ContinuousClock(),
      now: { UTCInstant.now }, logger: logger, tell: tell)
  }
}
