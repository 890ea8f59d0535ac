// SPDX-License-Identifier: Apache-2.0

import GRDB

/// Which foreign keys no index of their own table serves.
///
/// Every DELETE or change of a key in the parent table looks for rows that refer to it; without an index that
/// begins with the referring columns it reads the whole child table each time
/// (<https://www.sqlite.org/foreignkeys.html#fk_indexes>).
struct ForeignKeyIndexes: Hashable, Sendable {
  /// A foreign key: the child table and its columns.
  struct Key: Hashable, Sendable {
    var table: String
    var columns: [String]
  }

  var keys: [Key] = []
  /// The columns of each whole index, by lower-case table; primary keys among them.
  var indexes: [String: [[String]]] = [:]

  /// The keys that no index begins with, as in `message(session)`; sorted.
  var lacking: [String] {
    keys.filter { key in
      let wanted = Set(key.columns.map { $0.lowercased() })
      // In any order: all of them are compared for equality.
      return !(indexes[key.table.lowercased()] ?? []).contains { columns in
        columns.count >= wanted.count && Set(columns.prefix(wanted.count).map { $0.lowercased() }) == wanted
      }
    }.map { "\($0.table)(\($0.columns.joined(separator: ", ")))" }.sorted()
  }
}

extension ForeignKeyIndexes {
  /// Reads the schema's keys and indexes.
  ///
  /// Partial indexes serve only some rows and do not count, but for those that leave nothing out but NULL, which
  /// refers to no row.
  init(reading db: Database) throws {
    let keyRows = try Row.fetchAll(
      db,
      sql: """
        SELECT m.name AS name, f.id AS id, f."from" AS col
        FROM sqlite_schema m, pragma_foreign_key_list(m.name) f WHERE m.type = 'table'
        ORDER BY m.name, f.id, f.seq
        """)
    guard !keyRows.isEmpty else { return }
    var last: Int64?
    for row in keyRows {
      let (table, id, column): (String, Int64, String) = (row["name"], row["id"], row["col"])
      if last == id, keys.last?.table == table {
        keys[keys.count - 1].columns.append(column)
      } else {
        keys.append(Key(table: table, columns: [column]))
      }
      last = id
    }
    for table in Set(keys.map(\.table)) {
      let listed = try Row.fetchAll(
        db,
        sql: """
          SELECT l.name AS name, i.name AS col, l.partial AS partial, m.sql AS sql
          FROM pragma_index_list(?) l, pragma_index_info(l.name) i
          LEFT JOIN sqlite_schema m ON m.type = 'index' AND m.name = l.name ORDER BY l.seq, i.seqno
          """, arguments: [table])
      var columns: [String: [String]] = [:]
      var partial: [String: String] = [:]
      for row in listed {
        // An expression has no column's name, and stands in for none.
        columns[row["name"], default: []].append(row["col"] ?? "")
        if row["partial"] { partial[row["name"]] = row["sql"] ?? "" }
      }
      for (name, sql) in partial where !Self.leavesOutOnlyNull(sql, in: columns[name]?.first ?? "") {
        columns[name] = nil
      }
      // The rowid's own column has no index and needs none.
      let keyed = try String.fetchAll(
        db, sql: "SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk", arguments: [table])
      indexes[table.lowercased()] = Array(columns.values) + [keyed].filter { !$0.isEmpty }
    }
  }

  /// Whether an index's statement ends in `WHERE column IS NOT NULL`, of its first column.
  static func leavesOutOnlyNull(_ sql: String, in column: String) -> Bool {
    let words = sql.lowercased().split(whereSeparator: \.isWhitespace)
    guard let last = words.lastIndex(of: "where") else { return false }
    let quotes: Set<Character> = ["\"", "`", "[", "]", "(", ")"]
    let condition = words[(last + 1)...].joined(separator: " ").filter { !quotes.contains($0) }
    let name = column.lowercased()
    return condition == name + " is not null" || condition == name + " notnull"
  }
}
