// SPDX-License-Identifier: Apache-2.0

import HoldfastTestKit
import Testing

@testable import HoldfastEngine

/// An instant that only the test moves.
private struct Tick: InstantProtocol {
  var at: Duration = .zero
  func advanced(by duration: Duration) -> Tick { Tick(at: at + duration) }
  func duration(to other: Tick) -> Duration { other.at - at }
  static func < (left: Tick, right: Tick) -> Bool { left.at < right.at }
}

@Suite struct DrainMachineTests {
  private let start = Tick()

  @Test func aFirstRecordWaitsForCompanyAndAWholeBatchDoesNot() {
    var machine = DrainMachine<Tick>(linger: .milliseconds(5))
    #expect(machine.next(at: start, pending: 0, urgent: false) == .rest(until: nil))
    let end = start.advanced(by: .milliseconds(5))
    #expect(machine.next(at: start, pending: 1, urgent: false) == .rest(until: end))
    #expect(machine.next(at: start, pending: 512, urgent: false) == .land(limit: 512))
    machine.landed(count: 512, hold: .milliseconds(4))
    #expect(machine.next(at: start, pending: 1, urgent: false) == .rest(until: end))
    #expect(machine.next(at: end, pending: 1, urgent: false) == .land(limit: 512))
  }

  @Test func somebodyWaitingIsServedAtOnce() {
    var machine = DrainMachine<Tick>(linger: .milliseconds(5))
    #expect(machine.next(at: start, pending: 1, urgent: true) == .land(limit: 512))
    machine.failed(at: start)
    // One attempt for each who comes; who stays does not make it a loop without a pause.
    #expect(machine.next(at: start, pending: 1, urgent: true, retry: true) == .land(limit: 512))
    machine.failed(at: start)
    let pause = start.advanced(by: .milliseconds(20))
    #expect(machine.next(at: start, pending: 1, urgent: true) == .rest(until: pause))
    #expect(machine.next(at: pause, pending: 1, urgent: true) == .land(limit: 512))
  }

  @Test func failuresPauseLongerAndLongerUpToASecondAndASuccessEndsThat() {
    var machine = DrainMachine<Tick>(linger: .zero)
    var now = start
    var pauses: [Duration] = []
    for _ in 0..<10 {
      #expect(machine.next(at: now, pending: 1, urgent: false) == .land(limit: 512))
      machine.failed(at: now)
      guard case .rest(let until?) = machine.next(at: now, pending: 1, urgent: false) else {
        Issue.record("no pause after a failure")
        return
      }
      pauses.append(now.duration(to: until))
      now = until
    }
    #expect(pauses == [10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000].map { .milliseconds($0) })
    _ = machine.next(at: now, pending: 1, urgent: false)
    machine.landed(count: 1, hold: .zero)
    _ = machine.next(at: now, pending: 1, urgent: false)
    machine.failed(at: now)
    #expect(
      machine.next(at: now, pending: 1, urgent: false) == .rest(until: now.advanced(by: .milliseconds(10))))
  }

  @Test func aBatchThatHoldsTheWritersTooLongShrinksAndGrowsAgain() {
    var machine = DrainMachine<Tick>(linger: .zero)
    _ = machine.next(at: start, pending: 1000, urgent: false)
    machine.landed(count: 512, hold: .milliseconds(20))
    #expect(machine.next(at: start, pending: 1000, urgent: false) == .land(limit: 256))
    machine.landed(count: 256, hold: .milliseconds(3))
    #expect(machine.next(at: start, pending: 1000, urgent: false) == .land(limit: 256))
    machine.landed(count: 256, hold: .milliseconds(1))
    #expect(machine.limit == 512)
  }

  /// The whole machine against a model of the database: whatever fails and however often, each record ends in
  /// exactly one of two places, in order, and records that cannot be applied keep nobody waiting.
  @Test func everyRecordLandsOrIsSetAsideExactlyOnce() {
    for seed in 0..<200 as Range<UInt64> { drive(seed: seed) }
  }

  private func drive(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    let total = Int.random(in: 1...2000, using: &random)
    let poison = Set((0..<total).filter { _ in random.chance(seed.isMultiple(of: 3) ? 0.02 : 0.001) })
    let failure = Double.random(in: 0..<0.5, using: &random)
    var machine = DrainMachine<Tick>(linger: .milliseconds(5))
    var now = Tick()
    var arrived = 0
    var believed = 0  // where the drain takes the cursor to be
    var cursor = 0  // where it is
    var landed: [Int] = []
    var rejected: [Int] = []
    var attempts = 0
    while cursor < total || believed < total {
      arrived = min(total, arrived + Int.random(in: 0...400, using: &random))
      switch machine.next(at: now, pending: arrived - believed, urgent: random.chance(0.05)) {
      case .rest(let until):
        now = until ?? now.advanced(by: .milliseconds(1))
      case .land(let limit):
        attempts += 1
        let batch = Array(believed..<min(arrived, believed + limit))
        #expect(!batch.isEmpty)
        if believed != cursor {
          believed = cursor
          machine.cursorMoved()
        } else if random.chance(failure) {
          // Half of these have committed all the same, and their caller was never told.
          if random.chance(0.5), batch.allSatisfy({ !poison.contains($0) }) {
            landed += batch
            cursor += batch.count
          }
          machine.failed(at: now)
        } else if batch.count > 1, batch.contains(where: poison.contains) {
          machine.refused(count: batch.count)
        } else {
          if poison.contains(batch[0]) { rejected.append(batch[0]) } else { landed += batch }
          cursor += batch.count
          believed = cursor
          machine.landed(count: batch.count, hold: .microseconds(Int.random(in: 0...9000, using: &random)))
        }
      }
    }
    #expect(landed == (0..<total).filter { !poison.contains($0) }, "seed \(seed)")
    #expect(rejected == poison.sorted(), "seed \(seed)")
    #expect(attempts < 40 * (poison.count + 1) + 20 * total, "seed \(seed)")
  }
}
