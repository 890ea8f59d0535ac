// SPDX-License-Identifier: Apache-2.0

import GRDBSQLite

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// An SQLite connection for salvage alone: no function, no collation and no setting of anybody's.
///
/// GRDB is not used here: it decodes text, and text that is not valid must come over byte for byte.
@safe final class SalvageConnection {
  /// What SQLite answered instead of doing as told.
  struct Failure: Error {
    var code: Int32
    var message: String
    /// The system's error number, where the system was asked; else 0.
    var systemCode: Int32 = 0

    /// Whether what was read or written is to blame, and not the machine: then it costs that, and not the run.
    var isAboutContent: Bool {
      ![SQLITE_FULL, SQLITE_IOERR, SQLITE_NOMEM, SQLITE_INTERRUPT, SQLITE_CANTOPEN].contains(code & 0xff)
    }

    /// Whether there was no room on the device.
    var isFull: Bool {
      code & 0xff == SQLITE_FULL
        || code & 0xff == SQLITE_IOERR && [ENOSPC, EDQUOT, EFBIG].contains(systemCode)
    }
  }

  private let handle: OpaquePointer
  private let check: () throws -> Void
  /// Set when the run's own limit stopped a statement.
  private(set) var interruption: (any Error)?

  /// Opens a file of our own. The schema it holds is not trusted: functions with side effects do not run from
  /// it.
  convenience init(_ path: String, isReadOnly: Bool, check: @escaping () throws -> Void) throws {
    // `immutable` keeps SQLite from looking for locks, logs and journals: nobody else has the file.
    try self.init(
      name: isReadOnly ? "file:\(Self.escaped(path))?immutable=1" : path,
      flags: isReadOnly
        ? SQLITE_OPEN_READONLY | SQLITE_OPEN_URI : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, check: check)
  }

  /// Reads the damaged database through ``ImageVFS``, with less care than ``ImageVFS/open(_:)``: cells are not
  /// checked before they are read, since a page with one bad cell has others.
  static func reading(_ image: FileImage, check: @escaping () throws -> Void) throws -> SalvageConnection {
    try ImageVFS.withURI(of: image) { uri in
      try SalvageConnection(name: uri, flags: SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, check: check)
    }
  }

  private init(name: String, flags: Int32, check: @escaping () throws -> Void) throws {
    var handle: OpaquePointer?
    let code = unsafe sqlite3_open_v2(name, &handle, flags | SQLITE_OPEN_NOMUTEX, nil)
    guard code == SQLITE_OK, let opened = unsafe handle else {
      unsafe sqlite3_close_v2(handle)
      throw Failure(code: code, message: "cannot open")
    }
    unsafe self.handle = unsafe opened
    self.check = check
    unsafe sqlite3_extended_result_codes(opened, 1)
    let this = unsafe Unmanaged.passUnretained(self).toOpaque()
    _ = unsafe sqlite3_set_authorizer(
      opened,
      { context, action, first, second, _, _ in
        unsafe SalvageConnection.authorize(context, action, first, second)
      },
      this)
    unsafe sqlite3_progress_handler(opened, 20_000, { unsafe SalvageConnection.progressed($0) }, this)
    try execute("PRAGMA trusted_schema = OFF")
    try execute("PRAGMA foreign_keys = OFF")
    try execute("PRAGMA recursive_triggers = OFF")
    try execute("PRAGMA cell_size_check = OFF")
    try execute("PRAGMA mmap_size = 0")
  }

  deinit { close() }

  /// Whether a statement may read anything: `CREATE TABLE … AS SELECT` of a hostile schema must not.
  private var deniesSelect = false
  /// Whether a statement may do nothing but add a row of literals to a table that is not the schema.
  private var onlyInserts = false
  private var isClosed = false
  func close() {
    guard !isClosed else { return }
    isClosed = true
    unsafe sqlite3_close_v2(handle)
  }

