// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

/// Decides what is delivered next from one mailbox: a pure value, told what happened and asked what to do.
///
/// Each kind has a lane with one message at a time in it, the first that is not done with. So the order within a kind is
/// kept: what waits to be tried again holds back what comes after it in its lane, and nothing in any other. And nothing
/// is in flight twice.
struct DeliveryMachine: Sendable {
  enum Event: Sendable {
    /// What may be delivered now, in the worker's order.
    case looked([DueDelivery])
    /// An attempt ended that was begun at a moment.
    case tried(seq: Int64, DeliveryOutcome, begun: UTCInstant, now: UTCInstant)
    /// There was no attempt: the message is not to be tried any more, or not now, or that could not be written down.
    case passedOver(seq: Int64)
    /// What was decided is written down.
    case settled(seq: Int64)
    /// What was decided could not be written down.
    case unsettled(seq: Int64)
    /// Nothing more is to be begun.
    case stop
  }

  enum Action: Sendable, Hashable {
    /// Write down that it is tried, and try it.
    case attempt(DueDelivery)
    /// Write down what came of it.
    case settle(DueDelivery, DeliveryPolicy.Verdict)
    /// Nobody carries messages of this kind: they wait, and are not delivered (row E06). Said once.
    case unrouted(kind: String)
    /// Look what there is next.
    case look
  }

  private enum Lane {
    /// It is being tried; those come next.
    case attempting(DueDelivery, next: ArraySlice<DueDelivery>)
    /// What came of it is being written down.
    case settling(DueDelivery, DeliveryPolicy.Verdict, next: ArraySlice<DueDelivery>)
    /// What came of it could not be written down: it is not tried again before that.
    case unsettled(DueDelivery, DeliveryPolicy.Verdict)

    var seq: Int64 {
      switch self {
      case .attempting(let due, _), .settling(let due, _, _), .unsettled(let due, _): due.message.seq
      }
    }
  }

  private let policy: DeliveryPolicy
  private let isCarried: @Sendable (String) -> Bool
  /// A lane that is not here is empty.
  private var lanes: [String: Lane] = [:]
  private var unrouted: Set<String> = []
  private var isStopping = false

  init(policy: DeliveryPolicy, isCarried: @escaping @Sendable (String) -> Bool) {
    (self.policy, self.isCarried) = (policy, isCarried)
  }

  /// Whether nothing is under way.
  var isIdle: Bool {
    lanes.values.allSatisfy { lane in
      if case .unsettled = lane { return true }
      return false
    }
  }

  mutating func handle(_ event: Event) -> [Action] {
    switch event {
    case .looked(let due): return look(due)
    case .tried(let seq, let outcome, let begun, let now):
      guard let kind = kind(of: seq), case .attempting(let due, let next) = lanes[kind] else { return [] }
      let verdict = policy.verdict(
        outcome, attempt: due.attempts + 1, first: due.firstAttempt ?? begun, now: now)
      lanes[kind] = .settling(due, verdict, next: next)
      return [.settle(due, verdict)]
    case .passedOver(let seq):
      // Another host may have it under way, so what follows is not begun either: the next look tells.
      if let kind = kind(of: seq) { lanes[kind] = nil }
      return []
    case .settled(let seq): return settled(seq)
    case .unsettled(let seq):
      guard let kind = kind(of: seq), case .settling(let due, let verdict, _) = lanes[kind] else { return [] }
      lanes[kind] = .unsettled(due, verdict)
      return []
    case .stop:
      isStopping = true
      return []
    }
  }

  private func kind(of seq: Int64) -> String? { lanes.first { $0.value.seq == seq }?.key }

  private mutating func look(_ due: [DueDelivery]) -> [Action] {
    var actions: [Action] = []
    for (kind, lane) in lanes.sorted(by: { $0.value.seq < $1.value.seq }) {
      guard case .unsettled(let due, let verdict) = lane else { continue }
      lanes[kind] = .settling(due, verdict, next: [])
      actions.append(.settle(due, verdict))
    }
    guard !isStopping else { return actions }
    let busy = Set(lanes.keys)
    var order: [String] = []
    var found: [String: [DueDelivery]] = [:]
    for delivery in due where !busy.contains(delivery.message.kind) {
      if found[delivery.message.kind] == nil { order.append(delivery.message.kind) }
      found[delivery.message.kind, default: []].append(delivery)
    }
    for kind in order {
      guard isCarried(kind) else {
        if unrouted.insert(kind).inserted { actions.append(.unrouted(kind: kind)) }
        continue
      }
      if let first = begin(found[kind, default: []][...], kind) { actions.append(first) }
    }
    return actions
  }

  private mutating func begin(_ queue: ArraySlice<DueDelivery>, _ kind: String) -> Action? {
    guard let first = queue.first, !isStopping else {
      lanes[kind] = nil
      return nil
    }
    lanes[kind] = .attempting(first, next: queue.dropFirst())
    return .attempt(first)
  }

  private mutating func settled(_ seq: Int64) -> [Action] {
    guard let kind = kind(of: seq), case .settling(_, let verdict, let next) = lanes[kind] else { return [] }
    lanes[kind] = nil
    if case .again = verdict { return [] }
    if let action = begin(next, kind) { return [action] }
    return isStopping ? [] : [.look]
  }
}
