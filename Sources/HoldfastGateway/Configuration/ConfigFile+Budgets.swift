// SPDX-License-Identifier: Apache-2.0

import HoldfastCatalog
import HoldfastEngine
import HoldfastMailbox
import HoldfastUsage
import Yams

extension ConfigFile {
  private static let budgetKeys = ["name", "scope", "period", "zone", "limit", "warn", "action", "notify"]
  private static let scopes = ["source", "model", "project", "provider"]
  private static let mostBudgets = 1000

  /// Reads the list under `budgets`.
  static func budgets(_ node: Node) throws(GatewayError) -> [BudgetPlan] {
    guard let list = node.sequence else { throw problem(node, "budgets is no list") }
    guard list.count <= mostBudgets else { throw problem(node, "there are more than \(mostBudgets) budgets") }
    var plans: [BudgetPlan] = []
    for item in list {
      let plan = try budget(item)
      guard !plans.contains(where: { $0.budget.name == plan.budget.name }) else {
        throw problem(item, "there are two budgets “\(plan.budget.name)”")
      }
      plans.append(plan)
    }
    return plans
  }

  private static func budget(_ node: Node) throws(GatewayError) -> BudgetPlan {
    var fields: [String: Node] = [:]
    for (key, value) in try entries(node, "a budget") {
      guard budgetKeys.contains(key.name) else { throw unknown(key, in: "a budget", known: budgetKeys) }
      fields[key.name] = value
    }
    guard let nameNode = fields["name"] else { throw problem(node, "a budget needs its name") }
    let name = try string(nameNode, "a budget's name")
    guard name.utf8.count <= 128,
      !name.unicodeScalars.contains(where: { $0.properties.generalCategory == .control })
    else { throw problem(nameNode, "a budget's name is a word or a few, 128 bytes at most") }
    let place = "budget “\(name)”"
    guard let limitNode = fields["limit"], let periodNode = fields["period"] else {
      throw problem(node, "\(place) needs its limit and its period")
    }
    guard let period = BudgetPeriod(rawValue: try string(periodNode, "the period of \(place)")) else {
      let known = BudgetPeriod.allCases.map(\.rawValue).joined(separator: ", ")
      throw problem(periodNode, "the period of \(place) is none of \(known)")
    }
    // By its digits: a cent is no binary fraction.
    guard let text = limitNode.scalar?.string, let limit = MicroDollars.parse(text), limit > 0 else {
      throw problem(
        limitNode, "the limit of \(place) is no amount of dollars above zero, with six decimals at most")
    }
    var budget = Budget(name: name, period: period, limitMicrodollars: limit)
    if let scope = fields["scope"] { budget.scope = try Self.scope(scope, place) }
    if let zoneNode = fields["zone"] {
      let name = try string(zoneNode, "the zone of \(place)")
      guard let zone = CivilZone(name) else {
        throw problem(
          zoneNode, "the zone of \(place) is “\(name)”, which is none; give one as Europe/Berlin or UTC")
      }
      budget.zone = zone
    }
    if let warn = fields["warn"] { budget.thresholds = try thresholds(warn, place) }
    if let actionNode = fields["action"] {
      guard let action = Budget.Action(rawValue: try string(actionNode, "the action of \(place)")) else {
        throw problem(actionNode, "the action of \(place) is warn or refuse")
      }
      budget.action = action
    }
    var plan = BudgetPlan(budget)
    if let notify = fields["notify"] { try listen(notify, place, &plan) }
    return plan
  }

  private static func scope(_ node: Node, _ place: String) throws(GatewayError) -> Budget.Scope {
    let what = "the scope of \(place) is all, or one of source, model, project and provider with a name"
    if let text = node.scalar?.string, node.mapping == nil {
      guard text == "all" else { throw problem(node, what + ", as in { source: claude-code }") }
      return .all
    }
    let found = try entries(node, "the scope of \(place)")
    guard found.count == 1, let (key, value) = found.first else { throw problem(node, what) }
    let name = try string(value, "the \(key.name) of \(place)")
    guard name.utf8.count <= 256, name != "*", let scope = Budget.Scope(kind: key.name, key: name) else {
      throw scopes.contains(key.name)
        ? problem(value, "the \(key.name) of \(place) is a name, or the beginning of names and a *")
        : problem(key.node, what)
    }
    return scope
  }

  private static func thresholds(_ node: Node, _ place: String) throws(GatewayError) -> [Int] {
    var found: Set<Int> = []
    for item in node.sequence.map(Array.init) ?? [node] {
      guard let percent = item.int, (1...1000).contains(percent) else {
        throw problem(item, "warn of \(place) is a list of percentages from 1 to 1000, as in [80, 100]")
      }
      found.insert(percent)
    }
    return found.sorted()
  }

  private static func listen(_ node: Node, _ place: String, _ plan: inout BudgetPlan) throws(GatewayError) {
    let known = ["webhook", "command", "timeout_seconds"]
    for (key, value) in try entries(node, "notify of \(place)") {
      switch key.name {
      case "webhook":
        let url = try string(value, "the webhook of \(place)")
        guard plan.listener == nil, isWebURL(url) else {
          throw problem(value, "the webhook of \(place) is no http or https URL, or stands beside a command")
        }
        plan.listener = .webhook(DeliveryConfiguration.Webhook(url: url))
      case "command":
        var command: [String] = []
        for item in value.sequence.map(Array.init) ?? [value] {
          command.append(try string(item, "the command of \(place)"))
        }
        guard plan.listener == nil, !command.isEmpty else {
          throw problem(
            value, "the command of \(place) is a list of a program and its arguments, without a webhook")
        }
        plan.listener = .command(command)
      case "timeout_seconds":
        guard let seconds = value.int, (1...600).contains(seconds) else {
          throw problem(value, "timeout_seconds of \(place) is from 1 to 600")
        }
        plan.timeLimit = .seconds(seconds)
      default: throw unknown(key, in: "notify of \(place)", known: known)
      }
    }
    guard plan.listener != nil else {
      throw problem(node, "notify of \(place) needs a webhook or a command")
    }
  }

  /// A path and a query may follow, unlike with a provider's base URL.
  private static func isWebURL(_ text: String) -> Bool {
    guard text.hasPrefix("http://") || text.hasPrefix("https://"),
      text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F })
    else { return false }
    let rest = text.drop { $0 != "/" }.dropFirst(2)
    let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
    return HostAndPort(String(authority)) != nil
  }
}
