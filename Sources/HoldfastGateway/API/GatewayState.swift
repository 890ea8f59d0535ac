// SPDX-License-Identifier: Apache-2.0

import HoldfastCatalog
import HoldfastMailbox
import HoldfastUsage
import Synchronization

/// What the API's routes answer from.
final class GatewayState: Sendable {
  let home: String
  let ledger: any UsageLedger
  let metrics: GatewayMetrics
  /// nil when the gateway was given none.
  let sessions: ServedSessions?
  /// nil when the daemon makes no backups.
  let backups: BackupProgress?
  /// nil when none is kept.
  let state: (any StateStore)?
  /// nil when the gateway was given no mailboxes.
  let census: MailboxCensus?
  /// nil when there are no budgets.
  let budgets: BudgetWatch?
  private let description: Mutex<DaemonDescription>
  private let stopping = Mutex(false)

  init(
    home: String, ledger: any UsageLedger, metrics: GatewayMetrics, sessions: ServedSessions? = nil,
    backups: BackupProgress? = nil, state: (any StateStore)? = nil, census: MailboxCensus? = nil,
    daemon: DaemonDescription, budgets: BudgetWatch? = nil
  ) {
    self.home = home
    self.ledger = ledger
    self.metrics = metrics
    self.sessions = sessions
    self.backups = backups
    self.state = state
    self.census = census
    description = Mutex(daemon)
    self.budgets = budgets
  }

  /// Who and where this daemon is.
  var daemon: DaemonDescription { description.withLock { $0 } }

  /// Notes where it listens.
  func noteListening(host: String, port: Int) {
    description.withLock {
      $0.host = host
      $0.port = port
    }
  }

  /// Whether the order to stop has come.
  var isStopping: Bool { stopping.withLock { $0 } }

  func noteStopping() { stopping.withLock { $0 = true } }

  /// The numbers of the home's mailboxes; nil when they cannot be listed.
  func mailboxes() async -> MailboxTotals? { try? await census?.totals() }

  /// The home's report.
  func status() async -> StatusReport {
    await StatusReport(
      home: home, daemon: daemon, ledger: ledger.status(), sessions: sessions?.status(),
      backups: backups, state: state?.status(), mailboxes: mailboxes(),
      budgets: budgets?.statuses ?? [])
  }
}
