// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastEngine
import HoldfastUsage

/// Every report over ledgers of ever more rows: what it costs at each size, beside what it costs at the smallest.
///
/// The rows are of seven days, accepted through the spool as the gateway's are; models, sources, projects, sessions and
/// tools are the same number at each size, as they are for people whose traffic grows. The sizes are asked in turn.
struct Reporting {
  /// Rows of each ledger.
  let sizes: [Int]
  private static let rounds = 15
  private static let days = 7

  /// What was found.
  struct Result {
    /// A report, and its median time at each size, in microseconds.
    var reports: [(name: String, times: [Int])]
    /// Rows a second that landed while each ledger was filled, at its beginning and at its end.
    var growth: [(rows: Int, first: Double, last: Double)]
    /// Bytes on disk for a row, at each size.
    var bytesPerRow: [Double]
  }

  func result(in directory: String) async throws -> Result {
    var ledgers: [SQLiteUsageLedger] = []
    var result = Result(reports: [], growth: [], bytesPerRow: [])
    let end = UTCInstant.now.startOfHour
    for size in sizes {
      FileHandle.standardError.write(Data("  accepting \(size) rows …\n".utf8))
      let home = directory + "/rows-\(size)"
      let ledger = try await SQLiteUsageLedger.open(home: home)
      result.growth.append(try await fill(ledger, size, until: end))
      let bytes = try FileManager.default.attributesOfItem(atPath: home + "/usage.db")[.size] as? Int ?? 0
      result.bytesPerRow.append(Double(bytes) / Double(size))
      ledgers.append(ledger)
    }
    FileHandle.standardError.write(Data("  asking …\n".utf8))
    for (name, ask) in Self.questions(until: end) {
      var times: [[Int]] = sizes.map { _ in [] }
      for round in 0...Self.rounds {
        for (place, ledger) in ledgers.enumerated() {
          let start = ContinuousClock.now
          try await ask(ledger)
          // The first finds nothing in any cache.
          if round > 0 { times[place].append(Int(start.duration(to: .now) / .microseconds(1))) }
        }
      }
      result.reports.append((name, times.map { $0.sorted()[$0.count / 2] }))
    }
    for ledger in ledgers { await ledger.close() }
    return result
  }

  private typealias Question = (name: String, ask: (SQLiteUsageLedger) async throws -> Void)

  private static func questions(until end: UTCInstant) -> [Question] {
    let since = end.advanced(by: .seconds(-days * 86_400))
    let kolkata = CivilZone("Asia/Kolkata") ?? .utc
    var questions: [Question] = UsageGrouping.allCases.map { grouping in
      ("by \(grouping.rawValue)", { _ = try await $0.report(UsageReportQuery(by: grouping, since: since)) })
    }
    questions.append(
      (
        "by day, Kolkata",
        { _ = try await $0.report(UsageReportQuery(by: .day, since: since, zone: kolkata)) }
      ))
    questions.append(("overview", { _ = try await $0.overview(since: since, until: nil) }))
    questions.append(("blocks", { _ = try await $0.blocks(since: since) }))
    for step in UsageSeriesQuery.Step.allCases {
      let query = UsageSeriesQuery(by: step, split: .model, since: since)
      questions.append(("models by \(step.rawValue)", { _ = try await $0.series(query) }))
    }
    return questions
  }

  /// Accepts the rows in the order of their times, and says how fast the first and the last of them landed.
  private func fill(
    _ ledger: SQLiteUsageLedger, _ size: Int, until end: UTCInstant
  ) async throws -> (rows: Int, first: Double, last: Double) {
    let span = Int64(Self.days) * 86_400_000
    let piece = min(100_000, max(1, size / 10))
    var random = SplitMix(state: 5)
    var rates: [Double] = []
    var next = 0
    while next < size {
      let upper = min(size, next + piece)
      let start = ContinuousClock.now
      for number in next..<upper {
        let time = end.milliseconds - span + span * Int64(number) / Int64(size)
        try await accept(row(at: time, from: end.milliseconds - span, &random), ledger)
      }
      try await ledger.flush()
      rates.append(Double(upper - next) / (start.duration(to: .now) / .seconds(1)))
      next = upper
    }
    return (size, rates[0], rates[rates.count - 1])
  }

  private func accept(_ row: UsageRow, _ ledger: SQLiteUsageLedger) async throws {
    do {
      try ledger.accept(row)
    } catch {
      // The spool is full: what is in it has to land first.
      try await ledger.flush()
      try ledger.accept(row)
    }
  }

  private func row(at time: Int64, from start: Int64, _ random: inout SplitMix) -> UsageRow {
    func pick(_ count: Int) -> Int { Int.random(in: 0..<count, using: &random) }
    let models = [
      "claude-opus-5", "claude-sonnet-5", "claude-haiku-4-5", "gpt-5.4", "gpt-5.4-mini", "mystery",
    ]
    let model = models[pick(models.count)]
    var row = UsageRow(provider: model.hasPrefix("claude") ? "anthropic" : "openai", model: model)
    row.time = UTCInstant(milliseconds: time)
    row.source = ["claude-code", "codex", "opencode", "scripts"][pick(4)]
    row.project = "project-\(pick(8))"
    // Each lasts half a day.
    row.session = "session-\((time - start) / 43_200_000)-\(pick(4))"
    row.agent = pick(3) == 0 ? "agent-\(pick(6))" : nil
    row.tool = pick(2) == 0 ? "tool-\(pick(8))" : nil
    row.requestID = "req_\(random.next())"
    row.responseID = "msg_\(random.next())"
    (row.endpoint, row.status, row.origin) = (.anthropicMessages, 200, .wire)
    (row.durationMilliseconds, row.firstTokenMilliseconds) = (Int64(pick(30_000)), Int64(pick(3000)))
    (row.inputTokens, row.outputTokens) = (Int64(pick(4000)), Int64(pick(2000)))
    row.cacheReadTokens = Int64(pick(100_000))
    return row
  }
}
