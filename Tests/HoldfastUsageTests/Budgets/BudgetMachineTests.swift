// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastUsage
import Testing

@Suite("Budgets: what they allow")
struct BudgetMachineTests {
  private static let start = UTCInstant(milliseconds: 1_795_305_600_000)  // 2026-11-22T00:00:00Z
  private static func at(_ hours: Double) -> UTCInstant { start.advanced(by: .seconds(hours * 3600)) }

  private func row(_ cost: Int64?, at time: UTCInstant, source: String? = nil, model: String = "m")
    -> UsageRow
  {
    var row = UsageRow(provider: "p", model: model)
    (row.costMicrodollars, row.time, row.source) = (cost, time, source)
    return row
  }

  private func reading(
    _ machine: inout BudgetMachine, _ spent: [Int64], landed: UInt64, at now: UTCInstant,
    crossings: [BudgetCrossing] = []
  ) -> BudgetReading {
    let spans = machine.spans(at: now)
    return BudgetReading(
      time: now, spends: zip(spans, spent).map { .init(span: $0, microdollars: $1) }, landed: landed,
      crossings: crossings)
  }

  private func refused(
    _ machine: inout BudgetMachine, _ request: BudgetMachine.Request = .init(), at now: UTCInstant
  ) -> String? {
    machine.refusal(of: request, at: now)?.budget.name
  }

  @Test("a row counts from its acceptance on, once, whether a reading has it or not")
  func rowsCountOnce() {
    let budget = Budget(name: "b", period: .day, limitMicrodollars: 100, action: .refuse)
    var machine = BudgetMachine([budget], at: Self.at(1))
    machine.accepted(row(60, at: Self.at(1)), sequence: 1)
    machine.accepted(row(39, at: Self.at(1)), sequence: 2)
    #expect(refused(&machine, at: Self.at(1)) == nil)
    // The reading has the first one only.
    _ = machine.read(reading(&machine, [60], landed: 2, at: Self.at(1)), at: Self.at(1))
    #expect(machine.statuses(at: Self.at(1))[0].spentMicrodollars == 99)
    _ = machine.read(reading(&machine, [99], landed: 3, at: Self.at(1)), at: Self.at(1))
    #expect(machine.statuses(at: Self.at(1))[0].spentMicrodollars == 99)
    // Told late of one that a reading had already.
    machine.accepted(row(39, at: Self.at(1)), sequence: 2)
    #expect(machine.statuses(at: Self.at(1))[0].spentMicrodollars == 99)
    machine.accepted(row(1, at: Self.at(1)), sequence: 3)
    let refusal = machine.refusal(of: .init(), at: Self.at(1))
    #expect(refusal?.spentMicrodollars == 100 && refusal?.until == Self.at(24))
    let refuses = machine.refusesAny(at: Self.at(1))
    #expect(refuses)
    #expect(machine.statuses(at: Self.at(1))[0].state == .over)
  }

  @Test("a new period begins with nothing; what is of the old one stays there")
  func periodsBeginAnew() {
    let budget = Budget(name: "b", period: .day, limitMicrodollars: 100, action: .refuse)
    var machine = BudgetMachine([budget], at: Self.at(23))
    _ = machine.read(reading(&machine, [100], landed: 1, at: Self.at(23)), at: Self.at(23))
    #expect(refused(&machine, at: Self.at(23.9)) == "b")
    #expect(refused(&machine, at: Self.at(24)) == nil)
    // Begun before midnight and ended after: of the day it was asked on.
    machine.accepted(row(50, at: Self.at(23.99)), sequence: 1)
    machine.accepted(row(70, at: Self.at(24.01)), sequence: 2)
    #expect(machine.statuses(at: Self.at(24.1))[0].spentMicrodollars == 70)
    // A reading begun before midnight tells nothing of the new day, and takes nothing of it away.
    let old = BudgetReading(
      time: Self.at(23.999), spends: [.init(span: Self.at(0)..<Self.at(24), microdollars: 150)], landed: 3)
    _ = machine.read(old, at: Self.at(24.1))
    #expect(machine.statuses(at: Self.at(24.1))[0].spentMicrodollars == 70)
    _ = machine.read(reading(&machine, [70], landed: 3, at: Self.at(24.2)), at: Self.at(24.2))
    #expect(machine.statuses(at: Self.at(24.2))[0].spentMicrodollars == 70)
    // A clock that is set back is in the old day again.
    #expect(machine.statuses(at: Self.at(23))[0].span == Self.at(0)..<Self.at(24))
  }

