// SPDX-License-Identifier: Apache-2.0

/// A table of the new database, and how a record of the damaged one becomes a row of it.
struct SalvageTable {
  /// A field of the record, in the record's order.
  struct Column {
    var name: String
    var type: String
    var isNotNull: Bool
    /// Computed and stored: it is in the record, but the table computes it again.
    var isGenerated: Bool

    /// Of a STRICT table, where `ANY` is a type.
    var isStrict: Bool

    /// Source: <https://www.sqlite.org/datatype3.html#determination_of_column_affinity>.
    var affinity: Affinity {
      let type = type.uppercased()
      if type.contains("INT") { return .integer }
      if type.contains("CHAR") || type.contains("CLOB") || type.contains("TEXT") { return .text }
      if type.contains("BLOB") || type.isEmpty { return .blob }
      if type.contains("REAL") || type.contains("FLOA") || type.contains("DOUB") { return .real }
      return type == "ANY" && isStrict ? .blob : .integer
    }
  }

  /// What a column does to values; numeric counts as integer here.
  enum Affinity { case integer, real, text, blob }

  let name: String
  let root: UInt32
  /// The name by which the row's number can be had; nil in a table without rowids, or when all are taken.
  let rowID: String?
  let hasRowIDs: Bool
  /// The index of the column that is the row's number: its field is NULL.
  let alias: Int?
  let columns: [Column]

  /// Asks the new database what became of a `CREATE TABLE`.
  init(_ name: String, root: UInt32, in database: SalvageConnection) throws {
    self.name = name
    self.root = root
    let info = try database.rows("PRAGMA table_xinfo(\(name.quoted))")
    let indexes = try database.rows("PRAGMA index_list(\(name.quoted))")
    let listed = try database.rows("PRAGMA table_list(\(name.quoted))").first { $0[0] == "main" }
    let withoutRowIDs = listed?[4] == "1"
    let isStrict = listed?[5] == "1"
    let key = indexes.first { $0[3] == "pk" }?[1]
    var stored = info.indices.filter { info[$0][6] != "2" }
    if withoutRowIDs, let key {
      stored = try database.rows("PRAGMA index_xinfo(\(key.quoted))").compactMap { row in
        info.firstIndex { $0[0] == row[1] }
      }
    }
    columns = stored.map {
      Column(
        name: info[$0][1] ?? "", type: info[$0][2] ?? "", isNotNull: info[$0][3] == "1",
        isGenerated: info[$0][6] == "3", isStrict: isStrict)
    }
    hasRowIDs = !withoutRowIDs
    let names = Set(info.compactMap { $0[1]?.lowercased() })
    rowID = withoutRowIDs ? nil : ["rowid", "_rowid_", "oid"].first { !names.contains($0) }
    // A single key that needs no index of its own is the row's number itself.
    let keys = info.filter { $0[5] != "0" }
    if !withoutRowIDs, key == nil, keys.count == 1 {
      alias = stored.firstIndex { info[$0][0] == keys[0][0] }
    } else {
      alias = nil
    }
  }

  /// What stands for the row's number in an expression; nil where nothing does.
  var key: String? { rowID ?? alias.map { columns[$0].name.quoted } }

  /// Whether the row's number can be given to an insert.
  var keepsRowID: Bool { alias != nil || rowID != nil }

  /// The columns a row is given; the others are computed.
  func given(_ count: Int) -> [Int] { columns.indices.prefix(count).filter { !columns[$0].isGenerated } }

  /// What SQLite makes of a record on reading it: the key in its column, whole numbers as reals.
  func normalized(_ values: [StoredValue], rowID: Int64?) -> [StoredValue] {
    var values = values
    for index in values.indices.prefix(columns.count) {
      if index == alias, let rowID { values[index] = .integer(rowID) }
      if columns[index].affinity == .real, case .integer(let whole) = values[index] {
        values[index] = .real(Double(whole))
      }
    }
    return values
  }

  /// The columns whose value SQLite would change on storing it, which therefore no statement has stored.
  /// Source: <https://www.sqlite.org/datatype3.html#type_affinity>.
  func converted(_ values: [StoredValue], encoding: PageLayout.Encoding) -> [Int] {
    values.indices.prefix(columns.count).filter { index in
      guard index != alias, !columns[index].isGenerated else { return false }
      switch (values[index], columns[index].affinity) {
      case (.integer, .text), (.real, .text): return true
      case (.real(let number), .integer): return Int64(exactly: number) != nil
      case (.text(let bytes), .integer), (.text(let bytes), .real):
        return StoredValue.isNumber(bytes, encoding: encoding)
      default: return false
      }
    }
  }

  /// How well a record fits; nil when no row of this table can look like it.
  func fit(_ record: SalvageRecord, hasRowID: Bool) -> Int? {
    guard hasRowID == hasRowIDs, record.isWhole, record.fieldCount <= columns.count else { return nil }
    // Columns added later are missing at the end of older rows.
    var points = record.fieldCount == columns.count ? 4 : 0
    for (index, value) in record.values.enumerated() {
      let column = columns[index]
      if index == alias {
        guard value == .null else { return nil }
        points += 2
        continue
      }
      switch (value, column.affinity) {
      case (.null, _): if column.isNotNull { return nil }
      case (.integer, .integer), (.real, .real), (.text, .text), (.blob, .blob): points += 2
      case (.integer, .text), (.real, .text): return nil
      case (.integer, .real), (.real, .integer): points += 1
      case (_, .blob), (.blob, _): points += 1
      // Text in a column of numbers is possible, but not what a column of numbers is for.
      case (.text, _): points -= 1
      }
    }
    return points
  }
}
