// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastCatalog
import HoldfastEngine
import HoldfastGateway

/// `holdfast models providers`.
struct ModelsProviders: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "providers",
    abstract: "The providers, and whether they are asked and routed to.",
    discussion: """
      Examples:
        holdfast models providers
        holdfast models providers disable groq
        holdfast models providers enable groq
        holdfast models providers auto groq        as the configuration says again

      What is decided here stays, whatever becomes of the lists of models.
      """)

  /// What becomes of a provider.
  enum Action: String, ExpressibleByArgument, CaseIterable {
    case enable, disable, auto
  }

  @Argument(help: "enable, disable or auto; without it the providers are listed.")
  var action: Action?

  @Argument(help: "The providers it is about.")
  var names: [String] = []

  @OptionGroup var common: CommonOptions

  func validate() throws {
    if let action, names.isEmpty { throw ValidationError("Name the providers to \(action.rawValue).") }
  }

  func run() async throws {
    let lines = try await common.withCatalog { [action, names] catalog, store in
      for name in names { try await catalog.setEnabled(name, action == .auto ? nil : action == .enable) }
      let wanted = Set(names)
      let cooldowns = try await CooldownMachine.kept(in: store)
      return try await catalog.statuses().filter { wanted.isEmpty || wanted.contains($0.name) }
        .map { ProviderLine($0, cooldownUntil: cooldowns.until(.everything(of: $0.name), at: .now)) }
    }
    if common.json {
      for line in lines { Console.print(try JSONLine.text(line)) }
      return
    }
    var table = Table([
      .init(title: "provider"), .init(title: "kind"), .init(title: "state"),
      .init(title: "models", isNumber: true), .init(title: "last success"), .init(title: "why not"),
    ])
    for line in lines {
      let status = line.status
      table.add([
        status.name, status.kind.rawValue, Self.state(line), Amount.count(status.models),
        status.lastSuccess?.rfc3339(wholeSeconds: true) ?? "never", status.error ?? "",
      ])
    }
    Console.print(table.lines.joined(separator: "\n"))
  }

  private static func state(_ line: ProviderLine) -> String {
    let status = line.status
    let byHand = status.isByHand ? ", by hand" : ""
    if !status.isEnabled { return "disabled\(byHand)" }
    if !status.isUsable { return "not configured" }
    let cooling = line.cooldownUntil.map { ", cools down until \($0.rfc3339(wholeSeconds: true))" } ?? ""
    return "enabled\(byHand)\(cooling)"
  }
}
