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
    let (snapshot, cooldowns) = try await common.withCatalog { catalog, store in
      (try await catalog.reload(), try await CooldownMachine.kept(in: store))
    }
    let policy = try RoutingPolicy(try common.resolvedHome.configuration())
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
    let now = UTCInstant.now
    let lines = found.map { model in
      let entry = snapshot[model.provider]
      let api = entry?.kind == .anthropic ? RouteChoice.API.messages : .chatCompletions
      let candidates = policy.choice(for: api, snapshot: snapshot, cooldowns: cooldowns)
        .candidates(for: model.id, api, at: now)
      let place = candidates.firstIndex { $0.provider == model.provider }
      return ModelLine(
        model: model, isWhole: true, isEnabled: entry?.isEnabled ?? false, position: place.map { $0 + 1 },
        reason: place.map { candidates[$0].reason },
        coolsUntil: cooldowns.until(RouteID(provider: model.provider, model: model.id), at: now))
    }
    for line in lines {
      Console.print(common.json ? try JSONLine.text(line) : Self.text(line))
    }
  }

  /// Where requests that leave the provider open would go.
  private static func route(_ line: ModelLine) -> String {
    let cooling = line.coolsUntil.map { "; cools down until \($0.rfc3339(wholeSeconds: true))" } ?? ""
    guard let position = line.position else { return "not without its name or a key for it\(cooling)" }
    let reason = position == 1 ? line.reason.map { " (\($0.rawValue))" } ?? "" : ""
    return "no. \(position)\(reason)\(cooling)"
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
    rows.append(("route", Self.route(line)))
    rows.append(("made", model.created?.dayText))
    rows.append(("listed", model.fetchedAt.rfc3339(wholeSeconds: true)))
    let lines = rows.compactMap { title, value in
      value.map { "  " + title + String(repeating: " ", count: 12 - title.count) + Console.printable($0) }
    }
    return ([Console.bold(Console.printable(model.id))] + lines).joined(separator: "\n")
  }
}
