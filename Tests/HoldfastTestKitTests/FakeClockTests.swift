// SPDX-License-Identifier: Apache-2.0

import HoldfastTestKit
import Testing

@Suite struct FakeClockTests {
  @Test func sleepersWakeInTheOrderOfTheirDeadlinesAndSeeThem() async throws {
    let clock = FakeClock()
    let start = clock.now
    let sleeping = [3, 1, 2].map { second in
      Task {
        try await clock.sleep(until: start.advanced(by: .seconds(second)))
        return (second, clock.now)
      }
    }
    await clock.sleepers(3)
    for second in [1, 2, 3] {
      clock.advance(by: .seconds(1))
      let woken = sleeping[[3, 1, 2].firstIndex(of: second)!]
      #expect(try await woken.value == (second, start.advanced(by: .seconds(second))))
    }
    #expect(clock.now == start.advanced(by: .seconds(3)))
  }

  @Test func aCancelledSleeperIsGone() async throws {
    let clock = FakeClock()
    let sleeping = Task { try await clock.sleep(for: .seconds(1)) }
    await clock.sleepers(1)
    sleeping.cancel()
    await #expect(throws: CancellationError.self) { try await sleeping.value }
    clock.advance(by: .seconds(2))
  }

  @Test func aStepBackWakesNobody_D02() async throws {
    let clock = FakeClock()
    clock.advance(by: .seconds(10))
    let sleeping = Task { try await clock.sleep(for: .seconds(1)) }
    await clock.sleepers(1)
    clock.advance(to: .init(sinceStart: .seconds(5)))
    clock.advance(by: .seconds(5))
    #expect(clock.now == .init(sinceStart: .seconds(10)))
    await clock.sleepers(1)
    clock.advance(by: .seconds(1))
    try await sleeping.value
  }
}
