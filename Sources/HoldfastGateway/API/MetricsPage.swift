// SPDX-License-Identifier: Apache-2.0

import HoldfastCatalog
import HoldfastEngine
import HoldfastMailbox
import HoldfastSessions
import HoldfastUsage

/// Prometheus' text format, version 0.0.4.
enum MetricsPage {
  static func text(
    _ snapshot: GatewayMetrics.Snapshot, ledger: UsageLedgerStatus, sessions: ServedSessions.Status? = nil,
    backups: BackupProgress.Snapshot? = nil, state: StateStoreStatus? = nil, mailboxes: MailboxTotals? = nil,
    live: (running: Int, feed: LiveFeed.Counts)? = nil, telemetryDropped: UInt64? = nil,
    registry: MetricRegistry? = nil, home: String
  ) -> String {
    var page = Page()
    page.family(
      "holdfast_requests_total", "counter", "Requests relayed to a provider, by what the client was answered."
    )
    for (series, count) in snapshot.requests.sorted(by: { $0.key < $1.key }) {
      page.sample(
        "holdfast_requests_total",
        [("provider", series.provider), ("model", series.model), ("status", series.status)], Double(count))
    }
    page.family("holdfast_request_outcomes_total", "counter", "Requests relayed, by how they ended.")
    for (outcome, count) in snapshot.outcomes.sorted(by: { $0.key < $1.key }) {
      page.sample("holdfast_request_outcomes_total", [("outcome", outcome)], Double(count))
    }
    page.family("holdfast_tokens_total", "counter", "Tokens the providers reported, in disjoint kinds.")
    for (series, count) in snapshot.tokens.sorted(by: { $0.key < $1.key }) {
      page.sample(
        "holdfast_tokens_total",
        [("provider", series.provider), ("model", series.model), ("kind", series.kind)],
        Double(count))
    }
    page.histograms(
      "holdfast_request_duration_seconds", "From a request's head to the end of its answer.",
      snapshot.durations)
    page.histograms(
      "holdfast_first_token_seconds", "From a request's head to the first piece of output.",
      snapshot.firstTokens)
    if let live {
      page.gauge("holdfast_requests_in_flight", "Requests being relayed.", Double(live.running))
      page.gauge(
        "holdfast_event_subscribers", "Connections that listen to /api/events.", Double(live.feed.subscribers)
      )
      page.counter(
        "holdfast_event_subscribers_dropped_total", "Connections let go because they did not read.",
        Double(live.feed.dropped))
    }
    page.gauge("holdfast_spool_depth", "Rows accepted and not yet in the database.", Double(ledger.depth))
    page.gauge(
      "holdfast_spool_oldest_seconds", "Age of the oldest row that waits.",
      ledger.oldest.map { Double(max(0, UTCInstant.now.milliseconds - $0.milliseconds)) / 1000 } ?? 0)
    page.gauge("holdfast_spool_bytes", "Bytes of the spool in use.", Double(ledger.spool?.bytes ?? 0))
    page.counter("holdfast_rows_accepted_total", "Usage rows accepted.", Double(ledger.accepted))
    page.counter(
      "holdfast_rows_refused_total", "Usage rows lost: the spool was full or failed.", Double(ledger.refused))
    page.counter(
      "holdfast_rows_invalid_total", "Usage rows refused because a value cannot be true.",
      Double(ledger.invalid))
    page.counter(
      "holdfast_rows_unpriced_total", "Usage rows of models without a price.", Double(ledger.unpriced))
    page.counter(
      "holdfast_rows_unknown_total", "Usage rows whose usage the provider did not tell.",
      Double(ledger.unknown))
    if let file = ledger.file {
      page.gauge("holdfast_usage_db_bytes", "Size of usage.db.", Double(file.bytes))
      page.gauge("holdfast_usage_wal_bytes", "Size of usage.db-wal.", Double(file.walBytes))
      page.gauge("holdfast_lane_waiting", "Writes waiting for their turn.", Double(file.waitingWrites))
    }
    page.gauge(
      "holdfast_database_fault", "1 while usage.db cannot be opened or written.", ledger.fault == nil ? 0 : 1)
    if let sessions { page.add(sessions) }
    if let backups { page.add(backups) }
    if let state { page.add(state) }
    if let mailboxes { page.add(mailboxes) }
    if let telemetryDropped {
      page.counter(
        "holdfast_telemetry_dropped_total",
        "Requests whose metrics and span were not emitted: too many waited.",
        Double(telemetryDropped))
    }
    if let registry { page.text += registry.prometheusText() }
    return page.text
  }

