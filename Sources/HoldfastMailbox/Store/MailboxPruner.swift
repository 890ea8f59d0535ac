// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine
public import Logging
public import ServiceLifecycle

/// Removes what is over and old from all mailboxes of a home, once an hour, until it is told to stop.
///
/// What is in the file of a worker that lives waits for the worker's end; its supervisor removes it then.
public struct MailboxPruner<C: Clock>: Service where C.Duration == Duration {
  /// So long nothing is removed from one mailbox before the next has its turn.
  private static var budget: Duration { .seconds(2) }
  private static var firstPause: Duration { .seconds(300) }
  private static var pause: Duration { .seconds(3600) }

  private let store: SQLiteMailboxStore
  private let clock: C
  private let now: @Sendable () -> UTCInstant
  private let logger: Logger

  /// - Parameters:
  ///   - store: the mailboxes, with how long they keep what is over; closed in the end.
  ///   - clock: what it sleeps on.
  ///   - now: the wall clock's time, by which what is over is old.
  public init(
    _ store: SQLiteMailboxStore, clock: C, now: @escaping @Sendable () -> UTCInstant, logger: Logger
  ) {
    (self.store, self.clock, self.now, self.logger) = (store, clock, now, logger)
  }

  /// Removes what is old, hour by hour, until it is cancelled or told to stop. Closes the store.
  public func run() async {
    // Whoever starts has more urgent things to do.
    var pause = Self.firstPause
    while !Task.isCancelled, !Task.isShuttingDownGracefully {
      do {
        try await cancelWhenGracefulShutdown { [pause] in try await clock.sleep(for: pause) }
      } catch {
        break
      }
      await prune()
      pause = Self.pause
    }
    await store.close()
  }

  private func prune() async {
    guard let time = store.configuration.pruningTime(now()) else { return }
    do {
      for address in try await store.addresses() {
        guard !Task.isCancelled, !Task.isShuttingDownGracefully else { return }
        do {
          let pruned = try await store.prune(address, before: time, budget: Self.budget)
          guard pruned.inbound + pruned.outbound + pruned.deadLetters > 0 else { continue }
          logger.info(
            "old messages were removed from a mailbox",
            metadata: [
              "mailbox": "\(address)", "inbound": "\(pruned.inbound)", "outbound": "\(pruned.outbound)",
              "dead_letters": "\(pruned.deadLetters)",
            ])
        } catch {
          // With the next hour it has another turn.
          logger.debug(
            "old messages could not be removed from a mailbox",
            metadata: ["mailbox": "\(address)", "reason": "\(error)"])
        }
      }
    } catch {
      logger.warning("the mailboxes could not be listed", metadata: ["reason": "\(error)"])
    }
  }
}

extension MailboxPruner<ContinuousClock> {
  /// A pruner for a home, by the machine's clock.
  public init(home: String, configuration: MailboxConfiguration, logger: Logger) {
    var configuration = configuration
    configuration.patience = .seconds(5)
    configuration.maximumOpen = 1
    self.init(
      SQLiteMailboxStore(home: home, configuration: configuration), clock: ContinuousClock(),
      now: { UTCInstant.now }, logger: logger)
  }
}
