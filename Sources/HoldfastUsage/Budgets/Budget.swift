// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

/// So much may be spent on something in a period.
public struct Budget: Sendable, Hashable {
  /// What a budget is for.
  public enum Scope: Sendable, Hashable {
    /// Everything.
    case all
    /// What a program asked for; here and below a name, or the beginning of names and a `*`.
    case source(String)
    /// What a model was asked for, also by its name with a date.
    case model(String)
    /// What was asked for in a project.
    case project(String)
    /// What was asked of a provider.
    case provider(String)
  }

  /// What happens once it is used up.
  public enum Action: String, Sendable, Hashable, Codable {
    /// It is told.
    case warn
    /// It is told, and the gateway refuses requests that fall under it until the period ends.
    case refuse
  }

  /// Its name, unique among those of a home.
  public var name: String
  /// What it is for.
  public var scope: Scope
  /// The period it is for.
  public var period: BudgetPeriod
  /// Where days, weeks and months begin.
  public var zone: CivilZone
  /// How much may be spent, in micro-dollars.
  public var limitMicrodollars: Int64
  /// At which percentages of the limit it is told, the lowest first.
  public var thresholds: [Int]
  /// What happens once it is used up.
  public var action: Action

  /// A budget.
  public init(
    name: String, scope: Scope = .all, period: BudgetPeriod, zone: CivilZone = .utc, limitMicrodollars: Int64,
    thresholds: [Int] = [80, 100], action: Action = .warn
  ) {
    (self.name, self.scope, self.period, self.zone) = (name, scope, period, zone)
    (self.limitMicrodollars, self.thresholds) = (limitMicrodollars, thresholds)
    self.action = action
  }
}

extension Budget.Scope {
  /// What it is called: `all`, `source`, `model`, `project` or `provider`.
  public var kind: String {
    switch self {
    case .all: "all"
    case .source: "source"
    case .model: "model"
    case .project: "project"
    case .provider: "provider"
    }
  }

  /// The name it is for; nil for ``all``.
  public var key: String? {
    switch self {
    case .all: nil
    case .source(let key), .model(let key), .project(let key), .provider(let key): key
    }
  }

  /// A scope by its kind; nil for a kind that is none.
  public init?(kind: String, key: String) {
    switch kind {
    case "source": self = .source(key)
    case "model": self = .model(key)
    case "project": self = .project(key)
    case "provider": self = .provider(key)
    default: return nil
    }
  }

  /// The dimension of the sums it is read from; of all, the one with the fewest names.
  var dimension: String { key == nil ? "provider" : kind }

  /// Whether what goes by a name falls under it.
  ///
  /// - Parameter name: a source, model, project or provider, as the scope's kind is; nil or empty for none.
  public func covers(_ name: String?) -> Bool {
    guard let key else { return true }
    guard let name, !name.isEmpty else { return false }
    if Self.fits(name, key) { return true }
    guard case .model = self, let plain = ModelName.withoutDate(name[...]) else { return false }
    return Self.fits(String(plain), key)
  }

  private static func fits(_ name: String, _ key: String) -> Bool {
    key.hasSuffix("*") ? name.hasPrefix(key.dropLast()) : name == key
  }

  /// Whether a row falls under it.
  func covers(_ row: UsageRow) -> Bool {
    switch self {
    case .all: true
    case .source: covers(row.source)
    case .model: covers(row.model)
    case .project: covers(row.project)
    case .provider: covers(row.provider)
    }
  }
}