  /// A label's value: backslash, quote and line feed are escaped; other control characters are dropped.
  static func escaped(_ value: String) -> String {
    var out = ""
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\\": out += "\\\\"
      case "\"": out += "\\\""
      case "\n": out += "\\n"
      case _ where scalar.value < 0x20 || scalar.value == 0x7F: continue
      default: out.unicodeScalars.append(scalar)
      }
    }
    return out
  }

  private struct Page {
    var text = ""

    mutating func family(_ name: String, _ type: String, _ help: String) {
      text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
    }

    mutating func sample(_ name: String, _ labels: [(String, String)], _ value: Double) {
      text += name
      if !labels.isEmpty {
        text += "{" + labels.map { "\($0)=\"\(MetricsPage.escaped($1))\"" }.joined(separator: ",") + "}"
      }
      text +=
        " " + (value == value.rounded() && abs(value) < 1e15 ? String(Int64(value)) : String(value)) + "\n"
    }

    /// The lag is left out while it is not known: an alert on its absence is one on no index.
    mutating func add(_ sessions: ServedSessions.Status) {
      gauge(
        "holdfast_sessions_spool_depth", "Messages accepted and not yet in the database.",
        Double(sessions.store?.depth ?? 0))
      counter(
        "holdfast_messages_refused_total", "Messages lost: the spool was full or failed.",
        Double(sessions.store?.spool?.refused ?? 0))
      if let file = sessions.store?.file {
        gauge("holdfast_sessions_db_bytes", "Size of sessions.db.", Double(file.bytes))
        gauge("holdfast_sessions_wal_bytes", "Size of sessions.db-wal.", Double(file.walBytes))
      }
      let isFaulty = sessions.store == nil || sessions.store?.fault != nil
      gauge(
        "holdfast_sessions_fault", "1 while sessions.db cannot be opened or written.", isFaulty ? 1 : 0)
      if let lag = sessions.lag {
        gauge(
          "holdfast_search_lag", "Messages and changes the search index has not followed yet.", Double(lag))
      }
      if let capture = sessions.capture { add(capture) }
      gauge(
        "holdfast_search_indexing", "1 when this process is the one that indexes.", sessions.isIndexer ? 1 : 0
      )
    }

    mutating func add(_ state: StateStoreStatus) {
      gauge("holdfast_state_waiting", "Values that wait to be written.", Double(state.waiting))
      counter(
        "holdfast_state_lost_total", "Values that could not be written and are lost.", Double(state.lost))
      if let file = state.file {
        gauge("holdfast_state_db_bytes", "Size of state.db.", Double(file.bytes))
        gauge("holdfast_state_wal_bytes", "Size of state.db-wal.", Double(file.walBytes))
      }
      gauge(
        "holdfast_state_fault", "1 while state.db cannot be opened or written.",
        state.fault == nil && state.file?.damage == nil ? 0 : 1)
    }

    private mutating func add(_ capture: CaptureCounts.Snapshot) {
      counter(
        "holdfast_capture_turns_total", "Requests whose new messages were taken into their session.",
        Double(capture.turns))
      counter(
        "holdfast_capture_messages_total", "Messages taken into sessions.", Double(capture.messages))
      counter(
        "holdfast_capture_edits_total",
        "Old messages told in other words, which a session keeps as they were.",
        Double(capture.edits))
      family(
        "holdfast_capture_skipped_total", "counter",
        "Requests or answers that are not in their session as a whole, by reason.")
      for reason in CaptureCounts.Reason.allCases {
        sample(
          "holdfast_capture_skipped_total", [("reason", reason.rawValue)],
          Double(capture.skipped[reason] ?? 0))
      }
      gauge("holdfast_capture_bytes", "Bytes of requests and answers held.", Double(capture.bytes))
      gauge("holdfast_capture_waiting", "Requests that wait to be taken.", Double(capture.waiting))
    }

    /// Times and sizes are left out until there is one; an alert on their absence is one on no backup.
    mutating func add(_ backups: BackupProgress.Snapshot) {
      family("holdfast_backups_total", "counter", "Scheduled backups of all databases, by what came of them.")
      sample("holdfast_backups_total", [("outcome", "made")], Double(backups.made))
      sample("holdfast_backups_total", [("outcome", "failed")], Double(backups.failed))
      gauge("holdfast_backup_running", "1 while backups are being made.", backups.isRunning ? 1 : 0)
      gauge(
        "holdfast_backup_overdue", "1 when a scheduled backup was not made for a whole interval.",
        backups.isOverdue ? 1 : 0)
      if let time = backups.lastSuccess {
        gauge(
          "holdfast_backup_last_success_timestamp_seconds",
          "When the oldest of the databases' newest backups was begun.", Double(time.milliseconds) / 1000)
      }
      if let took = backups.lastDuration {
        gauge(
          "holdfast_backup_last_duration_seconds", "How long the last one took, all databases together.",
          took / .seconds(1))
      }
      if let bytes = backups.lastBytes {
        gauge("holdfast_backup_last_bytes", "Bytes the last one wrote.", Double(bytes))
      }
    }

    mutating func add(_ mailboxes: MailboxTotals) {
      gauge("holdfast_mailboxes", "Mailboxes of the home.", Double(mailboxes.count))
      gauge(
        "holdfast_mailbox_pending", "Messages that workers are not done with.", Double(mailboxes.pending))
      gauge("holdfast_mailbox_due", "Messages that may be worked on now.", Double(mailboxes.due))
      gauge("holdfast_mailbox_claimed", "Messages that workers have taken.", Double(mailboxes.claimed))
      gauge(
        "holdfast_mailbox_undelivered", "Messages of workers' that nobody has taken yet.",
        Double(mailboxes.undelivered))
      gauge(
        "holdfast_mailbox_dead_letters", "Messages that went no further and were not put back.",
        Double(mailboxes.deadLetters))
      gauge("holdfast_mailbox_bytes", "Bytes of the mailboxes' databases.", Double(mailboxes.bytes))
      gauge(
        "holdfast_mailboxes_unreadable", "Mailboxes that cannot be read as a whole.",
        Double(mailboxes.unreadable))
      gauge(
        "holdfast_mailboxes_unseen", "Mailboxes that are not in the counts yet.", Double(mailboxes.unseen))
    }

    mutating func gauge(_ name: String, _ help: String, _ value: Double) {
      family(name, "gauge", help)
      sample(name, [], value)
    }

    mutating func counter(_ name: String, _ help: String, _ value: Double) {
      family(name, "counter", help)
      sample(name, [], value)
    }

    mutating func histograms(_ name: String, _ help: String, _ all: [String: GatewayMetrics.Histogram]) {
      family(name, "histogram", help)
      for (provider, histogram) in all.sorted(by: { $0.key < $1.key }) {
        var running: UInt64 = 0
        for (bound, count) in zip(GatewayMetrics.Histogram.bounds, histogram.buckets) {
          running += count
          sample(name + "_bucket", [("provider", provider), ("le", String(bound))], Double(running))
        }
        sample(name + "_bucket", [("provider", provider), ("le", "+Inf")], Double(histogram.count))
        sample(name + "_sum", [("provider", provider)], histogram.sum)
        sample(name + "_count", [("provider", provider)], Double(histogram.count))
      }
    }
  }
}

extension GatewayMetrics.Series: Comparable {
  static func < (left: Self, right: Self) -> Bool {
    (left.provider, left.model, left.status) < (right.provider, right.model, right.status)
  }
}

extension GatewayMetrics.TokenSeries: Comparable {
  static func < (left: Self, right: Self) -> Bool {
    (left.provider, left.model, left.kind) < (right.provider, right.model, right.kind)
  }
}
