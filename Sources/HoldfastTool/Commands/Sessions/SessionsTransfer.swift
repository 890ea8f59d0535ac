// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastEngine
import HoldfastGateway
import HoldfastSessions
import HoldfastUsage

/// `holdfast sessions export`.
struct SessionsExport: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export",
    abstract: "Write sessions and their messages as JSON Lines.",
    discussion: """
      Examples:
        holdfast sessions export > sessions.jsonl
        holdfast sessions export review job-7 | gzip > two.jsonl.gz

      A line is {"session":…} or {"message":…}; a message is of the session before it.
      Messages of every state are among them. `sessions import` reads it again.
      """)

  @Argument(help: ArgumentHelp("Only these; all when none is named.", valueName: "id"))
  var sessions: [String] = []

  @OptionGroup var common: CommonOptions

  func run() async throws {
    let faults = try await common.withSessions(making: false) { store in
      var ids: [String] = []
      for id in sessions { ids.append(try await store.session(id).id) }
      return try await store.export(ids.isEmpty ? nil : ids) { line in
        Console.print(try JSONLine.text(line))
      }
    }
    for fault in faults {
      Console.printError("The \(fault.table) \(fault.row) was left out: \(fault.reason)")
    }
    if !faults.isEmpty { Process.leave(ExitStatus.dataError) }
  }
}

/// `holdfast sessions prune`.
struct SessionsPrune: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "prune",
    abstract: "Remove sessions that nobody has used for long, for good.",
    discussion: """
      Examples:
        holdfast sessions prune --inactive 90d --dry-run
        holdfast sessions prune --inactive 30d --source cron
        holdfast sessions prune --inactive 2026-01-01 --archived

      Pinned sessions stay, and those with a sub-agent that stays. What they cost stays
      in their ancestors' totals. Writers are not held up.
      """)

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Those last active before this: a time, a date, or a span back (90d).", valueName: "time"))
  var inactive: String

  @Option(name: .long, help: ArgumentHelp("Only those of this program.", valueName: "name"))
  var source: String?

  @Flag(name: .long, help: "Only those that were put away.")
  var archived = false

  @Flag(name: .long, help: "Only say what would go.")
  var dryRun = false

  @OptionGroup var common: CommonOptions

  func validate() throws { _ = try pruning() }

  private func pruning() throws -> SessionPruning {
    do {
      let query = try ReportQuery.query(by: nil, since: inactive, until: nil, limit: nil)
      guard let since = query.since else { throw ValidationError("--inactive is a time or a span, not all.") }
      var pruning = SessionPruning(inactiveSince: since.description)
      (pruning.source, pruning.archivedOnly) = (source, archived)
      return pruning
    } catch let problem as ReportQuery.Problem {
      throw ValidationError(problem.message)
    }
  }

  func run() async throws {
    let pruning = try pruning()
    let pruned = try await common.withSessions(making: false) { store in
      dryRun ? try await store.prunable(pruning) : try await store.prune(pruning)
    }
    let verb = dryRun ? "would be removed" : "removed"
    Console.print(
      common.json
        ? try JSONLine.text(pruned)
        : "\(Amount.count(pruned.sessions)) sessions with \(Amount.count(pruned.messages)) messages \(verb)")
  }
}
