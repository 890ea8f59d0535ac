// SPDX-License-Identifier: Apache-2.0

/// What a page of a database belongs to.
package indirect enum PageOwner: Hashable, Sendable {
  /// The table of the schema, whose root is page 1.
  case schema
  case table(name: String, root: UInt32)
  case index(name: String, table: String, root: UInt32)
  case freelist
  /// An overflow page of a b-tree's cell.
  case overflow(of: PageOwner)
  case pointerMap
  case lockByte
  /// Nothing leads to it.
  case unreachable

  /// The b-tree, for its overflow pages too.
  package var object: PageOwner {
    if case .overflow(let owner) = self { return owner.object }
    return self
  }
}

/// A row of the schema, read without SQLite.
package struct SchemaObject: Hashable, Sendable {
  /// `table`, `index`, `view` or `trigger`.
  package var type: String
  package var name: String
  /// The table it belongs to; its own name for a table.
  package var table: String
  /// 0 for what has no pages.
  package var root: UInt32
  /// nil for indexes SQLite made by itself.
  package var sql: String?

  /// Makes a row.
  init(type: String, name: String, table: String, root: UInt32, sql: String?) {
    self.type = type
    self.name = name
    self.table = table
    self.root = root
    self.sql = sql
  }

  /// Reads a record of the schema's table; nil when it is none.
  init?(_ values: [StoredValue], encoding: PageLayout.Encoding) {
    guard values.count >= 5, case .text(let type) = values[0], case .text(let name) = values[1],
      case .text(let table) = values[2]
    else { return nil }
    self.type = RecordFormat.text(type, encoding: encoding)
    guard ["table", "index", "view", "trigger"].contains(self.type) else { return nil }
    self.name = RecordFormat.text(name, encoding: encoding)
    self.table = RecordFormat.text(table, encoding: encoding)
    switch values[3] {
    case .integer(let root):
      guard let root = UInt32(exactly: root) else { return nil }
      self.root = root
    case .null: root = 0
    default: return nil
    }
    if case .text(let sql) = values[4] { self.sql = RecordFormat.text(sql, encoding: encoding) }
  }
}

/// Something wrong with the structure of a database.
package struct PageProblem: Hashable, Sendable {
  /// What kind of thing is damaged, which decides what mends it.
  package enum Kind: String, Hashable, Sendable, Codable {
    /// REINDEX mends it.
    case index
    /// Rows may be lost.
    case table
    /// Space may be lost, or content overwritten later; VACUUM mends it.
    case freelist
    /// Tables may be invisible.
    case schema
  }

  package var page: UInt32
  package var owner: PageOwner
  package var kind: Kind
  /// What is wrong, a clause without its page: "its cells begin beyond its end".
  package var what: String

  init(page: UInt32, owner: PageOwner, what: String) {
    self.page = page
    self.owner = owner
    self.what = what
    kind = Kind(owner)
  }
}

extension PageProblem.Kind {
  /// What damage to a page of this owner is.
  package init(_ owner: PageOwner) {
    switch owner.object {
    case .schema: self = .schema
    case .index: self = .index
    case .table, .overflow: self = .table
    case .freelist, .pointerMap, .lockByte, .unreachable: self = .freelist
    }
  }
}
