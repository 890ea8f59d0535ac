// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// What a salvage brought back.
package struct SalvageReport: Hashable, Sendable, Codable {
  /// One table's part of it.
  package struct Table: Hashable, Sendable, Codable {
    /// The table's name.
    package var name: String
    /// Rows that SQLite alone reads: forward until it fails, and then backward. A row that it reads twice,
    /// because two pages lead to it, counts once.
    package var scanned = 0
    /// Rows now in the table of the same name.
    package var recovered = 0
    /// Those of ``recovered`` that held a value their column cannot hold, which only damage puts there (an
    /// integer in a column of text). The table has what SQLite makes of the value, and `lost_and_found` has the
    /// row as it was read.
    package var converted = 0
    /// Rows of this table that its own rules refuse, or of which only a part is left.
    package var lostAndFound = 0
  }

  /// The tables, in the order of the schema.
  package var tables: [Table] = []
  /// Rows in `lost_and_found` that could be given to no table.
  package var unclaimed = 0
  /// Which methods brought rows: `scan`, `ranges`, `tree`, `orphans`, `shell`.
  package var methods: [String] = []
  /// What came of the `.recover` of the `sqlite3` program; nil when nothing was damaged, so that it was not
  /// asked.
  package var shell: String?
  /// What could not be kept or is not certain, one sentence each.
  package var problems: [String] = []
  /// Rows whose foreign key points to a row that is not there.
  package var danglingReferences = 0
  /// The new database.
  package var output: String
}

/// Bounds and choices of a salvage.
package struct SalvageOptions: Sendable {
  /// `CREATE` statements to use where the file's own schema is lost; in the order they were run.
  package var knownSchema: [String] = []
  /// Whether deleted rows that still lie on free pages go to `lost_and_found`. Off: what was deleted stays so.
  package var includesFreePages = false
  /// Rows larger than this are not brought back by the page scan; it bounds the memory used.
  package var maximumRowBytes = 256 << 20
  /// When to give up, with ``StoreError/Code/deadline``.
  package var timeLimit: Duration = .seconds(24 * 3600)
  /// The directories, with colons between them, in which a `sqlite3` program is looked for, whose `.recover` is
  /// run too where it works; nil to run none.
  package var shellSearchPath = unsafe getenv("PATH").map { unsafe String(cString: $0) }
  /// How long that program may take.
  package var shellTimeLimit: Duration = .seconds(600)
  /// Bytes free on the filesystem of a directory; nil where that cannot be known.
  package var freeSpace: @Sendable (String) -> Int64? = { FreeSpace.bytes(in: $0) }
  /// Asked now and then; true ends the run with ``StoreError/Code/cancelled``.
  package var isCancelled: @Sendable () -> Bool = { false }

  /// The defaults.
  package init() {}
}
