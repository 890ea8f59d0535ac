// SPDX-License-Identifier: Apache-2.0

public import HoldfastCatalog
import HoldfastEngine
public import HoldfastMailbox
import HoldfastSessions
public import HoldfastUsage

/// What `holdfast status --json` and `/api/status` say.
public struct StatusReport: Codable, Sendable {
  /// One database of the home.
  public struct Store: Codable, Sendable, Hashable {
    /// Its short name, as in `usage`.
    public var name: String
    /// Where it is.
    public var path: String
    /// Its size.
    public var bytes: Int64
    /// The size of its write-ahead log.
    public var walBytes: Int64

    enum CodingKeys: String, CodingKey {
      case name, path, bytes
      case walBytes = "wal_bytes"
    }
  }

  /// Rows that are accepted and not yet in the database.
  public struct Spool: Codable, Sendable, Hashable {
    /// How many.
    public var depth: Int
    /// When the oldest was accepted, in RFC 3339.
    public var oldest: String?
    /// Rows that were not accepted, because the spool was full or its disk failed.
    public var refused: UInt64

    /// Writes `oldest` as null where there is none.
    public func encode(to encoder: any Encoder) throws {
      var fields = encoder.container(keyedBy: CodingKeys.self)
      try fields.encode(depth, forKey: .depth)
      try fields.encode(oldest, forKey: .oldest)
      try fields.encode(refused, forKey: .refused)
    }

    enum CodingKeys: String, CodingKey {
      case depth, oldest, refused
    }
  }

  /// The search index.
  public struct Search: Codable, Sendable, Hashable {
    /// Messages not yet indexed; null while there is no index.
    public var lag: Int64?
    /// Whether the daemon is the one that indexes; nil when none runs.
    public var indexing: Bool?

    /// Writes `lag` as null where there is none.
    public func encode(to encoder: any Encoder) throws {
      var fields = encoder.container(keyedBy: CodingKeys.self)
      try fields.encode(lag, forKey: .lag)
      try fields.encodeIfPresent(indexing, forKey: .indexing)
    }

    enum CodingKeys: String, CodingKey {
      case lag, indexing
    }
  }

  /// What the daemon captures of conversations.
  public struct Capture: Codable, Sendable, Hashable {
    /// Requests whose new messages were taken into their session.
    public var turns: UInt64
    /// Messages taken.
    public var messages: UInt64
    /// Requests or answers that are not in their session as a whole, by reason.
    public var skipped: [String: UInt64]
    /// Requests that wait to be taken.
    public var waiting: Int
  }

  /// The backups the daemon makes by itself.
  public struct Backups: Codable, Sendable, Hashable {
    /// Where they go.
    public var directory: String
    /// When the oldest of the databases' newest backups was begun, in RFC 3339; nil when one has none.
    public var lastSuccess: String?
    /// When the next is due, in RFC 3339.
    public var next: String?
    /// Whether some are being made now.
    public var running: Bool

    enum CodingKeys: String, CodingKey {
      case directory, next, running
      case lastSuccess = "last_success"
    }

    /// Writes times as null where there are none.
    public func encode(to encoder: any Encoder) throws {
      var fields = encoder.container(keyedBy: CodingKeys.self)
      try fields.encode(directory, forKey: .directory)
      try fields.encode(lastSuccess, forKey: .lastSuccess)
      try fields.encode(next, forKey: .next)
      try fields.encode(running, forKey: .running)
    }
  }

  /// How well things are.
  public enum Health: String, Codable, Sendable {
    /// All is well.
    case ok
    /// Requests are served and rows kept; something wants attention.
    case degraded
    /// Rows are being lost.
    case failing
  }

  /// Something that wants attention.
  public struct Finding: Codable, Sendable, Hashable {
    /// A stable name.
    public var code: String
    /// `warning` or `error`.
    public var severity: String
    /// One sentence.
    public var message: String

    /// Makes a finding.
    public init(code: String, severity: String, message: String) {
      self.code = code
      self.severity = severity
      self.message = message
    }
  }

