// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastCatalog
import HoldfastGateway

/// `holdfast models refresh`.
struct ModelsRefresh: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "refresh",
    abstract: "Ask the providers what they offer, all at once.",
    discussion: """
      Examples:
        holdfast models refresh
        holdfast models refresh --force openrouter groq
        holdfast models refresh --json | jq -r 'select(.error) | .name + ": " + .error'

      A list is new enough for 21 minutes. A provider that fails keeps its last good list ("kept"). The
      command exits 69 when providers were asked and none answered.
      """)

  @Flag(name: .long, help: "Also those whose list is new enough.")
  var force = false

  @Argument(help: "Only these providers.")
  var names: [String] = []

  @OptionGroup var common: CommonOptions

  func run() async throws {
    let bar = ProgressBar("models")
    let outcomes = try await common.withCatalog(asking: true) { [names, force] catalog, _ in
      try await catalog.refresh(names.isEmpty ? nil : names, force: force) {
        bar.show(Double($0.done) / Double(max($0.total, 1)), $0.last ?? "")
      }
    }
    Console.endProgress()
    if common.json {
      for outcome in outcomes { Console.print(try JSONLine.text(outcome)) }
    } else {
      Console.print(Self.text(outcomes))
    }
    let asked = outcomes.filter { $0.outcome != .fresh }
    if !asked.isEmpty, asked.allSatisfy({ $0.error != nil }) { Process.leave(ExitStatus.unavailable) }
  }

  private static func text(_ outcomes: [RefreshOutcome]) -> String {
    guard !outcomes.isEmpty else {
      return "No provider is configured: name some in config.yaml, or set a key as in OPENAI_API_KEY."
    }
    var table = Table([
      .init(title: "provider"), .init(title: "outcome"), .init(title: "models", isNumber: true),
      .init(title: "why"),
    ])
    for outcome in outcomes {
      table.add([
        outcome.name, outcome.outcome.rawValue, Amount.count(outcome.models),
        outcome.error ?? outcome.notes?.joined(separator: " ") ?? "",
      ])
    }
    return table.lines.joined(separator: "\n")
  }
}
