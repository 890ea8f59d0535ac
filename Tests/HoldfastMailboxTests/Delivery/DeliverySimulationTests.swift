// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastTestKit
import Testing

@testable import HoldfastMailbox

/// A mailbox, a ledger that may fail, receivers of every sort and hosts that die; one seed replays all of it.
private struct DeliveryWorld {
  struct Row {
    var kind: String
    var isPending = true
    var isDelivered = false
    var attempts = 0
    var first: UTCInstant?
    var answered: UTCInstant?
    var next: UTCInstant
    /// How often the receiver took it.
    var arrivals = 0
  }

  static let carried = ["chat", "mail"]
  static let perKind = 3

  var random: SplitMix64
  var machine = Self.machine
  var now = UTCInstant(milliseconds: 1_800_000_000_000)
  var rows: [Row] = []
  /// Attempts under way in the host that lives, by row, with when they began; and their results that arrived.
  var inFlight: [Int: UTCInstant] = [:]
  var isCalm = false
  var violations: [String] = []
  var deaths = 0
  var crashes = 0
  var repeats = 0
  var postponed = 0
  var unwritten = 0
  var unrouted: [String] = []

  static var machine: DeliveryMachine {
    DeliveryMachine(policy: DeliveryPolicy()) { carried.contains($0) }
  }

  init(seed: UInt64) { random = SplitMix64(seed: seed) }

  mutating func wrong(_ what: String) { violations.append(what) }

  mutating func say() {
    let kinds = Self.carried + ["nobody"]
    rows.append(Row(kind: kinds[Int.random(in: 0..<3, using: &random)], next: UTCInstant(milliseconds: 0)))
  }

  /// What the store's `dueDeliveries` gives.
  func due() -> [DueDelivery] {
    var due: [Int] = []
    for kind in Self.carried + ["nobody"] {
      var found: [Int] = []
      for (index, row) in rows.enumerated() where row.kind == kind && row.isPending {
        if row.next > now { if row.attempts > 0 { break } else { continue } }
        found.append(index)
        if found.count == Self.perKind { break }
      }
      due += found
    }
    return due.sorted().map { index in
      DueDelivery(
        message: OutboundMessage(
          id: "\(index)", seq: Int64(index), kind: rows[index].kind, content: MailboxContent(text: "x"),
          time: now,
          idempotencyKey: "\(index)"),
        attempts: rows[index].attempts, firstAttempt: rows[index].first, lastError: nil)
    }
  }

  mutating func handle(_ event: DeliveryMachine.Event) {
    var events = [event]
    while !events.isEmpty {
      for action in machine.handle(events.removeFirst()) {
        switch action {
        case .attempt(let due):
          if let event = attempt(Int(due.message.seq)) { events.append(event) }
        case .settle(let due, let verdict): events.append(settle(Int(due.message.seq), verdict))
        case .unrouted(let kind): unrouted.append(kind)
        case .look: events.append(.looked(due()))
        }
      }
    }
  }

  mutating func attempt(_ index: Int) -> DeliveryMachine.Event? {
    let kind = rows[index].kind
    if !Self.carried.contains(kind) { wrong("\(index) has no adapter and was tried") }
    if inFlight.keys.contains(where: { rows[$0].kind == kind }) {
      wrong("two of \(kind) were in flight at once")
    }
    if rows[..<index].contains(where: { $0.kind == kind && $0.isPending }) {
      wrong("\(index) was tried before one that came earlier")
    }
    // The ledger could not be written, or somebody else was quicker.
    if !isCalm, random.chance(0.1) { return .passedOver(seq: Int64(index)) }
    guard rows[index].isPending, rows[index].next <= now else { return .passedOver(seq: Int64(index)) }
    rows[index].attempts += 1
    rows[index].first = rows[index].first ?? now
    rows[index].next = DeliveryPolicy().nextAttempt(
      unheardSince: now, attempt: rows[index].attempts, timeLimit: .seconds(30))
    inFlight[index] = now
    return nil
  }

  mutating func answer() {
    guard let (index, begun) = inFlight.sorted(by: { $0.key < $1.key }).randomElement(using: &random) else {
      return
    }
    inFlight[index] = nil
    let outcome: DeliveryOutcome =
      switch isCalm ? 0 : Int.random(in: 0..<10, using: &random) {
      case 0...3: .delivered
      case 4: .permanent(reason: "no")
      case 5: .transient(reason: "busy", retryAfter: .seconds(Int.random(in: 0...7200, using: &random)))
      default: .transient(reason: "reset")
      }
    // The answer to one that arrived may be lost.
    if outcome == .delivered || (outcome == .transient(reason: "reset") && random.chance(0.3)) {
      arrive(index)
    }
    if case .permanent = outcome { deaths += 1 }
    rows[index].answered = now
    handle(.tried(seq: Int64(index), outcome, begun: begun, now: now))
  }

  mutating func arrive(_ index: Int) {
    if rows[index].isDelivered { wrong("\(index) was sent after it was written down as delivered") }
    rows[index].arrivals += 1
    if rows[index].arrivals > 1 { repeats += 1 }
  }

