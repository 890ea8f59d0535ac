// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import Testing

@testable import HoldfastMailbox

@Suite struct SupervisorMachineTests {
  private let wall: Int64 = 1_800_000_000_000
  private let identity = WorkerIdentity(process: .init(pid: 42, start: 7, boot: "here"))
  private let due = WorkerFacts(claims: [], due: 1, isWanted: true, progress: 0)
  private let idle = WorkerFacts(claims: [], due: 0, isWanted: true, progress: 0)

  private func machine(
    _ record: WorkerRecord? = nil, _ change: (inout WorkerPolicy) -> Void = { _ in }
  ) -> Machine {
    var policy = WorkerPolicy()
    change(&policy)
    return Machine(policy: policy, record: record, at: Moment(), wall: wall)
  }

  private func send(
    _ event: Machine.Event, to machine: inout Machine, at seconds: Double = 0
  ) -> [Machine.Action] {
    let now = Moment(at: .milliseconds(Int(seconds * 1000)))
    return machine.handle(event, at: now, wall: wall + now.milliseconds).filter { !$0.isReport }
  }

  private func news(
    _ event: Machine.Event, to machine: inout Machine, at seconds: Double = 0
  ) -> [WorkerNews] {
    let now = Moment(at: .milliseconds(Int(seconds * 1000)))
    return machine.handle(event, at: now, wall: wall + now.milliseconds).compactMap {
      if case .report(let news) = $0 { news } else { nil }
    }
  }

  /// A machine whose host found nothing left behind.
  private func rested(_ change: (inout WorkerPolicy) -> Void = { _ in }) -> Machine {
    var machine = machine(nil, change)
    #expect(machine.begin() == [.findOrphan])
    #expect(send(.looked(orphan: false), to: &machine) == [.recoverJournal])
    #expect(send(.done, to: &machine) == [.drain, .releaseClaims(through: 0)])
    _ = send(.settled(progress: 0), to: &machine)
    #expect(machine.state == .resting)
    return machine
  }

  /// One that runs a worker since `seconds`.
  private func running(
    at seconds: Double = 0, _ change: (inout WorkerPolicy) -> Void = { _ in }
  ) -> Machine {
    var machine = rested(change)
    _ = send(.tick(due), to: &machine, at: seconds)
    _ = send(.spawned(identity), to: &machine, at: seconds)
    #expect(machine.state == .running)
    return machine
  }

