// SPDX-License-Identifier: Apache-2.0

import HoldfastTestKit
import Testing

@testable import HoldfastMailbox

/// A world in which anything fails and anybody dies at any moment; one seed replays all of it.
private struct World {
  enum Cleanup: Int { case journal, drain, claims, none }

  var random: SplitMix64
  var machine: Machine
  var now = Moment()
  let wall: Int64 = 1_800_000_000_000
  let policy: WorkerPolicy

  /// The incarnation that lives, and whether the host knows of it (an orphan is not known at first).
  var living: Int64?
  var isWatched = false
  var toldOfEnd: WorkerExit?
  /// What has to be done after the last end before anything may start.
  var cleanup = Cleanup.journal
  var saved: WorkerRecord?
  var terminatedAt: Moment?
  var ignoresTerm = false
  var heartbeat: Int64?
  var heartbeatAt: Moment?
  var claim: (claim: WorkerClaim, at: Moment)?
  var isWanted = true
  var due = 0
  var progress: Int64 = 0
  var isCalm = false

  // What was seen, so that a run in which nothing happened is no proof.
  var spawns = 0
  var kills = 0
  var ends = 0
  var recoveries = 0
  var orphans = 0
  var violations: [String] = []

  init(seed: UInt64) {
    random = SplitMix64(seed: seed)
    var policy = WorkerPolicy()
    policy.start = random.chance(0.3) ? .always : .onMessage
    policy.toolTime = random.chance(0.3) ? .seconds(120) : .zero
    self.policy = policy
    machine = Machine(policy: policy, record: nil, at: now, wall: wall)
    run(machine.begin())
  }

  private mutating func wrong(_ what: String) { violations.append("\(now.at): \(what) (\(machine.state))") }

  mutating func die(_ exit: WorkerExit) {
    guard living != nil else { return }
    living = nil
    ends += 1
    cleanup = .journal
    if isWatched { toldOfEnd = exit }
    isWatched = false
    terminatedAt = nil
  }

  mutating func run(_ first: [Machine.Action]) {
    var actions = first
    while !actions.isEmpty {
      var answer = Machine.Event.done
      for action in actions {
        guard let event = perform(action) else {
          answer = .failed("by chance")
          break
        }
        if event != .done { answer = event }
      }
      actions = handle(answer)
    }
  }

  private mutating func handle(_ event: Machine.Event) -> [Machine.Action] {
    machine.handle(event, at: now, wall: wall + now.milliseconds)
  }

  /// - Returns: nil when it failed.
  private mutating func perform(_ action: Machine.Action) -> Machine.Event? {
    if case .report = action { return .done }
    let fails = !isCalm && random.chance(0.15)
    switch action {
    case .report: break
    case .findOrphan:
      if fails { return nil }
      if living != nil { orphans += 1 }
      isWatched = living != nil
      return .looked(orphan: isWatched)
    case .clearHeartbeat:
      if fails { return nil }
      heartbeat = nil
      heartbeatAt = nil
    case .releaseClaims(let through):
      if living != nil { wrong("claims given back while \(living!) lives") }
      if fails { return nil }
      if let held = claim, held.claim.incarnation <= through {
        claim = nil
        due += 1
      }
      if cleanup == .claims { cleanup = .none }
    case .save(let record):
      if fails { return nil }
      saved = record
    case .spawn(let incarnation):
      if living != nil { wrong("\(incarnation) started while \(living!) lives") }
      if cleanup != .none { wrong("started before \(cleanup)") }
      if saved?.incarnation != incarnation { wrong("\(incarnation) started and not kept") }
      if heartbeat != nil || claim != nil { wrong("started beside what another left") }
      if fails { return nil }
      spawns += 1
      living = incarnation
      isWatched = true
      ignoresTerm = random.chance(0.3)
      return .spawned(WorkerIdentity(process: nil))
    case .terminate:
      terminatedAt = terminatedAt ?? now
      if fails { return nil }
      if !ignoresTerm { die(.exited(143)) }
    case .kill:
      kills += 1
      if let at = terminatedAt, at.duration(to: now) < policy.stopGrace { wrong("killed without grace") }
      if living != nil, terminatedAt == nil { wrong("killed unasked") }
      if fails { return nil }
      die(.signalled(9))
    case .recoverJournal:
      if living != nil { wrong("recovered while \(living!) lives") }
      if fails { return nil }
      recoveries += 1
      if cleanup == .journal { cleanup = .drain }
    case .drain:
      if living != nil { wrong("settled while \(living!) lives") }
      if cleanup == .journal { wrong("drained before the journal") }
      if fails { return nil }
      if cleanup == .drain { cleanup = .claims }
      return .settled(progress: progress)
    }
    return .done
  }

  private var facts: WorkerFacts {
    mutating get {
      if !isCalm, random.chance(0.1) { return WorkerFacts(heartbeat: heartbeat) }
      return WorkerFacts(
        heartbeat: heartbeat, claims: claim.map { [$0.claim] } ?? [], due: due, isWanted: isWanted,
        progress: progress)
    }
  }

