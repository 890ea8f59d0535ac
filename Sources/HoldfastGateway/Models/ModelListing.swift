// SPDX-License-Identifier: Apache-2.0

import HoldfastCatalog
import HoldfastEngine

/// The models of all providers as one list, in the shape of the API a client speaks.
///
/// A model that several providers have stands there once, as the one that would be asked first if nothing had failed
/// lists it.
struct ModelListing {
  /// One model and who has it.
  struct Item {
    var id: String
    var model: CatalogModel
    var prices: ModelPrices?
    /// By name, the one asked first in front.
    var providers: [String]
  }

  private let items: [Item]

  /// All items, in the order of their ids.
  init(_ items: [Item]) { self.items = items.sorted { $0.id < $1.id } }

  // MARK: OpenAI

  /// `GET /v1/models`: everything at once, as OpenAI has it.
  func openAI() -> some Encodable {
    OpenAIList(data: items.map(Self.openAI))
  }

  /// `GET /v1/models/ID`.
  static func openAI(_ item: Item) -> OpenAIModel {
    OpenAIModel(
      id: item.id, created: (item.model.created?.milliseconds ?? 0) / 1000,
      ownedBy: item.providers.first ?? item.model.provider, contextLength: item.model.context,
      maxOutputTokens: item.model.maxOutput, providers: item.providers, prices: item.prices)
  }

  private struct OpenAIList: Encodable {
    var object = "list"
    var data: [OpenAIModel]
  }

  /// OpenAI's fields, and what else is known: clients pass over what they do not know.
  struct OpenAIModel: Encodable {
    var id: String
    var object = "model"
    var created: Int64
    var ownedBy: String
    var contextLength: Int?
    var maxOutputTokens: Int?
    var providers: [String]
    var prices: ModelPrices?

    private enum CodingKeys: String, CodingKey {
      case id, object, created, providers, prices
      case ownedBy = "owned_by"
      case contextLength = "context_length"
      case maxOutputTokens = "max_output_tokens"
    }
  }

  // MARK: Anthropic

  /// What a client asks of Anthropic's list.
  struct Page: Equatable {
    /// What is wrong with a question.
    struct Problem: Error, Equatable {
      /// One sentence.
      let message: String
    }

    var limit = 20
    var after: String?
    var before: String?

    /// Reads the parameters; those it does not know are none of its business.
    init(_ parameters: [(String, String)]) throws(Problem) {
      for (name, value) in parameters {
        switch name {
        case "limit":
          guard let number = Int(value), (1...1000).contains(number) else {
            throw Problem(message: "limit is from 1 to 1000.")
          }
          limit = number
        case "after_id": after = value.isEmpty ? nil : value
        case "before_id": before = value.isEmpty ? nil : value
        default: break
        }
      }
      if after != nil, before != nil {
        throw Problem(message: "after_id and before_id cannot be asked for together.")
      }
    }
  }

  /// `GET /v1/models`: the newest first, a page at a time.
  ///
  /// - Throws: ``Page/Problem`` for a mark that is not in the list: a page from anywhere else would leave models out.
  func anthropic(_ page: Page) throws(Page.Problem) -> some Encodable {
    var models = items.map(Self.anthropic).sorted { Self.order($0) < Self.order($1) }
    var hasMore = false
    if let after = page.after { models.removeFirst(try Self.place(of: after, in: models) + 1) }
    if let before = page.before {
      models.removeSubrange(try Self.place(of: before, in: models)...)
      hasMore = models.count > page.limit
      models = models.suffix(page.limit)
    } else {
      hasMore = models.count > page.limit
      models = Array(models.prefix(page.limit))
    }
    return AnthropicPage(data: models, hasMore: hasMore, first: models.first?.id, last: models.last?.id)
  }

  private static func place(of id: String, in models: [AnthropicModel]) throws(Page.Problem) -> Int {
    guard let place = models.firstIndex(where: { $0.id == id }) else {
      throw Page.Problem(message: "The list has no model “\(id.prefix(128))” to go on from.")
    }
    return place
  }

  private static func order(_ model: AnthropicModel) -> (Int64, String) {
    (-model.createdAt.milliseconds, model.id)
  }

  /// `GET /v1/models/ID`.
  static func anthropic(_ item: Item) -> AnthropicModel {
    AnthropicModel(
      id: item.id, displayName: item.model.displayName ?? item.id,
      // As Anthropic has it for a release date that is not known.
      createdAt: item.model.created ?? UTCInstant(milliseconds: 0), providers: item.providers)
  }

  private struct AnthropicPage: Encodable {
    var data: [AnthropicModel]
    var hasMore: Bool
    var first: String?
    var last: String?

    private enum CodingKeys: String, CodingKey {
      case data
      case hasMore = "has_more"
      case first = "first_id"
      case last = "last_id"
    }

    /// The ids are null in an empty page, not left out.
    func encode(to encoder: any Encoder) throws {
      var fields = encoder.container(keyedBy: CodingKeys.self)
      try fields.encode(data, forKey: .data)
      try fields.encode(hasMore, forKey: .hasMore)
      try fields.encode(first, forKey: .first)
      try fields.encode(last, forKey: .last)
    }
  }

  /// Anthropic's fields, and who has it.
  struct AnthropicModel: Encodable {
    var type = "model"
    var id: String
    var displayName: String
    var createdAt: UTCInstant
    var providers: [String]

    private enum CodingKeys: String, CodingKey {
      case type, id, providers
      case displayName = "display_name"
      case createdAt = "created_at"
    }
  }
}

extension ModelRouter {
  /// What a client of this shape, without a key of its own, can use.
  func listing(for shape: ClientShape) -> ModelListing {
    var seen: Set<String> = []
    return ModelListing(
      usableModels(Self.api(of: shape)).compactMap { model in
        seen.insert(model.id).inserted ? item(model.id, for: shape) : nil
      })
  }

  /// One entry, by its id or by a name its provider takes for it.
  func item(_ id: String, for shape: ClientShape) -> ModelListing.Item? {
    let found = candidates(for: id, Self.api(of: shape), ignoringCooldowns: true)
    return found.first.map {
      ModelListing.Item(id: id, model: $0.model, prices: $0.prices, providers: found.map(\.provider))
    }
  }

  private static func api(of shape: ClientShape) -> RouteChoice.API {
    switch shape {
    case .anthropic: .messages
    case .openAI: .chatCompletions
    }
  }
}
