// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastGateway
import HoldfastSessions

/// `holdfast sessions rename`.
struct SessionsRename: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rename",
    abstract: "Give a session a title.",
    discussion: """
      Example:
        holdfast sessions rename review "The parser's review"

      A title that another session has gets a number; the title it has now is printed.
      """)

  @Argument(help: ArgumentHelp("The id, or its beginning.", valueName: "id"))
  var session: String

  @Argument(help: ArgumentHelp("The title.", valueName: "title"))
  var title: String

  @OptionGroup var common: CommonOptions

  private struct Renamed: Encodable {
    var id: String
    var title: String
  }

  func run() async throws {
    let renamed = try await common.withSessions(making: false) { store in
      let title = try await store.rename(session, to: title, from: .user)
      return Renamed(id: try await store.session(session).id, title: title)
    }
    Console.print(common.json ? try JSONLine.text(renamed) : renamed.title)
  }
}

/// `holdfast sessions end`.
struct SessionsEnd: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "end",
    abstract: "Mark a session as ended.",
    discussion: """
      Examples:
        holdfast sessions end job-7 --reason done
        holdfast sessions end job-7-a --reason "ran out of tokens" --failed
      """)

  @Argument(help: ArgumentHelp("The id, or its beginning.", valueName: "id"))
  var session: String

  @Option(name: .long, help: ArgumentHelp("Why it ended.", valueName: "text"))
  var reason = "done"

  @Flag(name: .long, help: "It failed; its parent counts it.")
  var failed = false

  @OptionGroup var common: CommonOptions

  func run() async throws {
    try await common.changeSession { store in
      try await store.end(session, reason: reason, failed: failed)
      return try await store.session(session)
    }
  }
}

/// `holdfast sessions archive`.
struct SessionsArchive: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "archive",
    abstract: "Put a session away, or back.",
    discussion: """
      Examples:
        holdfast sessions archive review
        holdfast sessions archive review --undo
      """)

  @Argument(help: ArgumentHelp("The id, or its beginning.", valueName: "id"))
  var session: String

  @Flag(name: .long, help: "Put it back.")
  var undo = false

  @OptionGroup var common: CommonOptions

  func run() async throws {
    try await common.changeSession { store in
      try await store.archive(session, !undo)
      return try await store.session(session)
    }
  }
}

/// `holdfast sessions fork`.
struct SessionsFork: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fork",
    abstract: "Copy a session's messages into one that goes its own way.",
    discussion: """
      Examples:
        holdfast sessions fork review
        holdfast sessions fork review --up-to 12 --id review-b
      """)

  @Argument(help: ArgumentHelp("The id, or its beginning.", valueName: "id"))
  var session: String

  @Option(name: .long, help: ArgumentHelp("The last message to copy.", valueName: "seq"))
  var upTo: Int64?

  @Option(name: .long, help: ArgumentHelp("What the copy is called by.", valueName: "id"))
  var id: String?

  @Option(name: .long, help: ArgumentHelp("The copy's title.", valueName: "text"))
  var title: String?

  @OptionGroup var common: CommonOptions

  func run() async throws {
    var new = NewSession(id: id)
    new.title = title
    let made = try await common.withSessions(making: false) { [new] store in
      try await store.fork(session, upTo: upTo, as: new)
    }
    Console.print(common.json ? try JSONLine.text(made) : made.id)
  }
}

/// `holdfast sessions rewind`.
struct SessionsRewind: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rewind",
    abstract: "Take back the messages after one; they stay, as undone.",
    discussion: """
      Example:
        holdfast sessions rewind review --after 12
      """)

  @Argument(help: ArgumentHelp("The id, or its beginning.", valueName: "id"))
  var session: String

  @Option(name: .long, help: ArgumentHelp("The last message that stays.", valueName: "seq"))
  var after: Int64

  @OptionGroup var common: CommonOptions

  private struct Rewound: Encodable {
    var undone: Int
  }

  func run() async throws {
    let count = try await common.withSessions(making: false) { store in
      try await store.rewind(session, after: after)
    }
    Console.print(
      common.json ? try JSONLine.text(Rewound(undone: count)) : "\(Amount.count(count)) messages taken back")
  }
}

/// `holdfast sessions delete`.
struct SessionsDelete: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "delete",
    abstract: "Delete a session with the sub-agents below it.",
    discussion: """
      Example:
        holdfast sessions delete review

      Its forks and continuations stay, and what it cost stays in its ancestors' totals.
      """)

  @Argument(help: ArgumentHelp("The id, or its beginning.", valueName: "id"))
  var session: String

  @OptionGroup var common: CommonOptions

  private struct Deleted: Encodable {
    var deleted: Int
  }

  func run() async throws {
    let count = try await common.withSessions(making: false) { store in try await store.delete(session) }
    Console.print(
      common.json ? try JSONLine.text(Deleted(deleted: count)) : "\(Amount.count(count)) sessions deleted")
  }
}

extension CommonOptions {
  /// Changes a session and prints what it is now.
  fileprivate func changeSession(
    _ body: (any SessionStore) async throws -> SessionRecord
  ) async throws {
    let session = try await withSessions(making: false, body)
    Console.print(json ? try JSONLine.text(session) : session.id)
  }
}
