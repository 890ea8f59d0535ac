// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import Testing

@testable import HoldfastMailbox

@Suite("Delivery policy")
struct DeliveryPolicyTests {
  private let policy = DeliveryPolicy()
  private let first = UTCInstant(milliseconds: 1_800_000_000_000)

  private func after(_ seconds: Double) -> UTCInstant { first.advanced(by: .seconds(seconds)) }

  @Test(
    "the pause is 1 s, doubled with each attempt, and never more than 60 s",
    arguments: zip([1, 2, 3, 4, 5, 6, 7, 8, 1000], [1, 2, 4, 8, 16, 32, 60, 60, 60]))
  func pauses_E05(attempts: Int, seconds: Int) {
    #expect(policy.pause(afterAttempts: attempts) == .seconds(seconds))
  }

  @Test(
    "what fails for a passing reason all the time is tried from 1 s on for half an hour, and then is a dead letter"
  )
  func halfAnHour_E05() {
    var now = first
    var moments: [Double] = []
    var attempt = 0
    while true {
      attempt += 1
      moments.append(Double(now.milliseconds - first.milliseconds) / 1000)
      switch policy.verdict(.transient(reason: "HTTP 503"), attempt: attempt, first: first, now: now) {
      case .again(let next, "HTTP 503"): now = next
      case let end:
        #expect(end == .dead(reason: "tries-used-up", error: "HTTP 503"))
        #expect(moments.prefix(8) == [0, 1, 3, 7, 15, 31, 63, 123])
        #expect(moments.last == 1800)
        #expect(attempt == 36)
        return
      }
    }
  }

  @Test("a network that fails for 10 s costs no message")
  func blip_E05() {
    var now = first
    for attempt in 1...4 {
      guard
        case .again(let next, _) = policy.verdict(
          .transient(reason: "reset"), attempt: attempt, first: first, now: now)
      else { Issue.record("attempt \(attempt) was the last"); return }
      now = next
    }
    #expect(now == after(15))
    #expect(policy.verdict(.delivered, attempt: 5, first: first, now: now) == .delivered)
  }

  @Test("what does not pass is a dead letter at once")
  func permanent_E05() {
    #expect(
      policy.verdict(.permanent(reason: "HTTP 410"), attempt: 1, first: first, now: first)
        == .dead(reason: "rejected", error: "HTTP 410"))
  }

  @Test(
    "a receiver that asks to be left alone is, but not beyond the half hour, and is not tried sooner than usual"
  )
  func retryAfter_E05() {
    func next(_ asked: Duration, at now: UTCInstant, attempt: Int = 1) -> DeliveryPolicy.Verdict {
      policy.verdict(.transient(reason: "busy", retryAfter: asked), attempt: attempt, first: first, now: now)
    }
    #expect(next(.seconds(120), at: first) == .again(next: after(120), error: "busy"))
    #expect(next(.seconds(5), at: first, attempt: 5) == .again(next: after(16), error: "busy"))
    #expect(next(.seconds(-5), at: first) == .again(next: after(1), error: "busy"))
    #expect(next(.seconds(1_000_000_000_000), at: first) == .again(next: after(1800), error: "busy"))
    #expect(next(.seconds(3600), at: after(1799)) == .again(next: after(1800), error: "busy"))
    #expect(next(.seconds(3600), at: after(1800)) == .dead(reason: "tries-used-up", error: "busy"))
  }

  @Test("a clock that was set back neither stops the attempts nor lets them go on for ever")
  func clockSetBack_E05() {
    let now = after(-86_400)
    #expect(
      policy.verdict(.transient(reason: "x"), attempt: 3, first: first, now: now)
        == .again(next: now.advanced(by: .seconds(4)), error: "x"))
    #expect(
      policy.verdict(.transient(reason: "x"), attempt: 100, first: first, now: now)
        == .dead(reason: "tries-used-up", error: "x"))
  }

  @Test("while an attempt may still be under way nobody makes another")
  func unheard_E04() {
    #expect(policy.nextAttempt(unheardSince: first, attempt: 3, timeLimit: .seconds(30)) == after(34))
  }

  @Test("of an endless error a thousand characters are kept")
  func boundedError() {
    let verdict = policy.verdict(
      .permanent(reason: String(repeating: "é", count: 5000)), attempt: 1, first: first, now: first)
    #expect(verdict == .dead(reason: "rejected", error: String(repeating: "é", count: 1000) + "…"))
  }
}
