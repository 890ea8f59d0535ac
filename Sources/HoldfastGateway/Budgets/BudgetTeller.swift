// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
public import HoldfastMailbox
public import HoldfastUsage

/// Tells whoever a budget names of thresholds that were crossed: at least once, with pauses between attempts, and
/// not for ever.
public struct BudgetTeller: Sendable {
  /// Tells a listener, once.
  public typealias Send =
    @Sendable (BudgetPlan.Listener, _ body: [UInt8], _ key: String, _ timeLimit: Duration) async ->
    DeliveryOutcome

  /// 1 s doubling to 10 min, for a day.
  static let policy: DeliveryPolicy = {
    var policy = DeliveryPolicy()
    policy.longestPause = .seconds(600)
    policy.patience = .seconds(86_400)
    policy.maximumAttempts = 200
    return policy
  }()

  private let plans: [String: BudgetPlan]
  private let send: Send

  /// Who is told, and how.
  ///
  /// - Parameters:
  ///   - webhooks: what webhooks' requests go through.
  ///   - directory: where commands are run.
  public init(_ plans: [BudgetPlan], webhooks: WebhookClient, directory: String) {
    self.init(plans) { listener, body, key, timeLimit in
      switch listener {
      case .webhook(let webhook):
        await webhooks.post(body, to: webhook, key: key, timeLimit: timeLimit)
      case .command(let command):
        await CommandAdapter(command: command, directory: directory, timeLimit: timeLimit).deliver(body)
      }
    }
  }

  init(_ plans: [BudgetPlan], send: @escaping Send) {
    self.plans = Dictionary(plans.map { ($0.budget.name, $0) }) { first, _ in first }
    self.send = send
  }

  /// The budgets somebody is told of.
  var told: Set<String> { Set(plans.values.filter { $0.listener != nil }.map(\.budget.name)) }

  /// No attempt takes longer.
  var longestTimeLimit: Duration { plans.values.map(\.timeLimit).max() ?? .zero }

  /// What a listener is sent.
  private struct Message: Encodable {
    let notice: BudgetNotice
    let budget: Budget
    let key: String

    private enum CodingKeys: String, CodingKey {
      case event, budget, scope, key, period, start, end, threshold, action, time, attempt
      case limit = "limit_microusd"
      case spent = "spent_microusd"
      case idempotencyKey = "idempotency_key"
    }

    func encode(to encoder: any Encoder) throws {
      var fields = encoder.container(keyedBy: CodingKeys.self)
      let crossing = notice.crossing
      try fields.encode("budget", forKey: .event)
      try fields.encode(crossing.budget, forKey: .budget)
      try fields.encode(budget.scope.kind, forKey: .scope)
      try fields.encode(budget.scope.key, forKey: .key)
      try fields.encode(budget.period, forKey: .period)
      try fields.encode(crossing.span.lowerBound, forKey: .start)
      try fields.encode(crossing.span.upperBound, forKey: .end)
      try fields.encode(crossing.threshold, forKey: .threshold)
      try fields.encode(crossing.limitMicrodollars, forKey: .limit)
      try fields.encode(crossing.spentMicrodollars, forKey: .spent)
      try fields.encode(budget.action, forKey: .action)
      try fields.encode(crossing.time, forKey: .time)
      try fields.encode(notice.attempt, forKey: .attempt)
      try fields.encode(key, forKey: .idempotencyKey)
    }
  }

  /// Tells of a crossing, once, and says what becomes of it.
  func tell(_ notice: BudgetNotice, now: @Sendable () -> UTCInstant) async -> BudgetNoticeOutcome {
    guard let plan = plans[notice.crossing.budget], let listener = plan.listener else {
      return .givenUp(error: "the configuration names nobody to be told any more")
    }
    let crossing = notice.crossing
    let key =
      "budget/\(crossing.budget)/\(crossing.span.lowerBound.milliseconds)/\(crossing.threshold)/\(crossing.limitMicrodollars)"
    let outcome: DeliveryOutcome
    do {
      let text = try JSONLine.text(Message(notice: notice, budget: plan.budget, key: key))
      outcome = await send(listener, Array(text.utf8), key, plan.timeLimit)
    } catch {
      outcome = .permanent(reason: "\(error)")
    }
    switch Self.policy.verdict(outcome, attempt: notice.attempt, first: crossing.time, now: now()) {
    case .delivered: return .told
    case .again(let next, let error): return .again(at: next, error: error)
    case .dead(_, let error): return .givenUp(error: error)
    }
  }
}
