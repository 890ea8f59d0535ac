// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastEngine
import HoldfastGateway
import HoldfastSessions

/// `holdfast sessions append`.
struct SessionsAppend: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "append",
    abstract: "Append messages; each is durable when its line is printed.",
    discussion: """
      Examples:
        holdfast sessions append review --role user --content "Go on"
        my-agent | holdfast sessions append review --jsonl -

      A line is one object:
        {"role":"assistant","content":"Done.","output_tokens":12}
      and may have uid, tool_calls, tool_call_id, model, finish_reason, time,
      input_tokens, cache_read_tokens, cache_write_tokens and cost_microusd. The
      content is a text or any JSON. A message whose uid is there already changes
      nothing; a session that is not there is made.

      For each message {"uid":…,"seq":…} is printed once it is on disk; for a refused
      one {"line":…,"error":…}, and the exit code is 65.
      """)

  @Argument(help: ArgumentHelp("The whole id of the session.", valueName: "id"))
  var session: String

  @Option(name: .long, help: ArgumentHelp("Who speaks (default: user).", valueName: "role"))
  var role: String?

  @Option(name: .long, help: ArgumentHelp("What one message says.", valueName: "text"))
  var content: String?

  @Option(
    name: .long, help: ArgumentHelp("The file of messages, or - for standard input.", valueName: "file"))
  var jsonl: String?

  @OptionGroup var common: CommonOptions

  func validate() throws {
    guard (content == nil) != (jsonl == nil) else {
      throw ValidationError("Give one message with --content, or many with --jsonl.")
    }
    if role != nil, content == nil { throw ValidationError("--role belongs to --content.") }
  }

  func run() async throws {
    if let content {
      let message = NewMessage(role: role ?? "user", content)
      let made = try await common.withSessions(making: true) { store in
        try await store.append(message, to: session)
      }
      Console.print(try JSONLine.text(made))
      return
    }
    // A tool's output can be large; a line is held in memory as a whole.
    let input = try LineReader.input(jsonl ?? "-", maximumBytes: LineReader.usualMaximum)
    let refused = try await common.withSessions(making: true) { store in
      try await Appending(store: store, session: session, input: input, isJSON: common.json).run()
    }
    if refused > 0 { Process.leave(ExitStatus.dataError) }
  }
}

/// Reads messages and appends them in their order, those that have come already in one transaction.
private struct Appending {
  private struct Refusal: Encodable {
    var line: Int
    var error: String
  }

  private typealias Item = JSONInput.Item<NewMessage>

  let store: any SessionStore
  let session: String
  let input: LineReader
  let isJSON: Bool

  /// - Returns: how many lines were refused.
  func run() async throws -> Int {
    var refused = 0
    while true {
      let items = try await Process.onThread { [input] in try JSONInput.read(input, as: NewMessage.self) }
      guard !items.isEmpty else { return refused }
      var batch: [Item] = []
      for item in items {
        if case .failure(let error) = item.value {
          refused += try await append(batch)
          batch = []
          try refuse(item.line, error.message)
          refused += 1
        } else {
          batch.append(item)
        }
      }
      refused += try await append(batch)
    }
  }

  /// Appends in one step; where one message cannot be kept, one by one, so that only that one is refused.
  private func append(_ items: [Item]) async throws -> Int {
    let messages = items.compactMap { try? $0.value.get() }
    guard !messages.isEmpty else { return 0 }
    do {
      for (item, made) in zip(items, try await store.append(messages, to: session)) {
        var made = made
        if item.isRepaired { made.repaired = ["line"] + (made.repaired ?? []) }
        Console.print(try JSONLine.text(made))
      }
      return 0
    } catch let error as SessionError where error.code == .invalid {
      guard messages.count > 1 else {
        try refuse(items[0].line, error.message)
        return 1
      }
      var refused = 0
      for item in items { refused += try await append([item]) }
      return refused
    }
  }

  private func refuse(_ line: Int, _ message: String) throws {
    if isJSON {
      Console.print(try JSONLine.text(Refusal(line: line, error: message)))
    } else {
      Console.printError("line \(line): \(message)")
    }
  }
}
