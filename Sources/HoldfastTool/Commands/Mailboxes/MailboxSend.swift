// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastEngine
import HoldfastGateway
import HoldfastMailbox

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// `holdfast mailbox send`.
struct MailboxSend: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "send",
    abstract: "Put a message into a worker's mailbox; it is durable when its line is printed.",
    discussion: """
      Examples:
        holdfast mailbox send writer/session-1 --content '{"task":"begin"}'
        holdfast mailbox send writer/session-1 --id tg-881 --kind chat --content '"Hello"'
        holdfast mailbox send writer/session-1 --content 1 --after 2026-12-01T09:00:00Z
        holdfast mailbox send writer/session-1 --content '{}' --attach plan.pdf

      The content is any JSON. The mailbox is made when it is not there. The same id
      with the same content is sent once ("duplicate":true); with another content it
      is kept under a new id, and wanted_id says so.

      Files are copied into the mailbox's attachments/, and the content, an object,
      has their names there in "attachments".
      """)

  @OptionGroup var mailbox: MailboxArgument

  @Option(name: .long, help: ArgumentHelp("What it says.", valueName: "json"))
  var content: String

  @Option(name: .long, help: ArgumentHelp("Its identity (default: a new UUID).", valueName: "id"))
  var id: String?

  @Option(
    name: .long, help: ArgumentHelp("What sort of message it is (default: message).", valueName: "kind"))
  var kind: String?

  @Option(name: .long, help: ArgumentHelp("Not to be worked on before this time.", valueName: "time"))
  var after: String?

  @Option(name: .long, help: ArgumentHelp("Where an answer goes, for who delivers it.", valueName: "json"))
  var routing: String?

  @Option(name: .long, help: ArgumentHelp("So often it is tried (default: 5).", valueName: "count"))
  var tries: Int?

  @Option(name: .long, help: ArgumentHelp("Send this file along; again for each.", valueName: "file"))
  var attach: [String] = []

  @Flag(name: .long, help: "For a worker that starts later only, not for one that runs and may be ending.")
  var wakeOnly = false

  @Flag(name: .long, help: "Do not start a worker for it: it waits, as context, for what does.")
  var quiet = false

  @OptionGroup var common: CommonOptions

  func validate() throws {
    if let after, UTCInstant(after) == nil {
      throw ValidationError("--after is a time as in 2026-12-01T09:00:00Z, not “\(after)”.")
    }
  }

  func run() async throws {
    var message = NewMailboxMessage(
      id: id, kind: kind ?? "message", content: try MailboxContent(json: content))
    message.processAfter = after.flatMap { UTCInstant($0) }
    message.routing = try routing.map { json in try MailboxContent(json: json) }
    message.wakeOnly = wakeOnly
    message.wakes = !quiet
    if let tries { message.maximumTries = tries }
    let files = try attach.map(read)
    let receipt = try await common.withMailboxes(making: true) { [message] store in
      try await store.send(message, attaching: files, to: mailbox.address)
    }
    Console.print(try JSONLine.text(receipt))
  }

  private func read(_ file: String) throws -> (name: String, data: Data) {
    let path = Home.absolute(file)
    guard let data = FileManager.default.contents(atPath: path) else {
      throw Home.exists(path)
        ? Failure(ExitStatus.permission, "\(file) cannot be read; give this user the right to read it.")
        : Failure(ExitStatus.noInput, "There is no file \(file).")
    }
    guard data.count <= MailboxAttachments.usualMost else {
      throw Failure(
        ExitStatus.dataError, "\(file) has \(data.count) bytes; an attachment has 64 MiB at most.")
    }
    return (path.split(separator: "/").last.map(String.init) ?? "file", data)
  }
}
