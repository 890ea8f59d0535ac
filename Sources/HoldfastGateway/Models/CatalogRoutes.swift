// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import HoldfastCatalog
import HoldfastEngine
import Hummingbird

/// `/api/models` and `/api/models/refresh`: what the page's view of models shows.
///
/// | Path | Parameters | Answer |
/// |---|---|---|
/// | `GET /api/models` | `provider`, `text`, `limit` | `{models, truncated, providers, cooldowns}` |
/// | `POST /api/models/refresh` | `provider`, `force` | `{outcomes}` |
struct CatalogRoutes {
  let catalog: ServedCatalog

  /// The longest an answer waits for the store.
  private static let patience = Duration.seconds(5)

  private struct All: Encodable {
    var models: [Line]
    var truncated: Bool
    var providers: [ProviderLine]
    var cooldowns: [CooldownMachine.Record]
  }

  private struct Outcomes: Encodable {
    var outcomes: [RefreshOutcome]
  }

  /// As `holdfast models list --json` prints it, with the price that requests are routed by.
  private struct Line: Encodable {
    var model: CatalogModel
    var prices: ModelPrices?
    var isUsable: Bool
    var coolsUntil: UTCInstant?

    private enum CodingKeys: String, CodingKey {
      case id, provider, context, aliases, usable, published
      case displayName = "display_name"
      case maxOutput = "max_output"
      case input = "input_microusd"
      case output = "output_microusd"
      case inputModalities = "input_modalities"
      case outputModalities = "output_modalities"
      case fetchedAt = "fetched_at"
      case cooldownUntil = "cooldown_until"
    }

    /// What is not known is null.
    func encode(to encoder: any Encoder) throws {
      var fields = encoder.container(keyedBy: CodingKeys.self)
      try fields.encode(model.id, forKey: .id)
      try fields.encode(model.provider, forKey: .provider)
      try fields.encode(model.displayName, forKey: .displayName)
      try fields.encode(model.context, forKey: .context)
      try fields.encode(model.maxOutput, forKey: .maxOutput)
      try fields.encode(prices?.input, forKey: .input)
      try fields.encode(prices?.output, forKey: .output)
      try fields.encode(prices != nil && prices == model.prices, forKey: .published)
      try fields.encode(model.inputModalities, forKey: .inputModalities)
      try fields.encode(model.outputModalities, forKey: .outputModalities)
      try fields.encode(model.aliases, forKey: .aliases)
      try fields.encode(model.fetchedAt, forKey: .fetchedAt)
      try fields.encode(isUsable, forKey: .usable)
      try fields.encode(coolsUntil, forKey: .cooldownUntil)
    }
  }

  func add(to router: Router<BasicRequestContext>) {
    let catalog = self.catalog
    router.get("/api/models") { request, _ in
      try await Self.answering {
        let query = try CatalogQuery(Self.parameters(request), names: [.provider, .text, .limit])
        return try await Deadline.wait(Self.patience, for: "the catalogue did not answer") {
          try await Self.all(query, catalog)
        }
      }
    }
    router.post("/api/models/refresh") { request, _ in
      try await Self.answering {
        let query = try CatalogQuery(Self.parameters(request), names: [.provider, .force])
        return Outcomes(
          outcomes: try await catalog.refresh(query.provider.map { [$0] }, force: query.force))
      }
    }
  }

  private static func all(_ query: CatalogQuery, _ catalog: ServedCatalog) async throws -> All {
    let router = catalog.router
    let cooldowns = router.cooldowns
    let now = UTCInstant.now
    let statuses = try await catalog.providers()
    let found = router.snapshot.models.filter(query.matches)
    return All(
      models: found.prefix(query.limit).map { model in
        Line(
          model: model, prices: router.prices(of: model), isUsable: router.isUsable(model.provider),
          coolsUntil: cooldowns.until(RouteID(provider: model.provider, model: model.id), at: now))
      },
      truncated: found.count > query.limit,
      providers: statuses.map {
        ProviderLine($0, cooldownUntil: cooldowns.until(.everything(of: $0.name), at: now))
      },
      cooldowns: cooldowns.current(at: now))
  }

  private static func parameters(_ request: Request) -> [(String, String)] {
    request.uri.queryParameters.map { (String($0.key), String($0.value)) }
  }

  private static func answering(_ body: () async throws -> some Encodable) async throws -> Response {
    do {
      return try APIAnswer.json(await body())
    } catch let problem as CatalogQuery.Problem {
      return APIAnswer.failure(.badRequest, "bad_request", problem.message)
    } catch let error as CatalogError {
      return APIAnswer.failure(
        error.code == .notFound ? .notFound : .serviceUnavailable, "\(error.code)", error.message)
    } catch let error as StoreError {
      return APIAnswer.failure(.serviceUnavailable, "\(error.code)", error.description)
    }
  }
}

/// The parameters of `/api/models…`, read strictly: one nobody knows is refused, because a filter that is silently
/// ignored shows what was not asked for.
struct CatalogQuery: Equatable {
  /// What is wrong with a question.
  struct Problem: Error, Equatable {
    /// One sentence.
    let message: String
  }

  enum Name: String {
    case provider, text, limit, force
  }

  var provider: String?
  var text: String?
  var limit = 1000
  var force = false

  init(_ parameters: [(String, String)], names: [Name]) throws(Problem) {
    for (name, value) in parameters {
      guard let known = Name(rawValue: name), names.contains(known) else {
        throw Problem(
          message: "“\(name)” is not known here; \(names.map(\.rawValue).joined(separator: ", ")) are.")
      }
      switch known {
      case .provider: provider = value
      case .text: text = value.isEmpty ? nil : value.lowercased()
      case .limit:
        guard let number = Int(value), (1...100_000).contains(number) else {
          throw Problem(message: "limit is from 1 to 100000, not “\(value)”.")
        }
        limit = number
      case .force:
        guard value == "true" || value == "false" else {
          throw Problem(message: "force is true or false, not “\(value)”.")
        }
        force = value == "true"
      }
    }
  }

  /// Whether a model is asked for: `text` is looked for in its id, its name and its aliases.
  func matches(_ model: CatalogModel) -> Bool {
    if let provider, model.provider != provider { return false }
    guard let text else { return true }
    return ([model.id, model.displayName ?? ""] + model.aliases).contains { $0.lowercased().contains(text) }
  }
}
