// SPDX-License-Identifier: Apache-2.0

import GRDB

/// The rows of tables as one forward scan reads them, up to where it fails.
enum PlainRows {
  /// The tables with rows of their own, by name; none when the schema cannot be read.
  ///
  /// Not those in which a search index keeps what it made of other rows, and makes again.
  static func tables(in db: Database) -> [String] {
    let sql = "SELECT name, rootpage FROM sqlite_schema WHERE type = 'table' ORDER BY rowid"
    let found = (try? Row.fetchAll(db, sql: sql)) ?? []
    let named = found.compactMap { row -> (name: String, isVirtual: Bool)? in
      guard let name = row["name"] as String?, let root = row["rootpage"] as Int64? else { return nil }
      return (name, root == 0)
    }
    let derived = Set(
      named.filter(\.isVirtual).flatMap { table in
        ["data", "idx", "docsize", "config"].map { "\(table.name)_\($0)" }
      })
    return named.filter { !$0.isVirtual && !$0.name.hasPrefix("sqlite_") && !derived.contains($0.name) }
      .map(\.name)
  }

  /// - Parameter isDistinct: counts a row that is read twice once; costs eight bytes a row of memory.
  static func count(_ table: String, in db: Database, isDistinct: Bool = false) -> Int {
    let name = "\"" + table.replacing("\"", with: "\"\"") + "\""
    // A table without rowids has no such column, and then its key tells its rows apart.
    for columns in ["rowid, *", "*"] {
      guard let rows = try? Row.fetchCursor(db, sql: "SELECT \(columns) FROM \(name) NOT INDEXED") else {
        continue
      }
      var count = 0
      var seen: Set<Int> = []
      while let row = try? rows.next() {
        count += 1
        if isDistinct { seen.insert(row.hashValue) }
      }
      return isDistinct ? seen.count : count
    }
    return 0
  }
}
