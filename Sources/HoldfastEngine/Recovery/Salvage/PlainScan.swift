// SPDX-License-Identifier: Apache-2.0

/// What SQLite itself reads of a damaged database: forward until it fails, backward until it fails, and by
/// each index, so that a salvage never has less than a plain scan.
struct PlainScan {
  let database: SalvageConnection

  /// Opens the copy; nil when SQLite refuses it as a whole.
  init?(_ path: String, check: @escaping () throws -> Void) {
    guard let database = try? SalvageConnection(path, isReadOnly: true, check: check) else { return nil }
    // Without this one bad row of the schema keeps every table from being read; nothing is written.
    try? database.execute("PRAGMA writable_schema = ON")
    guard (try? database.text("SELECT count(*) FROM sqlite_schema")) != nil else { return nil }
    self.database = database
  }

  /// Calls `row` with each row, fields in the record's order; some come more than once.
  /// - Returns: how many rows a forward scan and, if it failed, the backward one reads.
  func read(
    _ table: SalvageTable, row: ([SalvageValue], Int64?, _ isCounted: Bool) throws -> Void
  ) throws -> (count: Int, isComplete: Bool) {
    let order = table.rowID ?? table.alias.map { table.columns[$0].name.quoted }
    var count = 0
    let counted = { (values: [SalvageValue], rowID: Int64?) in
      count += 1
      try row(values, rowID, true)
    }
    if try scan(table, "NOT INDEXED", row: counted) { return (count, true) }
    if let order {
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

  private func scan(
    _ table: SalvageTable, _ rest: String, row: ([SalvageValue], Int64?) throws -> Void
  ) throws -> Bool {
    var names = table.columns.map { $0.isGenerated ? "NULL" : $0.name.quoted }
    if let rowID = table.rowID { names.append(rowID) }
    guard !names.isEmpty else { return false }
    do {
      let statement = try database.prepare(
        "SELECT \(names.joined(separator: ", ")) FROM \(table.name.quoted) \(rest)")
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
