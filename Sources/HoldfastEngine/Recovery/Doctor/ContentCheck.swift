// SPDX-License-Identifier: Apache-2.0

import GRDB

/// Reads a database's contents for damage and for what else is worth saying.
struct ContentCheck {
  /// What SQLite is asked through.
  let view: any DatabaseView
  /// Whose each page is; nil where that cannot be known, or only the ends of tables are looked at.
  let map: PageMap?
  let extent: ContentReport.Extent
  /// Whether rows are counted and references followed.
  let isDeep: Bool
  /// Told the share that is done and what is being looked at.
  let progress: (Double, String) -> Void

  /// Reads. Blocks.
  /// - Throws: ``StoreError`` with code `transient`; what SQLite says when it is not about damage.
  func run() throws -> ContentReport {
    var report = ContentReport()
    report.extent = extent
    let objects = try map?.objects ?? schema(&report)
    report.tables = Set(objects.filter { $0.type == "table" }.map(\.name))
    try checkStructure(objects, &report)
    try readSettings(&report)
    if report.tables.contains("grdb_migrations") {
      report.migrations =
        try ask(&report) { try String.fetchAll($0, sql: "SELECT identifier FROM grdb_migrations") } ?? []
    }
    report.unindexedForeignKeys =
      try ask(&report) { try ForeignKeyIndexes(reading: $0).lacking } ?? []
    if isDeep { try readRows(objects, &report) }
    return report
  }

  /// Asks, and takes what SQLite finds damaged meanwhile for a finding.
  /// - Returns: nil when there was no answer, also when a statement does not fit this database.
  private func ask<T>(
    _ report: inout ContentReport, about table: String? = nil, _ body: (Database) throws -> T
  ) throws -> T? {
    do {
      return try view.read(body)
    } catch let error as DatabaseError {
      switch ResultClass(extendedCode: error.extendedResultCode.rawValue) {
      case .damagedFile, .notADatabase, .damagedIndex:
        // What the structure's check found already is not said twice.
        if report.problems.isEmpty {
          report.problems.append(.init(kind: .table, table: table, what: error.message ?? "\(error)"))
        }
        return nil
      case .statement: return nil
      default: throw error
      }
    }
  }

  private func schema(_ report: inout ContentReport) throws -> [SchemaObject] {
    try ask(&report) { db in
      try Row.fetchAll(db, sql: "SELECT type, name, tbl_name, rootpage, sql FROM sqlite_schema").compactMap {
        row -> SchemaObject? in
        guard let type = row["type"] as String?, let name = row["name"] as String?,
          let table = row["tbl_name"] as String?
        else { return nil }
        let root = (row["rootpage"] as Int64?).flatMap(UInt32.init(exactly:)) ?? 0
        return SchemaObject(type: type, name: name, table: table, root: root, sql: row["sql"])
      }
    } ?? []
  }

  private func checkStructure(_ objects: [SchemaObject], _ report: inout ContentReport) throws {
    guard extent != .ends else { return try readEnds(objects, &report) }
    let check = map.map { IntegrityCheck($0) } ?? IntegrityCheck(objects: objects)
    let found = try check.run(progress: { progress($0 * (isDeep ? 0.7 : 1), "tables and indexes") }) {
      try view.read($0)
    }
    report.problems += found.findings
    report.unchecked = found.unchecked
    guard !report.isDamaged else { return }
    for problem in found.findings {
      // Where SQLite stopped without a name, any of the table's own may be meant.
      let own = objects.filter { $0.type == "index" && $0.table == problem.table }.map(\.name)
      report.damagedIndexes.formUnion(problem.index.map { [$0] } ?? own)
    }
  }

  /// The first and the last entry of every tree, which lead through every level of it.
  private func readEnds(_ objects: [SchemaObject], _ report: inout ContentReport) throws {
    for object in objects where object.root != 0 {
      let table = Self.quoted(object.table)
      // Without the columns: a row may be as large as the file. A partial index cannot be asked for, and a
      // table without rowids not for its last; both only mean that nothing is learnt.
      let questions =
        object.type == "table"
        ? ["\(table) NOT INDEXED LIMIT 1", "\(table) NOT INDEXED ORDER BY rowid DESC LIMIT 1"]
        : ["\(table) INDEXED BY \(Self.quoted(object.name)) LIMIT 1"]
      for question in questions {
        _ = try ask(&report, about: object.table) { try Int.fetchOne($0, sql: "SELECT 1 FROM \(question)") }
      }
    }
  }

  private func readSettings(_ report: inout ContentReport) throws {
    func number(_ pragma: String) throws -> Int64 {
      try ask(&report) { try Int64.fetchOne($0, sql: "PRAGMA \(pragma)") ?? 0 } ?? 0
    }
    report.applicationID = UInt32(truncatingIfNeeded: try number("application_id"))
    report.freePages = try number("freelist_count")
    report.pageCount = try number("page_count")
  }

  private func readRows(_ objects: [SchemaObject], _ report: inout ContentReport) throws {
    let tables = objects.filter { $0.type == "table" && $0.root != 0 && !$0.name.hasPrefix("sqlite_") }
    var counts: [Diagnosis.Table] = []
    for (index, table) in tables.enumerated() {
      progress(0.7 + 0.15 * Double(index) / Double(tables.count), "rows of \(table.name)")
      let count = try ask(&report, about: table.name) {
        try Int64.fetchOne($0, sql: "SELECT count(*) FROM \(Self.quoted(table.name))")
      }
      counts.append(Diagnosis.Table(name: table.name, rows: count ?? nil))
    }
    report.rows = counts.sorted { $0.name < $1.name }
    progress(0.85, "references between tables")
    report.dangling =
      try ask(&report) { db in
        let sql = """
          SELECT "table", "parent", count(*) AS n FROM pragma_foreign_key_check GROUP BY 1, 2 ORDER BY 1, 2
          """
        return try Row.fetchAll(db, sql: sql).map {
          .init(table: $0["table"], parent: $0["parent"], rows: $0["n"])
        }
      } ?? []
    progress(0.95, "search indexes")
  }

  /// A name as SQL takes it.
  static func quoted(_ name: String) -> String { "\"" + name.replacing("\"", with: "\"\"") + "\"" }
}
