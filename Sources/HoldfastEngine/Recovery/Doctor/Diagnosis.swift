// SPDX-License-Identifier: Apache-2.0

/// What `holdfast doctor` says of one file: the JSON of the outer contract. Fields are added, never renamed.
package struct Diagnosis: Hashable, Sendable, Codable {
  /// Something worth knowing about the file.
  package struct Finding: Hashable, Sendable, Codable {
    /// How grave it is.
    package enum Severity: String, Hashable, Sendable, Codable, Comparable {
      /// Good to know.
      case info
      /// Harmless so far, or outside the file.
      case warning
      /// Data is lost, unreachable or wrong.
      case error

      /// Less grave before graver.
      package static func < (left: Severity, right: Severity) -> Bool { left.rank < right.rank }

      private var rank: Int {
        switch self {
        case .info: 0
        case .warning: 1
        case .error: 2
        }
      }
    }

    /// A word for scripts, as in `wal-orphan`.
    package var code: String
    /// How grave it is.
    package var severity: Severity
    /// A sentence: what it is, and how sure that is.
    package var message: String
    /// A sentence: what to do.
    package var remedy: String

    /// Makes a finding.
    package init(_ code: String, _ severity: Severity, _ message: String, remedy: String) {
      self.code = code
      self.severity = severity
      self.message = message
      self.remedy = remedy
    }
  }

  /// A table with its rows.
  package struct Table: Hashable, Sendable, Codable {
    package var name: String
    /// nil when they could not be counted.
    package var rows: Int64?
  }

  /// The database's canonical path.
  package var path: String
  /// The verdict, as in `hot-journal`.
  package var verdict: FileVerdict
  /// The SQLite this program is linked with.
  package var sqliteVersion: String
  /// Whether that SQLite can lose committed rows when a WAL is restarted during a checkpoint (row B12).
  package var walResetBug: Bool
  /// `wal`, or `delete` for every mode with a rollback journal, which the file does not tell apart; nil where
  /// there is no header to say.
  package var journalMode: String?
  /// The size of the -wal in bytes.
  package var walBytes: Int64
  /// The database's pages, those that are in the -wal only among them.
  package var pageCount: Int64
  /// The filesystem's type, as the mount table has it.
  package var filesystem: String?
  /// Who uses the file.
  package var holders: [FileUser]
  /// What was found, the gravest first.
  package var findings: [Finding]
  /// Whether what was seen leaves no other explanation than the verdict.
  package var isCertain = true
  /// The damaged indexes that REINDEX makes anew; none where tables are damaged too.
  package var indexes: [String] = []
  /// The full-text indexes that are damaged or do not fit their contents, which `rebuild` makes anew.
  package var searchIndexes: [String] = []
  /// Rows by table, where they were counted.
  package var tables: [Table]?
  /// The directory in quarantine whose set was examined.
  package var quarantine: String?

  /// A diagnosis without findings.
  package init(path: String, verdict: FileVerdict) {
    self.path = path
    self.verdict = verdict
    sqliteVersion = SQLiteRelease.linked.description
    walResetBug = SQLiteRelease.linked.hasWALResetBug
    walBytes = 0
    pageCount = 0
    holders = []
    findings = []
  }

  private enum CodingKeys: String, CodingKey {
    case path, verdict, filesystem, holders, findings, indexes, tables, quarantine
    case isCertain = "certain"
    case searchIndexes = "search_indexes"
    case sqliteVersion = "sqlite_version"
    case walResetBug = "wal_reset_bug"
    case journalMode = "journal_mode"
    case walBytes = "wal_bytes"
    case pageCount = "page_count"
  }

  /// Writes every field of the contract, one that nobody knows as null.
  package func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(path, forKey: .path)
    try container.encode(verdict, forKey: .verdict)
    try container.encode(sqliteVersion, forKey: .sqliteVersion)
    try container.encode(walResetBug, forKey: .walResetBug)
    try container.encode(journalMode, forKey: .journalMode)
    try container.encode(walBytes, forKey: .walBytes)
    try container.encode(pageCount, forKey: .pageCount)
    try container.encode(filesystem, forKey: .filesystem)
    try container.encode(holders, forKey: .holders)
    try container.encode(findings, forKey: .findings)
    try container.encode(isCertain, forKey: .isCertain)
    try container.encode(indexes, forKey: .indexes)
    try container.encode(searchIndexes, forKey: .searchIndexes)
    try container.encode(tables, forKey: .tables)
    try container.encode(quarantine, forKey: .quarantine)
  }
}
