// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// What the `.recover` of the `sqlite3` program finds in a damaged database.
///
/// Many a program of that name cannot do it: Debian's of 3.40.1 lacks the table it reads pages through. So it is
/// tried on a small sound database first. The program gets a private copy and nothing else of ours, and what it
/// prints is SQL that nobody vouches for: only its `CREATE TABLE` and `INSERT` are run, in a database of their
/// own, under the limits of ``SalvageConnection``.
/// Source: <https://www.sqlite.org/cli.html#recover_data_from_a_corrupted_database>.
struct ShellRecovery {
  let image: FileImage
  let scratch: String
  let searchPath: String
  let timeLimit: Duration
  let freeSpace: (String) -> Int64?
  let check: () throws -> Void

  /// - Returns: a database with what was found, or nil, and what came of it in a clause.
  /// - Throws: what ends the run: no room, or what `check` throws; never what the program did.
  func run() throws -> (database: String?, words: String) {
    guard let program = program() else { return (nil, "there is no sqlite3 program") }
    let bytes = image.byteCount
    if let room = freeSpace(scratch), room < bytes * 3 + (1 << 20) {
      return (nil, "there was no room for the copy that \(program) would read")
    }
    if let reason = try refusal(of: program) { return (nil, "\(program) cannot recover: \(reason)") }
    let copy = scratch + "/shell.db"
    defer { for suffix in ["", "-journal"] { _ = unsafe unlink(copy + suffix) } }
    try image.write(to: copy) { _ in try check() }
    // Blobs are printed in hexadecimal, and every row with the names of its columns.
    let (rows, outcome) = try load(
      program, copy, into: scratch + "/recovered.db", maximumBytes: Int(bytes) * 8 + (16 << 20))
    let words = outcome.map { "\(program) recovered \(rows) rows and then stopped (\($0))" }
    return (scratch + "/recovered.db", words ?? "\(program) recovered \(rows) rows")
  }

  /// The first `sqlite3` in the search path. Relative directories do not count: what they are depends on where
  /// this program was started.
  private func program() -> String? {
    searchPath.split(separator: ":").filter { $0.hasPrefix("/") }.map { $0 + "/sqlite3" }.first {
      var info = stat()
      guard unsafe stat($0, &info) == 0, info.st_mode & S_IFMT == S_IFREG else { return false }
      return unsafe access($0, X_OK) == 0
    }
  }

  /// Why the program does not recover a sound table of one row; nil when it does.
  private func refusal(of program: String) throws -> String? {
    let (sample, result) = (scratch + "/shell.db", scratch + "/recovered.db")
    defer { for path in [sample, result] { for end in ["", "-journal"] { _ = unsafe unlink(path + end) } } }
    let database = try SalvageConnection(sample, isReadOnly: false, check: check)
    try database.execute(
      "CREATE TABLE probe(a INTEGER PRIMARY KEY, b); INSERT INTO probe VALUES (7, 'seven')")
    database.close()
    let (_, outcome) = try load(program, sample, into: result, maximumBytes: 1 << 20)
    let found = try SalvageConnection(result, isReadOnly: false, check: check)
    defer { found.close() }
    let row = try? found.text("SELECT b FROM probe WHERE a = 7")
    return row == "seven" ? nil : outcome ?? "it did not find the row of a sound table"
  }

  /// Runs the program on a database and its SQL in another.
  /// - Returns: the inserts that were run, and why it ended before its end, if it did.
  private func load(
    _ program: String, _ database: String, into result: String, maximumBytes: Int
  ) throws -> (rows: Int, outcome: String?) {
    // What it prints can keep SQLite busy, too.
    let deadline = ContinuousClock.now + timeLimit
    let checkAll = {
      try check()
      if ContinuousClock.now > deadline { throw Overrun() }
    }
    let connection = try SalvageConnection(result, isReadOnly: false, check: checkAll)
    defer { connection.close() }
    try connection.execute("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")
    try connection.execute("PRAGMA encoding = '\(image.layout.encoding.name)'; BEGIN")
    var script = ShellScript()
    var rows = 0
    let child = BoundedChild(
      program: program, arguments: ["-batch", database, ".recover"],
      environment: ["HOME=\(scratch)", "LC_ALL=C", "PATH=/usr/bin:/bin"], timeLimit: timeLimit,
      maximumBytes: maximumBytes, check: checkAll)
    let outcome = try endingOverrun {
      try child.run { bytes in
        for statement in script.statements(adding: bytes) {
          do {
            guard statement.isTable else {
              try connection.insert(statement.sql)
              rows += 1
              continue
            }
            try connection.create(statement.sql)
          } catch let failure as SalvageConnection.Failure where failure.isAboutContent {
            continue
          }
        }
      }
    }
    try connection.execute("COMMIT")
    return (rows, outcome)
  }

  private struct Overrun: Error {}

  private func endingOverrun(_ body: () throws -> String?) throws -> String? {
    do { return try body() } catch is Overrun { return "it took longer than \(timeLimit)" }
  }
}

/// The statements in what the program prints, as they are completed.
struct ShellScript {
  struct Statement: Hashable {
    var sql: String
    /// `CREATE TABLE`; otherwise `INSERT`.
    var isTable: Bool
  }

  private var line: [UInt8] = []
  private var statement: [UInt8] = []
  /// A statement of more bytes than this is not kept: it is no row that SQLite would take.
  private let maximumBytes = 1 << 30

  /// The statements that these bytes complete and that are wanted.
  mutating func statements(adding bytes: ArraySlice<UInt8>) -> [Statement] {
    var found: [Statement] = []
    for byte in bytes {
      line.append(byte)
      guard byte == 0x0a else { continue }
      statement += line
      // A statement ends at a line's end, if it ends there; asking for each of them costs little.
      let mayEnd = line.last { $0 != 0x0a && $0 != 0x0d && $0 != 0x20 } == 0x3b
      line.removeAll(keepingCapacity: true)
      guard mayEnd, let text = String(validating: statement, as: UTF8.self) else {
        if statement.count > maximumBytes || mayEnd { statement.removeAll() }
        continue
      }
      guard SalvageConnection.isComplete(text) else { continue }
      statement.removeAll(keepingCapacity: true)
      let sql = String(text.drop { $0.isWhitespace })
      let start = sql.prefix(13).lowercased()
      if start.hasPrefix("create table ") || start.hasPrefix("insert ") {
        found.append(Statement(sql: sql, isTable: start.hasPrefix("create")))
      }
    }
    return found
  }
}
