// SPDX-License-Identifier: Apache-2.0

package import GRDB
import GRDBSQLite

/// SQLite's `integrity_check`, one table at a time, with its findings told apart by what they are about.
///
/// What is damaged decides what mends it, and SQLite's text is not made to be parsed. Of each line only the
/// number behind the first "page" is used, and the ``PageMap`` says whose page that is; lines without one
/// ("row 5 missing from index i", "wrong # of entries in index i") are about an index when they end in the
/// name of one of the table's own. All else counts as the table's.
package struct IntegrityCheck: Sendable {
  /// One finding.
  package struct Finding: Hashable, Sendable {
    package var kind: PageProblem.Kind
    /// The table that was checked; nil for what the page map found outside of all tables.
    package var table: String?
    /// The index it is about.
    package var index: String?
    package var page: UInt32?
    /// SQLite's words, or the page map's.
    package var what: String
  }

  /// What was found.
  package struct Report: Hashable, Sendable {
    package var findings: [Finding] = []
    /// Tables that were checked to their end.
    package var tables: [String] = []
    /// Tables on which SQLite stopped with an error.
    package var failed: [String] = []
    /// Tables SQLite could not check here, and its reason: a collation or function that only the database's own
    /// program has. That says nothing against them.
    package var unchecked: [String: String] = [:]
    package var isSound: Bool { findings.isEmpty }
  }

  /// The map of the same pages that the connection reads; nil where only SQLite may read them.
  package let map: PageMap?
  private let objects: [SchemaObject]

  /// Makes a check.
  package init(_ map: PageMap) {
    self.map = map
    objects = map.objects
  }

  /// Makes a check of a database whose pages others may be writing: what is found about a page is then the
  /// table's, since nobody knows whose page it is.
  package init(objects: [SchemaObject]) {
    map = nil
    self.objects = objects
  }

  /// Checks all tables. Blocks.
  ///
  /// Outside of a transaction (`inDatabase`, not `read`): on a damaged database the commit that ends a read
  /// fails too, and would hide the report.
  ///
  /// - Parameters:
  ///   - progress: gets the share of pages whose tables are done, 0 … 1.
  ///   - isCancelled: asked every few thousand steps of SQLite's program; SQLite 3.40 does not ask while it
  ///     walks the b-tree of one object, so the answer to a cancellation can take as long as that.
  /// - Throws: `CancellationError`.
  package func run(
    on db: Database, progress: (Double) throws -> Void = { _ in },
    isCancelled: @escaping () -> Bool = { false }
  ) throws -> Report {
    let watch = CancellationWatch(isCancelled)
    unsafe sqlite3_progress_handler(
      db.sqliteConnection, 5000,
      { context in
        guard let context = unsafe context else { return 0 }
        return unsafe Unmanaged<CancellationWatch>.fromOpaque(context).takeUnretainedValue().isCancelled()
          ? 1 : 0
      }, Unmanaged.passUnretained(watch).toOpaque())
    defer { unsafe sqlite3_progress_handler(db.sqliteConnection, 0, nil, nil) }
    defer { withExtendedLifetime(watch) {} }
    return try run(progress: progress, isCancelled: isCancelled) { try $0(db) }
  }

  /// Checks all tables, each in a slice of its own, between which the database's writer gets its turn. Blocks.
  ///
  /// - Parameters:
  ///   - progress: gets the share of pages (of tables, without a map) that are done, 0 … 1.
  ///   - slice: gives what it is called with a connection, outside of a transaction.
  /// - Throws: `CancellationError`; what SQLite says when it is not about damage; what `slice` throws by itself.
  package func run(
    progress: (Double) throws -> Void = { _ in }, isCancelled: () -> Bool = { false },
    slice: ((Database) throws -> [String]) throws -> [String]
  ) throws -> Report {
    var report = Report()
    for problem in map?.problems ?? [] { report.findings.append(Finding(problem)) }
    let tables = objects.filter { $0.type == "table" && $0.root != 0 }
    let sizes = tables.map { pages(of: $0) }
    let total = max(1, sizes.reduce(0, +))
    var done = 0
    for (table, size) in zip(tables, sizes) {
      if isCancelled() { throw CancellationError() }
      try check(table, in: slice, into: &report)
      done += size
      try progress(Double(done) / Double(total))
    }
    return report
  }

  private func pages(of table: SchemaObject) -> Int {
    guard let map else { return 1 }
    return map.pageTotal(of: .table(name: table.name, root: table.root))
      + indexes(of: table).map {
        map.pageTotal(of: .index(name: $0.name, table: $0.table, root: $0.root))
      }.reduce(0, +)
  }

  private func indexes(of table: SchemaObject) -> [SchemaObject] {
    objects.filter { $0.type == "index" && $0.table == table.name }
  }

  private func check(
    _ table: SchemaObject, in slice: ((Database) throws -> [String]) throws -> [String],
    into report: inout Report
  ) throws {
    let name = table.name.replacing("'", with: "''")
    do {
      let lines = try slice { try String.fetchAll($0, sql: "PRAGMA integrity_check('\(name)')") }
      // One row can hold several lines.
      for line in lines.flatMap({ $0.split(separator: "\n") }) where line != "ok" && !line.hasPrefix("***") {
        report.findings.append(classified(String(line), table: table))
      }
      report.tables.append(table.name)
    } catch let error as DatabaseError {
      switch ResultClass(extendedCode: error.extendedResultCode.rawValue) {
      case .interrupted: throw CancellationError()
      case .statement:
        report.unchecked[table.name] = error.message ?? "\(error)"
        return
      case .damagedFile, .damagedIndex, .notADatabase: break
      default: throw error
      }
      report.failed.append(table.name)
      report.findings.append(
        Finding(kind: kindOfFailure(table), table: table.name, what: error.message ?? "\(error)"))
    }
  }

  /// SQLite stopped without saying where: if the map found damage in the table's indexes only, it was there.
  private func kindOfFailure(_ table: SchemaObject) -> PageProblem.Kind {
    let own: [PageProblem.Kind] = (map?.problems ?? []).compactMap {
      switch $0.owner.object {
      case .index(_, table.name, _): .index
      case .table(table.name, _): .table
      default: nil
      }
    }
    return !own.isEmpty && own.allSatisfy { $0 == .index } ? .index : .table
  }

  private func classified(_ line: String, table: SchemaObject) -> Finding {
    var finding = Finding(kind: .table, table: table.name, what: line)
    if let page = Self.pageNumber(in: line) {
      finding.page = page
      guard let map else { return finding }
      let owner = map.owner(of: page).object
      finding.kind = PageProblem.Kind(owner)
      if case .index(let name, _, _) = owner { finding.index = name }
    } else if let index = indexes(of: table).first(where: { line.hasSuffix(" index " + $0.name) }) {
      finding.kind = .index
      finding.index = index.name
    }
    return finding
  }

  /// The number behind the first word "page".
  static func pageNumber(in line: String) -> UInt32? {
    let words = line.split(separator: " ")
    guard let at = words.firstIndex(where: { $0.lowercased() == "page" }), at + 1 < words.count else {
      return nil
    }
    return UInt32(words[at + 1].prefix { $0.isASCII && $0.isNumber })
  }
}

extension IntegrityCheck.Finding {
  init(_ problem: PageProblem) {
    kind = problem.kind
    page = problem.page
    what = problem.what
    switch problem.owner.object {
    case .table(let name, _): table = name
    case .index(let name, let table, _): (index, self.table) = (name, table)
    default: break
    }
  }
}

/// Carries a closure through SQLite's pointer. Used by the one thread that runs the check.
private final class CancellationWatch {
  let isCancelled: () -> Bool
  init(_ isCancelled: @escaping () -> Bool) { self.isCancelled = isCancelled }
}
