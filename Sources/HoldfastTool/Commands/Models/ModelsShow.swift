// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastCatalog
import HoldfastEngine
import HoldfastGateway

/// `holdfast models show`.
struct ModelsShow: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "All that is known of a model, at each provider that has it.",
    discussion: """
      Examples:
        holdfast models show gpt-5-mini
        holdfast models show openrouter/openai/gpt-5-mini
        holdfast models show claude-sonnet-4-5 --json | jq .context
      """)

  @Argument(help: "The model's id or an alias of it; PROVIDER/ID for that provider's alone.")
  var model: String

  @OptionGroup var common: CommonOptions

  func run() async throws {
    let snapshot = try await common.withCatalog { catalog, _ in try await catalog.reload() }
    var found = snapshot.lookup(model, includingDisabled: true)
    if found.isEmpty, let slash = model.firstIndex(of: "/") {
      let (provider, id) = (model[..<slash], String(model[model.index(after: slash)...]))
      found = snapshot.lookup(id, includingDisabled: true).filter { $0.provider == provider }
    }
    guard !found.isEmpty else {
      throw Failure(
        ExitStatus.noInput,
        "No provider has listed a model “\(model)”; `holdfast models refresh` asks them.")
    }
    let lines = found.map {
      ModelLine(model: $0, isWhole: true, isEnabled: snapshot[$0.provider]?.isEnabled ?? false)
    }
    for line in lines {
      Console.print(common.json ? try JSONLine.text(line) : Self.text(line))
    }
  }

  private static func text(_ line: ModelLine) -> String {
    let model = line.model
    var rows = [
      ("provider", model.provider + (line.isEnabled ? "" : " (disabled)")), ("name", model.displayName),
      ("context", Amount.tokens(model.context)), ("max output", Amount.tokens(model.maxOutput)),
      ("input", Amount.price(model.prices?.input) + " per million tokens"),
      ("output", Amount.price(model.prices?.output) + " per million tokens"),
    ]
    if let read = model.prices?.cacheRead { rows.append(("cache read", Amount.price(read))) }
    if let write = model.prices?.cacheWrite { rows.append(("cache write", Amount.price(write))) }
    if !model.inputModalities.isEmpty {
      rows.append(("takes", model.inputModalities.joined(separator: ", ")))
    }
    if !model.outputModalities.isEmpty {
      rows.append(("makes", model.outputModalities.joined(separator: ", ")))
    }
    if !model.aliases.isEmpty { rows.append(("also", model.aliases.joined(separator: ", "))) }
    rows.append(("made", model.created?.dayText))
    rows.append(("listed", model.fetchedAt.rfc3339(wholeSeconds: true)))
    let lines = rows.compactMap { title, value in
      value.map { "  " + title + String(repeating: " ", count: 12 - title.count) + Console.printable($0) }
    }
    return ([Console.bold(Console.printable(model.id))] + lines).joined(separator: "\n")
  }
}
