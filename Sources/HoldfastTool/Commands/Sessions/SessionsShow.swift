// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastGateway
import HoldfastSessions

/// `holdfast sessions show`.
struct SessionsShow: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "A session with its messages, or with what came from it.",
    discussion: """
      Examples:
        holdfast sessions show review
        holdfast sessions show rev --all --json | jq -r '.messages[].content'
        holdfast sessions show review --tree
      """)

  @Argument(help: ArgumentHelp("The id, or its beginning.", valueName: "id"))
  var session: String

  @Flag(name: .long, help: "Messages that were compacted or taken back, too.")
  var all = false

  @Flag(name: .long, help: "The sessions that came from it instead of its messages.")
  var tree = false

  @OptionGroup var common: CommonOptions

  /// The lines of a tree, one a session.
  private static func lines(_ tree: SessionTree, depth: Int = 0) -> [String] {
    let session = tree.session
    let failed = session.failed ? ", failed" : ""
    let line = """
      \(String(repeating: "  ", count: depth))\(Console.printable(session.id))  \(session.edge.rawValue)\(failed), \
      \(Amount.count(session.messages)) messages, own \(Amount.money(microdollars: session.own.costMicrodollars)), \
      in all \(Amount.money(microdollars: session.costMicrodollars))
      """
    return [line] + tree.children.flatMap { lines($0, depth: depth + 1) }
  }

  func run() async throws {
    if tree {
      let top = try await common.withSessions(making: false) { store in
        try await store.tree(of: session, limit: 10_000)
      }
      for fault in top.unreadable ?? [] {
        Console.printError("The session \(fault.row) was left out: \(fault.reason)")
      }
      if top.truncated == true { Console.printError("There are more below these.") }
      Console.print(common.json ? try JSONLine.text(top) : Self.lines(top).joined(separator: "\n"))
      return
    }
    let states: Set<MessageState> = all ? Set(MessageState.allCases) : [.live]
    let transcript = try await common.withSessions(making: false) { store in
      try await store.transcript(of: session, states: states)
    }
    for fault in transcript.faults {
      Console.printError("The message \(fault.row) was left out: \(fault.reason)")
    }
    if common.json {
      Console.print(try JSONLine.text(transcript))
    } else {
      Console.print(Self.text(transcript))
    }
  }

  private static func text(_ transcript: SessionTranscript) -> String {
    let session = transcript.session
    var lines = [Console.bold(Console.printable(session.title ?? session.id))]
    lines.append(
      Console.dim(
        """
        \(Console.printable(session.id)), \(Amount.count(session.messages)) messages, last active \
        \(session.lastActive), \(Amount.money(microdollars: session.costMicrodollars))
        """))
    for message in transcript.messages {
      let state = message.state == .live ? "" : ", \(message.state.rawValue)"
      lines.append("")
      lines.append(Console.dim("\(message.seq) \(Console.printable(message.message.role))\(state)"))
      let content =
        switch message.message.content {
        case .text(let text): text
        case .json(let value): value.json
        }
      lines.append(Console.printable(content, keepsLines: true))
      if let calls = message.message.toolCalls {
        lines.append(Console.dim("calls \(Console.printable(calls.json))"))
      }
    }
    return lines.joined(separator: "\n")
  }
}
