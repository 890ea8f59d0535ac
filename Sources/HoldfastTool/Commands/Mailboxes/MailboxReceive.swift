// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastEngine
import HoldfastGateway
import HoldfastMailbox

/// `holdfast mailbox receive`.
struct MailboxReceive: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "receive",
    abstract: "What a worker sent and nobody has acknowledged yet, in its order.",
    discussion: """
      Examples:
        holdfast mailbox receive writer/session-1
        holdfast mailbox receive writer/session-1 --json | jq -r .id

      What is printed stays until `holdfast mailbox ack` marks it as delivered.
      """)

  @OptionGroup var mailbox: MailboxArgument

  @Option(name: .long, help: ArgumentHelp("The most messages (default: all).", valueName: "count"))
  var limit: Int?

  @OptionGroup var common: CommonOptions

  func validate() throws {
    if let limit, limit < 1 { throw ValidationError("--limit is 1 or more, not \(limit).") }
  }

  func run() async throws {
    try await common.withMailboxes { store in
      var table = Table([
        .init(title: "seq", isNumber: true), .init(title: "id"), .init(title: "kind"), .init(title: "time"),
        .init(title: "content"),
      ])
      var (count, place): (Int, Int64?) = (0, nil)
      repeat {
        let page = try await store.receive(
          from: mailbox.address, limit: min(1000, (limit ?? .max) - count), after: place)
        for fault in page.faults { Console.printError("\(fault.subject) was left out: \(fault.reason)") }
        for message in page.messages {
          if common.json {
            Console.print(try JSONLine.text(message))
          } else {
            table.add([
              String(message.seq), message.id, message.kind, message.time.description, message.content.glance,
            ])
          }
        }
        count += page.messages.count
        place = page.next
      } while place != nil && count < limit ?? .max
      if !common.json {
        Console.print(count == 0 ? "Nothing to receive." : table.lines.joined(separator: "\n"))
      }
    }
  }
}

/// `holdfast mailbox ack`.
struct MailboxAck: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ack",
    abstract: "Mark messages of a worker as delivered.",
    discussion: """
      Examples:
        holdfast mailbox ack writer/session-1 reply-7
        holdfast mailbox ack writer/session-1 reply-7 reply-8

      Doing it again changes nothing ("duplicate":true).
      """)

  @OptionGroup var mailbox: MailboxArgument

  @Argument(help: ArgumentHelp("The ids, as receive prints them.", valueName: "id"))
  var ids: [String]

  @OptionGroup var common: CommonOptions

  func run() async throws {
    try await common.withMailboxes { store in
      for id in ids {
        Console.print(try JSONLine.text(try await store.acknowledge(id, in: mailbox.address)))
      }
    }
  }
}