  @Test("what is not known yet falls under no budget for it; all others are asked")
  func scopesOfRequests() {
    func budget(_ name: String, _ scope: Budget.Scope, _ period: BudgetPeriod = .day) -> Budget {
      Budget(name: name, scope: scope, period: period, limitMicrodollars: 1, action: .refuse)
    }
    let budgets = [
      budget("source", .source("ci")), budget("model", .model("opus*")), budget("project", .project("x")),
      budget("provider", .provider("groq")), budget("long", .source("ci"), .month),
      Budget(name: "warns", period: .day, limitMicrodollars: 1),
    ]
    var machine = BudgetMachine(budgets, at: Self.at(1))
    let full = reading(&machine, budgets.map { _ in 1 }, landed: 0, at: Self.at(1))
    _ = machine.read(full, at: Self.at(1))
    #expect(refused(&machine, at: Self.at(1)) == nil)
    #expect(refused(&machine, .init(source: "me", provider: "openai", model: "gpt"), at: Self.at(1)) == nil)
    // Of two the one that is used up longer.
    #expect(refused(&machine, .init(source: "ci"), at: Self.at(1)) == "long")
    #expect(refused(&machine, .init(model: "opus-5"), at: Self.at(1)) == "model")
    #expect(refused(&machine, .init(project: "x"), at: Self.at(1)) == "project")
    #expect(refused(&machine, .init(provider: "groq"), at: Self.at(1)) == "provider")
  }

  @Test("thresholds are crossed by what is in the ledger, each once, also where one row crosses several")
  func crossings() {
    let budget = Budget(name: "b", period: .day, limitMicrodollars: 1000, thresholds: [50, 80, 100, 150])
    var machine = BudgetMachine([budget], at: Self.at(1))
    machine.accepted(row(5000, at: Self.at(1)), sequence: 1)
    let early = machine.read(reading(&machine, [499], landed: 1, at: Self.at(1)), at: Self.at(1))
    #expect(early.isEmpty)
    let first = machine.read(reading(&machine, [500], landed: 1, at: Self.at(2)), at: Self.at(2))
    #expect(first.map(\.threshold) == [50] && first[0].spentMicrodollars == 500)
    // It could not be written down: asked for again.
    let again = machine.read(reading(&machine, [500], landed: 1, at: Self.at(3)), at: Self.at(3))
    #expect(again.count == 1)
    machine.noteCrossing(first[0])
    let rest = machine.read(
      reading(&machine, [1000], landed: 1, at: Self.at(4), crossings: first), at: Self.at(4))
    #expect(rest.map(\.threshold) == [80, 100])
    // Another process had written them down.
    let none = machine.read(
      reading(&machine, [1499], landed: 1, at: Self.at(5), crossings: first + rest), at: Self.at(5))
    #expect(none.isEmpty)
    #expect(machine.statuses(at: Self.at(5))[0].crossed.map(\.threshold) == [50, 80, 100])
    #expect(machine.statuses(at: Self.at(5))[0].state == .over)
    // The next day all over again.
    let next = machine.read(reading(&machine, [600], landed: 1, at: Self.at(25)), at: Self.at(25))
    #expect(next.map(\.threshold) == [50] && next[0].span == Self.at(24)..<Self.at(48))
  }

  @Test("rows without a cost count nothing, and the machine holds them not")
  func unpricedRowsCountNothing() {
    var machine = BudgetMachine([Budget(name: "b", period: .day, limitMicrodollars: 1)], at: Self.at(1))
    machine.accepted(row(nil, at: Self.at(1)), sequence: 1)
    machine.accepted(row(0, at: Self.at(1)), sequence: 2)
    #expect(machine.statuses(at: Self.at(1))[0].spentMicrodollars == 0)
    #expect(machine.statuses(at: Self.at(1))[0].readAt == nil)
  }

