// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastEngine
import HoldfastGateway
import HoldfastUsage

/// `holdfast usage prune`.
struct UsagePrune: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "prune",
    abstract: "Remove old rows and keep their sums.",
    discussion: """
      Examples:
        holdfast usage prune --older-than 365d
        holdfast usage prune --older-than 2026-01-01

      Reports answer as before: they are made of sums that stay. Rows that are gone
      can be costed no more (holdfast usage recost), and spans that begin or end
      within an hour before the bound are counted in whole hours.
      `usage: { retention_days: 365 }` in config.yaml has the daemon do it daily.
      """)

  @Option(
    name: .long, help: ArgumentHelp("Before when: a span back (365d), a date or a time.", valueName: "time"))
  var olderThan: String

  @OptionGroup var common: CommonOptions

  func validate() throws { _ = try bound() }

  private func bound() throws -> UTCInstant {
    let span: ReportQuery.Span
    do {
      span = try ReportQuery.span(since: olderThan, until: nil, zone: nil)
    } catch {
      throw ValidationError(error.message)
    }
    guard let bound = span.since else {
      throw ValidationError("--older-than all would remove every row; give a span back or a date.")
    }
    return bound
  }

  func run() async throws {
    let bound = try bound()
    let report = try await common.resolvedHome.reportUsage(or: UsagePruneReport()) { ledger in
      try await ledger.prune(before: bound)
    }
    guard !common.json else { return Console.print(try JSONLine.text(report)) }
    Console.print(
      "Removed \(Amount.count(report.rows)) rows"
        + (report.since.map { "; those since \($0.rfc3339(wholeSeconds: true)) are all there." } ?? "."))
  }
}
