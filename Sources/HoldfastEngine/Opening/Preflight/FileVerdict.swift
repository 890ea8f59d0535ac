// SPDX-License-Identifier: Apache-2.0

/// What state a database's set of files is in; the raw values are those `doctor --json` prints.
package enum FileVerdict: String, Hashable, Sendable, Codable, CaseIterable {
  case healthy, fresh, busy, zeroed, truncated, damaged, unreadable
  case hotJournal = "hot-journal"
  case walOrphan = "wal-orphan"
  case notADatabase = "not-a-database"
  case indexDamaged = "index-damaged"
  case newerSchema = "newer-schema"
}

/// A verdict with its reason.
package struct PreflightVerdict: Hashable, Sendable {
  /// What state the files are in.
  package var verdict: FileVerdict
  /// One plain sentence.
  package var reason: String
  /// Whether what was seen leaves no other explanation.
  package var isCertain: Bool

  /// Makes a verdict.
  package init(_ verdict: FileVerdict, _ reason: String, isCertain: Bool = true) {
    self.verdict = verdict
    self.reason = reason
    self.isCertain = isCertain
  }
}
