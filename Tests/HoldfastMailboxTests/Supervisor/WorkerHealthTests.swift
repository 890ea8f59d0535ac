// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import HoldfastMailbox

/// When a worker is killed, as a table of ages.
@Suite struct WorkerHealthTests {
  private static let long = Duration.seconds(7200)

  struct Case: Sendable, CustomTestStringConvertible {
    var name: String
    var uptime = Duration.seconds(86_400)
    var heartbeat: Duration?
    var claims: [WorkerSigns.Claim] = []
    var tool = Duration.zero
    var verdict: WorkerHealth
    var testDescription: String { name }
  }

  private static func claim(
    _ age: Duration?, tool: Duration = .zero, newer: Bool = false, _ message: String = "m"
  ) -> WorkerSigns.Claim {
    WorkerSigns.Claim(message: message, age: age, toolTime: tool, heartbeatIsNewer: newer)
  }

  static let cases: [Case] = [
    .init(name: "just beating", heartbeat: .seconds(1), verdict: .fine),
    .init(name: "at the ceiling", heartbeat: .seconds(1800), verdict: .fine),
    .init(name: "beyond the ceiling", heartbeat: .milliseconds(1_800_001), verdict: .silent),
    .init(name: "a long tool raises the ceiling", heartbeat: .seconds(7200), tool: long, verdict: .fine),
    .init(name: "and has an end, too", heartbeat: .seconds(7201), tool: long, verdict: .silent),
    .init(
      name: "a short tool does not lower it", heartbeat: .seconds(1800), tool: .seconds(1), verdict: .fine),
    .init(
      name: "a claim's own tool time raises it", heartbeat: .seconds(7200),
      claims: [claim(.seconds(7200), tool: long)], verdict: .fine),
    .init(name: "never a heartbeat, long up", verdict: .silent),
    .init(name: "never a heartbeat, at the ceiling", uptime: .seconds(1800), verdict: .fine),
    .init(
      name: "a heartbeat older than the process counts as from its start", uptime: .seconds(1800),
      heartbeat: long, verdict: .fine),
    .init(name: "a heartbeat in the future", heartbeat: .seconds(-500), verdict: .fine),

    .init(
      name: "a claim at its ceiling", heartbeat: .seconds(70), claims: [claim(.seconds(60))], verdict: .fine),
    .init(
      name: "a claim beyond it", heartbeat: .seconds(70), claims: [claim(.milliseconds(60_001))],
      verdict: .stuck(message: "m")),
    .init(
      name: "with a sign since", heartbeat: .seconds(10), claims: [claim(.seconds(600), newer: true)],
      verdict: .fine),
    .init(
      name: "the tool may take longer", heartbeat: .seconds(700), claims: [claim(.seconds(600))],
      tool: .seconds(600), verdict: .fine),
    .init(
      name: "but no longer than that", heartbeat: .seconds(700), claims: [claim(.seconds(601))],
      tool: .seconds(600), verdict: .stuck(message: "m")),
    .init(
      name: "the claim says how long", heartbeat: .seconds(700),
      claims: [claim(.seconds(600), tool: .seconds(600))], verdict: .fine),
    .init(
      name: "each claim for itself", heartbeat: .seconds(700),
      claims: [claim(.seconds(600), tool: .seconds(600), "a"), claim(.seconds(600), "b")],
      verdict: .stuck(message: "b")),
    .init(
      name: "an unreadable time is ignored", heartbeat: .seconds(700), claims: [claim(nil)], verdict: .fine),
    .init(
      name: "and hides no other", heartbeat: .seconds(700),
      claims: [claim(nil, "a"), claim(.seconds(61), "b")],
      verdict: .stuck(message: "b")),
    .init(
      name: "a claim in the future", heartbeat: .seconds(700), claims: [claim(.seconds(-500))], verdict: .fine
    ),
    .init(
      name: "no claim is older than the worker", uptime: .seconds(60), claims: [claim(long)], verdict: .fine),

    .init(
      name: "a fresh worker has grace", uptime: .seconds(59), heartbeat: long, claims: [claim(long)],
      verdict: .fine),
    .init(
      name: "for as long as is said", uptime: .seconds(61), heartbeat: long, claims: [claim(long)],
      verdict: .stuck(message: "m")),
    .init(
      name: "silence comes before a claim", heartbeat: .seconds(1801), claims: [claim(.seconds(1801))],
      verdict: .silent),
  ]

  @Test(arguments: cases) func aWorkerIsKilledAtItsCeilingsOnly_E01(_ one: Case) {
    var policy = WorkerPolicy()
    policy.toolTime = one.tool
    let signs = WorkerSigns(uptime: one.uptime, heartbeatAge: one.heartbeat, claims: one.claims)
    #expect(WorkerHealth.judge(signs, by: policy) == one.verdict)
  }

