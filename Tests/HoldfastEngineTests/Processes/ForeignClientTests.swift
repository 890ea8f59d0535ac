// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

/// Other programs at the same file: the `sqlite3` shell, Python, plain SQLite.
@Suite(.serialized) struct ForeignClientTests {
  /// Starts a program and waits for its end, off the cooperative pool.
  private func run(_ words: [String]) async throws -> (status: Int32, output: String) {
    try await BlockingThread.run(named: "test-program") {
      let process = Process()
      process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
      process.arguments = words
      let output = Pipe()
      process.standardOutput = output
      try process.run()
      let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      process.waitUntilExit()
      return (process.terminationStatus, text)
    }
  }

  /// A new shell for every row: each opens the file, writes and closes it, which is where a last close would
  /// unlink the -wal under us.
  private static let shellLoop = """
    for i in $(seq 1 40); do
      sqlite3 -cmd '.timeout 60000' "$0" "INSERT INTO number(value) VALUES (10000 + $i)" || exit 1
    done
    """

  private static let pythonLoop = """
    import sqlite3, sys
    for part in range(10):
        connection = sqlite3.connect(sys.argv[1], timeout=60)
        for number in range(20):
            with connection:
                connection.execute("INSERT INTO number(value) VALUES (?)", (20000 + part * 20 + number,))
            connection.execute("SELECT count(*) FROM number").fetchone()
        connection.close()
    """

  @Test func shellAndPythonWriteBesideUsAndNothingIsLostOnEitherSide_B05() async throws {
    let test = try PeerTest()
    let file = try await test.open()
    let peer = try test.start(.write, first: 30_000, count: 200)
    try await peer.pass("start")
    async let shell = run(["sh", "-c", Self.shellLoop, test.database])
    async let python = run(["python3", "-c", Self.pythonLoop, test.database])
    await withTaskGroup(of: Void.self) { group in
      for task in 0..<4 {
        group.addTask {
          for number in 0..<100 {
            do {
              try await file.write(insertNumber(1000 * (task + 1) + number))
            } catch {
              Issue.record("\(error)")
            }
          }
        }
      }
    }
    #expect(try await shell.status == 0)
    #expect(try await python.status == 0)
    #expect(await peer.end() == .exited(0))
    let ours = (1...4).flatMap { task in (0..<100).map { 1000 * task + $0 } }
    let expected = ours + Array(10_001...10_040) + Array(20_000..<20_200) + Array(30_000..<30_200)
    #expect(try test.numbersInFile().sorted() == expected.sorted())
    #expect(
      try await file.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM number") } == expected.count)
    let seen = try await run([
      "sqlite3", test.database, "SELECT count(*) FROM number; PRAGMA integrity_check",
    ])
    #expect(seen.output == "\(expected.count)\nok\n")
    await file.close()
  }

  /// In rollback-journal mode a commit needs the file for itself, and a committer without pauses leaves only
  /// gaps: readers wait for one with a patience of their own.
  @Test func readersFinishBesideAFastCommitterInRollbackMode_A13() async throws {
    let test = try PeerTest()
    let foreign = try ForeignConnection(test.database)
    try foreign.run("CREATE TABLE number(id INTEGER PRIMARY KEY, value INTEGER NOT NULL)")
    try foreign.run("BEGIN; SELECT * FROM number")
    let file = try await StateFile.open(test.database)
    try foreign.run("COMMIT")
    let committer = try test.start(.commitFast, first: 100)
    try await committer.pass("start")
    #expect(await eventually { (try? test.numbersInFile().count) ?? 0 > 10 })
    let counts = try await withThrowingTaskGroup(of: [Int].self) { group in
      for _ in 0..<4 {
        group.addTask {
          var counts: [Int] = []
          for _ in 0..<10 {
            counts.append(
              try await file.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM number") } ?? -1)
          }
          return counts
        }
      }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(counts.allSatisfy { $0 == $0.sorted() })
    // And our writer gets through too.
    for number in 0..<5 { try await file.write(insertNumber(number)) }
    #expect(committer.ending == nil)
    await committer.kill()
    #expect(try foreign.text("PRAGMA journal_mode") == "delete")
    #expect(try Set(0..<5).isSubset(of: Set(test.numbersInFile())))
    #expect(try test.integrity() == "ok")
    await file.close()
  }
}