  private static func escaped(_ path: String) -> String {
    path.utf8.reduce(into: "") { text, byte in
      let isPlain =
        (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
        || [0x2d, 0x2e, 0x2f, 0x5f].contains(byte)
      text += isPlain ? String(UnicodeScalar(byte)) : "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }
  }

  /// Nothing in a schema has business with other files, extensions or tokenizer pointers.
  private static func authorize(
    _ context: UnsafeMutableRawPointer?, _ action: Int32, _ first: UnsafePointer<CChar>?,
    _ second: UnsafePointer<CChar>?
  ) -> Int32 {
    guard let context = unsafe context else { return SQLITE_DENY }
    let this = unsafe Unmanaged<SalvageConnection>.fromOpaque(context).takeUnretainedValue()
    if this.onlyInserts {
      switch action {
      case SQLITE_READ: return SQLITE_OK
      case SQLITE_INSERT:
        let table = unsafe first.map { unsafe String(cString: $0).lowercased() } ?? ""
        return table.hasPrefix("sqlite_") ? SQLITE_DENY : SQLITE_OK
      case SQLITE_FUNCTION:
        // What `.recover` writes texts with; anything else can be used to keep us busy or to fill the memory.
        let name = unsafe second.map { unsafe String(cString: $0).lowercased() } ?? ""
        return ["char", "replace", "unistr"].contains(name) ? SQLITE_OK : SQLITE_DENY
      default: return SQLITE_DENY
      }
    }
    switch action {
    case SQLITE_SELECT: return this.deniesSelect ? SQLITE_DENY : SQLITE_OK
    case SQLITE_ATTACH, SQLITE_DETACH: return SQLITE_DENY
    case SQLITE_FUNCTION:
      let name = unsafe second.map { unsafe String(cString: $0).lowercased() } ?? ""
      return ["load_extension", "fts3_tokenizer"].contains(name) ? SQLITE_DENY : SQLITE_OK
    default: return SQLITE_OK
    }
  }

  private static func progressed(_ context: UnsafeMutableRawPointer?) -> Int32 {
    guard let context = unsafe context else { return 0 }
    let this = unsafe Unmanaged<SalvageConnection>.fromOpaque(context).takeUnretainedValue()
    do {
      try this.check()
      return 0
    } catch {
      this.interruption = error
      return 1
    }
  }

  func failure(_ code: Int32) -> any Error {
    if let interruption { return interruption }
    return Failure(
      code: code, message: unsafe String(cString: sqlite3_errmsg(handle)),
      systemCode: unsafe sqlite3_system_errno(handle))
  }

  func execute(_ sql: String) throws {
    let code = unsafe sqlite3_exec(handle, sql, nil, nil, nil)
    guard code == SQLITE_OK else { throw failure(code) }
  }

  /// Runs one statement of a schema that nobody vouches for: only a `CREATE`, and only one.
  func create(_ sql: String) throws {
    guard sql.prefix(7).lowercased() == "create ", !sql.utf8.contains(0) else {
      throw Failure(code: SQLITE_ERROR, message: "not a CREATE statement")
    }
    deniesSelect = sql.prefix(14).lowercased() != "create virtual"
    defer { deniesSelect = false }
    let statement = try prepare(sql, isOnly: true)
    guard try !statement.step() else { throw Failure(code: SQLITE_ERROR, message: "not a CREATE statement") }
  }

  /// Runs one `INSERT` that nobody vouches for, into a table of this database.
  func insert(_ sql: String) throws {
    onlyInserts = true
    defer { onlyInserts = false }
    let statement = try prepare(sql, isOnly: true)
    guard try !statement.step() else { throw Failure(code: SQLITE_ERROR, message: "not an INSERT statement") }
  }

  /// Whether a text is one or more whole statements.
  static func isComplete(_ sql: String) -> Bool { unsafe sqlite3_complete(sql) == 1 }

  func prepare(_ sql: String, isOnly: Bool = false) throws -> SalvageStatement {
    var statement: OpaquePointer?
    let (code, rest) = unsafe sql.withCString { text in
      var tail: UnsafePointer<CChar>?
      let code = unsafe sqlite3_prepare_v2(handle, text, -1, &statement, &tail)
      return (code, unsafe tail.map { unsafe String(cString: $0) } ?? "")
    }
    guard code == SQLITE_OK, let prepared = unsafe statement else { throw failure(code) }
    let result = unsafe SalvageStatement(prepared, of: self)
    if isOnly, !rest.allSatisfy({ $0.isWhitespace || $0 == ";" }) {
      throw Failure(code: SQLITE_ERROR, message: "more than one statement")
    }
    return result
  }

  /// The rows of a query as text.
  func rows(_ sql: String, _ values: [StoredValue] = []) throws -> [[String?]] {
    let statement = try prepare(sql)
    statement.bind(values, encoding: .utf8)
    var rows: [[String?]] = []
    while try statement.step() { rows.append((0..<statement.columnCount).map(statement.text)) }
    return rows
  }

  func text(_ sql: String) throws -> String? { try rows(sql).first?.first ?? nil }
}

/// A prepared statement of a ``SalvageConnection``.
@safe final class SalvageStatement {
  private let statement: OpaquePointer
  private let connection: SalvageConnection

  init(_ statement: OpaquePointer, of connection: SalvageConnection) {
    unsafe self.statement = unsafe statement
    self.connection = connection
  }

  deinit { unsafe sqlite3_finalize(statement) }

  /// Goes to the next row; false when there is none.
  func step() throws -> Bool {
    let code = unsafe sqlite3_step(statement)
    switch code {
    case SQLITE_ROW: return true
    case SQLITE_DONE: return false
    default: throw connection.failure(code)
    }
  }

  func reset() { unsafe sqlite3_reset(statement) }

  var columnCount: Int { Int(unsafe sqlite3_column_count(statement)) }

  func text(_ column: Int) -> String? {
    unsafe sqlite3_column_text(statement, Int32(column)).map { unsafe String(cString: $0) }
  }

  /// A column's value with its bytes as they are, in the database's encoding.
  func value(_ column: Int) -> StoredValue {
    let index = Int32(column)
    switch unsafe sqlite3_column_type(statement, index) {
    case SQLITE_INTEGER: return .integer(unsafe sqlite3_column_int64(statement, index))
    case SQLITE_FLOAT: return .real(unsafe sqlite3_column_double(statement, index))
    case SQLITE_TEXT: return .text(bytes(index))
    case SQLITE_BLOB: return .blob(bytes(index))
    default: return .null
    }
  }

  /// Asked for as a blob, text is not converted; the length must be asked for after that.
  private func bytes(_ index: Int32) -> [UInt8] {
    guard let start = unsafe sqlite3_column_blob(statement, index) else { return [] }
    let count = Int(unsafe sqlite3_column_bytes(statement, index))
    return unsafe Array(UnsafeRawBufferPointer(start: start, count: count))
  }

  /// Binds values to the parameters from the first on.
  func bind(_ values: [StoredValue], encoding: PageLayout.Encoding) {
    let copied = unsafe unsafeBitCast(-1, to: sqlite3_destructor_type.self)
    for (offset, value) in values.enumerated() {
      let index = Int32(offset + 1)
      switch value {
      case .null: unsafe sqlite3_bind_null(statement, index)
      case .integer(let value): unsafe sqlite3_bind_int64(statement, index, value)
      case .real(let value): unsafe sqlite3_bind_double(statement, index, value)
      case .text(let bytes):
        _ = unsafe bytes.withUnsafeBytes {
          // An empty array has no address, which SQLite would take for NULL.
          let start = unsafe $0.baseAddress?.assumingMemoryBound(to: CChar.self)
          if let start = unsafe start {
            unsafe sqlite3_bind_text64(
              statement, index, start, UInt64($0.count), copied, UInt8(encoding.rawValue))
          } else {
            unsafe sqlite3_bind_text(statement, index, "", 0, copied)
          }
        }
      case .blob(let bytes):
        _ = unsafe bytes.withUnsafeBytes {
          if let start = $0.baseAddress, !bytes.isEmpty {
            unsafe sqlite3_bind_blob64(statement, index, start, UInt64($0.count), copied)
          } else {
            unsafe sqlite3_bind_zeroblob(statement, index, 0)
          }
        }
      }
    }
  }
}

extension String {
  /// As an SQL identifier.
  var quoted: String { "\"" + replacing("\"", with: "\"\"") + "\"" }
}
