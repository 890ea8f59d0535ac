// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastCatalog
import HoldfastGateway

/// `holdfast models list`.
struct ModelsList: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract: "The models the providers listed when they were last asked.",
    discussion: """
      Examples:
        holdfast models list
        holdfast models list --provider openrouter --json | jq -r .id

      Prices are per million tokens, as the provider publishes them; a dash means it does not.
      """)

  @Option(name: .long, help: ArgumentHelp("Only those of this provider.", valueName: "name"))
  var provider: String?

  @Flag(name: .long, help: "Those of disabled providers, too.")
  var all = false

  @OptionGroup var common: CommonOptions

  func run() async throws {
    let snapshot = try await common.withCatalog { catalog, _ in try await catalog.reload() }
    if let provider, snapshot[provider] == nil {
      throw Failure(ExitStatus.noInput, "There is no provider “\(provider)”.")
    }
    let entries = snapshot.entries.filter { entry in
      if let provider { entry.provider == provider } else { all || entry.isEnabled }
    }
    let models = entries.flatMap(\.models)
    if common.json {
      for model in models { Console.print(try JSONLine.text(ModelLine(model: model))) }
      return
    }
    guard !models.isEmpty else {
      Console.print("No models; `holdfast models refresh` asks the providers.")
      return
    }
    var table = Table([
      .init(title: "provider"), .init(title: "model"), .init(title: "context", isNumber: true),
      .init(title: "input", isNumber: true), .init(title: "output", isNumber: true),
    ])
    for model in models {
      table.add([
        model.provider, model.id, Amount.tokens(model.context), Amount.price(model.prices?.input),
        Amount.price(model.prices?.output),
      ])
    }
    Console.print(table.lines.joined(separator: "\n"))
  }
}
