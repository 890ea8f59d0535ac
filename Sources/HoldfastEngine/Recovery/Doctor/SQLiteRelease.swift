// SPDX-License-Identifier: Apache-2.0

import GRDBSQLite

/// A version of SQLite, and what is known to be wrong with it.
package struct SQLiteRelease: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// The number as SQLite counts: 3040001 for 3.40.1 (<https://www.sqlite.org/c3ref/c_source_id.html>).
  package var number: Int32

  /// A release by its number; also what bytes 96 to 99 of a database header hold.
  package init(number: Int32) { self.number = number }

  /// A release by its parts.
  package init(_ major: Int32, _ minor: Int32, _ patch: Int32) {
    number = major * 1_000_000 + minor * 1000 + patch
  }

  /// The library this program is linked with.
  package static var linked: SQLiteRelease { SQLiteRelease(number: sqlite3_libversion_number()) }

  /// Whether a checkpoint may lose committed rows when the WAL is restarted at the same time (row B12).
  ///
  /// From 3.7.0, the first with a WAL, to 3.51.2; mended in 3.51.3 and carried back to 3.50.7 and 3.44.6.
  package var hasWALResetBug: Bool {
    guard self >= SQLiteRelease(3, 7, 0), self < SQLiteRelease(3, 51, 3) else { return false }
    let branch = number / 1000 * 1000
    if branch == 3_050_000 { return self < SQLiteRelease(3, 50, 7) }
    if branch == 3_044_000 { return self < SQLiteRelease(3, 44, 6) }
    return true
  }

  /// Whether SQLite's authors took the release back.
  package var isWithdrawn: Bool { self == SQLiteRelease(3, 52, 0) }

  /// Earlier before later.
  package static func < (left: SQLiteRelease, right: SQLiteRelease) -> Bool { left.number < right.number }

  /// As in `3.40.1`.
  package var description: String { "\(number / 1_000_000).\(number / 1000 % 1000).\(number % 1000)" }
}
