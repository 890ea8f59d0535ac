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

  private struct State {
    var sessions: [MailboxAddress: SessionDelivery] = [:]
    var isStopping = false
  }

  /// Makes a delivery; ``run()`` starts it. The store stays the caller's to close.
  ///
  /// - Parameters:
  ///   - tick: how often it looks into every mailbox.
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
    if let files = store as? SQLiteMailboxStore { office.changes = { files.changes(of: $0) } }
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
        while !isStopping {
          for address in await addresses() { begin(address, &group) }
          for session in state.withLock({ Array($0.sessions.values) }) { session.look() }
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

  private func addresses() async -> [MailboxAddress] {
    do {
      return try await office.store.addresses()
    } catch {
      office.logger.warning(
        "the mailboxes could not be listed; it is tried again", metadata: ["reason": "\(error)"])
      return []
    }
  }

  private func begin(_ address: MailboxAddress, _ group: inout TaskGroup<Void>) {
    let session = state.withLock { state -> SessionDelivery? in
      guard state.sessions[address] == nil, !state.isStopping else { return nil }
      let session = SessionDelivery(address, office)
      state.sessions[address] = session
      return session
    }
    if let session { group.addTask { await session.run() } }
  }
}
