// SPDX-License-Identifier: Apache-2.0

/// What a repair did.
package struct RepairReport: Hashable, Sendable, Codable {
  /// One table's part of it.
  package struct Table: Hashable, Sendable, Codable {
    package var name: String
    /// Rows that SQLite alone read from the old files.
    package var scanned: Int
    /// Rows now in the table.
    package var recovered: Int
    /// Rows of it now in the table `lost_and_found`: its own rules refuse them, or only a part is left.
    package var lostAndFound: Int

    private enum CodingKeys: String, CodingKey {
      case name, scanned, recovered
      case lostAndFound = "lost_and_found"
    }
  }

  /// What was done, a plain sentence each.
  package var actions: [String] = []
  /// Where the old files are, or the copy that was made of them; nil when nothing was changed.
  package var quarantine: String?
  /// The tables of a database that was rebuilt.
  package var tables: [Table] = []
  /// Rows in `lost_and_found` that could be given to no table.
  package var unclaimed = 0
  /// What could not be kept or is not certain, a sentence each.
  package var problems: [String] = []
  /// What the doctor says of the file now.
  package var diagnosis: Diagnosis?

  private enum CodingKeys: String, CodingKey {
    case actions, quarantine, tables, unclaimed, problems
  }

  /// Whether the file is well now.
  package var isHealthy: Bool { diagnosis?.verdict == .healthy || diagnosis?.verdict == .fresh }
}

/// A point at which a repair can be interrupted; tests stop it there.
package enum RepairStep: Hashable, Sendable {
  case madeTemporary, wroteImage, salvaged, verified, finished, linked, cleaned, resolved, copied, rolledBack,
    reindexed
  case quarantine(String)
}
