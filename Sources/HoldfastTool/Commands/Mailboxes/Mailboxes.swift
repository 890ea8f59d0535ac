// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastMailbox

/// `holdfast mailbox …`: messages to workers and from them.
struct MailboxCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mailbox",
    abstract: "Messages to workers and from them.",
    discussion: """
      Examples:
        holdfast mailbox send writer/session-1 --content '{"task":"begin"}'
        holdfast mailbox receive writer/session-1
        holdfast mailbox ack writer/session-1 reply-7
        holdfast mailbox list
        holdfast mailbox dead-letters writer/session-1
        holdfast mailbox schedule next '0 9 * * mon-fri' --zone Europe/Berlin

      A mailbox is called AGENT/SESSION and lies in <home>/mailboxes; a worker needs
      nothing but SQLite to read and write it.
      """,
    subcommands: [
      MailboxSend.self, MailboxReceive.self, MailboxAck.self, MailboxList.self, MailboxShow.self,
      MailboxRetry.self, MailboxDeadLetters.self, MailboxPrune.self, MailboxScheduleCommand.self,
    ])
}

/// Whose mailbox it is.
struct MailboxArgument: ParsableArguments {
  @Argument(
    help: ArgumentHelp("The mailbox, as AGENT/SESSION.", valueName: "mailbox"),
    transform: { try MailboxAddress($0) })
  var address: MailboxAddress
}

extension CommonOptions {
  /// Runs `body` with the home's mailboxes, and closes them behind.
  ///
  /// - Parameter making: whether a home that is missing is made; otherwise there is nothing to find in it.
  func withMailboxes<Value: Sendable>(
    making: Bool = false, _ body: (SQLiteMailboxStore) async throws -> Value
  ) async throws -> Value {
    let home = resolvedHome
    if making { try home.make() }
    let store = SQLiteMailboxStore(home: home.path)
    let outcome: Result<Value, any Error>
    do {
      outcome = .success(try await body(store))
    } catch {
      outcome = .failure(error)
    }
    await store.close()
    return try outcome.get()
  }
}

extension MailboxContent {
  /// For a table: one line, not too long.
  var glance: String {
    let scalars = json.unicodeScalars
    return scalars.count <= 80 ? json : String(scalars.prefix(79)) + "…"
  }
}
