// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastEngine
import HoldfastGateway
import HoldfastMailbox

/// `holdfast mailbox dead-letters`.
struct MailboxDeadLetters: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dead-letters",
    abstract: "Messages that went no further, kept whole.",
    discussion: """
      Examples:
        holdfast mailbox dead-letters writer/session-1
        holdfast mailbox dead-letters writer/session-1 --json | jq .reason
        holdfast mailbox retry writer/session-1 --all
      """)

  @OptionGroup var mailbox: MailboxArgument

  @OptionGroup var common: CommonOptions

  func run() async throws {
    let list = try await common.withMailboxes { store in try await store.deadLetters(in: mailbox.address) }
    for fault in list.faults { Console.printError("\(fault.subject) was left out: \(fault.reason)") }
    if common.json {
      for letter in list.letters { Console.print(try JSONLine.text(letter)) }
      return
    }
    guard !list.letters.isEmpty else {
      Console.print("No dead letters.")
      return
    }
    var table = Table([
      .init(title: "time"), .init(title: "way"), .init(title: "id"), .init(title: "kind"),
      .init(title: "tries", isNumber: true), .init(title: "reason"), .init(title: "error"),
    ])
    for letter in list.letters {
      table.add([
        letter.time.description, letter.direction.rawValue, letter.id, letter.kind, String(letter.tries),
        letter.reason, letter.error ?? "",
      ])
    }
    Console.print(table.lines.joined(separator: "\n"))
  }
}

/// `holdfast mailbox retry`.
struct MailboxRetry: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "retry",
    abstract: "Put dead letters back to be tried again.",
    discussion: """
      Examples:
        holdfast mailbox retry writer/session-1 tg-881
        holdfast mailbox retry writer/session-1 --all
      """)

  @OptionGroup var mailbox: MailboxArgument

  @Argument(help: ArgumentHelp("The ids, as dead-letters prints them.", valueName: "id"))
  var ids: [String] = []

  @Flag(name: .long, help: "All of the mailbox.")
  var all = false

  @OptionGroup var common: CommonOptions

  private struct Retried: Encodable {
    var retried: Int
  }

  func validate() throws {
    guard ids.isEmpty == all else { throw ValidationError("Name the dead letters, or say --all.") }
  }

  func run() async throws {
    let count = try await common.withMailboxes { store in
      try await store.retry(all ? nil : ids, in: mailbox.address)
    }
    Console.print(
      common.json
        ? try JSONLine.text(Retried(retried: count)) : "\(Amount.count(count)) put back to be tried again.")
  }
}
