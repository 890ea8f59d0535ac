// SPDX-License-Identifier: Apache-2.0

/// The new database while it is being filled.
///
/// The first row to come for a key stays, so the order in which the methods run is the order in which they
/// are believed. A row that the table's own rules refuse goes to `lost_and_found` with the reason.
final class SalvageOutput {
  /// What became of a row.
  enum Fate { case stored, known, refused }

  let database: SalvageConnection
  private let encoding: PageLayout.Encoding
  private var inserts: [String: SalvageStatement] = [:]
  private var comparisons: [String: SalvageStatement] = [:]
  private var lostTable: String?
  private var lostColumns = -1
  private var lostInsert: SalvageStatement?
  private var lostRows: Set<Int> = []
  /// Numbers of rows that were put aside, or their first fields, by table.
  private var lostKeys: [String: Set<StoredValue>] = [:]
  private let takenNames: Set<String>
  private(set) var problems: [String] = []

  init(_ path: String, file: SalvageFile, schema: SalvageSchema, check: @escaping () throws -> Void) throws {
    database = try SalvageConnection(path, isReadOnly: false, check: check)
    encoding = file.encoding
    takenNames = Set(schema.entries.map { $0.name.lowercased() })
    try database.execute("PRAGMA page_size = \(file.source.pageSize)")
    try database.execute("PRAGMA encoding = '\(encoding.name)'")
    try database.execute("PRAGMA auto_vacuum = \(file.autoVacuum)")
    // It gets its name only when it is whole and synced, so nothing here needs to survive a crash.
    try database.execute("PRAGMA journal_mode = MEMORY")
    try database.execute("PRAGMA synchronous = OFF")
    try database.execute("PRAGMA application_id = \(file.applicationID)")
    try database.execute("PRAGMA user_version = \(file.userVersion)")
    try database.execute("BEGIN")
  }

  func commit() throws {
    try database.execute("COMMIT")
    try database.execute("BEGIN")
  }

  func say(_ problem: String) {
    if problems.count < 1000, !problems.contains(problem) { problems.append(problem) }
  }

  /// Creates one object from its own text; false, and a problem, when that does not work.
  func create(_ entry: SalvageSchema.Entry) throws -> Bool {
    guard let sql = entry.sql else { return false }
    try database.execute("SAVEPOINT object")
    do {
      try database.create(sql)
      let found = try database.rows(
        "SELECT 1 FROM sqlite_schema WHERE name = ?1 COLLATE NOCASE AND type = ?2",
        [.text(Array(entry.name.utf8)), .text(Array(entry.type.utf8))])
      guard !found.isEmpty else {
        throw SalvageConnection.Failure(code: 1, message: "the statement makes another object")
      }
      try database.execute("RELEASE object")
      return true
    } catch let failure as SalvageConnection.Failure where failure.isAboutContent {
      try database.execute("ROLLBACK TO object")
      try database.execute("RELEASE object")
      say("The \(entry.type) \(entry.name) was not kept (\(failure.message)): \(sql.prefix(2000))")
      return false
    }
  }

  /// Enters an object in the schema without running anything: virtual tables, whose modules would make
  /// shadow tables of their own.
  func enter(_ entry: SalvageSchema.Entry) throws {
    try database.execute("PRAGMA writable_schema = ON")
    defer { try? database.execute("PRAGMA writable_schema = OFF") }
    let statement = try database.prepare(
      "INSERT INTO sqlite_schema(type, name, tbl_name, rootpage, sql) VALUES ('table', ?1, ?1, 0, ?2)")
    statement.bind([.text(Array(entry.name.utf8)), .text(Array((entry.sql ?? "").utf8))], encoding: .utf8)
    _ = try statement.step()
  }

  /// Stores a row: fields in the record's order, as many as the record has.
  func store(_ values: [StoredValue], rowID: Int64?, in table: SalvageTable) throws -> (Fate, String) {
    let given = table.given(values.count)
    var bound = given.map { values[$0] }
    let namesRowID = table.alias == nil && table.rowID != nil
    if namesRowID { bound.append(rowID.map { .integer($0) } ?? .null) }
    let insert = try insert(table, given, namesRowID: namesRowID, count: values.count)
    insert.bind(bound, encoding: encoding)
    defer { insert.reset() }
    do {
      _ = try insert.step()
      return (.stored, "")
    } catch let failure as SalvageConnection.Failure where failure.isAboutContent {
      insert.reset()
      return try isKnown(bound, in: table, given, namesRowID: namesRowID)
        ? (.known, "") : (.refused, failure.message)
    }
  }

