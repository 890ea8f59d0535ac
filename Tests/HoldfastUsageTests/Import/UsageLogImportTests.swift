// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine
import HoldfastTestKit
import Testing

@testable import HoldfastUsage

@Suite("Importing logs")
struct UsageLogImportTests {
  private let directory: TemporaryDirectory
  private var home: String { directory.file("home") }
  private var log: String { directory.file("s-1.jsonl") }

  init() throws { directory = try TemporaryDirectory() }

  private func write(_ text: some Sequence<UInt8>, to path: String) throws {
    try Data(text).write(to: URL(fileURLWithPath: path))
  }

  private func append(_ bytes: some Sequence<UInt8>, to path: String) throws {
    let handle = try #require(FileHandle(forWritingAtPath: path))
    try handle.seekToEnd()
    try handle.write(contentsOf: Data(bytes))
    try handle.close()
  }

  private func text(_ lines: [String]) -> [UInt8] { lines.flatMap { Array($0.utf8) + [0x0A] } }

  /// Reads to the end, in small pieces.
  private func read(
    _ place: UsageLogPlace, from mark: UsageLogMark?, _ rows: inout [String: UsageRow]
  ) throws -> UsageLogMark? {
    let file = try UsageLogFile.open(place, mark)
    while true {
      let read = try file.next(most: 1)
      #expect(read.faults.isEmpty)
      for row in read.piece.rows {
        let uid = try #require(row.uid)
        rows[uid] = rows[uid]?.taking(log: row) ?? row
      }
      if read.isLast { return read.piece.mark }
    }
  }

  @Test(
    "a file cut at any byte into two readings tells the same",
    arguments: [
      (UsageLogFormat.claudeCode, LogLines.claudeSession), (.codex, LogLines.codexOld),
      (.codex, LogLines.codexNew),
    ])
  func everyCutTellsTheSame(_ format: UsageLogFormat, _ lines: [String]) throws {
    let bytes = text(lines)
    let place = UsageLogPlace(format, log)
    try write(bytes, to: log)
    var whole: [String: UsageRow] = [:]
    _ = try read(place, from: nil, &whole)
    #expect(whole.count >= 2)
    for cut in 0...bytes.count {
      try write([], to: log)
      try append(bytes[..<cut], to: log)
      var rows: [String: UsageRow] = [:]
      let mark = try #require(try read(place, from: nil, &rows))
      #expect(mark.offset <= cut && (mark.offset == 0 || bytes[Int(mark.offset) - 1] == 0x0A))
      try append(bytes[cut...], to: log)
      let end = try #require(try read(place, from: mark, &rows))
      #expect(rows == whole, "cut at \(cut)")
      #expect(end.offset == bytes.count && end.line == lines.count && end.generation == 0)
    }
  }

  private func imported(
    _ ledger: SQLiteUsageLedger, _ format: UsageLogFormat = .claudeCode
  ) async throws -> UsageImportReport {
    try await ledger.importLogs([UsageLogPlace(format, log)], of: format)
  }

  private func rows(_ ledger: SQLiteUsageLedger) async throws -> [UsageRow] {
    try await ledger.openFile().read { db in
      try Row.fetchAll(db, sql: "SELECT \(UsageColumns.selection) FROM usage ORDER BY time_ms, seq")
        .map { UsageColumns.row($0).row }
    }
  }

  @Test("a file that did not change is not opened, and one that grew is continued")
  func onlyWhatIsNewIsRead() async throws {
    let lines = LogLines.claudeSession
    try write(text(Array(lines[..<3])), to: log)
    let ledger = try await SQLiteUsageLedger.open(home: home, for: .reporting)
    var report = try await imported(ledger)
    #expect((report.rowsNew, report.rowsMerged, report.filesUnchanged) == (1, 0, 0))
    report = try await imported(ledger)
    #expect((report.rowsNew, report.rowsUnchanged, report.filesUnchanged) == (0, 1, 1))
    // Two lines and half of another.
    let rest = text(Array(lines[3...]))
    try append(rest.dropLast(20), to: log)
    report = try await imported(ledger)
    #expect((report.rowsNew, report.rowsMerged, report.incomplete, report.refused) == (0, 1, 1, 0))
    try append(rest.suffix(20), to: log)
    report = try await imported(ledger)
    #expect((report.rowsNew, report.rowsMerged, report.incomplete) == (1, 0, 0))
    #expect(try await rows(ledger).map(\.outputTokens) == [30, 50])
    await ledger.close()
  }

