// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastEngine
import HoldfastGateway
import HoldfastUsage

/// `holdfast usage blocks`.
struct UsageBlocks: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "blocks",
    abstract: "Five-hour blocks as subscriptions meter them, with burn rate and projection.",
    discussion: """
      Examples:
        holdfast usage blocks
        holdfast usage blocks --since 2d --json

      A block begins with the hour of its first request and ends five hours later;
      the next begins with the hour of the first request after that. The active one
      says how fast it is used up and what it comes to if that goes on.
      """)

  @Option(
    name: .long,
    help: ArgumentHelp("From when: a time, a date, a span back (7d, 24h), today, or all.", valueName: "time"))
  var since = "3d"

  @Option(
    name: .long, help: ArgumentHelp("Whose clock to show: Europe/Berlin, local, UTC…", valueName: "zone"))
  var zone: String?

  @OptionGroup var common: CommonOptions

  func validate() throws { _ = try span() }

  private func span() throws -> ReportQuery.Span {
    do {
      return try ReportQuery.span(since: since, until: nil, zone: zone)
    } catch {
      throw ValidationError(error.message)
    }
  }

  func run() async throws {
    let span = try span()
    let blocks = try await common.resolvedHome.reportUsage(or: []) { ledger in
      try await ledger.blocks(since: span.since ?? UTCInstant(milliseconds: 0))
    }
    if common.json {
      for block in blocks { Console.print(try JSONLine.text(block)) }
      return
    }
    guard !blocks.isEmpty else { return Console.print("No requests in this time.") }
    var table = Table([
      .init(title: "block"), .init(title: "requests", isNumber: true), .init(title: "tokens", isNumber: true),
      .init(title: "cost", isNumber: true), .init(title: "an hour", isNumber: true),
      .init(title: "projected", isNumber: true), .init(title: ""),
    ])
    for block in blocks {
      table.add([
        "\(span.zone.wallText(block.start))–\(span.zone.wallText(block.end).suffix(5))",
        Amount.count(block.line.requests), Amount.count(block.line.totalTokens),
        Amount.money(microdollars: block.line.costMicrodollars),
        block.burn.map { Amount.money(microdollars: Int64($0.costMicrodollarsPerHour)) } ?? "",
        block.projection.map { Amount.money(microdollars: $0.costMicrodollars) } ?? "",
        block.isActive
          ? "active, \(Amount.time(block.end.milliseconds - UTCInstant.now.milliseconds)) left" : "",
      ])
    }
    Console.print(table.lines.joined(separator: "\n"))
  }
}
