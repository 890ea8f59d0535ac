// SPDX-License-Identifier: Apache-2.0

public import GRDB

/// A schema of two versions, whose second rebuilds a table in several statements (row C16).
///
/// It is what people do where ALTER TABLE cannot help: make the new table, copy, drop the old one, rename. Half
/// of it is worse than none.
public enum RebuildingMigrations {
  /// The statements of the second version, in their order.
  public static let statements = [
    "CREATE TABLE entry_new(id INTEGER PRIMARY KEY, text TEXT NOT NULL, length INTEGER NOT NULL) STRICT",
    "INSERT INTO entry_new(id, text, length) SELECT id, text, length(text) FROM entry",
    "DROP TABLE entry",
    "ALTER TABLE entry_new RENAME TO entry",
    "CREATE INDEX entry_by_length ON entry(length)",
  ]

  /// The first version alone: what an older build knows.
  public static var old: DatabaseMigrator {
    var migrator = DatabaseMigrator()
    migrator.registerMigration("entry") { db in
      try db.execute(sql: "CREATE TABLE entry(id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT")
    }
    return migrator
  }

  /// Both versions.
  /// - Parameter beforeStatement: called before each statement of the second, and once after the last.
  public static func new(
    beforeStatement: @escaping @Sendable (_ index: Int) -> Void = { _ in }
  ) -> DatabaseMigrator {
    var migrator = old
    migrator.registerMigration("entry length") { db in
      for (index, statement) in statements.enumerated() {
        beforeStatement(index)
        try db.execute(sql: statement)
      }
      beforeStatement(statements.count)
    }
    return migrator
  }
}
