// SPDX-License-Identifier: Apache-2.0

import GRDBSQLite

/// What any program reads of a database with plain SQLite: every row of every table, forward until it fails.
///
/// Through the C API, on a private copy of the files, opened read-only: a measure that shares no code with what it
/// measures.
public struct ForeignScan: Sendable {
  /// The rows by table, each row as a hash of its rowid and all its columns; a row that is read twice is one.
  public private(set) var rows: [String: Set<Int>] = [:]
  /// What `integrity_check` says; nil when it could not be run.
  public private(set) var integrity: String?

  /// All rows there are.
  public var total: Int { rows.values.reduce(0) { $0 + $1.count } }

  /// Reads a copy of the set.
  ///
  /// - Parameter checks: whether to run `integrity_check` too.
  public init(of set: FileSet, checks: Bool = false) throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("scanned.db")
    var copy = set
    // An index of another moment's -wal; SQLite makes it anew.
    copy.files[.sharedMemory] = nil
    try copy.write(to: path)
    guard set.files[.database] != nil else { return }
    var handle: OpaquePointer?
    defer { unsafe sqlite3_close_v2(handle) }
    guard unsafe sqlite3_open_v2(path, &handle, SQLITE_OPEN_READONLY, nil) == SQLITE_OK else { return }
    let objects = unsafe Self.texts(
      handle, "SELECT name, rootpage FROM sqlite_schema WHERE type = 'table' ORDER BY rowid")
    let virtual = objects.filter { $0[1] == "0" }.compactMap { $0[0] }
    for object in objects {
      guard let name = object[0], object[1] != "0", object[1] != nil, !name.hasPrefix("sqlite_"),
        !Self.isDerived(name, virtual)
      else { continue }
      rows[name, default: []].formUnion(unsafe Self.hashes(handle, name))
    }
    if checks {
      let lines = unsafe Self.texts(handle, "PRAGMA integrity_check(5)").compactMap { $0[0] }
      integrity = lines.isEmpty ? nil : lines.joined(separator: "; ")
    }
  }

  /// By how many rows the tables of `result` fall short of these, after those in its `lost_and_found`.
  public func shortfall(in result: ForeignScan) -> Int {
    missing(in: result) { max(0, $0.count - $1.count) }
  }

  /// How many of these very rows are neither in the same table of `result` nor, by their number, in its
  /// `lost_and_found`. More than the shortfall where SQLite read nonsense before, as it does of a -wal that is
  /// another database's, and reads the rows themselves after.
  public func replaced(in result: ForeignScan) -> Int {
    missing(in: result) { $0.subtracting($1).count }
  }

  private func missing(in result: ForeignScan, _ count: (Set<Int>, Set<Int>) -> Int) -> Int {
    let missing = rows.reduce(0) { $0 + count($1.value, result.rows[$1.key] ?? []) }
    let lost = result.rows.filter { $0.key.hasPrefix("lost_and_found") && rows[$0.key] == nil }
    return max(0, missing - lost.values.reduce(0) { $0 + $1.count })
  }

  /// Whether a table is a search index's own and made anew from the rows it indexes.
  private static func isDerived(_ name: String, _ virtual: [String]) -> Bool {
    virtual.contains { table in
      ["data", "idx", "docsize", "config"].contains { name == "\(table)_\($0)" }
    }
  }

  private static func texts(_ handle: OpaquePointer?, _ sql: String) -> [[String?]] {
    var statement: OpaquePointer?
    defer { unsafe sqlite3_finalize(statement) }
    guard unsafe sqlite3_prepare_v2(handle, sql, -1, &statement, nil) == SQLITE_OK else { return [] }
    var found: [[String?]] = []
    let width = unsafe sqlite3_column_count(statement)
    while unsafe sqlite3_step(statement) == SQLITE_ROW {
      found.append(
        (0..<width).map { column in
          unsafe sqlite3_column_text(statement, column).map { unsafe String(cString: $0) }
        })
    }
    return found
  }

  private static func hashes(_ handle: OpaquePointer?, _ table: String) -> Set<Int> {
    let name = "\"" + table.replacing("\"", with: "\"\"") + "\""
    var statement: OpaquePointer?
    defer { unsafe sqlite3_finalize(statement) }
    for columns in ["rowid, *", "*"] {
      unsafe sqlite3_finalize(statement)
      unsafe statement = nil
      let sql = "SELECT \(columns) FROM \(name) NOT INDEXED"
      if unsafe sqlite3_prepare_v2(handle, sql, -1, &statement, nil) == SQLITE_OK { break }
    }
    var found: Set<Int> = []
    let width = unsafe sqlite3_column_count(statement)
    // Given no statement, it says that it was misused.
    while unsafe sqlite3_step(statement) == SQLITE_ROW {
      var hasher = Hasher()
      for column in 0..<width {
        let type = unsafe sqlite3_column_type(statement, column)
        hasher.combine(type)
        switch type {
        case SQLITE_INTEGER: hasher.combine(unsafe sqlite3_column_int64(statement, column))
        case SQLITE_FLOAT: hasher.combine(unsafe sqlite3_column_double(statement, column).bitPattern)
        case SQLITE_NULL: break
        default:
          let bytes = unsafe sqlite3_column_blob(statement, column)
          let count = Int(unsafe sqlite3_column_bytes(statement, column))
          unsafe hasher.combine(bytes: UnsafeRawBufferPointer(start: bytes, count: count))
        }
      }
      found.insert(hasher.finalize())
    }
    return found
  }
}
