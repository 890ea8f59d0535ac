// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastEngine
import HoldfastGateway
import HoldfastUsage

/// `holdfast usage report`.
struct UsageReport: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "report",
    abstract: "Sum up requests, tokens and cost.",
    discussion: """
      Examples:
        holdfast usage report             the last 7 days by model
        holdfast usage report --since 30d --by day --zone local
        holdfast usage report --since 2026-11-01 --until 2026-12-01 --by project
        holdfast usage report --since all --by source --limit 10 --json
        holdfast usage report --by tool --compare
        holdfast usage report --by session --csv > sessions.csv

      Times are UTC unless --zone says otherwise: then dates are that zone's, and
      days and hours begin where its clocks say.

      Cost is that of the requests whose price is known; “unpriced” counts those of
      models without one, “unknown” those whose provider did not tell their usage.
      “Cache hit” is the share of the prompts that came from a cache, “saved” what
      caching saved. --by agent sums by sub-agent, --by tool by the first tool an
      answer called. --compare adds what the same time before came to.
      """)

  @Option(
    name: .long,
    help: ArgumentHelp(
      "From when: a time, a date, a span back (7d, 24h, 90m, 2w), today, or all.", valueName: "time"))
  var since = "7d"

  @Option(
    name: .long,
    help: ArgumentHelp("Up to when, exclusive: a time, a date, or a span back.", valueName: "time"))
  var until: String?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Sum by model, source, session, project, provider, agent, tool, day or hour.", valueName: "field"))
  var by = "model"

  @Option(name: .long, help: ArgumentHelp("The most lines.", valueName: "count"))
  var limit: String?

  @Option(
    name: .long, help: ArgumentHelp("Where days begin: Europe/Berlin, local, UTC…", valueName: "zone"))
  var zone: String?

  @Flag(name: .long, help: "Add what the same time before came to.")
  var compare = false

  @Flag(name: .long, help: "Print comma-separated values, with a line of names first.")
  var csv = false

  @OptionGroup var common: CommonOptions

  func validate() throws {
    let query = try query()
    if csv, common.json { throw ValidationError("--csv and --json are two forms; choose one.") }
    guard compare else { return }
    if query.since == nil { throw ValidationError("--compare needs a beginning; --since all has none.") }
    if query.grouping == .day || query.grouping == .hour {
      throw ValidationError("--compare sets names beside each other; --by \(by) has other days each time.")
    }
  }

  private func query() throws -> UsageReportQuery {
    do {
      return try ReportQuery.query(by: by, since: since, until: until, limit: limit, zone: zone)
    } catch {
      throw ValidationError(error.message)
    }
  }

  func run() async throws {
    let query = try query()
    let compares = compare
    typealias Answer = (lines: [UsageReportLine], earlier: [UsageReportLine])
    let answer = try await common.resolvedHome.reportUsage(or: ([], []) as Answer) { ledger -> Answer in
      let lines = try await ledger.report(query)
      return (lines, compares ? try await ledger.report(query.before(.now)) : [])
    }
    let lines = answer.lines
    let previous: [String?: UsageReportLine] = Dictionary(
      answer.earlier.map { ($0.key, $0) }, uniquingKeysWith: { first, _ in first })
    if common.json {
      for line in lines {
        guard compare else {
          Console.print(try JSONLine.text(line))
          continue
        }
        Console.print(try JSONLine.text(ComparedLine(line: line, previous: previous[line.key])))
      }
    } else if csv {
      Console.print(UsageTable.csv(lines, title: query.grouping.rawValue, previous: compare ? previous : nil))
    } else if lines.isEmpty {
      Console.print("No requests in this time.")
    } else {
      Console.print(
        UsageTable.text(lines, title: query.grouping.rawValue, previous: compare ? previous : nil))
    }
  }
}

/// A line and what its key came to before.
private struct ComparedLine: Encodable {
  var line: UsageReportLine
  var previous: UsageReportLine?

  private enum CodingKeys: String, CodingKey { case previous }

  func encode(to encoder: any Encoder) throws {
    try line.encode(to: encoder)
    var fields = encoder.container(keyedBy: CodingKeys.self)
    try fields.encode(previous ?? UsageReportLine(emptyFor: line.key), forKey: .previous)
  }
}
