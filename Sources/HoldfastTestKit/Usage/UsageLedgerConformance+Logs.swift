// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastUsage

extension UsageLedgerConformance {
  /// A request as a program's log tells it.
  private static func logged(_ number: Int, output: Int64 = 50) -> UsageRow {
    var row = UsageSample.row(number)
    (row.uid, row.origin) = ("log-\(number)", .log)
    (row.requestID, row.responseID) = ("req_\(number)", "msg_\(number)")
    (row.project, row.outputTokens, row.costMicrodollars) = ("holdfast", output, nil)
    return row
  }

  /// The same as the gateway relayed it.
  private static func relayed(_ number: Int) -> UsageRow {
    var row = logged(number)
    (row.uid, row.origin, row.project) = ("wire-\(number)", .wire, nil)
    (row.status, row.durationMilliseconds) = (200, 70)
    return row
  }

  private static func piece(_ rows: [UsageRow], offset: Int64) -> UsageLogPiece {
    var mark = UsageLogMark(path: "/log.jsonl", format: .claudeCode)
    (mark.inode, mark.generation, mark.offset) = (7, 1, offset)
    return UsageLogPiece(rows: rows, mark: mark)
  }

  private func total(_ ledger: any UsageLedger) async throws -> UsageReportLine {
    try await ledger.report(UsageReportQuery(by: .project)).reduce(into: UsageReportLine(emptyFor: nil)) {
      $0.add($1)
    }
  }

  /// A log lands once, however often and by how many, and what would land is told before.
  public func aLogLandsOnce() async throws {
    try await trial { trial in
      let ledgers = [try await trial.store(), try await trial.store()]
      let rows = (0..<40).map { Self.logged($0) }
      try same(try await ledgers[0].preview(rows).new, 40, "what would be new")
      try await withThrowingTaskGroup(of: UsageLogLanding.self) { group in
        for ledger in ledgers + ledgers {
          group.addTask { try await ledger.land([Self.piece(rows, offset: 900)]) }
        }
        var counts = UsageLogCounts()
        for try await landing in group {
          counts.new += landing.counts.new
          counts.unchanged += landing.counts.unchanged
        }
        try same([counts.new, counts.unchanged], [40, 120], "new and unchanged rows of four landings")
      }
      let line = try await total(ledgers[1])
      try same([line.requests, line.outputTokens], [40, 2000], "requests and output tokens")
      try same(try await ledgers[1].preview(rows).unchanged, 40, "what would be unchanged")
    }
  }

  /// What is told twice has the most that was told.
  public func laterLinesBringARequestUpToDate() async throws {
    try await trial { trial in
      let ledger = try await trial.store()
      for (output, outcome) in [(3, "new"), (50, "merged"), (20, "unchanged")] {
        let counts = try await ledger.land([Self.piece([Self.logged(1, output: Int64(output))], offset: 1)])
          .counts
        let found = counts.new == 1 ? "new" : counts.merged == 1 ? "merged" : "unchanged"
        try same(found, outcome, "a row with \(output) output tokens")
      }
      try same(try await total(ledger).outputTokens, 50, "the output tokens")
    }
  }

  /// A request that the gateway relayed and its log tells of is one, whoever comes first.
  public func oneRequestIsOneRow() async throws {
    try await trial { trial in
      for logIsFirst in [true, false] {
        let ledger = try await trial.store("log first: \(logIsFirst)")
        if logIsFirst { _ = try await ledger.land([Self.piece([Self.logged(1)], offset: 1)]) }
        try ledger.accept(Self.relayed(1))
        // Another request that no log tells of.
        try ledger.accept(Self.relayed(2))
        try await ledger.flush()
        if !logIsFirst { _ = try await ledger.land([Self.piece([Self.logged(1)], offset: 1)]) }
        // And once more, under the uid of the log.
        let again = try await ledger.land([Self.piece([Self.logged(1)], offset: 2)]).counts
        try same([again.new, again.merged], [0, 0], "what reading the log again brings")
        let line = try await total(ledger)
        try same([line.requests, line.outputTokens], [2, 100], "requests and output tokens")
        // What only the log knows is filled in.
        let projects = try await ledger.report(UsageReportQuery(by: .project))
        try same(
          projects.first { $0.key == "holdfast" }?.requests, 1, "requests of the project the log names")
      }
    }
  }

  /// A mark is written with its rows, and never goes back within one file.
  public func marksNeverGoBack() async throws {
    try await trial { trial in
      let ledger = try await trial.store()
      try same(try await ledger.logMarks(["/log.jsonl"]), [:], "the marks of a log nobody has read")
      _ = try await ledger.land([Self.piece([Self.logged(1)], offset: 900)])
      let landing = try await ledger.land([Self.piece([Self.logged(2)], offset: 500)])
      try same(landing.ahead["/log.jsonl"]?.offset, 900, "the mark of the one who has read further")
      let other = try await trial.store()
      try same(
        try await other.logMarks(["/log.jsonl", "/x"]).mapValues(\.offset), ["/log.jsonl": 900], "the marks")
      var anew = Self.piece([], offset: 10)
      anew.mark?.generation = 2
      _ = try await other.land([anew])
      try same(
        try await ledger.logMarks(["/log.jsonl"])["/log.jsonl"]?.offset, 10, "the mark of a file begun anew")
    }
  }
}