  @Test("the lines of a request are landed at once, however small the pieces are")
  func requestsAreNotTornApart() async throws {
    let lines = (0..<300).flatMap { message in
      [1, 2, 30].map { LogLines.claude("msg_\(message)", output: $0, request: "req_\(message)") }
    }
    try write(text(lines), to: log)
    let ledger = try await SQLiteUsageLedger.open(home: home, for: .reporting)
    var report = try await imported(ledger)
    #expect((report.rowsNew, report.rowsMerged, report.rowsUnchanged) == (300, 0, 0))
    report = try await imported(ledger)
    #expect((report.rowsNew, report.rowsMerged, report.rowsUnchanged) == (0, 0, 300))
    // Another file of the same: read anew, and told of once.
    try FileManager.default.removeItem(atPath: log)
    try write(text(lines), to: log)
    report = try await imported(ledger)
    #expect((report.rowsNew, report.rowsMerged, report.rowsUnchanged) == (0, 0, 300))
    #expect(try await rows(ledger).allSatisfy { $0.outputTokens == 30 })
    await ledger.close()
  }

  @Test("a file that was replaced, cut off or written anew is read again, and nothing counts twice")
  func rewrittenFilesAreReadAgain() async throws {
    let ledger = try await SQLiteUsageLedger.open(home: home, for: .reporting)
    try write(text(LogLines.claudeSession), to: log)
    #expect(try await imported(ledger).rowsNew == 2)
    // Another file, with one more.
    let other = directory.file("other")
    try write(
      text(LogLines.claudeSession + [LogLines.claude("msg_3", second: 9, request: "req_3")]), to: other)
    try FileManager.default.removeItem(atPath: log)
    try FileManager.default.moveItem(atPath: other, toPath: log)
    var report = try await imported(ledger)
    #expect((report.rowsNew, report.rowsMerged) == (1, 0))
    // Cut off, and gone on otherwise.
    let handle = try #require(FileHandle(forWritingAtPath: log))
    try handle.truncate(atOffset: 0)
    try handle.close()
    try append(text([LogLines.claude("msg_4", second: 11, request: "req_4")]), to: log)
    report = try await imported(ledger)
    #expect((report.rowsNew, report.rowsMerged) == (1, 0))
    // Written anew in place, and longer than it was: only what stands before the mark tells.
    let longer = (0..<9).map { LogLines.claude("msg_n\($0)", second: 20 + $0, request: "req_n\($0)") }
    let anew = try #require(FileHandle(forWritingAtPath: log))
    try anew.write(contentsOf: Data(text(longer)))
    try anew.close()
    report = try await imported(ledger)
    #expect((report.rowsNew, report.rowsMerged) == (9, 0))
    #expect(try await rows(ledger).count == 13)
    await ledger.close()
  }

  @Test("what is refused is told with its file and line, once, and the rest is taken")
  func refusalsAreCounted_D15() async throws {
    let absurd =
      #"{"type":"assistant","timestamp":"2026-11-20T10:00:00Z","message":{"id":"c","model":"m","usage":{"input_tokens":-1}}}"#
    try write(
      text([LogLines.claude("a"), absurd, "{not json", LogLines.claude("b", request: "req_2")]), to: log)
    let ledger = try await SQLiteUsageLedger.open(home: home, for: .reporting)
    var report = try await imported(ledger)
    #expect((report.rowsNew, report.refused) == (2, 2))
    #expect(report.faults.map(\.line) == [2, 3] && report.faults.allSatisfy { $0.file == log })
    #expect(report.faults[0].reason.contains("input_tokens is negative"))
    report = try await imported(ledger)
    #expect((report.rowsNew, report.refused) == (0, 0))
    await ledger.close()
  }

  @Test("looking tells what an import would do and writes nothing")
  func dryRunsWriteNothing() async throws {
    try write(text(LogLines.codexNew), to: log)
    let places = [UsageLogPlace(.codex, log)]
    #expect(try await UsageLogPlace.preview(places, of: .codex).rowsNew == 2)
    #expect(!FileManager.default.fileExists(atPath: home))
    let ledger = try await SQLiteUsageLedger.open(home: home, for: .reporting)
    #expect(try await ledger.importLogs(places, of: .codex, dryRun: true).rowsNew == 2)
    #expect(try await rows(ledger).isEmpty)
    #expect(try await ledger.logMarks([log]).isEmpty)
    _ = try await imported(ledger, .codex)
    try append(text([LogLines.record("resp_3", 40, second: 20)]), to: log)
    let report = try await ledger.importLogs(places, of: .codex, dryRun: true)
    #expect((report.rowsNew, report.rowsUnchanged) == (1, 2))
    await ledger.close()
  }

