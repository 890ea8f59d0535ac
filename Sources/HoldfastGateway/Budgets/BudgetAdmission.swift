// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastUsage

/// One request before the budgets that refuse.
struct BudgetAdmission: RequestAdmission {
  let watch: BudgetWatch
  var source: String?
  var project: String?

  func fault(model: String, provider: String) -> ProxyFault? {
    fault(model: model.isEmpty ? nil : model, provider: Optional(provider))
  }

  /// - Parameters:
  ///   - model: nil while it is not known.
  ///   - provider: nil while it is not known.
  func fault(model: String?, provider: String?) -> ProxyFault? {
    let request = BudgetMachine.Request(source: source, project: project, provider: provider, model: model)
    return watch.refusal(of: request).map { ProxyFault($0.refusal, at: $0.now) }
  }
}

extension ProxyFault {
  /// The answer to a request that falls under a budget that is used up.
  init(_ refusal: BudgetMachine.Refusal, at now: UTCInstant) {
    let budget = refusal.budget
    let end = refusal.until.rfc3339(wholeSeconds: true)
    self.init(
      .budgetExhausted,
      "The budget “\(budget.name)” of \(Dollars.text(budget.limitMicrodollars)) \(budget.period.phrase)\(Self.place(budget))"
        + " is used up (\(Dollars.text(refusal.spentMicrodollars)) spent); Holdfast refuses what falls under it until"
        + " \(end), or until its limit in config.yaml is raised.")
    retryAfter = Int(max(1, (refusal.until.milliseconds - now.milliseconds + 999) / 1000))
  }

  private static func place(_ budget: Budget) -> String {
    budget.scope.key.map { " for \(budget.scope.kind) \($0)" } ?? ""
  }
}

/// Amounts as sentences tell them.
enum Dollars {
  /// `$10.00`; below a cent with the digits it takes.
  static func text(_ microdollars: Int64) -> String {
    let rest = String(microdollars % 1_000_000)
    let padded = String(repeating: "0", count: 6 - rest.utf8.count) + rest
    let isSmall = microdollars > 0 && microdollars < 10_000
    return "$\(microdollars / 1_000_000)." + (isSmall ? padded : String(padded.prefix(2)))
  }
}
