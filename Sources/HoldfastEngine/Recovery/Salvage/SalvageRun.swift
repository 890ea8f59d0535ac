// SPDX-License-Identifier: Apache-2.0

/// One salvage from the copied pages to the new database in the scratch directory.
struct SalvageRun {
  private var file: SalvageFile
  private let schema: SalvageSchema
  private let output: SalvageOutput
  private let plain: PlainScan?
  private let image: FileImage
  private let scratch: String
  private let options: SalvageOptions
  private let check: () throws -> Void
  private let progress: (Double) -> Void
  private var counts: [String: SalvageReport.Table] = [:]
  private var methods: Set<String> = []
  private var unclaimed = 0
  private var broken: [OrphanPages.Candidate] = []
  /// Tables of which something was lost or hard to reach, in lower case.
  private var damaged: Set<String> = []
  private var shell: String?

  init(
    _ image: FileImage, scratch: String, options: SalvageOptions, check: @escaping () throws -> Void,
    progress: @escaping (Double) -> Void
  ) throws {
    file = SalvageFile(image, check: check)
    schema = try SalvageSchema(&file, known: options.knownSchema)
    plain = PlainScan(image, check: check)
    self.image = image
    output = try SalvageOutput(scratch + "/new.db", file: file, schema: schema, check: check)
    self.scratch = scratch
    self.options = options
    self.check = check
    self.progress = progress
  }

  /// Fills the new database, checks it and says what came of it.
  mutating func run() throws -> SalvageReport {
    for problem in schema.problems { output.say(problem) }
    let tables = try makeTables()
    var done = 0.0
    for table in tables {
      try load(table)
      done += 1
      progress(0.7 * done / Double(max(1, tables.count)))
    }
    try loadOrphans()
    progress(0.75)
    if !damaged.isEmpty || schema.isBroken { try loadFromShell(tables) }
    progress(0.8)
    try loadSequences()
    for entry in schema.entries where entry.type == "index" && !entry.isUniqueIndex {
      _ = try output.create(entry)
    }
    for entry in schema.entries where entry.type == "view" { _ = try output.create(entry) }
    for entry in schema.entries where entry.type == "trigger" { _ = try output.create(entry) }
    for entry in schema.entries where entry.isVirtual { try output.enter(entry) }
    try output.database.execute("COMMIT")
    output.database.close()
    progress(0.9)
    return try verified()
  }

  private mutating func makeTables() throws -> [SalvageTable] {
    var tables: [SalvageTable] = []
    for entry in schema.tables where entry.name.lowercased() != "sqlite_sequence" {
      counts[entry.name] = SalvageReport.Table(name: entry.name)
      if entry.name.lowercased() == "sqlite_stat1" {
        // The one way to make a table with a reserved name.
        try output.database.execute("ANALYZE sqlite_schema")
        try output.database.execute("DELETE FROM sqlite_stat1")
      } else if try !output.create(entry) {
        try setAsideAll(of: entry)
        continue
      }
      do {
        tables.append(try SalvageTable(entry.name, root: entry.root, in: output.database))
      } catch let failure as SalvageConnection.Failure where failure.isAboutContent {
        output.say("The table \(entry.name) cannot be used (\(failure.message)).")
        try setAsideAll(of: entry)
      }
    }
    // Before the rows, so that a row that breaks the rule is set aside and not the rule.
    for entry in schema.entries where entry.isUniqueIndex { _ = try output.create(entry) }
    for entry in schema.entries where entry.type == "index" {
      let walk = try file.walk(root: entry.root, isTable: false)
      for number in walk.pages { try eachCell(number) { file, cell, _ in file.markOverflow(cell) } }
    }
    try output.commit()
    return tables
  }

  private mutating func eachCell(
    _ number: UInt32, _ body: (inout SalvageFile, BTreePage.Cell, BTreePage) throws -> Void
  ) throws {
    try check()
    guard var page = file.page(number) else { return }
    // A walk takes a page with a bad first byte for one of rows when its parent and its rows say so.
    if page.kind == .tableInterior { page = file.page(number, assumed: .tableLeaf) ?? page }
    for index in 0..<page.cellCount {
      if let cell = page.anyCell(index) { try body(&file, cell, page) }
    }
  }

  /// All rows of a table that cannot be made again.
  private mutating func setAsideAll(of entry: SalvageSchema.Entry) throws {
    let isTable = !(entry.sql?.lowercased().contains("without rowid") ?? false)
    let walk = try file.walk(root: entry.root, isTable: isTable)
    let limit = options.maximumRowBytes
    for number in walk.pages {
      var rows: [(SalvageRecord, Int64?)] = []
      try eachCell(number) { file, cell, page in
        file.markOverflow(cell)
        if let record = file.record(cell, on: page, limit: limit) {
          rows.append((record, cell.rowid))
        }
      }
      for (record, rowID) in rows {
        try setAside(
          record.values, record.fieldCount, rowID, entry.name, "the table could not be made again",
          .init(root: entry.root, page: number))
      }
    }
  }