  @Test("several imports of one tree at once, while it grows, count each request once")
  func importsAtOnceCountOnce() async throws {
    let places = (0..<6).map { UsageLogPlace(.claudeCode, directory.file("f\($0).jsonl")) }
    func line(_ file: Int, _ message: Int, _ output: Int) -> String {
      LogLines.claude(
        "msg_\(file)_\(message)", second: message, output: output, request: "req_\(file)_\(message)",
        session: "s-\(file)")
    }
    for (file, place) in places.enumerated() {
      try write(text((0..<50).map { line(file, $0, 1) }), to: place.path)
    }
    let ledgers = [
      try await SQLiteUsageLedger.open(home: home, for: .reporting),
      try await SQLiteUsageLedger.open(home: home, for: .reporting),
    ]
    for round in 0..<4 {
      try await withThrowingTaskGroup(of: Void.self) { group in
        for ledger in ledgers {
          group.addTask { _ = try await ledger.importLogs(places, of: .claudeCode) }
        }
        group.addTask {
          for (file, place) in places.enumerated() {
            try append(text((0..<50).map { line(file, $0, 2 + round) }), to: place.path)
          }
        }
        try await group.waitForAll()
      }
    }
    _ = try await ledgers[0].importLogs(places, of: .claudeCode)
    let found = try await rows(ledgers[1])
    #expect(found.count == 300 && found.allSatisfy { $0.outputTokens == 5 })
    let sum = try #require(try await ledgers[1].report(UsageReportQuery(by: .source)).first)
    #expect((sum.requests, sum.outputTokens, sum.inputTokens) == (300, 1500, 3000))
    for ledger in ledgers { await ledger.close() }
  }

  @Test("OpenCode's database is read in part and gone on with, and an answer under way waits")
  func openCodeGoesOn() async throws {
    let path = directory.file("opencode.db")
    let queue = try DatabaseQueue(path: path)
    @Sendable func message(_ id: Int, done: Bool = true) -> String {
      let completed = done ? #","completed":\#(UTCInstant.now.milliseconds)"# : ""
      return
        #"{"role":"assistant","providerID":"p","modelID":"m","time":{"created":\#(id)\#(completed)},"tokens":{"input":\#(id % 1_000_000),"output":1}}"#
    }
    let start = Int(UTCInstant.now.milliseconds) - 60_000
    try await queue.write { db in
      try db.execute(
        sql: """
          CREATE TABLE session(id TEXT PRIMARY KEY, parent_id TEXT, directory TEXT);
          CREATE TABLE message(id TEXT PRIMARY KEY, session_id TEXT, time_created INTEGER, data TEXT);
          INSERT INTO session VALUES ('ses_1', NULL, '/x/clock'), ('ses_2', 'ses_1', '/x/clock')
          """)
      for index in 0..<3 {
        try db.execute(
          sql: "INSERT INTO message VALUES (?, ?, ?, ?)",
          arguments: [
            "m\(index)", "ses_\(1 + index % 2)", start + index, message(start + index, done: index != 1),
          ])
      }
    }
    let places = [UsageLogPlace(.opencode, path)]
    let ledger = try await SQLiteUsageLedger.open(home: home, for: .reporting)
    let first = try await ledger.importLogs(places, of: .opencode)
    #expect((first.rowsNew, first.faults) == (2, []))
    try await queue.write { db in
      try db.execute(
        sql: "UPDATE message SET data = ? WHERE id = 'm1'", arguments: [message(start + 1)])
      try db.execute(
        sql: "INSERT INTO message VALUES ('m9', 'ses_1', ?, ?)", arguments: [start + 9, message(start + 9)])
    }
    #expect(try await ledger.importLogs(places, of: .opencode).rowsNew == 2)
    #expect(try await ledger.importLogs(places, of: .opencode).rowsNew == 0)
    let found = try await rows(ledger)
    #expect(found.map(\.inputTokens) == [0, 1, 2, 9].map { Int64((start + $0) % 1_000_000) })
    #expect(found.map(\.agent) == [nil, "ses_2", nil, nil] && found.allSatisfy { $0.session == "ses_1" })
    try queue.close()
    await ledger.close()
  }
}