  /// Every combination of ages around every threshold, against the rule said in another way.
  @Test func theRuleHoldsAroundEveryThreshold_E01() {
    let ages: [Int?] = [nil, -10, 0, 59, 60, 61, 599, 600, 601, 1799, 1800, 1801, 7200, 7201]
    var seen: Set<WorkerHealth> = []
    for uptime in ages.compactMap(\.self) where uptime >= 0 {
      for heartbeat in ages {
        for age in ages {
          for tool in [0, 600, 7200] {
            for newer in [false, true] {
              var policy = WorkerPolicy()
              policy.toolTime = .seconds(tool)
              let signs = WorkerSigns(
                uptime: .seconds(uptime), heartbeatAge: heartbeat.map { .seconds($0) },
                claims: [Self.claim(age.map { .seconds($0) }, newer: newer)])
              let silence = min(heartbeat ?? uptime, uptime)
              let held = age.map { min($0, uptime) } ?? 0
              let expected: WorkerHealth =
                if uptime < 60 {
                  .fine
                } else if silence > max(1800, tool) {
                  .silent
                } else if held > max(60, tool), !newer {
                  .stuck(message: "m")
                } else {
                  .fine
                }
              seen.insert(expected)
              #expect(WorkerHealth.judge(signs, by: policy) == expected)
            }
          }
        }
      }
    }
    #expect(seen.count == 3)
  }

  // MARK: From stamps to ages

  private let start = Moment()

  private func facts(heartbeat: Int64? = nil, _ claims: [WorkerClaim] = []) -> WorkerFacts {
    WorkerFacts(heartbeat: heartbeat.map { $0 * 1_000_000_000 }, claims: claims)
  }

  private func claim(_ seconds: Int64?, incarnation: Int64 = 3, lease: Int64? = nil) -> WorkerClaim {
    WorkerClaim(
      message: "m", attempt: 0, incarnation: incarnation, claimedAt: seconds.map { $0 * 1000 },
      leaseUntil: lease.map { $0 * 1000 })
  }

  @Test func aWallClockThatStepsKillsNobody_E01() {
    var watch = WorkerWatch<Moment>(incarnation: 3, spawned: start)
    var signs = watch.look(facts(heartbeat: 1000, [claim(1001)]), at: Moment(at: .seconds(100)))
    #expect(signs.heartbeatAge == .zero)
    // An hour forward, an hour back: a new stamp is a sign, whatever it says.
    signs = watch.look(facts(heartbeat: 4600, [claim(1001)]), at: Moment(at: .seconds(110)))
    #expect(signs.heartbeatAge == .zero)
    #expect(signs.claims.first?.age == .seconds(10))
    #expect(signs.claims.first?.heartbeatIsNewer == true)
    signs = watch.look(facts(heartbeat: 900, [claim(901)]), at: Moment(at: .seconds(120)))
    #expect(signs.heartbeatAge == .zero)
    #expect(signs.claims.first?.age == .zero)
    signs = watch.look(facts(heartbeat: 900, [claim(901)]), at: Moment(at: .seconds(150)))
    #expect(signs.heartbeatAge == .seconds(30))
    #expect(signs.claims.first?.age == .seconds(30))
    #expect(signs.claims.first?.heartbeatIsNewer == false)
  }

  @Test func whatCannotBeReadIsNeitherASignNorASilence_E01() {
    var watch = WorkerWatch<Moment>(incarnation: 3, spawned: start)
    _ = watch.look(facts(heartbeat: 1000, [claim(1001)]), at: Moment(at: .seconds(10)))
    // The databases are unreadable for a while: what was known stays known.
    let signs = watch.look(WorkerFacts(), at: Moment(at: .seconds(40)))
    #expect(signs.heartbeatAge == .seconds(30))
    #expect(signs.claims.first?.age == .seconds(30))
    // The claim is done.
    #expect(watch.look(facts(heartbeat: 1000), at: Moment(at: .seconds(50))).claims.isEmpty)
    // One whose time says nothing.
    #expect(watch.look(facts([claim(nil)]), at: Moment(at: .seconds(60))).claims.first?.age == nil)
  }

  @Test func anotherIncarnationsClaimsAreNotHeldAgainstAWorker_E02() {
    var watch = WorkerWatch<Moment>(incarnation: 3, spawned: start)
    let signs = watch.look(facts([claim(1, incarnation: 2), claim(1, incarnation: 4)]), at: start)
    #expect(signs.claims.isEmpty)
  }

  @Test func aLeaseSaysHowLongATurnMayTake_E01() {
    #expect(claim(1000, lease: 1600).toolTime == .seconds(600))
    #expect(claim(1000, lease: 900).toolTime == .zero)
    #expect(claim(nil, lease: 900).toolTime == .zero)
    #expect(claim(-5, lease: 900).toolTime == .zero)
    #expect(claim(1, lease: 9_000_000_000_000).toolTime == .seconds(86_400))
    #expect(
      WorkerClaim(message: "m", attempt: 0, incarnation: 1, claimedAt: 5, leaseUntil: .max).toolTime
        == .seconds(86_400))
  }
}
