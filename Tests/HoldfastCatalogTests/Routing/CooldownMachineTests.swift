// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastCatalog
import HoldfastEngine
import HoldfastTestKit
import Testing

private let start = UTCInstant(milliseconds: 1_763_000_000_000)
private let route = RouteID(provider: "groq", model: "llama")

/// So many seconds after the start.
private func at(_ seconds: Int64) -> UTCInstant { start.advanced(by: .seconds(seconds)) }

@Suite struct CooldownMachineTests {
  private func seconds(_ machine: CooldownMachine, _ route: RouteID = route, at now: UTCInstant) -> Int64? {
    machine.until(route, at: now).map { ($0.milliseconds - now.milliseconds) / 1000 }
  }

  @Test func oneFailureChangesNothingAndTheSecondCoolsForTenSeconds() {
    var machine = CooldownMachine()
    machine.failure(route, at: at(0))
    #expect(machine.until(route, at: at(0)) == nil)
    #expect(machine.current(at: at(0)).map(\.cooldowns) == [0])
    machine.failure(route, at: at(210))
    #expect(seconds(machine, at: at(210)) == 10)
    #expect(seconds(machine, at: at(219)) == 1)
    #expect(machine.until(route, at: at(220)) == nil)
  }

  @Test func strikesFurtherApartThanTheWindowAreEachTheFirst() {
    var machine = CooldownMachine()
    for time in stride(from: Int64(0), to: 10_000, by: 211) {
      machine.failure(route, at: at(time))
      #expect(machine.until(route, at: at(time)) == nil)
    }
  }

  @Test func eachFailureAfterACoolDownDoublesItUpToTheLongest() {
    var machine = CooldownMachine()
    machine.failure(route, at: at(0))
    var now: Int64 = 1
    var lengths: [Int64] = []
    for _ in 0..<9 {
      machine.failure(route, at: at(now))
      let length = seconds(machine, at: at(now)) ?? 0
      lengths.append(length)
      now += length
    }
    #expect(lengths == [10, 20, 40, 80, 160, 320, 600, 600, 600])
  }

  @Test func failuresOfWhatWasUnderWayDoNotCountAgain() {
    var machine = CooldownMachine()
    for _ in 0..<100 { machine.failure(route, at: at(0)) }
    #expect(seconds(machine, at: at(0)) == 10)
    for _ in 0..<100 { machine.failure(route, at: at(9)) }
    #expect(seconds(machine, at: at(9)) == 1)
    machine.failure(route, at: at(10))
    #expect(seconds(machine, at: at(10)) == 20)
  }

  @Test func aSuccessForgetsAndSoDoesAQuietWindow() {
    var machine = CooldownMachine()
    for time in [Int64(0), 1, 11, 31] { machine.failure(route, at: at(time)) }
    #expect(seconds(machine, at: at(31)) == 40)
    var succeeded = machine
    let (first, second) = (succeeded.success(route), succeeded.success(route))
    #expect(first && !second)
    #expect(succeeded == CooldownMachine())
    // It was free again at 71.
    machine.failure(route, at: at(71 + 211))
    #expect(machine.until(route, at: at(71 + 211)) == nil)
    machine.failure(route, at: at(71 + 212))
    #expect(seconds(machine, at: at(71 + 212)) == 10)
  }

  @Test func whatAProviderAsksForIsGrantedAtOnceUpToTheLongest() {
    var machine = CooldownMachine()
    machine.failure(route, at: at(0), retryAfter: .seconds(30))
    #expect(seconds(machine, at: at(0)) == 30)
    machine.failure(route, at: at(30), retryAfter: .seconds(3))
    #expect(seconds(machine, at: at(30)) == 10, "less than its own step would be")
    machine.failure(route, at: at(31), retryAfter: .seconds(86_400))
    #expect(seconds(machine, at: at(31)) == 600)
    machine.failure(route, at: at(32), retryAfter: .zero)
    #expect(seconds(machine, at: at(32)) == 599)
  }

