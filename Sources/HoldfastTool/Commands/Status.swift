// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastGateway
import HoldfastMailbox
import HoldfastSessions
import HoldfastUsage

/// `holdfast status`: the daemon, the files, what waits.
struct Status: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show the daemon, the databases, what waits to be written, and how well things are.",
    discussion: """
      Examples:
        holdfast status
        holdfast status --json | jq .health

      Without a daemon it tells what the files tell, and lands rows that a process
      killed earlier has left.
      """)

  @OptionGroup var common: CommonOptions

  func run() async throws {
    let report = try await Self.report(common.resolvedHome)
    Console.print(common.json ? try JSONLine.text(report) : Self.text(report))
  }

  private static func report(_ home: Home) async throws -> StatusReport {
    if let daemon = DaemonLock.holder(home: home.path) {
      // Only for its token: a configuration that has become wrong since is no reason not to look.
      let token = try? home.configuration().token
      if let report = await DaemonClient.status(of: daemon, token: token) { return report }
      var report = StatusReport(home: home.path, daemon: daemon, ledger: nil)
      report.health = .degraded
      report.findings.append(
        StatusReport.Finding(
          code: "daemon-silent", severity: "warning",
          message: "The daemon (pid \(daemon.pid)) does not answer on its port."))
      return report
    }
    let sessions = try await sessions(home)
    let mailboxes = await mailboxes(home)
    guard home.hasSpooledFiles(of: "usage") else {
      return StatusReport(
        home: home.path, daemon: nil, ledger: nil, sessions: sessions, mailboxes: mailboxes,
        budgets: await budgets(home))
    }
    let ledger = try await SQLiteUsageLedger.open(home: home.path)
    try? await ledger.flush(within: .seconds(2))
    let status = await ledger.status()
    await ledger.close(within: .seconds(1))
    return StatusReport(
      home: home.path, daemon: nil, ledger: status, sessions: sessions, mailboxes: mailboxes,
      budgets: await budgets(home))
  }

  /// What was spent; nothing when the configuration or the ledger cannot be read.
  private static func budgets(_ home: Home) async -> [BudgetStatus] {
    guard let plans = try? home.configuration().budgets else { return [] }
    return (try? await UsageBudgets.statuses(plans.map(\.budget), home)) ?? []
  }

  /// What the mailboxes' files tell; nil when they cannot be listed.
  private static func mailboxes(_ home: Home) async -> MailboxTotals? {
    var configuration = MailboxConfiguration()
    configuration.maximumOpen = 1
    let store = SQLiteMailboxStore(home: home.path, configuration: configuration)
    let totals = try? await MailboxCensus(store, budget: .seconds(5)).totals()
    await store.close()
    return totals
  }

  /// What the sessions' files tell; nil when there are none.
  private static func sessions(_ home: Home) async throws -> ServedSessions.Status? {
    guard Home.exists(home.path + "/sessions.db") || home.hasSpooledFiles(of: "sessions") else { return nil }
    let store = try await SQLiteSessionStore.open(home: home.path)
    var status = ServedSessions.Status()
    try? await store.flush(within: .seconds(2))
    status.store = await store.status()
    // Asking would make an index that is not there.
    if Home.exists(home.path + "/search.db") {
      let search = store.makeSearch()
      do {
        status.lag = try await search.lag()
      } catch {
        status.searchFault = "\(error)"
      }
      await search.close()
    }
    await store.close()
    return status
  }

  private static func text(_ report: StatusReport) -> String {
    var lines: [String] = []
    if let daemon = report.daemon {
      let place = daemon.port.map { "http://\(daemon.host ?? "127.0.0.1"):\($0)" } ?? "starting"
      lines.append("daemon   \(place), pid \(daemon.pid), since \(daemon.since)")
    } else {
      lines.append("daemon   not running")
    }
    let color: Console.Color =
      switch report.health {
      case .ok: .green
      case .degraded: .yellow
      case .failing: .red
      }
    lines.append("health   \(Console.colored(report.health.rawValue, color))")
    let oldest = report.spool.oldest.map { ", the oldest since \($0)" } ?? ""
    lines.append(
      "spool    \(Amount.count(report.spool.depth)) waiting\(oldest), \(Amount.count(report.spool.refused)) refused"
    )
    if let lag = report.search.lag {
      let who = report.search.indexing == true ? ", indexed by the daemon" : ""
      lines.append("index    \(Amount.count(lag)) messages behind\(who)")
    }
    if let capture = report.capture {
      let skipped = capture.skipped.values.reduce(0, +)
      lines.append(
        "capture  \(Amount.count(capture.messages)) messages of \(Amount.count(capture.turns)) requests, "
          + "\(Amount.count(skipped)) not as a whole, \(Amount.count(capture.waiting)) waiting")
    }
    if let mail = report.mailboxes {
      let unreadable = mail.unreadable == 0 ? "" : ", \(Amount.count(mail.unreadable)) unreadable"
      lines.append(
        "mail     \(Amount.count(mail.count)) mailboxes (\(Amount.bytes(mail.bytes))): \(Amount.count(mail.due)) due, "
          + "\(Amount.count(mail.claimed)) taken, \(Amount.count(mail.undelivered)) to be delivered, "
          + "\(Amount.count(mail.deadLetters)) dead letters\(unreadable)")
    }
    for store in report.stores {
      lines.append(
        "\(store.name.padded(to: 8)) \(Amount.bytes(store.bytes)) + \(Amount.bytes(store.walBytes)) WAL  "
          + Console.dim(store.path))
    }
    for finding in report.findings {
      lines.append(
        Console.colored(finding.severity, finding.severity == "error" ? .red : .yellow)
          + "  \(finding.message)")
    }
    return lines.joined(separator: "\n")
  }
}

extension String {
  fileprivate func padded(to width: Int) -> String {
    self + String(repeating: " ", count: max(0, width - count))
  }
}
