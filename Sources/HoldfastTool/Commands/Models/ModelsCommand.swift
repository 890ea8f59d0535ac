// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastCatalog
import HoldfastEngine
import HoldfastGateway

/// `holdfast models …`: what the providers offer.
struct ModelsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "models",
    abstract: "The models of all providers, with context and prices as these publish them.",
    discussion: """
      Examples:
        holdfast models refresh
        holdfast models list --provider openrouter
        holdfast models show gpt-5-mini
        holdfast models providers disable groq

      Asked are the providers of config.yaml, and those whose key is in the environment.
      """,
    subcommands: [ModelsList.self, ModelsShow.self, ModelsRefresh.self, ModelsProviders.self])
}

extension CommonOptions {
  /// Runs `body` with the home's catalogue, and closes what it stands on behind.
  ///
  /// - Parameter source: whether providers are going to be asked.
  func withCatalog<Value: Sendable>(
    asking: Bool = false, _ body: @Sendable (ModelCatalog, any StateStore) async throws -> Value
  ) async throws -> Value {
    let home = resolvedHome
    let configuration = try home.configuration()
    let source: any ModelSource =
      asking ? HTTPModelSource(certificateFile: configuration.certificateFile) : Nobody()
    return try await withState(making: true) { store in
      let catalog = ModelCatalog(
        store: store, providers: configuration.providers, source: source,
        lockFile: home.path + "/catalog.lock")
      let outcome: Result<Value, any Error>
      do {
        outcome = .success(try await body(catalog, store))
      } catch {
        outcome = .failure(error)
      }
      if let source = source as? HTTPModelSource { await source.close() }
      return try outcome.get()
    }
  }
}

extension CooldownMachine {
  /// What the daemon has written down; none where there is nothing to read.
  static func kept(in store: any StateStore) async throws -> CooldownMachine {
    try await store.get(StateKey(stateNamespace, stateKey), as: CooldownMachine.self) ?? CooldownMachine()
  }
}

/// For commands that ask no provider.
private struct Nobody: ModelSource {
  func models(of provider: Provider, at time: UTCInstant) async throws -> ModelList {
    throw CatalogError(.provider, "No provider is asked here.")
  }
}

/// A model as it is printed.
struct ModelLine: Encodable {
  let model: CatalogModel
  /// Whether all that is known is printed.
  var isWhole = false
  var isEnabled = true
  /// Where requests for it that leave the provider open would try this one: 1 is the first; nil: nowhere.
  var position: Int?
  /// Why there.
  var reason: RouteChoice.Reason?
  var coolsUntil: UTCInstant?

  private enum CodingKeys: String, CodingKey {
    case id, provider, context, aliases, created, enabled, position, reason
    case cooldownUntil = "cooldown_until"
    case input = "input_microusd"
    case output = "output_microusd"
    case cacheRead = "cache_read_microusd"
    case cacheWrite = "cache_write_microusd"
    case fetchedAt = "fetched_at"
    case displayName = "display_name"
    case maxOutput = "max_output"
    case inputModalities = "input_modalities"
    case outputModalities = "output_modalities"
  }

  /// What is not published is null.
  func encode(to encoder: any Encoder) throws {
    var fields = encoder.container(keyedBy: CodingKeys.self)
    try fields.encode(model.id, forKey: .id)
    try fields.encode(model.provider, forKey: .provider)
    try fields.encode(model.context, forKey: .context)
    try fields.encode(model.prices?.input, forKey: .input)
    try fields.encode(model.prices?.output, forKey: .output)
    try fields.encode(model.fetchedAt, forKey: .fetchedAt)
    guard isWhole else { return }
    try fields.encode(isEnabled, forKey: .enabled)
    try fields.encode(position, forKey: .position)
    try fields.encode(reason, forKey: .reason)
    try fields.encode(coolsUntil, forKey: .cooldownUntil)
    try fields.encode(model.displayName, forKey: .displayName)
    try fields.encode(model.maxOutput, forKey: .maxOutput)
    try fields.encode(model.prices?.cacheRead, forKey: .cacheRead)
    try fields.encode(model.prices?.cacheWrite, forKey: .cacheWrite)
    try fields.encode(model.inputModalities, forKey: .inputModalities)
    try fields.encode(model.outputModalities, forKey: .outputModalities)
    try fields.encode(model.aliases, forKey: .aliases)
    try fields.encode(model.created, forKey: .created)
  }
}

extension Amount {
  /// Dollars per million tokens; a dash for what is not published.
  static func price(_ microdollars: Int64?) -> String {
    guard let microdollars else { return "–" }
    return microdollars == 0 ? "free" : money(microdollars: microdollars)
  }

  /// `128k`, `1M`; a dash for what is not published.
  static func tokens(_ count: Int?) -> String {
    guard let count else { return "–" }
    if count >= 1_000_000, count % 100_000 == 0 {
      let tenths = count / 100_000
      return tenths % 10 == 0 ? "\(tenths / 10)M" : "\(tenths / 10).\(tenths % 10)M"
    }
    return count >= 1000 && count % 1000 == 0 ? "\(count / 1000)k" : Self.count(count)
  }
}
