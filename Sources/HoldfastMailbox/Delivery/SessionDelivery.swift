// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import Logging

/// Does what ``DeliveryMachine`` decides, for one mailbox: nothing here decides.
///
/// One task that decides and writes, and one for each attempt; whatever fails is this mailbox's alone (row E03).
final class SessionDelivery: Sendable {
  /// What all mailboxes have in common.
  struct Office: Sendable {
    var store: any MailboxStore
    var routes: DeliveryRoutes
    var policy: DeliveryPolicy
    var now: @Sendable () -> UTCInstant
    /// Signs that somebody wrote to a mailbox; it may be silent.
    var changes: @Sendable (MailboxAddress) -> AsyncStream<Void> = { _ in AsyncStream { $0.finish() } }
    /// What is seen of a mailbox without opening it; nil when that is not known, and so may always have changed.
    var stamp: @Sendable (MailboxAddress) -> MailboxStamp? = { _ in nil }
    /// When the next of its deliveries is due; of use only with stamps.
    var nextDue: @Sendable (MailboxAddress, UTCInstant) async throws -> UTCInstant? = { _, _ in nil }
    var logger: Logger
    var tell: @Sendable (DeliveryEvent) -> Void
  }

  private enum Input: Sendable {
    case look
    case event(DeliveryMachine.Event)
    case stop
  }

  /// Messages of a kind that one look brings.
  private static let perKind = 8
  /// So long a sign of change stands for those that follow it.
  private static let signPause = Duration.milliseconds(50)

  let address: MailboxAddress
  private let office: Office
  private let inputs: AsyncStream<Input>
  private let input: AsyncStream<Input>.Continuation
  private let flags = Monitor(Flags())

  private struct Flags {
    var isLookWaiting = false
    var isStopping = false
    /// What was seen before the last look that went well, after which nothing was left to be begun.
    var stamp: MailboxStamp?
    /// When the next delivery is due; nil when none is.
    var nextDue: UTCInstant?
  }

  init(_ address: MailboxAddress, _ office: Office) {
    self.address = address
    self.office = office
    (inputs, input) = AsyncStream.makeStream()
  }

  /// Looks what there is to deliver; once for all that ask before it is done.
  func look() {
    let isFirst = flags.withLock { flags in
      defer { flags.isLookWaiting = true }
      return !flags.isLookWaiting
    }
    if isFirst { input.yield(.look) }
  }

  /// Looks, if somebody has written to the mailbox since the last look, or something has become due.
  func lookIfChanged() {
    let now = office.now()
    if let stamp = office.stamp(address),
      flags.withLock({ flags in flags.stamp == stamp && (flags.nextDue.map { $0 > now } ?? true) })
    {
      return
    }
    look()
  }

  /// Begins nothing more; ``run()`` ends when what is under way has ended and is written down.
  func stop() {
    flags.withLock { $0.isStopping = true }
    input.yield(.stop)
  }

  private var isStopping: Bool { flags.withLock { $0.isStopping } || Task.isCancelled }

  /// Delivers until told to stop. Cancelled, it leaves what is under way as it is, to be tried again.
  func run() async {
    let routes = office.routes
    var machine = DeliveryMachine(policy: office.policy) { routes.route($0) != nil }
    var failures = 0
    // What is said is seen within a moment, and not with the next tick.
    let listening = Task { [office, address] in
      for await _ in office.changes(address) {
        self.lookIfChanged()
        try? await Task.sleep(for: Self.signPause)
      }
    }
    defer { listening.cancel() }
    await withTaskGroup { group in
      for await input in inputs {
        var events: [DeliveryMachine.Event]
        switch input {
        case .look:
          flags.withLock { $0.isLookWaiting = false }
          events = [.looked(await looked(&failures))]
        case .event(let event):
          events = [event]
          // It is tried again, and nobody may have written anything.
          if case .passedOver = event { flags.withLock { $0.stamp = nil } }
        case .stop: events = [.stop]
        }
        while !events.isEmpty {
          for action in machine.handle(events.removeFirst()) {
            switch action {
            case .attempt(let due): group.addTask { await self.attempt(due) }
            case .settle(let due, let verdict): events.append(await settle(due, verdict))
            case .unrouted(let kind):
              office.logger.notice(
                "nobody carries messages of a kind; they wait to be received", metadata: ["kind": "\(kind)"])
              tell(.unrouted(kind: kind))
            case .look: look()
            }
          }
        }
        if Task.isCancelled || (isStopping && machine.isIdle) { break }
      }
      if Task.isCancelled { group.cancelAll() }
    }
  }