  /// The daemon that serves the home, or nil.
  public var daemon: DaemonDescription?
  /// The home's databases.
  public var stores: [Store]
  /// The spool.
  public var spool: Spool
  /// The search index.
  public var search: Search
  /// What is captured; nil when nothing is.
  public var capture: Capture?
  /// The daemon's own backups; nil when none runs or it makes none.
  public var backup: Backups?
  /// What is in the mailboxes; nil when there are none.
  public var mailboxes: MailboxTotals?
  /// How well things are.
  public var health: Health
  /// What wants attention.
  public var findings: [Finding]

  enum CodingKeys: String, CodingKey {
    case daemon, stores, spool, search, capture, backup, mailboxes, health, findings
  }

  /// Writes `daemon`, `capture`, `backup` and `mailboxes` as null where there is none.
  public func encode(to encoder: any Encoder) throws {
    var fields = encoder.container(keyedBy: CodingKeys.self)
    try fields.encode(daemon, forKey: .daemon)
    try fields.encode(stores, forKey: .stores)
    try fields.encode(spool, forKey: .spool)
    try fields.encode(search, forKey: .search)
    try fields.encode(capture, forKey: .capture)
    try fields.encode(backup, forKey: .backup)
    try fields.encode(mailboxes, forKey: .mailboxes)
    try fields.encode(health, forKey: .health)
    try fields.encode(findings, forKey: .findings)
  }
}

extension StatusReport {
  /// The report of a home.
  ///
  /// - Parameters:
  ///   - home: the home directory.
  ///   - daemon: the daemon that serves it, if any.
  ///   - ledger: what the ledger says of itself; nil when none is open.
  ///   - sessions: what is known of the sessions; nil when they are not open.
  ///   - backups: what is known of the daemon's backups; nil when it makes none.
  ///   - state: what the state store says of itself; nil when none is open.
  ///   - mailboxes: what is in the mailboxes; nil when that is not known.
  ///   - budgets: what there is to tell of the budgets.
  public init(
    home: String, daemon: DaemonDescription?, ledger: UsageLedgerStatus?,
    sessions: ServedSessions.Status? = nil, backups: BackupProgress? = nil, state: StateStoreStatus? = nil,
    mailboxes: MailboxTotals? = nil, budgets: [BudgetStatus] = []
  ) {
    self.daemon = daemon
    stores = Self.stores(home)
    search = Search(lag: sessions?.lag, indexing: daemon == nil ? nil : sessions?.isIndexer)
    let spooled = sessions?.store?.spool
    let waiting = [ledger?.oldest, spooled?.oldest.map { UTCInstant(milliseconds: $0.milliseconds) }]
    spool = Spool(
      depth: (ledger?.depth ?? 0) + (sessions?.store?.depth ?? 0),
      oldest: waiting.compactMap(\.self).min()?.description,
      refused: (ledger?.refused ?? 0) + (spooled?.refused ?? 0))
    capture = (sessions?.capture).map { counts in
      Capture(
        turns: counts.turns, messages: counts.messages,
        skipped: Dictionary(uniqueKeysWithValues: counts.skipped.map { ($0.key.rawValue, $0.value) }),
        waiting: counts.waiting)
    }
    let known = backups?.snapshot
    backup = known.map {
      Backups(
        directory: backups?.directory ?? "", lastSuccess: $0.lastSuccess?.description,
        next: $0.next?.description, running: $0.isRunning)
    }
    self.mailboxes = mailboxes.flatMap { $0.count == 0 ? nil : $0 }
    findings = []
    if let ledger { findings += Self.findings(ledger) }
    if let sessions { findings += Self.findings(sessions) }
    if let known { findings += Self.findings(known) }
    if let state { findings += Self.findings(state) }
    if let mailboxes { findings += Self.findings(mailboxes) }
    findings += Self.findings(budgets)
    health =
      findings.contains { $0.severity == "error" } ? .failing : findings.isEmpty ? .ok : .degraded
  }

  private static func stores(_ home: String) -> [Store] {
    ["sessions", "search", "usage", "state"].compactMap { name in
      let path = "\(home)/\(name).db"
      guard let bytes = FileSize.of(path) else { return nil }
      return Store(name: name, path: path, bytes: bytes, walBytes: FileSize.of(path + "-wal") ?? 0)
    }
  }
}
