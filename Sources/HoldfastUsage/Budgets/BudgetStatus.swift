// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

/// What there is to tell of a budget: what `holdfast usage budgets --json` and `/api/budgets` print.
public struct BudgetStatus: Sendable, Hashable {
  /// How far it is used.
  public enum State: String, Sendable, Hashable, Codable {
    /// Below every threshold.
    case ok
    /// Above one of them.
    case warned
    /// Used up.
    case over
  }

  /// A threshold that was crossed.
  public struct Crossed: Sendable, Hashable, Codable {
    /// The percentage.
    public var threshold: Int
    /// When that was seen.
    public var time: UTCInstant

    /// A crossing.
    public init(threshold: Int, time: UTCInstant) { (self.threshold, self.time) = (threshold, time) }
  }

  /// The budget.
  public var budget: Budget
  /// Its present period.
  public var span: Range<UTCInstant>
  /// What was spent in it.
  public var spentMicrodollars: Int64
  /// Requests in it whose price is not known, which are in no sum.
  public var unpriced: Int64
  /// Of when the ledger's part of that is; nil: it could not be read yet.
  public var readAt: UTCInstant?
  /// The thresholds crossed, the lowest first.
  public var crossed: [Crossed]

  /// How far it is used.
  public var state: State {
    if spentMicrodollars >= budget.limitMicrodollars { return .over }
    let isWarned = budget.thresholds.contains {
      Int128(spentMicrodollars) * 100 >= Int128(budget.limitMicrodollars) * Int128($0)
    }
    return isWarned || !crossed.isEmpty ? .warned : .ok
  }
}

extension BudgetStatus: Encodable {
  private enum CodingKeys: String, CodingKey {
    case name, scope, key, period, zone, start, end, unpriced, action, state, crossed
    case limit = "limit_microusd"
    case spent = "spent_microusd"
    case asOf = "as_of"
  }

  /// Writes every field, what there is not as null.
  public func encode(to encoder: any Encoder) throws {
    var fields = encoder.container(keyedBy: CodingKeys.self)
    try fields.encode(budget.name, forKey: .name)
    try fields.encode(budget.scope.kind, forKey: .scope)
    try fields.encode(budget.scope.key, forKey: .key)
    try fields.encode(budget.period, forKey: .period)
    try fields.encode(budget.zone.name, forKey: .zone)
    try fields.encode(span.lowerBound, forKey: .start)
    try fields.encode(span.upperBound, forKey: .end)
    try fields.encode(budget.limitMicrodollars, forKey: .limit)
    try fields.encode(spentMicrodollars, forKey: .spent)
    try fields.encode(unpriced, forKey: .unpriced)
    try fields.encode(budget.action, forKey: .action)
    try fields.encode(state, forKey: .state)
    try fields.encode(crossed, forKey: .crossed)
    try fields.encode(readAt, forKey: .asOf)
  }
}
