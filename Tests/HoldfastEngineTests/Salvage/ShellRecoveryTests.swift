// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The `.recover` of a `sqlite3` program: mostly one of the test's own, a script first in the search path.
@Suite struct ShellRecoveryTests {
  private let directory: TemporaryDirectory
  private let schema = "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT NOT NULL);"
  /// What a program that can recover prints for the database it is tried on.
  private let probe = """
    BEGIN;
    PRAGMA writable_schema = on;
    CREATE TABLE probe(a INTEGER PRIMARY KEY, b);
    INSERT OR IGNORE INTO probe(a, b) VALUES (7, 'seven');

    """

  init() throws { directory = try TemporaryDirectory() }

  /// A database that has lost a leaf.
  private func damaged() throws -> MemoryPages {
    var pages = try makeDatabase(
      directory.file("a.db"), "PRAGMA page_size = 1024",
      schema
        + """
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
          INSERT INTO t SELECT i, 'name ' || i FROM n;
        """)
    let leaves = pages.pages(ofType: 13)
    pages.overwrite(leaves[leaves.count / 2])
    return pages
  }

  /// Puts a script in the place of `sqlite3`.
  private func makeProgram(_ script: String) throws {
    let bin = directory.file("bin")
    try FileManager.default.createDirectory(atPath: bin, withIntermediateDirectories: true)
    try Data(("#!/bin/sh\n" + script + "\n").utf8).write(to: URL(filePath: bin + "/sqlite3"))
    try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: bin + "/sqlite3")
  }

  private func salvage(_ change: (inout SalvageOptions) -> Void = { _ in }) throws -> SalvageReport {
    var options = SalvageOptions()
    options.shellSearchPath = "bin:\(directory.file("bin"))"
    change(&options)
    return try Salvage.run(damaged(), into: directory.file("out.db"), options: options)
  }

  private func printing(_ sql: String) -> String { "cat <<'END'\n\(probe)\(sql)\nEND" }

  private func contents(_ query: String) throws -> String? {
    try ForeignConnection(directory.file("out.db")).text(query)
  }

  /// Whether the process that a script wrote the number of is there and not only waited for.
  private func isRunning() throws -> Bool {
    let text = try String(contentsOfFile: directory.file("pid"), encoding: .utf8)
    let pid = try #require(pid_t(text.trimmingCharacters(in: .whitespacesAndNewlines)))
    let state = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)
    return kill(pid, 0) == 0 && !(state?.contains(") Z ") ?? false)
  }

  @Test func itsRowsAreAddedAndTakeNobodysPlace_C09() throws {
    try makeProgram(
      printing(
        """
        \(schema)
        INSERT OR IGNORE INTO 't'('id', 'name') VALUES (1, 'another one');
        INSERT OR IGNORE INTO 't'('id', 'name') VALUES (5000, replace('two\\nlines;', '\\n', char(10)));
        INSERT OR IGNORE INTO 't'('id', 'name') VALUES (5001, 'raw
        lines;
        of text');
        CREATE TABLE lost_and_found(rootpgno INTEGER, pgno INTEGER);
        COMMIT;
        """))
    let report = try salvage()
    #expect(report.methods.contains("shell"))
    #expect(report.shell?.hasSuffix(": 2 rows that nothing else had") == true, "\(report.shell ?? "nil")")
    #expect(try contents("SELECT name FROM t WHERE id = 1") == "name 1")
    #expect(try contents("SELECT name FROM t WHERE id = 5000") == "two\nlines;")
    #expect(try contents("SELECT name FROM t WHERE id = 5001") == "raw\nlines;\nof text")
    #expect(report.tables.first?.recovered == (try contents("SELECT count(*) FROM t").flatMap { Int($0) }))
    #expect(try contents("PRAGMA integrity_check") == "ok")
  }

  /// The shell makes a short text of a row whose further pages are lost: that is not the row.
  @Test func aRowThatLostAPartIsNotMadeWholeByIt_C09() throws {
    var pages = try makeDatabase(
      directory.file("o.db"), "",
      schema + "INSERT INTO t VALUES (1, 'first'), (2, printf('%.30000c', 'y')), (3, 'third');")
    let overflow = (2...Int(pages.pageCount)).first {
      pages.bytes[(($0 - 1) * 4096 + 100)..<(($0 - 1) * 4096 + 200)].allSatisfy { $0 == 0x79 }
    }
    pages.overwrite(try #require(overflow))
    try makeProgram(
      printing(
        "\(schema)\nINSERT INTO t VALUES (2, 'yyy');\nINSERT INTO t VALUES (4, x'00');"
      ))
    var options = SalvageOptions()
    options.shellSearchPath = directory.file("bin")
    let report = try Salvage.run(pages, into: directory.file("out.db"), options: options)
    #expect(try contents("SELECT group_concat(id) FROM t") == "1,3,4")
    #expect(try contents("SELECT id || reason FROM lost_and_found") == "2a part of the row is lost")
    #expect(report.tables.first?.lostAndFound == 1)
  }

  @Test func itsSQLCanDoNothingButAddRows_C09() throws {
    let other = directory.file("other.db")
    try makeProgram(
      printing(
        """
        \(schema)
        .shell touch \(other)
        ATTACH DATABASE '\(other)' AS other;
        CREATE TABLE other.x(a);
        VACUUM INTO '\(other)';
        INSERT INTO t SELECT 6000, sql FROM sqlite_schema;
        INSERT INTO t VALUES (6001, load_extension('x'));
        INSERT INTO t VALUES (6002, (SELECT name FROM t));
        INSERT INTO t VALUES (6003, zeroblob(100)); INSERT INTO t VALUES (6004, 'x');
        INSERT INTO sqlite_schema VALUES ('table', 't2', 't2', 2, 'CREATE TABLE t2(a)');
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) INSERT INTO t SELECT i, i FROM n;
        INSERT INTO t VALUES (7000, 'the end');
        """))
    let report = try salvage()
    #expect(try contents("SELECT group_concat(id) FROM t WHERE id > 1000") == "7000")
    #expect(!FileManager.default.fileExists(atPath: other))
    #expect(report.methods.contains("shell"))
  }

  @Test func aProgramThatCannotRecoverIsNamedWithItsReason_C09() throws {
    try makeProgram("echo 'sql error: no such table: sqlite_dbdata' >&2; exit 1")
    let report = try salvage()
    #expect(!report.methods.contains("shell"))
    #expect(
      report.shell
        == "\(directory.file("bin"))/sqlite3 cannot recover: sql error: no such table: sqlite_dbdata")
    #expect(try contents("SELECT count(*) > 900 FROM t") == "1")
  }

  @Test func withoutAProgramOrDamageNoneIsRun_C09() throws {
    #expect(try salvage().shell == "there is no sqlite3 program")
    try makeProgram("touch \(directory.file("ran"))")
    let whole = try makeDatabase(directory.file("b.db"), "", schema + "INSERT INTO t VALUES (1, 'a');")
    var options = SalvageOptions()
    options.shellSearchPath = directory.file("bin")
    #expect(try Salvage.run(whole, into: directory.file("whole.db"), options: options).shell == nil)
    #expect(!FileManager.default.fileExists(atPath: directory.file("ran")))
  }

  @Test func aProgramWithoutEndIsEnded_C09() throws {
    try makeProgram("echo $$ > \(directory.file("pid")); while :; do :; done")
    let report = try salvage { $0.shellTimeLimit = .milliseconds(100) }
    #expect(report.shell?.contains("it took longer than") == true, "\(report.shell ?? "nil")")
    #expect(try !isRunning())
  }

  @Test func aProgramThatPrintsWithoutEndIsEndedWithWhatItStarted_C09() async throws {
    try makeProgram("cat /dev/zero & echo $! > \(directory.file("pid")); wait")
    let report = try salvage()
    #expect(report.shell?.contains("it printed more than") == true, "\(report.shell ?? "nil")")
    // It was a child of the program's, so somebody else waits for it.
    #expect(try await eventually { try !isRunning() })
  }

  @Test func aCancelledSalvageEndsTheProgram_C09() throws {
    let started = directory.file("pid")
    try makeProgram("echo $$ > \(started).new; mv \(started).new \(started); while :; do :; done")
    let error = #expect(throws: StoreError.self) {
      try salvage { $0.isCancelled = { FileManager.default.fileExists(atPath: started) } }
    }
    #expect(error?.code == .cancelled)
    #expect(try !isRunning())
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: directory.path).allSatisfy {
        !$0.contains("out.db")
      })
  }

  @Test func itGetsNoneOfOurDescriptors_C09() throws {
    let listed = directory.file("listed")
    try makeProgram("ls -l /proc/self/fd > \(listed) 2>&1; env > \(directory.file("variables"))")
    let ours = unsafe open(directory.file("ours"), O_WRONLY | O_CREAT, 0o600)
    try #require(ours >= 0)
    defer { close(ours) }
    _ = try salvage()
    #expect(try !String(contentsOfFile: listed, encoding: .utf8).contains(directory.file("ours")))
    let variables = try String(contentsOfFile: directory.file("variables"), encoding: .utf8)
    #expect(
      variables.split(separator: "\n").contains { $0.hasPrefix("HOME=") && $0.contains("/out.db.salvaging-") }
    )
  }

  /// Where this machine's own program can do it, it is used, and where it cannot, that is said.
  @Test func thisMachinesProgramIsUsedOrItsReasonIsTold_C09() throws {
    let report = try salvage { $0.shellSearchPath = SalvageOptions().shellSearchPath }
    let words = try #require(report.shell)
    print("salvage, this machine's sqlite3:", words)
    #expect(["recovered", "cannot recover", "there is no sqlite3"].contains { words.contains($0) })
    #expect(try contents("PRAGMA integrity_check") == "ok")
  }
}
