// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

/// What the ledger says of budgets' periods, at one moment.
public struct BudgetReading: Sendable, Hashable {
  /// What was spent under one budget.
  public struct Spend: Sendable, Hashable {
    /// The period it is of.
    public var span: Range<UTCInstant>
    /// The cost of the requests that have one.
    public var microdollars: Int64
    /// Requests whose usage is known and whose price is not.
    public var unpriced: Int64

    /// What was spent.
    public init(span: Range<UTCInstant>, microdollars: Int64, unpriced: Int64 = 0) {
      (self.span, self.microdollars, self.unpriced) = (span, microdollars, unpriced)
    }
  }

  /// When it was made.
  public var time: UTCInstant
  /// One for each budget, in their order.
  public var spends: [Spend]
  /// The sequence of the first row of this process that is not in it.
  public var landed: UInt64
  /// The crossings written down for these periods.
  public var crossings: [BudgetCrossing]
  /// When the next crossing is to be told that was not yet; nil: none.
  public var nextNotice: UTCInstant?

  /// A reading.
  public init(
    time: UTCInstant, spends: [Spend], landed: UInt64, crossings: [BudgetCrossing] = [],
    nextNotice: UTCInstant? = nil
  ) {
    (self.time, self.spends, self.landed) = (time, spends, landed)
    (self.crossings, self.nextNotice) = (crossings, nextNotice)
  }
}

/// A threshold of a budget, crossed in one of its periods.
public struct BudgetCrossing: Sendable, Hashable {
  /// The budget's name.
  public var budget: String
  /// The period.
  public var span: Range<UTCInstant>
  /// The percentage of the limit.
  public var threshold: Int
  /// The limit it is of.
  public var limitMicrodollars: Int64
  /// What was spent when it was seen.
  public var spentMicrodollars: Int64
  /// When it was seen.
  public var time: UTCInstant

  /// A crossing.
  public init(
    budget: String, span: Range<UTCInstant>, threshold: Int, limitMicrodollars: Int64,
    spentMicrodollars: Int64, time: UTCInstant
  ) {
    (self.budget, self.span, self.threshold) = (budget, span, threshold)
    (self.limitMicrodollars, self.spentMicrodollars, self.time) = (limitMicrodollars, spentMicrodollars, time)
  }
}

/// A crossing that somebody is to be told of, now.
public struct BudgetNotice: Sendable, Hashable {
  /// Which one it is, in the ledger.
  public var id: Int64
  /// What is told.
  public var crossing: BudgetCrossing
  /// Which attempt this is, from 1 on.
  public var attempt: Int

  /// A notice.
  public init(id: Int64, crossing: BudgetCrossing, attempt: Int) {
    (self.id, self.crossing, self.attempt) = (id, crossing, attempt)
  }
}

/// What became of telling.
public enum BudgetNoticeOutcome: Sendable, Hashable {
  /// It was heard.
  case told
  /// It failed and is tried again.
  case again(at: UTCInstant, error: String)
  /// It is not tried again.
  case givenUp(error: String)
}

/// A ledger that budgets can be kept by.
public protocol BudgetLedger: Sendable {
  /// Is told of every row as it is accepted, with its place among those of this process. Called on any thread; must not
  /// block.
  func setAcceptanceObserver(_ observer: (@Sendable (UsageRow, _ sequence: UInt64) -> Void)?)

  /// What was spent under each budget in its period, as of one moment.
  func reading(of budgets: [Budget], spans: [Range<UTCInstant>], at now: UTCInstant) async throws
    -> BudgetReading

  /// Writes crossings down, each once over all processes; durable on return.
  ///
  /// - Parameter told: the budgets whose crossings somebody is to be told of.
  func record(_ crossings: [BudgetCrossing], told: Set<String>) async throws

  /// Takes crossings that are to be told now; nobody else is given them before `patience` is over.
  func claimNotices(at now: UTCInstant, patience: Duration) async throws -> [BudgetNotice]

  /// Writes down what became of one.
  func settle(_ notice: BudgetNotice, _ outcome: BudgetNoticeOutcome, at now: UTCInstant) async throws
}
