// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine
public import Logging
public import ServiceLifecycle

/// Delivers what the workers of a home say: a service that runs until it is told to stop.
///
/// Every message is delivered at least once, and a receiver that looks at ``Delivery/idempotencyKey`` takes it once
/// (row E04). Messages of one kind in one mailbox arrive in the order the worker said them; a message that waits holds
/// back no other mailbox and no other kind. What no adapter carries waits to be received, and is not delivered (row E06).
///
/// Several hosts may run it for one home: before an attempt each writes down that it makes it, and only one can.
public final class MailboxDelivery: Service {
  private let office: SessionDelivery.Office
  private let tick: Duration
  private let clock: any Clock<Duration>
  private let state = Monitor(State())

  /// So many ticks go by before a mailbox nobody seems to have written to is looked into all the same.
  private static let sweep = 120

  private struct State {
    var sessions: [MailboxAddress: SessionDelivery] = [:]
    var isStopping = false
  }

  /// Makes a delivery; ``run()`` starts it. The store stays the caller's to close.
  ///
  /// - Parameters:
  ///   - tick: how often it sees which mailboxes were written to, and looks into those; into the others it looks now and
  ///     then.
  ///   - clock: what ticks.
  ///   - now: the moment, as the ledger bears it.
  ///   - tell: called with what happens, from several tasks.
  public init(
    _ store: any MailboxStore, routes: DeliveryRoutes, policy: DeliveryPolicy = .init(),
    tick: Duration = .seconds(1), clock: any Clock<Duration> = ContinuousClock(),
    now: @escaping @Sendable () -> UTCInstant = { .now }, logger: Logger,
    tell: @escaping @Sendable (DeliveryEvent) -> Void = { _ in }
  ) {
    var office = SessionDelivery.Office(
      store: store, routes: routes, policy: policy, now: now, logger: logger, tell: tell)
    if let files = store as? SQLiteMailboxStore {
      office.changes = { files.changes(of: $0) }
      office.stamp = { MailboxStamp(MailboxDirectory(home: files.home, address: $0)) }
      office.nextDue = { try await files.nextDelivery(in: $0, after: $1) }
    }
    self.office = office
    self.tick = tick
    self.clock = clock
  }

  /// Looks into a mailbox at once instead of with the next tick: its worker has said something.
  public func look(into address: MailboxAddress) {
    state.withLock { $0.sessions[address] }?.look()
  }

  /// Delivers until told to stop; then what is under way is waited for. Cancelled, it leaves that to the next host.
  public func run() async throws {
    await withGracefulShutdownHandler {
      await withTaskGroup { group in
        var ticks = 0
        while !isStopping {
          if let addresses = await addresses() {
            for address in addresses { begin(address, &group) }
            end(allBut: Set(addresses))
          }
          // Each has its own tick of the sweep, so that it is no burst.
          for (index, session) in state.withLock({ $0.sessions.sorted { $0.key < $1.key } }).enumerated() {
            if ticks % Self.sweep == index % Self.sweep {
              session.value.look()
            } else {
              session.value.lookIfChanged()
            }
          }
          ticks += 1
          do { try await cancelWhenGracefulShutdown { try await self.clock.sleep(for: self.tick) } } catch {
            break
          }
        }
        if Task.isCancelled { group.cancelAll() }
        await group.waitForAll()
      }
    } onGracefulShutdown: {
      let sessions = self.state.withLock { state in
        state.isStopping = true
        return Array(state.sessions.values)
      }
      for session in sessions { session.stop() }
    }
  }

  private var isStopping: Bool { state.withLock { $0.isStopping } || Task.isCancelled }

  /// Nil when they could not be listed.
  private func addresses() async -> [MailboxAddress]? {
    do {
      return try await office.store.addresses()
    } catch {
      office.logger.warning(
        "the mailboxes could not be listed; it is tried again", metadata: ["reason": "\(error)"])
      return nil
    }
  }

  /// Mailboxes that were removed: what is under way for them is waited for, and their files are let go of.
  private func end(allBut addresses: Set<MailboxAddress>) {
    for session in state.withLock({ $0.sessions.values.filter { !addresses.contains($0.address) } }) {
      session.stop()
    }
  }

  private func begin(_ address: MailboxAddress, _ group: inout TaskGroup<Void>) {
    let session = state.withLock { state -> SessionDelivery? in
      guard state.sessions[address] == nil, !state.isStopping else { return nil }
      let session = SessionDelivery(address, office)
      state.sessions[address] = session
      return session
    }
    guard let session else { return }
    session.look()
    group.addTask {
      await session.run()
      // One that is made again by the same name has another.
      self.state.withLock { if $0.sessions[address] === session { $0.sessions[address] = nil } }
    }
  }
}
