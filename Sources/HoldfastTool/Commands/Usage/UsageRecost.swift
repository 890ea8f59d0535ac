// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastCatalog
import HoldfastEngine
import HoldfastGateway
import HoldfastUsage

/// `holdfast usage recost`.
struct UsageRecost: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "recost",
    abstract: "Apply today's prices to the requests already kept.",
    discussion: """
      Examples:
        holdfast usage recost --dry-run           what would change
        holdfast usage recost --since 30d
        holdfast usage recost --since 2026-11-01 --until 2026-12-01 --json

      The prices are those of config.yaml, then those the providers publish, then the
      built-in ones; `holdfast usage prices` lists them. A cost that was told with its
      row stays, and a model that has no price any more keeps the one it had.

      It works beside a daemon and its writers, a few hundred rows at a time. Stopped
      half way, every row has one whole cost; run again, it goes on.
      """)

  @Option(
    name: .long,
    help: ArgumentHelp("From when: a time, a date, a span back (7d, 24h), or all.", valueName: "time"))
  var since = "all"

  @Option(
    name: .long,
    help: ArgumentHelp("Up to when, exclusive: a time, a date, or a span back.", valueName: "time"))
  var until: String?

  @Flag(name: .long, help: "Change nothing; say what would change.")
  var dryRun = false

  @OptionGroup var common: CommonOptions

  func validate() throws { _ = try span() }

  private func span() throws -> UsageReportQuery {
    do {
      return try ReportQuery.query(by: nil, since: since, until: until, limit: nil)
    } catch {
      throw ValidationError(error.message)
    }
  }

  func run() async throws {
    let span = try span()
    let report = try await Self.recost(span, common, isDryRun: dryRun)
    if common.json { return Console.print(try JSONLine.text(report)) }
    let change =
      dryRun
      ? "\(Amount.count(report.changed)) would be costed anew"
      : "\(Amount.count(report.changed)) costed anew"
    Console.print(
      """
      \(Amount.count(report.rows)) requests looked at, \(change): \
      \(Amount.money(microdollars: report.beforeMicrodollars)) before, \
      \(Amount.money(microdollars: report.afterMicrodollars)) after
      """)
    if report.unpriced > 0 {
      Console.print(
        "\(Amount.count(report.unpriced)) have no price; `holdfast usage report` names their models")
    }
  }

  private static func recost(
    _ span: UsageReportQuery, _ common: CommonOptions, isDryRun: Bool
  ) async throws -> UsageRecostReport {
    let home = common.resolvedHome
    let rates = try await common.rates()
    guard Home.exists(home.path + "/usage.db") else { return UsageRecostReport() }
    let ledger = try await SQLiteUsageLedger.open(home: home.path, for: .reporting, rates: rates)
    let bar = ProgressBar("recost")
    let outcome: Result<UsageRecostReport, any Error>
    do {
      outcome = .success(
        try await ledger.recost(since: span.since, until: span.until, isDryRun: isDryRun) { report, share in
          bar.show(share, "\(Amount.count(report.rows)) requests")
        })
    } catch {
      outcome = .failure(error)
    }
    Console.endProgress()
    await ledger.close(within: .seconds(1))
    return try outcome.get()
  }
}

extension CommonOptions {
  /// The prices in force, as the daemon has them: the configuration's, the providers', the built-in ones.
  ///
  /// - Parameter orWithoutPublished: whether what providers publish may be left out where it cannot be read.
  func rates(orWithoutPublished: Bool = false) async throws -> RateCardTable {
    let home = resolvedHome
    let table = try home.configuration().rates()
    guard Home.exists(home.path + "/state.db") else { return table }
    do {
      return try await withCatalog { catalog, _ in table.publishing(try await catalog.reload()) }
    } catch {
      guard orWithoutPublished else { throw error }
      Console.printError("The prices the providers publish cannot be read and do not count: \(error)")
      return table
    }
  }
}
