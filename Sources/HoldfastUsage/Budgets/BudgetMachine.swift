// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

/// What budgets allow, as a value: it is told of rows and readings and does no input or output itself.
///
/// What is spent is the sum of two disjoint parts: what the last reading of the ledger had, of whatever process, and the
/// rows this process has accepted since that were not in it yet. So the answer is right at every moment, however long
/// the database is locked, and no row is in it twice.
public struct BudgetMachine: Sendable {
  /// A budget's present period.
  private struct Account {
    var span: Range<UTCInstant>
    /// What the last reading had; nil until there is one.
    var read: Int64?
    var unpriced: Int64 = 0
    var readAt: UTCInstant?
    /// What was accepted since, of the present period.
    var pending: Int64 = 0
    /// The thresholds of the present limit that were crossed, and when.
    var crossed: [Int: UTCInstant] = [:]

    var spent: Int64 { (read ?? 0) + pending }
  }

  /// A row that no reading had yet, under one budget.
  private struct Pending {
    var sequence: UInt64
    var budget: Int
    var time: UTCInstant
    var cost: Int64
  }

  /// The budgets, in the configuration's order.
  public let budgets: [Budget]
  private var accounts: [Account]
  private var pending: [Pending] = []
  /// The first row the last reading did not have.
  private var landed: UInt64 = 0

  /// Budgets nothing is known of yet.
  public init(_ budgets: [Budget], at now: UTCInstant) {
    self.budgets = budgets
    accounts = budgets.map { Account(span: $0.period.span(containing: now, in: $0.zone)) }
  }

  /// The periods that are to be read now, one for each budget.
  public mutating func spans(at now: UTCInstant) -> [Range<UTCInstant>] {
    roll(now)
    return accounts.map(\.span)
  }

  /// Begins the periods anew that are over. A clock that was set back goes back to the period before.
  private mutating func roll(_ now: UTCInstant) {
    for (index, budget) in budgets.enumerated() where !accounts[index].span.contains(now) {
      let isNext = accounts[index].read != nil && now >= accounts[index].span.upperBound
      var account = Account(span: budget.period.span(containing: now, in: budget.zone))
      // A period that has only just begun has nothing in it but what was accepted here.
      if isNext { account.read = 0 }
      accounts[index] = account
      for row in pending where row.budget == index && account.span.contains(row.time) {
        accounts[index].pending += row.cost
      }
    }
  }
}

// MARK: - Events

extension BudgetMachine {
  /// A row was accepted here.
  ///
  /// - Parameter sequence: its place among those this process accepted.
  public mutating func accepted(_ row: UsageRow, sequence: UInt64) {
    guard let cost = row.costMicrodollars, cost > 0, let time = row.time, sequence >= landed else { return }
    for (index, budget) in budgets.enumerated() where budget.scope.covers(row) {
      pending.append(Pending(sequence: sequence, budget: index, time: time, cost: cost))
      if accounts[index].span.contains(time) { accounts[index].pending += cost }
    }
  }

  /// The ledger was read.
  ///
  /// - Returns: the thresholds that are crossed and were not known to be, to be written down; ask for them anew when that
  ///   fails.
  public mutating func read(_ reading: BudgetReading, at now: UTCInstant) -> [BudgetCrossing] {
    roll(now)
    landed = max(landed, reading.landed)
    for (index, spend) in reading.spends.enumerated() where accounts[index].span == spend.span {
      accounts[index].read = spend.microdollars
      accounts[index].unpriced = spend.unpriced
      accounts[index].readAt = reading.time
      accounts[index].crossed = [:]
    }
    // What is of a later period than the one that was read, a later reading has.
    pending.removeAll { row in
      row.sequence < landed && row.time < reading.spends[row.budget].span.upperBound
    }
    for index in accounts.indices { accounts[index].pending = 0 }
    for row in pending where accounts[row.budget].span.contains(row.time) {
      accounts[row.budget].pending += row.cost
    }
    for crossing in reading.crossings { noteCrossing(crossing) }
    var news: [BudgetCrossing] = []
    for (index, budget) in budgets.enumerated() {
      guard let read = accounts[index].read, accounts[index].readAt == reading.time else { continue }
      for threshold in budget.thresholds where accounts[index].crossed[threshold] == nil {
        guard Int128(read) * 100 >= Int128(budget.limitMicrodollars) * Int128(threshold) else { continue }
        news.append(
          BudgetCrossing(
            budget: budget.name, span: accounts[index].span, threshold: threshold,
            limitMicrodollars: budget.limitMicrodollars, spentMicrodollars: read, time: now))
      }
    }
    return news
  }

  /// A crossing is written down, here or elsewhere.
  public mutating func noteCrossing(_ crossing: BudgetCrossing) {
    for (index, budget) in budgets.enumerated()
    where budget.name == crossing.budget && budget.limitMicrodollars == crossing.limitMicrodollars
      && accounts[index].span == crossing.span
    {
      accounts[index].crossed[crossing.threshold] = crossing.time
    }
  }
}

// MARK: - Questions

extension BudgetMachine {
  /// A request as far as it is known; what is nil falls under no budget for it yet.
  public struct Request: Sendable, Hashable {
    /// The program that asks.
    public var source: String?
    /// The project it asks for.
    public var project: String?
    /// The provider it is to go to.
    public var provider: String?
    /// The model it asks for.
    public var model: String?

    /// A request.
    public init(
      source: String? = nil, project: String? = nil, provider: String? = nil, model: String? = nil
    ) {
      (self.source, self.project, self.provider, self.model) = (source, project, provider, model)
    }
  }

  /// Why a request is refused.
  public struct Refusal: Sendable, Hashable {
    /// The budget that is used up; of several the one that stays so longest.
    public var budget: Budget
    /// What was spent.
    public var spentMicrodollars: Int64
    /// When it begins anew.
    public var until: UTCInstant
  }

  /// The budget that a request falls under and that refuses it; nil when it may go.
  public mutating func refusal(of request: Request, at now: UTCInstant) -> Refusal? {
    roll(now)
    var found: Refusal?
    for (index, budget) in budgets.enumerated() where isExhausted(index) && Self.covers(budget, request) {
      let refusal = Refusal(
        budget: budget, spentMicrodollars: accounts[index].spent, until: accounts[index].span.upperBound)
      if found.map({ $0.until < refusal.until }) ?? true { found = refusal }
    }
    return found
  }

  /// Whether any budget refuses anything now.
  public mutating func refusesAny(at now: UTCInstant) -> Bool {
    roll(now)
    return budgets.indices.contains { isExhausted($0) }
  }

  private func isExhausted(_ index: Int) -> Bool {
    budgets[index].action == .refuse && accounts[index].spent >= budgets[index].limitMicrodollars
  }

  private static func covers(_ budget: Budget, _ request: Request) -> Bool {
    switch budget.scope {
    case .all: true
    case .source: budget.scope.covers(request.source)
    case .project: budget.scope.covers(request.project)
    case .provider: budget.scope.covers(request.provider)
    case .model: budget.scope.covers(request.model)
    }
  }

  /// What there is to tell of the budgets, in their order.
  public mutating func statuses(at now: UTCInstant) -> [BudgetStatus] {
    roll(now)
    return zip(budgets, accounts).map { budget, account in
      BudgetStatus(
        budget: budget, span: account.span, spentMicrodollars: account.spent, unpriced: account.unpriced,
        readAt: account.readAt,
        crossed: account.crossed.sorted { $0.key < $1.key }.map { .init(threshold: $0.key, time: $0.value) })
    }
  }
}