  mutating func beat() {
    heartbeat = (wall + now.milliseconds) * 1_000_000
    heartbeatAt = now
  }

  /// One thing happens.
  mutating func step() {
    now = now.advanced(
      by: .milliseconds(Int.random(in: 1...(random.chance(0.02) ? 3_000_000 : 3000), using: &random)))
    switch Int.random(in: 0..<10, using: &random) {
    case 0: due += 1
    case 1: isWanted = random.chance(0.8)
    case 2 where living != nil:
      die(random.chance(0.5) ? .exited(Int32.random(in: 0...1, using: &random)) : .signalled(11))
    case 3, 4: if living != nil { beat() }
    case 5:
      if let living, claim == nil, due > 0 {
        due -= 1
        let at = wall + now.milliseconds
        claim = (WorkerClaim(message: "m\(at)", attempt: 0, incarnation: living, claimedAt: at), now)
      }
    case 6:
      if living != nil, claim != nil {
        claim = nil
        progress += 1
      }
    case 7 where random.chance(0.1):
      // The host is killed: its worker lives on, and a new host knows what was saved.
      machine = Machine(policy: policy, record: saved, at: now, wall: wall + now.milliseconds)
      toldOfEnd = nil
      isWatched = false
      terminatedAt = nil
      if living == nil { cleanup = .journal }
      run(machine.begin())
    default: break
    }
    tell()
    let wasAlive = living
    let before = machine.state
    run(handle(.tick(facts)))
    if case .running = before, case .terminating(let reason, _) = machine.state {
      check(reason, of: wasAlive)
    }
    tell()
  }

  mutating func tell() {
    guard let exit = toldOfEnd else { return }
    toldOfEnd = nil
    run(handle(.exited(exit)))
  }

  /// Nobody is told to end who gave no cause.
  private mutating func check(_ reason: Machine.Reason, of incarnation: Int64?) {
    switch reason {
    case .silent:
      if let heartbeatAt, heartbeatAt.duration(to: now) <= policy.heartbeatCeiling { wrong("not silent") }
    case .stuck:
      if let claim, claim.at.duration(to: now) <= policy.claimCeiling { wrong("not stuck") }
    case .unwanted: if isWanted { wrong("wanted") }
    case .orphan, .shutDown: wrong("told to end as \(reason)")
    }
  }

  mutating func shutDown() {
    isCalm = true
    tell()
    run(handle(.shutDown))
    for _ in 0..<10 where !machine.isOver {
      now = now.advanced(by: policy.stopGrace)
      tell()
      run(handle(.tick(facts)))
      tell()
    }
  }
}

@Suite struct SupervisorSimulationTests {
  @Test func whateverFailsNothingIsRecoveredUnderALivingWorkerAndNothingStartsOverADeadOnesLeavings_C02_E02()
  {
    var (spawns, kills, ends, recoveries, orphans) = (0, 0, 0, 0, 0)
    for seed in UInt64(1)...400 {
      var world = World(seed: seed)
      for _ in 0..<800 { world.step() }
      #expect(world.violations == [], "seed \(seed)")
      spawns += world.spawns
      kills += world.kills
      ends += world.ends
      recoveries += world.recoveries
      orphans += world.orphans
      if !world.violations.isEmpty { break }
    }
    // All of it came about, and often.
    #expect(spawns > 5000)
    #expect(kills > 500)
    #expect(ends > 5000)
    #expect(recoveries > ends)
    #expect(orphans > 500)
  }

  /// Nothing is sticky: once the world behaves, a wanted worker with work runs, whatever was before.
  @Test func onceTheWorldIsCalmAWantedWorkerRuns() {
    for seed in UInt64(1)...200 {
      var world = World(seed: seed)
      for _ in 0..<200 { world.step() }
      world.isCalm = true
      world.isWanted = true
      world.due += 1
      world.ignoresTerm = false
      var rounds = 0
      while world.machine.state != .running, rounds < 1000 {
        world.now = world.now.advanced(by: .seconds(1))
        world.tell()
        world.run(
          world.machine.handle(
            .tick(WorkerFacts(heartbeat: nil, claims: [], due: world.due, isWanted: true, progress: 0)),
            at: world.now, wall: world.wall))
        world.tell()
        rounds += 1
      }
      #expect(world.machine.state == .running, "seed \(seed)")
      #expect(world.violations == [], "seed \(seed)")
    }
  }

  @Test func aHostThatStopsAtAnyMomentLeavesNoWorker() {
    for seed in UInt64(1)...200 {
      var world = World(seed: seed)
      for _ in 0..<Int(seed) { world.step() }
      world.shutDown()
      #expect(world.machine.isOver, "seed \(seed)")
      #expect(world.living == nil, "seed \(seed)")
      #expect(world.violations == [], "seed \(seed)")
    }
  }
}
