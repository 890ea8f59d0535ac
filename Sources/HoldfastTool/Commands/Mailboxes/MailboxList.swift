// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastEngine
import HoldfastGateway
import HoldfastMailbox

/// `holdfast mailbox list`.
struct MailboxList: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract: "The mailboxes and how things are with them.",
    discussion: """
      Examples:
        holdfast mailbox list
        holdfast mailbox list writer
        holdfast mailbox list writer/session-1 --json
      """)

  @Argument(help: ArgumentHelp("Only those of this agent, or only this one.", valueName: "agent[/session]"))
  var wanted: String?

  @OptionGroup var common: CommonOptions

  func run() async throws {
    let summaries = try await common.withMailboxes { store in
      guard let wanted else { return try await store.overview() }
      guard wanted.contains("/") else { return try await store.overview(of: wanted) }
      return [try await store.summary(of: try MailboxAddress(wanted))]
    }
    if common.json {
      for summary in summaries { Console.print(try JSONLine.text(summary)) }
      return
    }
    for summary in summaries {
      if let fault = summary.fault { Console.printError("\(summary.mailbox): \(fault)") }
    }
    Console.print(summaries.isEmpty ? "No mailboxes." : Self.table(summaries))
  }

  private static func table(_ summaries: [MailboxSummary]) -> String {
    var table = Table([
      .init(title: "mailbox"), .init(title: "worker"), .init(title: "pending", isNumber: true),
      .init(title: "due", isNumber: true), .init(title: "claimed", isNumber: true),
      .init(title: "undelivered", isNumber: true), .init(title: "dead", isNumber: true),
      .init(title: "heartbeat"),
    ])
    for summary in summaries {
      table.add([
        summary.mailbox.description, summary.wanted ? summary.worker : summary.worker + ", stop wanted",
        Amount.count(summary.pending), Amount.count(summary.due), Amount.count(summary.claimed),
        Amount.count(summary.undelivered), Amount.count(summary.deadLetters),
        summary.heartbeat?.description ?? "",
      ])
    }
    return table.lines.joined(separator: "\n")
  }
}

/// `holdfast mailbox show`.
struct MailboxShow: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "A mailbox and the messages for its worker.",
    discussion: """
      Examples:
        holdfast mailbox show writer/session-1
        holdfast mailbox show writer/session-1 --status completed,dead
        holdfast mailbox show writer/session-1 --status all --json | jq .messages
      """)

  @OptionGroup var mailbox: MailboxArgument

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Those of these states (default: all): pending, completed, failed, cancelled, dead.",
      valueName: "states"))
  var status = "all"

  @Option(name: .long, help: ArgumentHelp("The most messages.", valueName: "count"))
  var limit = 1000

  @OptionGroup var common: CommonOptions

  /// What is printed as JSON.
  private struct Shown: Encodable {
    var mailbox: MailboxSummary
    var messages: [InboundMessage]
    var schedules: [MailboxSchedule]
    var next: Int64?
  }

  func validate() throws {
    if limit < 1 { throw ValidationError("--limit is 1 or more, not \(limit).") }
    _ = try states()
  }

  private func states() throws -> Set<InboundStatus> {
    if status == "all" { return Set(InboundStatus.allCases) }
    return Set(
      try status.split(separator: ",").map { word in
        guard let state = InboundStatus(rawValue: String(word)) else {
          let known = InboundStatus.allCases.map(\.rawValue).joined(separator: ", ")
          throw ValidationError("A status is one of \(known) or all, not “\(word)”.")
        }
        return state
      })
  }

  func run() async throws {
    let states = try states()
    let (summary, page, scheduled) = try await common.withMailboxes { store in
      let summary = try await store.summary(of: mailbox.address)
      let page = try await store.messages(in: mailbox.address, states: states, limit: limit, after: nil)
      return (summary, page, try await store.schedules(in: mailbox.address))
    }
    for fault in page.faults + scheduled.faults {
      Console.printError("\(fault.subject) was left out: \(fault.reason)")
    }
    if common.json {
      Console.print(
        try JSONLine.text(
          Shown(
            mailbox: summary, messages: page.messages, schedules: scheduled.schedules, next: page.next)))
      return
    }
    if let fault = summary.fault { Console.printError(fault) }
    Console.print(Console.bold(summary.mailbox.description))
    Console.print(
      Console.dim(
        """
        \(Amount.count(summary.pending)) pending, \(Amount.count(summary.due)) due, \(Amount.count(summary.claimed)) \
        claimed, \(Amount.count(summary.completed)) completed; \(Amount.count(summary.undelivered)) to be received, \
        \(Amount.count(summary.delivered)) delivered; \(Amount.count(summary.deadLetters)) dead; worker \
        \(summary.worker), incarnation \(summary.incarnation)
        """))
    if !scheduled.schedules.isEmpty { Console.print(MailboxSchedule.table(scheduled.schedules)) }
    guard !page.messages.isEmpty else { return }
    var table = Table([
      .init(title: "seq", isNumber: true), .init(title: "id"), .init(title: "kind"), .init(title: "status"),
      .init(title: "tries", isNumber: true), .init(title: "time"), .init(title: "content"),
    ])
    for message in page.messages {
      table.add([
        String(message.seq), message.id, message.kind, message.status.rawValue, String(message.tries),
        message.time.description, message.content.glance,
      ])
    }
    Console.print(table.lines.joined(separator: "\n"))
    if page.next != nil { Console.printError("There are more; ask for them with a higher --limit.") }
  }
}