  @discardableResult private mutating func setAside(
    _ values: [StoredValue], _ fieldCount: Int, _ rowID: Int64?, _ table: String?, _ reason: String,
    _ place: SalvageOutput.Place
  ) throws -> Bool {
    let isNew = try output.setAside(
      values, fieldCount: fieldCount, rowID: rowID, table: table, reason: reason, from: place)
    guard isNew else { return false }
    if let table { counts[table]?.lostAndFound += 1 } else { unclaimed += 1 }
    return true
  }

  /// Puts a row into its table, or beside it when the table's own rules refuse it.
  /// - Returns: whether it was not there yet.
  @discardableResult private mutating func take(
    _ values: [StoredValue], _ rowID: Int64?, _ table: SalvageTable, by method: String,
    _ place: SalvageOutput.Place
  ) throws -> Bool {
    switch try output.store(values, rowID: rowID, in: table) {
    case (.stored, _):
      counts[table.name]?.recovered += 1
      methods.insert(method)
      // A value of a class that its column never stores was put there by damage. The row is worth more in its
      // table than beside it, but what SQLite makes of the value is not what was read: so it is kept in both.
      if let column = table.converted(values, encoding: file.encoding).first {
        counts[table.name]?.converted += 1
        _ = try output.setAside(
          values, fieldCount: values.count, rowID: rowID, table: table.name,
          reason: "the row is in the table with another value in \(table.columns[column].name)", from: place)
      }
      return true
    case (.known, _): return false
    case (.refused, let reason):
      return try setAside(values, values.count, rowID, table.name, reason, place)
    }
  }

  private mutating func load(_ table: SalvageTable) throws {
    let walk = try file.walk(root: table.root, isTable: table.hasRowIDs)
    var cells = 0
    for number in walk.pages {
      try eachCell(number) { file, cell, _ in
        cells += 1
        file.markOverflow(cell)
      }
    }
    let scanned = try plain.map { try scan($0, table) }
    let isWhole = scanned?.isComplete == true && !walk.isBroken && cells == scanned?.count
    if !isWhole {
      damaged.insert(table.name.lowercased())
      if let plain, scanned?.isComplete == false { try scanRanges(plain, table, walk) }
      if table.keepsRowID || !table.hasRowIDs {
        for number in walk.pages { try takeRows(of: number, into: table, by: "tree", root: table.root) }
      }
    }
    if walk.isBroken { broken.append(.init(table: table, holes: walk.holes)) }
    try output.commit()
  }

  /// Lets SQLite resume beyond each damaged page, with the keys that the walk has seen.
  private mutating func scanRanges(_ plain: PlainScan, _ table: SalvageTable, _ walk: SalvageFile.Walk) throws
  {
    guard table.hasRowIDs, table.key != nil else { return }
    var pages: [ClosedRange<Int64>] = []
    for number in walk.pages {
      var keys: [Int64] = []
      try eachCell(number) { _, cell, _ in if let key = cell.rowid { keys.append(key) } }
      if let low = keys.min(), let high = keys.max() { pages.append(low...high) }
    }
    pages.sort { $0.lowerBound < $1.lowerBound }
    var this = self
    try plain.read(table, pages: pages) { values, rowID in
      try this.take(values, rowID, table, by: "ranges", .init(root: table.root))
    }
    self = this
  }

  /// What the shell's own recovery has beyond all that: rows whose key is in no table yet. A row that is known to have
  /// lost a part is not among them: the shell makes NULL, or nothing, of what is missing.
  private mutating func loadFromShell(_ tables: [SalvageTable]) throws {
    guard let path = options.shellSearchPath else { return }
    let recovery = ShellRecovery(
      image: image, scratch: scratch, searchPath: path, timeLimit: options.shellTimeLimit,
      freeSpace: options.freeSpace, check: check)
    let (database, words) = try recovery.run()
    shell = words
    guard let found = database.flatMap({ PlainScan($0, check: check) }) else { return }
    var added = 0
    for table in tables {
      var this = self
      _ = try found.read(table) { values, rowID, _ in
        guard !this.output.isAside(values, rowID: rowID, of: table.name),
          case (.stored, _) = try this.output.store(values, rowID: rowID, in: table)
        else { return }
        this.counts[table.name]?.recovered += 1
        added += 1
      }
      self = this
    }
    if added > 0 { methods.insert("shell") }
    shell = "\(words): \(added) rows that nothing else had"
    try output.commit()
  }

  private mutating func scan(_ plain: PlainScan, _ table: SalvageTable) throws -> (
    count: Int, isComplete: Bool
  ) {
    var this = self
    let result = try plain.read(table) { values, rowID, isCounted in
      let isNew = try this.take(values, rowID, table, by: "scan", .init(root: table.root))
      if isNew, isCounted { this.counts[table.name]?.scanned += 1 }
    }
    self = this
    return result
  }