  private func insert(
    _ table: SalvageTable, _ given: [Int], namesRowID: Bool, count: Int
  ) throws -> SalvageStatement {
    let key = "\(count) \(table.name)"
    if let known = inserts[key] { return known }
    var names = given.map { table.columns[$0].name.quoted }
    if namesRowID, let rowID = table.rowID { names.append(rowID) }
    let places = names.indices.map { "?\($0 + 1)" }.joined(separator: ", ")
    // OR ABORT outweighs what the table says of conflicts: ON CONFLICT REPLACE would take another row away.
    let statement = try database.prepare(
      names.isEmpty
        ? "INSERT OR ABORT INTO \(table.name.quoted) DEFAULT VALUES"
        : "INSERT OR ABORT INTO \(table.name.quoted)(\(names.joined(separator: ", "))) VALUES (\(places))")
    inserts[key] = statement
    return statement
  }

  /// Whether the very same row is there already.
  private func isKnown(
    _ bound: [StoredValue], in table: SalvageTable, _ given: [Int], namesRowID: Bool
  ) throws -> Bool {
    let key = "\(given.count) \(bound.count) \(table.name)"
    if comparisons[key] == nil {
      var terms = given.enumerated().map { place, column in
        let name = table.columns[column].name.quoted
        // The first finds it by index; the second sees what a collation would overlook.
        return "\(name) IS ?\(place + 1) AND \(name) COLLATE BINARY IS ?\(place + 1)"
      }
      if namesRowID, let rowID = table.rowID { terms.append("\(rowID) = ?\(bound.count)") }
      comparisons[key] = try database.prepare(
        "SELECT 1 FROM \(table.name.quoted) WHERE \(terms.isEmpty ? "1" : terms.joined(separator: " AND ")) LIMIT 1"
      )
    }
    guard let comparison = comparisons[key] else { return false }
    comparison.bind(bound, encoding: encoding)
    defer { comparison.reset() }
    return try comparison.step()
  }

  /// Whether a row with this number, or in a table without rowids with this first field, was put aside.
  func isAside(_ values: [StoredValue], rowID: Int64?, of table: String) -> Bool {
    guard let key = rowID.map({ StoredValue.integer($0) }) ?? values.first else { return false }
    return lostKeys[table]?.contains(key) ?? false
  }

  /// Where a row came from, for `lost_and_found`.
  struct Place {
    var root: UInt32 = 0
    var page: UInt32 = 0
  }

  /// Puts a row aside; false when the same one was put aside for the same table before.
  func setAside(
    _ values: [StoredValue], fieldCount: Int, rowID: Int64?, table: String?, reason: String,
    from place: Place
  ) throws -> Bool {
    if let table {
      var hasher = Hasher()
      hasher.combine(table)
      hasher.combine(rowID)
      hasher.combine(values)
      guard lostRows.insert(hasher.finalize()).inserted else { return false }
      if let key = rowID.map({ StoredValue.integer($0) }) ?? values.first {
        lostKeys[table, default: []].insert(key)
      }
    }
    let values = Array(values.prefix(1900))
    try prepareLost(values.count)
    var bound: [StoredValue] = [
      .integer(Int64(place.root)), .integer(Int64(place.page)), .integer(Int64(fieldCount)),
      rowID.map { .integer($0) } ?? .null,
    ]
    // The statement has one encoding for all text; these two are plain ASCII or close to it.
    bound += [table, reason].map { $0.map { .text(encoding.bytes(of: $0)) } ?? .null }
    lostInsert?.bind(
      bound + values + Array(repeating: .null, count: lostColumns - values.count), encoding: encoding)
    _ = try lostInsert?.step()
    lostInsert?.reset()
    return true
  }

  private func prepareLost(_ count: Int) throws {
    guard count > lostColumns else { return }
    let name: String
    if let lostTable {
      name = lostTable
    } else {
      var candidate = "lost_and_found"
      var number = 0
      while takenNames.contains(candidate) {
        candidate = "lost_and_found_\(number)"
        number += 1
      }
      name = candidate
      lostTable = name
      try database.execute(
        """
        CREATE TABLE \(name)(rootpgno INTEGER, pgno INTEGER, nfield INTEGER, id INTEGER, tbl TEXT, reason TEXT)
        """)
      lostColumns = 0
    }
    lostInsert = nil
    for column in lostColumns..<max(count, lostColumns) {
      try database.execute("ALTER TABLE \(name) ADD COLUMN c\(column)")
    }
    lostColumns = max(count, lostColumns)
    let places = Array(repeating: "?", count: 6 + lostColumns).joined(separator: ", ")
    lostInsert = try database.prepare("INSERT INTO \(name) VALUES (\(places))")
  }
}
