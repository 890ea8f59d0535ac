// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastGateway
import HoldfastSessions

/// `holdfast sessions list`.
struct SessionsList: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract: "The sessions, those last active first.",
    discussion: """
      Examples:
        holdfast sessions list
        holdfast sessions list --source cron --limit 10
        holdfast sessions list --parent review --json

      The cost is that of a session with all that came from it.
      """)

  @Option(name: .long, help: ArgumentHelp("Only those of this program.", valueName: "name"))
  var source: String?

  @Option(
    name: .long, help: ArgumentHelp("Only those that came directly from this session.", valueName: "id"))
  var parent: String?

  @Flag(name: .long, help: "Those that were put away, too.")
  var all = false

  @Option(name: .long, help: ArgumentHelp("The most sessions.", valueName: "count"))
  var limit: Int = 100

  @OptionGroup var common: CommonOptions

  func validate() throws {
    if limit < 1 { throw ValidationError("--limit is 1 or more, not \(limit).") }
  }

  func run() async throws {
    var filter = SessionFilter()
    (filter.source, filter.parent, filter.limit) = (source, parent, limit)
    if !all { filter.archived = false }
    // A home nobody has used yet is left as it is.
    guard Home.exists(common.resolvedHome.path + "/sessions.db") else {
      if !common.json { Console.print("No sessions.") }
      return
    }
    let list = try await common.withSessions(making: false) { [filter] store in try await store.list(filter) }
    for fault in list.faults { Console.printError("The session \(fault.row) was left out: \(fault.reason)") }
    if common.json {
      for session in list.sessions { Console.print(try JSONLine.text(session)) }
    } else {
      Console.print(Self.text(list.sessions))
    }
  }

  private static func text(_ sessions: [SessionRecord]) -> String {
    guard !sessions.isEmpty else { return "No sessions." }
    var table = Table([
      .init(title: "id"), .init(title: "source"), .init(title: "messages", isNumber: true),
      .init(title: "cost", isNumber: true), .init(title: "last active"), .init(title: "title"),
    ])
    for session in sessions {
      table.add([
        session.id, session.source ?? "", Amount.count(session.messages),
        Amount.money(microdollars: session.costMicrodollars), session.lastActive, session.title ?? "",
      ])
    }
    return table.lines.joined(separator: "\n")
  }
}
