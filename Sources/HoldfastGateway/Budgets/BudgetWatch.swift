// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine
import HoldfastMailbox
public import HoldfastUsage
public import Logging
public import ServiceLifecycle

/// A home's budgets while the gateway runs: asked on event loops out of memory, brought up to date in the background.
///
/// No request waits for the database. What this process has accepted counts at once; what others have spent counts
/// within a second. While the ledger cannot be read, the last that was known holds.
public final class BudgetWatch: Service {
  private struct State {
    var machine: BudgetMachine
    var begun: UInt64 = 0
    var shown: UInt64 = 0
    var nextNotice: UTCInstant?
    /// What was last told of each budget.
    var told: [String: Told] = [:]
  }

  private struct Told: Equatable {
    var state: BudgetStatus.State
    var spent: Int64
    var crossed: Int
  }

  private let state: Monitor<State>
  private let ledger: any BudgetLedger
  private let teller: BudgetTeller
  private let logger: Logger
  private let now: @Sendable () -> UTCInstant
  private let pace: Duration
  private let canRefuse: Bool
  private let onChange = Monitor<@Sendable (BudgetStatus) -> Void>({ _ in })

  /// Makes the watch over some budgets; nothing is read before ``run()`` or ``look()``.
  ///
  /// - Parameters:
  ///   - ledger: whose rows they are about.
  ///   - teller: who is told of crossings.
  public convenience init(
    _ plans: [BudgetPlan], ledger: any BudgetLedger, teller: BudgetTeller, logger: Logger
  ) {
    self.init(plans, ledger: ledger, teller: teller, logger: logger, pace: .seconds(1), now: { .now })
  }

  init(
    _ plans: [BudgetPlan], ledger: any BudgetLedger, teller: BudgetTeller, logger: Logger, pace: Duration,
    now: @escaping @Sendable () -> UTCInstant
  ) {
    (self.ledger, self.teller, self.logger, self.pace, self.now) = (ledger, teller, logger, pace, now)
    let budgets = plans.map(\.budget)
    state = Monitor(State(machine: BudgetMachine(budgets, at: now())))
    canRefuse = budgets.contains { $0.action == .refuse }
    ledger.setAcceptanceObserver { [state] row, sequence in
      state.withLock { $0.machine.accepted(row, sequence: sequence) }
    }
  }

  /// Whether any budget refuses anything now.
  var refusesAny: Bool {
    guard canRefuse else { return false }
    let now = now()
    return state.withLock { $0.machine.refusesAny(at: now) }
  }

  /// The budget that a request falls under and that refuses it, and the moment that was asked at.
  func refusal(of request: BudgetMachine.Request) -> (refusal: BudgetMachine.Refusal, now: UTCInstant)? {
    let now = now()
    return state.withLock { $0.machine.refusal(of: request, at: now) }.map { ($0, now) }
  }

  /// What there is to tell of the budgets.
  public var statuses: [BudgetStatus] {
    let now = now()
    return state.withLock { $0.machine.statuses(at: now) }
  }

  /// Has each change of a budget told.
  func setListener(_ listener: @escaping @Sendable (BudgetStatus) -> Void) {
    onChange.withLock { $0 = listener }
  }

  // MARK: In the background

  /// Keeps the budgets until told to stop.
  public func run() async throws {
    await cancelWhenGracefulShutdown { [self] in
      await withTaskGroup(of: Void.self) { group in
        group.addTask { await self.follow() }
        group.addTask { await self.tellAll() }
      }
    }
    ledger.setAcceptanceObserver(nil)
  }

  private func follow() async {
    var isReadable = true
    while !Task.isCancelled {
      do {
        try await look()
        isReadable = true
      } catch {
        if isReadable, !Task.isCancelled {
          logger.warning(
            "what was spent cannot be read; budgets hold what was last known",
            metadata: ["reason": "\(error)"])
        }
        isReadable = false
      }
      try? await Task.sleep(for: pace)
    }
  }

  /// Reads what was spent, and writes down what was crossed.
  func look() async throws {
    let start = now()
    let (number, budgets, spans) = state.withLock { state in
      state.begun += 1
      return (state.begun, state.machine.budgets, state.machine.spans(at: start))
    }
    let reading = try await ledger.reading(of: budgets, spans: spans, at: start)
    let crossings = state.withLock { state -> [BudgetCrossing] in
      // An older reading never replaces a newer one.
      guard number > state.shown else { return [] }
      state.shown = number
      state.nextNotice = reading.nextNotice
      return state.machine.read(reading, at: self.now())
    }
    if !crossings.isEmpty {
      try await ledger.record(crossings, told: teller.told)
      state.withLock { state in
        for crossing in crossings { state.machine.noteCrossing(crossing) }
        if crossings.contains(where: { teller.told.contains($0.budget) }) { state.nextNotice = start }
      }
      for crossing in crossings {
        logger.warning(
          "a budget's threshold is crossed",
          metadata: [
            "budget": "\(crossing.budget)", "threshold": "\(crossing.threshold) %",
            "spent_microusd": "\(crossing.spentMicrodollars)",
            "limit_microusd": "\(crossing.limitMicrodollars)",
          ])
      }
    }
    report()
  }

  /// Tells of budgets that have changed.
  private func report() {
    let now = now()
    let changed = state.withLock { state -> [BudgetStatus] in
      state.machine.statuses(at: now).filter { status in
        let told = Told(
          state: status.state, spent: status.spentMicrodollars, crossed: status.crossed.count)
        defer { state.told[status.budget.name] = told }
        return state.told[status.budget.name] != told
      }
    }
    let listener = onChange.withLock { $0 }
    for status in changed { listener(status) }
  }

  /// Tells of crossings as they come due, those an earlier process had left too.
  private func tellAll() async {
    while !Task.isCancelled {
      do {
        try await tellDue()
      } catch {
        if !Task.isCancelled {
          logger.debug("crossings of budgets cannot be told now", metadata: ["reason": "\(error)"])
        }
      }
      try? await Task.sleep(for: pace)
    }
  }

  func tellDue() async throws {
    let due = state.withLock { $0.nextNotice }
    guard let due, due <= now() else { return }
    let patience = teller.longestTimeLimit + BudgetTeller.policy.firstPause
    let notices = try await ledger.claimNotices(at: now(), patience: patience)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for notice in notices {
        group.addTask { [self] in
          let outcome = await teller.tell(notice, now: now)
          // Written down also when the gateway stops meanwhile: what was heard is not told again.
          try await Task { [self] in try await ledger.settle(notice, outcome, at: now()) }.value
          log(notice, outcome)
        }
      }
      try await group.waitForAll()
    }
  }

  private func log(_ notice: BudgetNotice, _ outcome: BudgetNoticeOutcome) {
    let error: String
    switch outcome {
    case .told: return
    case .again(_, let reason), .givenUp(let reason): error = reason
    }
    let isOver = if case .givenUp = outcome { true } else { false }
    logger.warning(
      isOver
        ? "nobody could be told of a budget's crossing; it is not tried again"
        : "telling of a budget's crossing failed; it is tried again",
      metadata: [
        "budget": "\(notice.crossing.budget)", "threshold": "\(notice.crossing.threshold) %",
        "attempt": "\(notice.attempt)", "reason": "\(error)",
      ])
  }
}
