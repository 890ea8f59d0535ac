// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastEngine
import HoldfastGateway
import HoldfastUsage

/// `holdfast usage budgets`.
struct UsageBudgets: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "budgets",
    abstract: "What may be spent on what, and what was.",
    discussion: """
      Examples:
        holdfast usage budgets
        holdfast usage budgets --json | jq 'select(.state != "ok")'

      Budgets are in config.yaml:
        budgets:
          - { name: daily, limit: 20, period: day, zone: Europe/Berlin }
          - { name: ci, scope: { source: ci-bot }, limit: 5, period: day, action: refuse }

      A running daemon holds them; this reads what was spent, with it or without.
      """)

  @OptionGroup var common: CommonOptions

  func run() async throws {
    let plans = try common.resolvedHome.configuration().budgets
    let statuses = try await Self.statuses(plans.map(\.budget), common.resolvedHome)
    if common.json {
      for status in statuses { Console.print(try JSONLine.text(status)) }
      return
    }
    guard !statuses.isEmpty else {
      return Console.print("There are no budgets; `holdfast help usage budgets` says how to have one.")
    }
    Console.print(Self.text(statuses))
  }

  /// What there is to tell of budgets, out of the home's files.
  static func statuses(_ budgets: [Budget], _ home: Home) async throws -> [BudgetStatus] {
    let now = UTCInstant.now
    var machine = BudgetMachine(budgets, at: now)
    let spans = machine.spans(at: now)
    guard !budgets.isEmpty, Home.exists(home.path + "/usage.db") || home.hasSpooledFiles(of: "usage") else {
      return machine.statuses(at: now)
    }
    let reading: BudgetReading? = try await home.reportUsage(or: nil) { ledger in
      try await ledger.reading(of: budgets, spans: spans, at: now)
    }
    // Crossings are the daemon's to write down.
    if let reading { _ = machine.read(reading, at: now) }
    return machine.statuses(at: now)
  }

  private static func text(_ statuses: [BudgetStatus]) -> String {
    var table = Table([
      .init(title: "budget"), .init(title: "for"), .init(title: "spent", isNumber: true),
      .init(title: "limit", isNumber: true), .init(title: "used", isNumber: true), .init(title: "until"),
      .init(title: "then"), .init(title: "state"), .init(title: "unpriced", isNumber: true),
    ])
    for status in statuses {
      let budget = status.budget
      let percent = Double(status.spentMicrodollars) / Double(budget.limitMicrodollars) * 100
      table.add([
        budget.name,
        budget.scope.key.map { "\(budget.scope.kind) \($0)" } ?? "all",
        Amount.money(microdollars: status.spentMicrodollars),
        "\(Amount.money(microdollars: budget.limitMicrodollars)) \(budget.period.phrase)",
        "\(Amount.count(Int64(min(percent, 1e9)))) %", status.span.upperBound.rfc3339(wholeSeconds: true),
        budget.action.rawValue, status.state.rawValue,
        status.unpriced == 0 ? "" : Amount.count(status.unpriced),
      ])
    }
    return table.lines.joined(separator: "\n")
  }
}
