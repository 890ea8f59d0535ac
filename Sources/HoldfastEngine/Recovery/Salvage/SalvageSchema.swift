// SPDX-License-Identifier: Apache-2.0

/// The rows of `sqlite_schema` that can be read; a bad one costs itself alone.
struct SalvageSchema {
  /// One object of the schema.
  struct Entry {
    var type: String
    var name: String
    var table: String
    /// 0 when there is none, or when it is not known.
    var root: UInt32
    var sql: String?

    var isVirtual: Bool { type == "table" && (sql?.lowercased().hasPrefix("create virtual") ?? false) }
    var isUniqueIndex: Bool { type == "index" && (sql?.lowercased().hasPrefix("create unique") ?? false) }
  }

  private(set) var entries: [Entry] = []
  private(set) var problems: [String] = []
  /// Whether a part of the schema cannot be read, so that there may be tables nobody knows of.
  private(set) var isBroken = false

  var tables: [Entry] { entries.filter { $0.type == "table" && !$0.isVirtual } }

  /// Reads the schema from page 1 on, and adds what the caller knows and the file has lost.
  init(_ file: inout SalvageFile, known: [String]) throws {
    let walk = try file.walk(root: 1, isTable: true)
    for number in walk.pages { read(number, of: &file) }
    // An empty schema beside a page 1 that was made up is one that was lost.
    isBroken = isBroken || walk.isBroken || file.isHeaderRebuilt && entries.isEmpty
    if isBroken { problems.append("A part of the schema cannot be read.") }
    add(known)
  }

  private mutating func read(_ number: UInt32, of file: inout SalvageFile) {
    guard let page = file.page(number, assumed: .tableLeaf) else { return }
    for index in 0..<page.cellCount {
      guard let cell = page.anyCell(index) else {
        isBroken = true
        continue
      }
      file.markOverflow(cell)
      guard let values = file.record(cell, on: page, limit: 16 << 20)?.values, values.count >= 5,
        let type = text(values[0], file), let name = text(values[1], file), let table = text(values[2], file),
        ["table", "index", "view", "trigger"].contains(type), !name.isEmpty, !name.utf8.contains(0)
      else {
        isBroken = true
        problems.append("A row of the schema cannot be read.")
        continue
      }
      var root: UInt32 = 0
      if case .integer(let number) = values[3] { root = UInt32(exactly: number) ?? 0 }
      let isTwice = entries.contains { $0.name.lowercased() == name.lowercased() }
      if isTwice {
        problems.append("The schema has \(name) twice; the first is kept.")
        continue
      }
      entries.append(Entry(type: type, name: name, table: table, root: root, sql: text(values[4], file)))
    }
  }

  private func text(_ value: StoredValue, _ file: SalvageFile) -> String? {
    guard case .text(let bytes) = value else { return nil }
    let text = RecordFormat.text(bytes, encoding: file.encoding)
    return file.encoding.bytes(of: text) == bytes ? text : nil
  }

  /// What the caller knows is run in an empty database, which then says the names.
  private mutating func add(_ known: [String]) {
    guard !known.isEmpty, let scratch = try? SalvageConnection(":memory:", isReadOnly: false, check: {})
    else {
      return
    }
    for sql in known {
      let sql = String(sql.drop { $0.isWhitespace })
      do {
        try scratch.create(sql)
      } catch {
        problems.append("A statement of the known schema was not used (\(error)): \(sql.prefix(200))")
      }
    }
    let rows = (try? scratch.rows("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY rowid")) ?? []
    for row in rows {
      guard let type = row[0], let name = row[1], let table = row[2], row[3] != nil,
        !entries.contains(where: { $0.name.lowercased() == name.lowercased() })
      else { continue }
      entries.append(Entry(type: type, name: name, table: table, root: 0, sql: row[3]))
    }
  }
}

extension PageLayout.Encoding {
  /// A text as a database of this encoding stores it.
  func bytes(of text: String) -> [UInt8] {
    switch self {
    case .utf8: Array(text.utf8)
    case .utf16LittleEndian: text.utf16.flatMap { [UInt8($0 & 0xff), UInt8($0 >> 8)] }
    case .utf16BigEndian: text.utf16.flatMap { [UInt8($0 >> 8), UInt8($0 & 0xff)] }
    }
  }

  /// SQLite's name of it.
  var name: String {
    switch self {
    case .utf8: "UTF-8"
    case .utf16LittleEndian: "UTF-16le"
    case .utf16BigEndian: "UTF-16be"
    }
  }
}
