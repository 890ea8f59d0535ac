// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
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
        holdfast usage report --since 30d --by day
        holdfast usage report --since 2026-11-01 --until 2026-12-01 --by project
        holdfast usage report --since all --by source --limit 10 --json

      Times are UTC. Cost is that of the requests whose price is known; “unpriced”
      counts those of models without one, “unknown” those whose provider did not
      tell their usage.
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
    help: ArgumentHelp("Sum by model, source, session, project, provider, day or hour.", valueName: "field"))
  var by = "model"

  @Option(name: .long, help: ArgumentHelp("The most lines.", valueName: "count"))
  var limit: String?

  @OptionGroup var common: CommonOptions

  func validate() throws { _ = try query() }

  private func query() throws -> UsageReportQuery {
    do {
      return try ReportQuery.query(by: by, since: since, until: until, limit: limit)
    } catch {
      throw ValidationError(error.message)
    }
  }

  func run() async throws {
    let query = try query()
    let lines = try await Self.lines(query, common.resolvedHome)
    if common.json {
      for line in lines { Console.print(try JSONLine.text(line)) }
    } else {
      Console.print(Self.text(lines, query))
    }
  }

  private static func lines(_ query: UsageReportQuery, _ home: Home) async throws -> [UsageReportLine] {
    // A home nobody has used yet is left as it is.
    guard home.exists else { return [] }
    // A daemon lands what is spooled; without one, what a killed process left is landed here first.
    let lands = home.hasSpooledFiles(of: "usage") && DaemonLock.holder(home: home.path) == nil
    let ledger = try await SQLiteUsageLedger.open(home: home.path, for: lands ? .accepting : .reporting)
    if lands {
      do {
        try await ledger.flush(within: .seconds(5))
      } catch {
        Console.printError("Some rows wait in the spool and are not in this report: \(error)")
      }
    }
    let lines: Result<[UsageReportLine], any Error>
    do {
      lines = .success(try await ledger.report(query))
    } catch {
      lines = .failure(error)
    }
    await ledger.close(within: .seconds(1))
    return try lines.get()
  }

  private static func text(_ lines: [UsageReportLine], _ query: UsageReportQuery) -> String {
    guard !lines.isEmpty else { return "No requests in this time." }
    var table = Table([
      .init(title: query.grouping.rawValue), .init(title: "requests", isNumber: true),
      .init(title: "input", isNumber: true), .init(title: "cache read", isNumber: true),
      .init(title: "cache write", isNumber: true), .init(title: "output", isNumber: true),
      .init(title: "cost", isNumber: true), .init(title: "unpriced", isNumber: true),
      .init(title: "unknown", isNumber: true),
    ])
    var total = UsageReportLine(emptyFor: "total")
    for line in lines {
      table.add(cells(line, name: line.key ?? "(none)"))
      total.add(line)
    }
    if lines.count > 1 { table.add(cells(total, name: "total")) }
    return table.lines.joined(separator: "\n")
  }

  private static func cells(_ line: UsageReportLine, name: String) -> [String] {
    [
      name, Amount.count(line.requests), Amount.count(line.inputTokens), Amount.count(line.cacheReadTokens),
      Amount.count(line.cacheWrite5mTokens + line.cacheWrite1hTokens), Amount.count(line.outputTokens),
      // A sum nobody knows is no zero.
      line.requests > 0 && line.unpriced == line.requests
        ? "–" : Amount.money(microdollars: line.costMicrodollars),
      line.unpriced == 0 ? "" : Amount.count(line.unpriced),
      line.unknown == 0 ? "" : Amount.count(line.unknown),
    ]
  }
}