  /// Takes the rows of one page into a table; what is not whole is set aside with what is left of it.
  private mutating func takeRows(
    of number: UInt32, into table: SalvageTable?, by method: String, root: UInt32, reason: String = ""
  ) throws {
    var cells: [BTreePage.Cell] = []
    var found: BTreePage?
    try eachCell(number) { _, cell, page in
      cells.append(cell)
      found = page
    }
    guard let page = found else { return }
    let place = SalvageOutput.Place(root: root, page: number)
    for cell in cells {
      guard let record = file.record(cell, on: page, limit: options.maximumRowBytes), record.fieldCount > 0
      else { continue }
      guard let table else {
        try setAside(record.values, record.fieldCount, cell.rowid, nil, reason, place)
        continue
      }
      let values = table.normalized(record.values, rowID: cell.rowid)
      if record.isWhole, method != "orphans" || table.fit(record, hasRowID: cell.rowid != nil) != nil {
        try take(Array(values.prefix(table.columns.count)), cell.rowid, table, by: method, place)
      } else {
        try setAside(
          values, record.fieldCount, cell.rowid, table.name,
          record.isWhole ? "the row does not fit the table" : "a part of the row is lost", place)
      }
    }
  }

  private mutating func loadOrphans() throws {
    if !file.freelistIsWhole {
      output.say("The list of free pages is damaged; rows that were deleted may be among those brought back.")
      file.findLostFreelist()
    }
    let wantsIndexes = schema.isBroken || broken.contains { !$0.table.hasRowIDs }
    let orphans = try OrphanPages(&file, wantsIndexes: wantsIndexes)
    for group in orphans.groups {
      let limit = options.maximumRowBytes
      let (owner, reason) = try OrphanPages.owner(of: group.pages, in: file, among: broken, limit: limit)
      for number in group.pages {
        var (owner, reason) = (owner, reason)
        if owner == nil, group.pages.count > 1 {
          (owner, reason) = try OrphanPages.owner(of: [number], in: file, among: broken, limit: limit)
        }
        // Entries of an index whose tables are all whole are in those tables.
        if owner == nil, !schema.isBroken, file.page(number)?.kind.isTable != true { continue }
        try takeRows(of: number, into: owner?.table, by: "orphans", root: group.top, reason: reason)
      }
    }
    try output.commit()
    guard options.includesFreePages else { return }
    for number in stride(from: UInt32(2), through: max(2, file.source.pageCount), by: 1)
    where file.free.contains(number) && file.page(number)?.kind == .tableLeaf {
      try takeRows(of: number, into: nil, by: "free", root: 0, reason: "deleted")
    }
  }

  /// `sqlite_sequence` is filled by the inserts; the file's own numbers may be higher and then count.
  private mutating func loadSequences() throws {
    let database = output.database
    guard let entry = schema.tables.first(where: { $0.name.lowercased() == "sqlite_sequence" }),
      try database.text("SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'") != nil
    else { return }
    let table = try SalvageTable(entry.name, root: entry.root, in: database)
    counts[entry.name] = SalvageReport.Table(name: entry.name)
    let minted = try database.rows("SELECT name, seq FROM sqlite_sequence")
    try database.execute("DELETE FROM sqlite_sequence")
    try load(table)
    for row in minted {
      guard let name = row[0], let number = row[1].flatMap(Int64.init) else { continue }
      let values: [StoredValue] = [.text(Array(name.utf8)), .integer(number)]
      for sql in [
        "UPDATE sqlite_sequence SET seq = ?2 WHERE name = ?1 AND (typeof(seq) <> 'integer' OR seq < ?2)",
        "INSERT INTO sqlite_sequence(name, seq) SELECT ?1, ?2 WHERE ?1 NOT IN (SELECT name FROM sqlite_sequence)",
      ] {
        let statement = try database.prepare(sql)
        statement.bind(values, encoding: .utf8)
        _ = try statement.step()
      }
    }
  }

  /// Opens the new database as anybody would, puts search indexes right, and lets SQLite check all of it.
  private func verified() throws -> SalvageReport {
    let database = try SalvageConnection(scratch + "/new.db", isReadOnly: false, check: check)
    defer { database.close() }
    try database.execute("PRAGMA synchronous = OFF")
    for entry in schema.entries where entry.isVirtual {
      if let problem = try SearchIndex(entry, in: database)?.mend(damaged: damaged) { output.say(problem) }
    }
    let found = try database.rows("PRAGMA integrity_check(20)").compactMap { $0[0] }
    guard found == ["ok"] else {
      throw StoreError(
        .damaged, "The salvaged database did not pass its check (\(found.joined(separator: "; "))).")
    }
    var report = SalvageReport(output: "")
    do {
      report.danglingReferences = try database.rows("PRAGMA foreign_key_check").count
    } catch is SalvageConnection.Failure {
      output.say("The foreign keys do not fit their tables and were not checked.")
    }
    report.tables = schema.tables.compactMap { counts[$0.name] }
    report.unclaimed = unclaimed
    report.methods = ["scan", "ranges", "tree", "orphans", "shell"].filter(methods.contains)
    report.shell = shell
    report.problems = output.problems
    return report
  }
}
