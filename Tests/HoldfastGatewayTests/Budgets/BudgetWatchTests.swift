// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastCatalog
import HoldfastEngine
import HoldfastMailbox
import HoldfastTestKit
import HoldfastUsage
import Logging
import NIOCore
import Testing

@testable import HoldfastGateway

@Suite("Budgets: the gateway's watch")
struct BudgetWatchTests {
  private static let noon = UTCInstant(milliseconds: 1_795_348_800_000)  // 2026-11-22T12:00:00Z
  private let directory: TemporaryDirectory
  private let clock = Monitor(noon)
  private var home: String { directory.file("home") }

  init() throws { directory = try TemporaryDirectory() }

  /// What was sent to whom, and what comes of it.
  private final class Listener: Sendable {
    let heard = Monitor<[[String: Any]]>([])
    let keys = Monitor<[String]>([])
    let outcomes: Monitor<[DeliveryOutcome]>

    init(_ outcomes: [DeliveryOutcome] = []) { self.outcomes = Monitor(outcomes) }

    func teller(_ plans: [BudgetPlan]) -> BudgetTeller {
      BudgetTeller(plans) { [self] _, body, key, _ in
        let message = (try? JSONSerialization.jsonObject(with: Data(body))) as? [String: Any]
        heard.withLock { $0.append(message ?? [:]) }
        keys.withLock { $0.append(key) }
        return outcomes.withLock { $0.isEmpty ? .delivered : $0.removeFirst() }
      }
    }

    var thresholds: [Int] { heard.withLock { $0.compactMap { $0["threshold"] as? Int } } }
  }

  private func plan(
    _ name: String, _ scope: Budget.Scope = .all, limit: Int64 = 100, action: Budget.Action = .refuse,
    isTold: Bool = true
  ) -> BudgetPlan {
    var plan = BudgetPlan(
      Budget(name: name, scope: scope, period: .day, limitMicrodollars: limit, action: action))
    if isTold { plan.listener = .command(["true"]) }
    return plan
  }

  private func watch(
    _ plans: [BudgetPlan], _ ledger: any BudgetLedger, _ listener: Listener = Listener()
  ) -> BudgetWatch {
    BudgetWatch(
      plans, ledger: ledger, teller: listener.teller(plans),
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, pace: .seconds(1),
      now: { [clock] in clock.withLock { $0 } })
  }

  private func row(_ cost: Int64, source: String = "s") -> UsageRow {
    var row = UsageRow(provider: "p", model: "m")
    (row.inputTokens, row.outputTokens, row.costMicrodollars) = (1, 1, cost)
    (row.source, row.time) = (source, clock.withLock { $0 })
    return row
  }

  private func pass(_ duration: Duration) { clock.withLock { $0 = $0.advanced(by: duration) } }

  @Test("a limit holds without waiting for the database, and others' spending counts from the next look on")
  func limitsHoldAtOnce() async throws {
    let ledger = try await SQLiteUsageLedger.open(home: home, rates: .empty)
    let watch = watch([plan("b", .source("ci"))], ledger)
    try await watch.look()
    let peer = try ForeignConnection(home + "/usage.db", busyTimeout: 60_000)
    try peer.run("BEGIN IMMEDIATE")
    try ledger.accept(row(100, source: "me"))
    #expect(!watch.refusesAny)
    try ledger.accept(row(99, source: "ci"))
    #expect(!watch.refusesAny && watch.statuses[0].state == .warned)
    try ledger.accept(row(1, source: "ci"))
    #expect(watch.refusesAny)
    #expect(watch.refusal(of: .init(source: "me")) == nil)
    let (refusal, now) = try #require(watch.refusal(of: .init(source: "ci")))
    let fault = ProxyFault(refusal, at: now)
    #expect(fault.status == 429 && fault.retryAfter == 43_200)
    #expect(
      fault.message.hasPrefix(
        "The budget “b” of $0.000100 a day for source ci is used up ($0.000100 spent); Holdfast refuses"))
    #expect(fault.message.contains("until 2026-11-23T00:00:00Z"))
    try peer.run("COMMIT")
    try await ledger.flush()
    try await watch.look()
    #expect(watch.statuses[0].spentMicrodollars == 100)