  private func looked(_ failures: inout Int) async -> [DueDelivery] {
    // Before the look: what is written meanwhile makes for another.
    let stamp = office.stamp(address).flatMap { $0.isSettled() ? $0 : nil }
    flags.withLock { $0.stamp = nil }
    do {
      if !isStopping { try await office.store.drain(address) }
      let now = office.now()
      let due = try await office.store.dueDeliveries(in: address, perKind: Self.perKind, now: now)
      let next = try await office.nextDue(address, now)
      flags.withLock { ($0.stamp, $0.nextDue) = (stamp, next) }
      failures = 0
      return due
    } catch {
      failures += 1
      // A first failure is often a worker in the middle of something; what stays is said.
      if failures == 3 {
        office.logger.warning(
          "messages of a mailbox cannot be delivered; it is tried again",
          metadata: ["mailbox": "\(address)", "reason": "\(error)"])
        tell(.troubled(message: "\(error)", failures: failures))
      } else {
        office.logger.debug(
          "a mailbox could not be looked into", metadata: ["mailbox": "\(address)", "reason": "\(error)"])
      }
      // What is decided and not written down yet may go all the same.
      return []
    }
  }

  private func attempt(_ due: DueDelivery) async {
    let seq = due.message.seq
    guard let route = office.routes.route(due.message.kind) else {
      return yield(.passedOver(seq: seq))
    }
    await route.slots.take()
    defer { route.slots.giveBack() }
    guard !isStopping else { return yield(.passedOver(seq: seq)) }
    let begun = office.now()
    let attempt = due.attempts + 1
    do {
      // Before the attempt, so that a host that dies in it tries again (row E04).
      let next = office.policy.nextAttempt(
        unheardSince: begun, attempt: attempt, timeLimit: route.adapter.timeLimit)
      guard
        try await office.store.beginDelivery(due.message.id, in: address, nextAttempt: next, now: begun)
      else { return yield(.passedOver(seq: seq)) }
    } catch {
      office.logger.debug(
        "a delivery could not be written down, so it was not tried",
        metadata: ["mailbox": "\(address)", "reason": "\(error)"])
      return yield(.passedOver(seq: seq))
    }
    let outcome = await route.adapter.deliver(
      Delivery(mailbox: address, message: due.message, attempt: attempt))
    yield(.tried(seq: seq, outcome, begun: begun, now: office.now()))
  }

  private func yield(_ event: DeliveryMachine.Event) { input.yield(.event(event)) }

  private func settle(_ due: DueDelivery, _ verdict: DeliveryPolicy.Verdict) async -> DeliveryMachine.Event {
    let (id, kind, attempts) = (due.message.id, due.message.kind, due.attempts + 1)
    do {
      switch verdict {
      case .delivered:
        try await office.store.acknowledge(id, in: address)
        tell(.delivered(id: id, kind: kind, attempts: attempts))
      case .again(let next, let error):
        try await office.store.postponeDelivery(id, in: address, error: error, nextAttempt: next)
        tell(.postponed(id: id, kind: kind, attempts: attempts, error: error, next: next))
      case .dead(let reason, let error):
        if try await office.store.giveUpDelivery(id, in: address, reason: reason, error: error) {
          office.logger.error(
            "a message of a worker's is a dead letter",
            metadata: ["mailbox": "\(address)", "id": "\(id)", "reason": "\(reason)"])
          tell(.dead(id: id, kind: kind, attempts: attempts, reason: reason, error: error))
        }
      }
      return .settled(seq: due.message.seq)
    } catch {
      office.logger.warning(
        "what came of a delivery could not be written down; it is tried again, and nothing is sent before that",
        metadata: ["mailbox": "\(address)", "id": "\(id)", "reason": "\(error)"])
      flags.withLock { $0.stamp = nil }
      return .unsettled(seq: due.message.seq)
    }
  }

  private func tell(_ news: DeliveryEvent.News) {
    office.tell(DeliveryEvent(time: office.now(), mailbox: address, news: news))
  }
}