  mutating func settle(_ index: Int, _ verdict: DeliveryPolicy.Verdict) -> DeliveryMachine.Event {
    if !isCalm, random.chance(0.2) {
      unwritten += 1
      return .unsettled(seq: Int64(index))
    }
    guard rows[index].isPending else { return .settled(seq: Int64(index)) }
    switch verdict {
    case .delivered:
      if rows[index].arrivals == 0 { wrong("\(index) counts as delivered and never arrived") }
      rows[index].isPending = false
      rows[index].isDelivered = true
    case .again(let next, _):
      postponed += 1
      if next <= rows[index].answered ?? now { wrong("\(index) is tried again without a pause") }
      rows[index].next = next
    case .dead(let reason, _):
      let first = rows[index].first ?? now
      if reason == "tries-used-up", now < first.advanced(by: .seconds(1800)), rows[index].attempts < 100 {
        wrong("\(index) was given up after \(now.milliseconds - first.milliseconds) ms")
      }
      rows[index].isPending = false
    }
    return .settled(seq: Int64(index))
  }

  mutating func crash() {
    crashes += 1
    machine = Self.machine
    for index in inFlight.keys where random.chance(0.5) { arrive(index) }
    inFlight = [:]
  }

  mutating func step() {
    switch Int.random(in: 0..<20, using: &random) {
    case 0...2: say()
    case 3...8: handle(.looked(due()))
    case 9...15: answer()
    case 16: if random.chance(0.15) { crash() }
    default: now = now.advanced(by: .milliseconds(Int.random(in: 1...40_000, using: &random)))
    }
  }

  mutating func calmDown() {
    isCalm = true
    for _ in 0..<4000 where rows.contains(where: { $0.isPending && Self.carried.contains($0.kind) }) {
      handle(.looked(due()))
      while !inFlight.isEmpty { answer() }
      now = now.advanced(by: .seconds(30))
    }
  }
}

@Suite("Delivery machine")
struct DeliverySimulationTests {
  @Test(
    "whatever fails and whoever dies: nothing is lost, out of order or in flight twice, and nothing without an adapter is touched",
    arguments: 0..<60 as Range<UInt64>)
  func anything_E04_E05_E06(seed: UInt64) {
    var world = DeliveryWorld(seed: seed)
    for _ in 0..<1500 { world.step() }
    world.calmDown()
    #expect(world.violations == [])
    for (index, row) in world.rows.enumerated() {
      if DeliveryWorld.carried.contains(row.kind) {
        #expect(!row.isPending, "\(index) was never done with")
      } else {
        #expect(row.isPending && row.attempts == 0, "\(index) has nobody to carry it")
      }
    }
    // A run in which nothing happened proves nothing.
    #expect(world.deaths > 0 && world.postponed > 0 && world.unwritten > 0)
    #expect(world.crashes > 0 || seed % 7 != 0)
    #expect(world.unrouted.count <= 1 + world.crashes && world.unrouted.contains("nobody"))
  }

  private func due(_ seq: Int64, _ kind: String, attempts: Int = 0) -> DueDelivery {
    DueDelivery(
      message: OutboundMessage(
        id: "\(seq)", seq: seq, kind: kind, content: MailboxContent(text: "x"), time: .now,
        idempotencyKey: "k"),
      attempts: attempts, firstAttempt: nil, lastError: nil)
  }

  @Test(
    "one that waits holds back those of its kind and nothing else; an outcome that is not written down is never sent again"
  )
  func lanes_E05() {
    let now = UTCInstant.now
    var machine = DeliveryMachine(policy: DeliveryPolicy()) { _ in true }
    let (a1, a2, b1) = (due(1, "a"), due(2, "a"), due(3, "b"))
    #expect(machine.handle(.looked([a1, a2, b1])) == [.attempt(a1), .attempt(b1)])
    #expect(machine.handle(.looked([a1, a2, b1])) == [])
    let again = DeliveryPolicy.Verdict.again(next: now.advanced(by: .seconds(1)), error: "x")
    #expect(
      machine.handle(.tried(seq: 1, .transient(reason: "x"), begun: now, now: now)) == [.settle(a1, again)])
    #expect(machine.handle(.unsettled(seq: 1)) == [])
    #expect(machine.handle(.looked([a1, a2])) == [.settle(a1, again)])
    #expect(machine.handle(.settled(seq: 1)) == [])
    #expect(machine.handle(.tried(seq: 3, .delivered, begun: now, now: now)) == [.settle(b1, .delivered)])
    #expect(machine.handle(.settled(seq: 3)) == [.look])
    #expect(machine.isIdle)
    #expect(machine.handle(.looked([a1, a2])) == [.attempt(a1)])
    #expect(machine.handle(.tried(seq: 1, .delivered, begun: now, now: now)) == [.settle(a1, .delivered)])
    #expect(machine.handle(.settled(seq: 1)) == [.attempt(a2)])
    #expect(machine.handle(.stop) == [])
    #expect(!machine.isIdle)
    #expect(machine.handle(.tried(seq: 2, .delivered, begun: now, now: now)) == [.settle(a2, .delivered)])
    #expect(machine.handle(.settled(seq: 2)) == [])
    #expect(machine.isIdle && machine.handle(.looked([due(4, "a")])) == [])
  }
}