  /// From the end of a worker to rest.
  private func end(
    _ exit: WorkerExit, _ machine: inout Machine, at seconds: Double, progress: Int64? = 0
  ) {
    #expect(send(.exited(exit), to: &machine, at: seconds) == [.recoverJournal])
    let incarnation = machine.record.incarnation
    #expect(
      send(.done, to: &machine, at: seconds) == [.drain, .releaseClaims(through: incarnation)])
    #expect(
      send(.settled(progress: progress), to: &machine, at: seconds) == [.save(machine.record)])
  }

  // MARK: Starting

  @Test func aFreshWorkerIsNotJudgedByWhatAnotherLeft_E02() {
    var machine = rested()
    // Two hours of silence and a claim of the same age, and a message is due.
    let old = WorkerClaim(message: "m", attempt: 0, incarnation: 0, claimedAt: wall - 7_200_000)
    let left = WorkerFacts(
      heartbeat: (wall - 7_200_000) * 1_000_000, claims: [old], due: 1, isWanted: true, progress: 0)
    let actions = send(.tick(left), to: &machine, at: 1)
    // Decided to wake before the claims are given back; cleared before there is anybody to be judged by it.
    #expect(
      actions == [
        .clearHeartbeat, .releaseClaims(through: 0), .save(machine.record), .spawn(incarnation: 1),
      ])
    #expect(machine.record.incarnation == 1)
    #expect(send(.spawned(identity), to: &machine, at: 2) == [.save(machine.record)])
    // One sweep, and many, over what is still there because clearing it was in vain: no kill.
    for second in 3...120 { #expect(send(.tick(left), to: &machine, at: Double(second)) == []) }
    #expect(machine.state == .running)
  }

  @Test func nothingIsStartedThatIsNotWantedOrNotDue() {
    var machine = rested()
    #expect(send(.tick(idle), to: &machine, at: 1) == [])
    var unwanted = due
    unwanted.isWanted = false
    #expect(send(.tick(unwanted), to: &machine, at: 2) == [])
    // What cannot be read starts nothing.
    #expect(send(.tick(WorkerFacts()), to: &machine, at: 3) == [])
    var always = rested { $0.start = .always }
    #expect(send(.tick(idle), to: &always, at: 1).contains(.spawn(incarnation: 1)))
  }

  @Test func everyWorkerHasANumberOfItsOwnKeptBeforeItStarts_E08() {
    var machine = running { $0.firstPause = .zero }
    var numbers = [machine.record.incarnation]
    for round in 1...5 {
      let time = Double(round * 100)
      end(.exited(1), &machine, at: time)
      let actions = send(.tick(due), to: &machine, at: time)
      numbers.append(machine.record.incarnation)
      #expect(actions.suffix(2) == [.save(machine.record), .spawn(incarnation: numbers.last!)])
      _ = send(.spawned(identity), to: &machine, at: time)
    }
    #expect(numbers == Array(1...6))
  }

  @Test func aStartThatFailsIsAnEndLikeAnyOther() {
    var machine = rested()
    _ = send(.tick(due), to: &machine, at: 1)
    #expect(send(.failed("no such program"), to: &machine, at: 1) == [.recoverJournal])
    _ = send(.done, to: &machine, at: 1)
    _ = send(.settled(progress: nil), to: &machine, at: 1)
    #expect(machine.record.lastExit == "not started: no such program")
    #expect(machine.record.state == .waiting)
    #expect(send(.tick(due), to: &machine, at: 1.9) == [])
    #expect(send(.tick(due), to: &machine, at: 2).contains(.spawn(incarnation: 2)))
  }

  // MARK: Ending

  @Test func aSilentWorkerIsToldThenKilledAndNothingIsRecoveredBeforeItsEnd_E01_C02() {
    var machine = running()
    let beat = WorkerFacts(heartbeat: wall * 1_000_000, claims: [], due: 0, isWanted: true, progress: 0)
    #expect(send(.tick(beat), to: &machine, at: 100) == [])
    #expect(send(.tick(beat), to: &machine, at: 1900) == [])
    #expect(send(.tick(beat), to: &machine, at: 1901) == [.terminate, .save(machine.record)])
    #expect(machine.record.lastReason == "silent")
    #expect(send(.tick(beat), to: &machine, at: 1910) == [])
    #expect(send(.tick(beat), to: &machine, at: 1911) == [.kill])
    #expect(send(.tick(beat), to: &machine, at: 1912) == [])
    // It does not die: killed again, for ever, and nothing else.
    for round in 1...100 {
      #expect(send(.tick(beat), to: &machine, at: 1911 + Double(round) * 10) == [.kill])
    }
    end(.signalled(9), &machine, at: 3000)
    #expect(machine.record.lastExit == "signal 9")
    #expect(machine.record.state == .waiting)
  }

  @Test func aStuckClaimEndsTheWorkerThatHoldsIt_E01() {
    var machine = running()
    let claim = WorkerClaim(message: "m7", attempt: 0, incarnation: 1, claimedAt: wall + 70_000)
    let held = WorkerFacts(
      heartbeat: (wall + 69_000) * 1_000_000, claims: [claim], due: 1, isWanted: true, progress: 0)
    #expect(send(.tick(held), to: &machine, at: 70) == [])
    #expect(send(.tick(held), to: &machine, at: 130) == [])
    #expect(send(.tick(held), to: &machine, at: 131) == [.terminate, .save(machine.record)])
    #expect(machine.record.lastReason == "stuck on m7")
  }

  @Test func aStopThatIsWantedHoldsUntilItIsTakenBack() {
    var machine = running()
    var unwanted = due
    unwanted.isWanted = false
    #expect(send(.tick(unwanted), to: &machine, at: 5) == [.terminate, .save(machine.record)])
    end(.exited(143), &machine, at: 6)
    #expect(machine.record.state == .stopped)
    #expect(machine.record.restarts == 0)
    #expect(send(.tick(unwanted), to: &machine, at: 1000) == [])
    #expect(send(.tick(due), to: &machine, at: 1001).contains(.spawn(incarnation: 2)))
  }

  @Test func whatTheDeadLeftIsTriedAgainUntilItIsTakenIn_E07() {
    var machine = running()
    #expect(send(.exited(.signalled(9)), to: &machine, at: 10) == [.recoverJournal])
    #expect(
      news(.failed("locked"), to: &machine, at: 10)
        == [.troubled(stage: "recover", message: "locked", failures: 1)])
    #expect(send(.tick(due), to: &machine, at: 10.2) == [])
    #expect(send(.tick(due), to: &machine, at: 10.25) == [.recoverJournal])
    #expect(send(.failed("locked"), to: &machine, at: 10.25) == [])
    #expect(send(.tick(due), to: &machine, at: 10.7) == [])
    #expect(send(.tick(due), to: &machine, at: 10.75) == [.recoverJournal])
    #expect(send(.done, to: &machine, at: 11) == [.drain, .releaseClaims(through: 1)])
    // Draining fails: the journal is not looked at again, the drain is.
    #expect(send(.failed("full"), to: &machine, at: 11) == [])
    #expect(send(.tick(due), to: &machine, at: 11.25) == [.drain, .releaseClaims(through: 1)])
    #expect(send(.settled(progress: 0), to: &machine, at: 12) == [.save(machine.record)])
    #expect(machine.state == .resting)
  }

  // MARK: Starting again

  @Test func endsInARowPauseLongerAndBreakTheCircuitForAWhile() {
    var machine = running()
    var time = 10.0
    var pauses: [Double] = []
    for _ in 1...12 {
      end(.exited(1), &machine, at: time)
      var pause = 0.0
      while send(.tick(due), to: &machine, at: time + pause).isEmpty { pause += 0.5 }
      pauses.append(pause)
      time += pause
      _ = send(.spawned(identity), to: &machine, at: time)
    }
    #expect(pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60, 600, 600, 600])
    #expect(machine.record.restarts == 12)
    // It runs for long enough: forgotten, durably.
    #expect(send(.tick(due), to: &machine, at: time + 299) == [])
    #expect(send(.tick(due), to: &machine, at: time + 300) == [.save(machine.record)])
    #expect(machine.record.restarts == 0)
    end(.exited(1), &machine, at: time + 301)
    #expect(machine.record.restarts == 1)
  }

  @Test func aBrokenWorkerIsSaidToBeOne() {
    var machine = running { $0.breakerEnds = 2 }
    end(.exited(1), &machine, at: 1)
    #expect(machine.record.state == .waiting)
    _ = send(.tick(due), to: &machine, at: 2)
    _ = send(.spawned(identity), to: &machine, at: 2)
    end(.exited(1), &machine, at: 3)
    #expect(machine.record.state == .broken)
    #expect(machine.record.nextStart == wall + 3000 + 600_000)
  }

  @Test func aWorkerThatDidItsWorkAndLeftIsNoFailure() {
    var machine = running()
    end(.exited(0), &machine, at: 1, progress: 1)
    #expect(machine.record.restarts == 0)
    #expect(machine.record.state == .stopped)
    #expect(send(.tick(due), to: &machine, at: 1).contains(.spawn(incarnation: 2)))
    _ = send(.spawned(identity), to: &machine, at: 1)
    // It left without having done anything, though something was due: not at once again.
    end(.exited(0), &machine, at: 2, progress: 0)
    #expect(machine.record.restarts == 1)
    #expect(send(.tick(due), to: &machine, at: 2.5) == [])
  }

  @Test func aCrashLoopOutlivesItsHost() {
    var record = WorkerRecord()
    record.incarnation = 9
    record.restarts = 4
    record.nextStart = wall + 5000
    record.state = .waiting
    var machine = machine(record)
    _ = send(.looked(orphan: false), to: &machine)
    #expect(send(.done, to: &machine) == [.drain, .releaseClaims(through: 9)])
    _ = send(.settled(progress: 3), to: &machine)
    #expect(machine.record.restarts == 4)
    #expect(machine.record.nextStart == wall + 5000)
    #expect(send(.tick(due), to: &machine, at: 4.9) == [])
    #expect(send(.tick(due), to: &machine, at: 5).contains(.spawn(incarnation: 10)))
    // The clock was set back a year meanwhile: no pause is longer than it was.
    record.nextStart = wall + 31_536_000_000
    var late = self.machine(record)
    _ = send(.looked(orphan: false), to: &late)
    _ = send(.done, to: &late)
    _ = send(.settled(progress: 3), to: &late)
    #expect(send(.tick(due), to: &late, at: 8).contains(.spawn(incarnation: 10)))
  }

  // MARK: The host

  @Test func anOrphanIsEndedAndRecoveredBeforeAnythingStarts_E02_C01() {
    var record = WorkerRecord()
    record.incarnation = 5
    record.state = .running
    var machine = machine(record)
    #expect(send(.looked(orphan: true), to: &machine, at: 0) == [.terminate, .save(machine.record)])
    #expect(send(.tick(due), to: &machine, at: 9) == [])
    #expect(send(.tick(due), to: &machine, at: 10) == [.kill])
    end(.gone, &machine, at: 11)
    #expect(send(.tick(due), to: &machine, at: 11).contains(.spawn(incarnation: 6)))
  }

  @Test func aHostThatCannotLookStartsNothing() {
    var machine = machine()
    #expect(send(.failed("unreadable"), to: &machine) == [])
    #expect(send(.tick(due), to: &machine, at: 0.2) == [])
    #expect(send(.tick(due), to: &machine, at: 0.25) == [.findOrphan])
  }

  @Test func aHostThatStopsLeavesNothingBehind() {
    var resting = rested()
    #expect(send(.shutDown, to: &resting) == [])
    #expect(resting.isOver)

    var machine = running()
    #expect(send(.shutDown, to: &machine, at: 1) == [.terminate, .save(machine.record)])
    #expect(send(.shutDown, to: &machine, at: 2) == [])
    end(.exited(0), &machine, at: 3)
    #expect(machine.isOver)
    #expect(send(.tick(due), to: &machine, at: 99) == [])

    // It is told while a worker is being started.
    var starting = rested()
    _ = send(.tick(due), to: &starting, at: 1)
    #expect(send(.shutDown, to: &starting, at: 1) == [])
    let save = WorkerRecord.State.stopping
    let actions = send(.spawned(identity), to: &starting, at: 1)
    #expect(actions.contains(.terminate))
    #expect(starting.record.state == save)
    end(.exited(0), &starting, at: 2)
    #expect(starting.isOver)

    // And while the dead one cannot be recovered: one more try, and then it is the next host's.
    var pausing = running()
    _ = send(.exited(.signalled(9)), to: &pausing, at: 1)
    _ = send(.failed("locked"), to: &pausing, at: 1)
    #expect(send(.shutDown, to: &pausing, at: 1) == [.recoverJournal])
    #expect(send(.failed("locked"), to: &pausing, at: 1) == [])
    #expect(pausing.isOver)
  }
}
