// SPDX-License-Identifier: Apache-2.0

import HoldfastCatalog
import HoldfastEngine
import HoldfastMailbox
import HoldfastSessions
import HoldfastUsage

/// What wants attention, told from what the parts say of themselves.
extension StatusReport {
  /// Budgets that are used up.
  static func findings(_ budgets: [BudgetStatus]) -> [Finding] {
    budgets.filter { $0.state == .over }.map { status in
      let budget = status.budget
      let refuses = budget.action == .refuse ? "; requests that fall under it are refused" : ""
      return Finding(
        code: "budget-over", severity: "warning",
        message: """
          The budget “\(budget.name)” is used up: \(Dollars.text(status.spentMicrodollars)) of \
          \(Dollars.text(budget.limitMicrodollars)) \(budget.period.phrase), until \
          \(status.span.upperBound.rfc3339(wholeSeconds: true))\(refuses).
          """)
    }
  }

  static func findings(_ backups: BackupProgress.Snapshot) -> [Finding] {
    var findings: [Finding] = []
    if let failure = backups.failure {
      findings.append(
        Finding(
          code: "backup-failed", severity: "warning", message: "The last scheduled backup failed: \(failure)")
      )
    }
    if backups.isOverdue {
      let last = backups.lastSuccess.map { "the last one is of \($0)" } ?? "there is none"
      findings.append(
        Finding(
          code: "backup-overdue", severity: "warning",
          message: "A backup is overdue (\(last)): make one with `holdfast backup` and look at what keeps it."
        ))
    }
    return findings
  }

  static func findings(_ mailboxes: MailboxTotals) -> [Finding] {
    guard mailboxes.unreadable > 0 else { return [] }
    return [
      Finding(
        code: "mailboxes-unreadable", severity: "warning",
        message: """
          \(mailboxes.unreadable) of \(mailboxes.count) mailboxes cannot be read as a whole: `holdfast mailbox list` says why.
          """)
    ]
  }

  static func findings(_ ledger: UsageLedgerStatus) -> [Finding] {
    findings(
      of: "usage", rows: "rows", spool: ledger.spool, file: ledger.file, fault: ledger.fault,
      holders: ledger.holders)
  }

  static func findings(_ sessions: ServedSessions.Status) -> [Finding] {
    var findings: [Finding] = []
    if let fault = sessions.fault {
      findings.append(
        Finding(
          code: "sessions-closed", severity: "warning",
          message: "The sessions cannot be opened, which is tried again: \(fault)"))
    }
    if let store = sessions.store {
      findings += Self.findings(
        of: "sessions", rows: "messages", spool: store.spool, file: store.file, fault: store.fault,
        holders: store.holders)
    }
    // Told for a while; the counts tell it for good.
    if let skip = sessions.capture?.lastSkip, UnixTime.now().milliseconds - skip.at.milliseconds < 600_000 {
      findings.append(
        Finding(
          code: "capture-incomplete", severity: "warning",
          message: "Not every request is in its session as a whole: \(skip.message)"))
    }
    if let fault = sessions.searchFault, let store = sessions.store, store.file != nil, store.fault == nil {
      findings.append(
        Finding(
          code: "search-unavailable", severity: "warning",
          message:
            "The search index cannot be used now, so a search looks through the newest messages: \(fault)"
        ))
    }
    return findings
  }

  static func findings(_ state: StateStoreStatus) -> [Finding] {
    var findings: [Finding] = []
    if state.lost > 0, let loss = state.lastLoss {
      findings.append(
        Finding(
          code: "state-writes-lost", severity: "error",
          message: "\(state.lost) values could not be written to state.db and are lost; the last: \(loss)"))
    }
    if let damage = state.file?.damage {
      findings.append(
        Finding(
          code: "state-damaged", severity: "error",
          message: """
            state.db is damaged (\(damage.message), code \(damage.code), since \(damage.since)), so nothing is \
            written to it: stop the daemon and run `holdfast doctor` on it.
            """))
    } else if let fault = state.fault {
      findings.append(
        Finding(
          code: "state-\(fault.code)", severity: "warning",
          message: "state.db cannot be opened, which is tried again: \(fault)"))
    } else if let delay = state.delay {
      findings.append(
        Finding(
          code: "state-waiting", severity: "warning",
          message: "\(state.waiting) values wait to be written to state.db: \(delay)"))
    }
    return findings
  }

  /// What a store says of itself that wants attention.
  ///
  /// - Parameters:
  ///   - name: the store's short name, as in `usage`.
  ///   - rows: what it keeps, in the plural.
  private static func findings(
    of name: String, rows: String, spool: SpoolStatus?, file: StateFileStatus?, fault: StoreError?,
    holders: [LockHolder]
  ) -> [Finding] {
    let title = rows.prefix(1).uppercased() + rows.dropFirst()
    // The ledger's findings had their names before there was another store.
    let prefix = name == "usage" ? "" : name + "-"
    var findings: [Finding] = []
    if let spool, let refusal = spool.lastRefusal {
      findings.append(
        spool.refused > 0
          ? Finding(
            code: prefix + "spool-refusing", severity: "error",
            message: "\(title) are being lost: \(refusal.message)")
          : Finding(
            code: prefix + "spool-filling", severity: "warning",
            message: "The spool of \(rows) cannot grow: \(refusal.message)"))
    }
    if let damage = file?.damage {
      findings.append(
        Finding(
          code: name + "-damaged", severity: "error",
          message: """
            \(name).db is damaged (\(damage.message), code \(damage.code), since \(damage.since)), so \(rows) wait in \
            the spool and nothing is written to it: stop the daemon and run `holdfast doctor` on it.
            """))
    } else if let fault {
      findings.append(
        Finding(
          code: "\(name)-\(fault.code)", severity: "warning", message: "\(title) wait in the spool: \(fault)")
      )
    }
    if !holders.isEmpty {
      let names = holders.map(\.description).joined(separator: "; ")
      findings.append(
        Finding(
          code: name + "-held", severity: "warning",
          message: file == nil
            ? "\(name).db cannot be opened while another program holds it: \(names)."
            : "\(title) wait in the spool while another program holds \(name).db: \(names)."))
    }
    if let spool, spool.damaged > 0 {
      findings.append(
        Finding(
          code: prefix + "spool-damaged", severity: "warning",
          message:
            "\(spool.damaged) damaged stretches in the spool were skipped; the \(rows) in them are lost."))
    }
    if let spool, spool.rejected > 0 {
      findings.append(
        Finding(
          code: rows + "-set-aside", severity: "warning",
          message: """
            \(spool.rejected) \(rows) could not be stored and stand in holdfast_spool_rejected of \(name).db.
            """))
    }
    return findings
  }
}