    let other = try await SQLiteUsageLedger.open(home: home, rates: .empty)
    try other.accept(row(50, source: "ci"))
    try await other.flush()
    try await watch.look()
    #expect(watch.statuses[0].spentMicrodollars == 150)
    // The next day.
    pass(.seconds(12 * 3600))
    #expect(!watch.refusesAny && watch.statuses[0].spentMicrodollars == 0)
    await other.close()
    await ledger.close()
    try peer.run("SELECT 1")
  }

  @Test("a crossing is told once over restarts, again until it is heard, and not for ever")
  func crossingsAreTold() async throws {
    let ledger = try await SQLiteUsageLedger.open(home: home, rates: .empty)
    let plans = [plan("b"), plan("quiet", isTold: false)]
    let first = Listener([.transient(reason: "HTTP 503")])
    var watch = watch(plans, ledger, first)
    try ledger.accept(row(85))
    try await ledger.flush()
    try await watch.look()
    try await watch.tellDue()
    #expect(first.thresholds == [80])
    // Nothing is due before the pause is over.
    try await watch.look()
    try await watch.tellDue()
    #expect(first.thresholds == [80])

    // Another daemon takes over: it tells what was not heard, with the same key, and nothing twice.
    let second = Listener()
    watch = self.watch(plans, ledger, second)
    pass(.seconds(1))
    try await watch.look()
    try await watch.tellDue()
    #expect(second.thresholds == [80])
    #expect(second.keys.withLock { $0 } == first.keys.withLock { $0 })
    let message = try #require(second.heard.withLock { $0.first })
    #expect(message["budget"] as? String == "b" && message["attempt"] as? Int == 2)
    #expect(message["limit_microusd"] as? Int == 100 && message["spent_microusd"] as? Int == 85)
    #expect(message["end"] as? String == "2026-11-23T00:00:00.000Z" && message["scope"] as? String == "all")

    try ledger.accept(row(15))
    try await ledger.flush()
    for _ in 0..<3 {
      try await watch.look()
      try await watch.tellDue()
      pass(.seconds(3600))
    }
    #expect(second.thresholds == [80, 100])
    let third = Listener()
    watch = self.watch(plans, ledger, third)
    try await watch.look()
    try await watch.tellDue()
    #expect(third.thresholds == [])
    let peer = try ForeignConnection(home + "/usage.db", busyTimeout: 60_000)
    #expect(try peer.text("SELECT count(*) FROM usage_budget_crossings WHERE told_ms IS NOT NULL") == "2")
    #expect(try peer.text("SELECT count(*) FROM usage_budget_crossings WHERE budget = 'quiet'") == "2")
    await ledger.close()
    try peer.run("SELECT 1")
  }

  @Test(
    "what will not be heard is given up at once, and what is not heard for a day after that",
    arguments: [DeliveryOutcome.permanent(reason: "HTTP 404"), .transient(reason: "HTTP 500")])
  func tellingHasABound(_ outcome: DeliveryOutcome) async throws {
    let ledger = try await SQLiteUsageLedger.open(home: home, rates: .empty)
    let listener = Listener(Array(repeating: outcome, count: 1000))
    let watch = watch([plan("b")], ledger, listener)
    try ledger.accept(row(90))
    try await ledger.flush()
    try await watch.look()
    for _ in 0..<400 {
      try await watch.tellDue()
      pass(.seconds(600))
      try await watch.look()
    }
    let count = listener.thresholds.count
    if case .permanent = outcome { #expect(count == 1) } else { #expect((100...200).contains(count)) }
    let peer = try ForeignConnection(home + "/usage.db", busyTimeout: 60_000)
    #expect(
      try peer.text("SELECT count(*) FROM usage_budget_crossings WHERE next_ms IS NULL AND told_ms IS NULL")
        == "1")
    await ledger.close()
    try peer.run("SELECT 1")
  }

  @Test("who listens hears of each change of a budget, and of nothing else")
  func changesAreReported() async throws {
    let ledger = try await SQLiteUsageLedger.open(home: home, rates: .empty)
    let watch = watch([plan("b"), plan("ci", .source("ci"))], ledger)
    let heard = Monitor<[String]>([])
    watch.setListener { status in
      heard.withLock { $0.append("\(status.budget.name) \(status.spentMicrodollars) \(status.state)") }
    }
    try await watch.look()
    try await watch.look()
    try ledger.accept(row(80))
    try await ledger.flush()
    try await watch.look()
    try await watch.look()
    #expect(heard.withLock { $0 } == ["b 0 ok", "ci 0 ok", "b 80 warned"])
    await ledger.close()
  }

  @Test("the director refuses what falls under a budget, and asks of the rest what it cannot know yet")
  func director() async throws {
    let ledger = try await SQLiteUsageLedger.open(home: home, rates: .empty)
    var configuration = GatewayConfiguration(home: home)
    for index in configuration.providers.indices { configuration.providers[index].credential = .bearer("k") }
    let watch = watch(
      [plan("ci", .source("ci")), plan("dear", .model("dear")), plan("groq", .provider("groq"))], ledger)
    let director = GatewayDirector(
      gate: RequestGate(allowedHosts: []), routes: try #require(RouteTable(configuration.providers)),
      router: nil, budgets: watch, makeTap: { _, _ in nil })
    func relayed(_ target: String, _ fields: String = "") throws -> RelayPlan? {
      var input = ByteBuffer(string: "POST \(target) HTTP/1.1\r\nHost: localhost\r\n\(fields)\r\n")
      var parser = HeadParser()
      let head = try #require(try parser.request(from: &input))
      guard case .relay(let plan) = director.disposition(of: head) else { return nil }
      return plan
    }
    let ours = "x-holdfast-source: ci\r\n"
    #expect(try relayed("/v1/messages", ours)?.refusal == nil)
    // Nothing is looked through while nothing is refused.
    #expect(try relayed("/v1/messages", ours)?.admission == nil)
    var spent = row(100, source: "ci")
    try ledger.accept(spent)
    (spent.model, spent.source) = ("dear-20260101", nil)
    try ledger.accept(spent)
    (spent.model, spent.provider) = ("x", "groq")
    try ledger.accept(spent)
    #expect(try relayed("/v1/messages", ours)?.refusal?.message.contains("“ci”") == true)
    #expect(try relayed("/v1/chat/completions", ours)?.refusal?.code == .budgetExhausted)
    #expect(try relayed("/v1/messages/count_tokens", ours)?.refusal == nil, "counting costs nothing")
    #expect(try relayed("/groq/v1/chat/completions")?.refusal?.message.contains("“groq”") == true)
    let open = try #require(try relayed("/v1/messages"))
    #expect(open.refusal == nil)
    #expect(open.admission?.fault(model: "dear", provider: "anthropic")?.message.contains("“dear”") == true)
    #expect(open.admission?.fault(model: "other", provider: "anthropic") == nil)
    #expect(open.admission?.fault(model: "other", provider: "groq") != nil)
    #expect(try relayed("/v1/messages", "Content-Encoding: gzip\r\n")?.admission == nil)
    await ledger.close()
  }
}