  /// Rows are accepted, land in order and are read at any moment, by one ledger that other processes write to, too:
  /// at every step the machine says exactly what was spent.
  @Test(
    "whatever the order of rows, landings, readings and clocks, the sum is exact",
    arguments: 0..<300 as Range<UInt64>)
  func sumsAreExact(_ seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    let budgets = [
      Budget(name: "all", period: .hour, limitMicrodollars: 500, action: .refuse),
      Budget(name: "a", scope: .source("a"), period: .day, limitMicrodollars: 2000, action: .refuse),
      Budget(name: "m*", scope: .model("m*"), period: .fiveHours, limitMicrodollars: 900, action: .refuse),
    ]
    var now = Self.at(Double.random(in: 0..<30, using: &generator))
    var machine = BudgetMachine(budgets, at: now)
    var mine: [UsageRow] = []
    var landed = 0
    var others: [UsageRow] = []
    // A reading under way: what it found, and when it began.
    var flight: BudgetReading?
    func spent(_ rows: some Sequence<UsageRow>, _ budget: Budget, _ span: Range<UTCInstant>) -> Int64 {
      rows.filter { row in
        guard let time = row.time, span.contains(time) else { return false }
        switch budget.scope {
        case .all: return true
        case .source(let key): return row.source == key
        default: return row.model.hasPrefix("m")
        }
      }.reduce(0) { $0 + ($1.costMicrodollars ?? 0) }
    }
    for _ in 0..<200 {
      switch Int.random(in: 0..<10, using: &generator) {
      case 0...3:
        let made = row(
          Int64.random(in: 0...120, using: &generator),
          at: now.advanced(by: .seconds(-Int64.random(in: 0...900, using: &generator))),
          source: ["a", "b", nil].randomElement(using: &generator)!,
          model: ["m1", "n"].randomElement(using: &generator)!)
        mine.append(made)
        machine.accepted(made, sequence: UInt64(mine.count))
      case 4...5: landed = Int.random(in: landed...mine.count, using: &generator)
      case 6 where flight == nil:
        // It has what had landed when it began, and what others wrote.
        let spans = machine.spans(at: now)
        flight = BudgetReading(
          time: now,
          spends: zip(budgets, spans).map { budget, span in
            .init(
              span: span, microdollars: spent(mine.prefix(landed), budget, span) + spent(others, budget, span)
            )
          }, landed: UInt64(landed + 1))
      case 7:
        guard let done = flight else { continue }
        flight = nil
        _ = machine.read(done, at: now)
      case 8:
        others.append(row(Int64.random(in: 0...120, using: &generator), at: now, source: "a"))
      default: now = now.advanced(by: .seconds(Int64.random(in: 0...1500, using: &generator)))
      }
      // Exact where all that others wrote was read: with no reading under way, just now made.
      guard flight == nil else { continue }
      let spans = machine.spans(at: now)
      var copy = machine
      _ = copy.read(
        BudgetReading(
          time: now.advanced(by: .milliseconds(1)),
          spends: zip(budgets, spans).map { budget, span in
            .init(
              span: span, microdollars: spent(mine.prefix(landed), budget, span) + spent(others, budget, span)
            )
          }, landed: UInt64(landed + 1)), at: now)
      for (budget, status) in zip(budgets, copy.statuses(at: now)) {
        let whole = spent(mine, budget, status.span) + spent(others, budget, status.span)
        #expect(status.spentMicrodollars == whole, "\(budget.name)")
      }
      // Without others the machine itself is exact at any moment, once it has read anything.
      if others.isEmpty {
        for (budget, status) in zip(budgets, machine.statuses(at: now)) where status.readAt != nil {
          #expect(status.spentMicrodollars == spent(mine, budget, status.span), "\(budget.name)")
        }
      }
    }
  }
}
