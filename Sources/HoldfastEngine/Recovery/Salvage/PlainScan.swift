// SPDX-License-Identifier: Apache-2.0

/// What SQLite itself reads of a damaged database: forward until it fails, backward until it fails, and by
/// each index, so that a salvage never has less than a plain scan.
struct PlainScan {
  let database: SalvageConnection

  /// nil when SQLite refuses the database as a whole.
  init?(_ image: FileImage, check: @escaping () throws -> Void) {
    self.init(try? SalvageConnection.reading(image, check: check))
  }

  /// Reads a file of our own; nil when SQLite refuses it as a whole.
  init?(_ path: String, check: @escaping () throws -> Void) {
    self.init(try? SalvageConnection(path, isReadOnly: true, check: check))
  }

  private init?(_ database: SalvageConnection?) {
    guard let database else { return nil }
    // Without this one bad row of the schema keeps every table from being read; nothing is written.
    try? database.execute("PRAGMA writable_schema = ON")
    guard (try? database.text("SELECT count(*) FROM sqlite_schema")) != nil else { return nil }
    self.database = database
  }

  /// Calls `row` with each row, fields in the record's order; some come more than once.
  /// - Returns: how many rows a forward scan and, if it failed, the backward one reads.
  func read(
    _ table: SalvageTable, row: ([StoredValue], Int64?, _ isCounted: Bool) throws -> Void
  ) throws -> (count: Int, isComplete: Bool) {
    var count = 0
    let counted = { (values: [StoredValue], rowID: Int64?) in
      count += 1
      try row(values, rowID, true)
    }
    if try scan(table, "NOT INDEXED", row: counted) { return (count, true) }
    if let order = table.key {
      _ = try scan(table, "NOT INDEXED ORDER BY \(order) DESC", row: counted)
    } else if let first = table.columns.first {
      _ = try scan(table, "ORDER BY \(first.name.quoted) DESC", row: counted)
    }
    let indexes = (try? database.rows("PRAGMA index_list(\(table.name.quoted))")) ?? []
    for index in indexes where index[3] == "c" && index[4] == "0" && table.hasRowIDs {
      guard let name = index[1] else { continue }
      _ = try scan(table, "INDEXED BY \(name.quoted)", row: { try row($0, $1, false) })
    }
    return (count, false)
  }

  /// Calls `row` with the rows of the pages given, each from its first row forward, and from its last one backward
  /// where forward fails: what lies between two damaged pages, which neither end of the table leads to. Rows that
  /// a scan passes on its way are not asked for again.
  /// - Parameter pages: the first and the last key of each page, ascending.
  func read(
    _ table: SalvageTable, pages: [ClosedRange<Int64>], row: ([StoredValue], Int64?) throws -> Void
  ) throws {
    guard let key = table.key else { return }
    var done: Int64?
    for page in pages where done.map({ $0 < page.upperBound }) ?? true {
      let start = done.map { max($0 + 1, page.lowerBound) } ?? page.lowerBound
      let isWhole = try scan(
        table, "NOT INDEXED WHERE \(key) >= ?1 ORDER BY \(key)", binding: [.integer(start)]
      ) { values, rowID in
        done = rowID ?? done
        try row(values, rowID)
      }
      if isWhole { return }
      guard (done ?? .min) < page.upperBound else { continue }
      let rest = max(start, done.map { $0 + 1 } ?? start)
      _ = try scan(
        table, "NOT INDEXED WHERE \(key) BETWEEN ?1 AND ?2 ORDER BY \(key) DESC",
        binding: [.integer(rest), .integer(page.upperBound)], row: row)
      done = page.upperBound
    }
  }

  private func scan(
    _ table: SalvageTable, _ rest: String, binding values: [StoredValue] = [],
    row: ([StoredValue], Int64?) throws -> Void
  ) throws -> Bool {
    var names = table.columns.map { $0.isGenerated ? "NULL" : $0.name.quoted }
    if let rowID = table.rowID { names.append(rowID) }
    guard !names.isEmpty else { return false }
    do {
      let statement = try database.prepare(
        "SELECT \(names.joined(separator: ", ")) FROM \(table.name.quoted) \(rest)")
      statement.bind(values, encoding: .utf8)
      while try statement.step() {
        var values = (0..<names.count).map(statement.value)
        var number: Int64?
        if table.rowID != nil, case .integer(let value)? = values.popLast() { number = value }
        if number == nil, let alias = table.alias, case .integer(let value) = values[alias] { number = value }
        do {
          try row(values, number)
        } catch {
          throw Abort(error: error)
        }
      }
      return true
    } catch let abort as Abort {
      throw abort.error
    } catch is SalvageConnection.Failure {
      return false
    }
  }

  /// Carries an error of the taker through the handling of SQLite's.
  private struct Abort: Error {
    var error: any Error
  }
}
