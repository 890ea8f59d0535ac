// SPDX-License-Identifier: Apache-2.0

import HoldfastTestKit
import Testing

@testable import HoldfastEngine

@Suite struct AlarmClockTests {
  @Test func alarmsRingInTheOrderOfTheirTimesAndOnesTakenBackDoNot() async throws {
    let clock = AlarmClock()
    let rung = Monitor<[String]>([])
    func ring(_ name: String) -> @Sendable () -> Void {
      { rung.withLock { $0.append(name) } }
    }
    let now = ContinuousClock.now
    _ = clock.set(now + .milliseconds(40), ring("late"))
    let taken = clock.set(now + .milliseconds(20), ring("taken back"))
    // Earlier than those the thread already waits for.
    _ = clock.set(now + .milliseconds(5), ring("early"))
    clock.cancel(taken)
    let both = await eventually { rung.withLock { $0.count == 2 } }
    #expect(both)
    #expect(rung.withLock { $0 } == ["early", "late"])
    // The thread slept without an alarm; one that is set then is heard.
    _ = clock.set(.now, ring("again"))
    #expect(await eventually { rung.withLock { $0.last == "again" } })
  }

  @Test func aWaitEndsAtItsDeadlineThoughItsBodyGoesOn() async throws {
    let gate = Monitor(false)
    let error = await #expect(throws: StoreError.self) {
      try await Deadline.wait(.milliseconds(1), for: "the gate did not open") {
        try await BlockingThread.run(named: "hf-test") { gate.wait { $0 ? () : nil } }
      }
    }
    #expect(error?.code == .deadline)
    gate.withLock { $0 = true }
    gate.signal()
    #expect(try await Deadline.wait(.seconds(60), for: "the answer did not come") { 42 } == 42)
  }
}