  @Test func aProviderThatCannotBeReachedCoolsDownWithAllItsModels() {
    var machine = CooldownMachine()
    let other = RouteID(provider: "groq", model: "other")
    machine.failure(.everything(of: "groq"), at: at(0))
    machine.failure(.everything(of: "groq"), at: at(1))
    #expect(seconds(machine, other, at: at(1)) == 10)
    #expect(machine.until(RouteID(provider: "openai", model: "llama"), at: at(1)) == nil)
    machine.success(other)
    #expect(machine.until(route, at: at(1)) == nil, "one that answers shows that the provider is there")
  }

  @Test func aClockThatIsSetBackEndsWhatItWouldProlong() {
    var machine = CooldownMachine()
    machine.failure(route, at: at(10_000))
    machine.failure(route, at: at(10_001))
    #expect(machine.until(route, at: at(0)) == nil)
    #expect(machine.current(at: at(0)).isEmpty)
    machine.failure(route, at: at(0))
    #expect(machine.until(route, at: at(0)) == nil)
  }

  @Test func whatWasWrittenDownBeforeIsTakenOverButForWhatIsKnownBetter() {
    var earlier = CooldownMachine()
    let other = RouteID(provider: "together", model: "llama")
    for name in [route, other] { earlier.failure(name, at: at(0), retryAfter: .seconds(60)) }
    var machine = CooldownMachine()
    machine.failure(route, at: at(1), retryAfter: .seconds(5))
    machine.recall(earlier)
    #expect(seconds(machine, at: at(1)) == 5)
    #expect(seconds(machine, other, at: at(1)) == 59)
  }

  @Test func itSurvivesBeingWrittenDown() throws {
    var machine = CooldownMachine()
    machine.failure(route, at: at(0))
    machine.failure(route, at: at(1))
    machine.failure(.everything(of: "local"), at: at(1), retryAfter: .seconds(5))
    let text = String(decoding: try JSONEncoder().encode(machine), as: UTF8.self)
    #expect(text.contains(#""provider":"groq""#) && text.contains(#""failed_at":"#))
    #expect(!text.contains(#""model":"""#), "a whole provider has no model")
    #expect(try JSONDecoder().decode(CooldownMachine.self, from: Data(text.utf8)) == machine)
  }

  /// Against the rule as it is told: the machine is asked and told at random, an account of the same events is kept
  /// beside it and judged from the whole history each time.
  @Test(arguments: 0..<300)
  func itKeepsItsRuleThroughAnyHistory(_ seed: UInt64) {
    var random = SplitMix64(seed: seed)
    var machine = CooldownMachine()
    var now: Int64 = 0
    var history = History()
    for _ in 0..<200 {
      now += [0, 1, 5, 9, 10, 30, 100, 209, 210, 211, 700].randomElement(using: &random) ?? 0
      switch Int.random(in: 0..<10, using: &random) {
      case 0:
        machine.success(route)
        history = History()
      case 1:
        let wish = Int64.random(in: 1...900, using: &random)
        machine.failure(route, at: at(now), retryAfter: .seconds(wish))
        history.failure(now, wish: wish)
      default:
        machine.failure(route, at: at(now))
        history.failure(now, wish: 0)
      }
      let expected = history.freeAt > now ? history.freeAt : nil
      #expect(machine.until(route, at: at(now)) == expected.map(at), "seed \(seed), second \(now)")
    }
  }

  private struct History {
    var counted: [Int64] = []
    var freeAt = Int64.min

    mutating func failure(_ now: Int64, wish: Int64) {
      if let last = counted.last, now > max(freeAt, last) + 210 { (counted, freeAt) = ([], Int64.min) }
      if freeAt <= now {
        counted.append(now)
        if counted.count > 1 {
          var length: Int64 = 10
          for _ in 0..<(counted.count - 2) where length < 600 { length = min(length * 2, 600) }
          freeAt = now + length
        }
      }
      if wish > 0 { freeAt = max(freeAt, now + min(wish, 600)) }
    }
  }
}
