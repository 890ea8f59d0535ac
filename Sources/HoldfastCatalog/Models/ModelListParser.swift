// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

/// What a provider said when it was asked for its models.
public struct ModelList: Sendable, Hashable {
  /// Its models, in its order; one for each id.
  public var models: [CatalogModel]
  /// What was wrong with the list and was left out, in a sentence each.
  public var notes: [String]

  /// A list.
  public init(models: [CatalogModel] = [], notes: [String] = []) {
    (self.models, self.notes) = (models, notes)
  }
}

/// Reads the pages of a provider's list.
struct ModelListParser {
  /// The most models one provider may have.
  static let mostModels = 20_000
  private static let mostNotes = 20

  private let provider: String
  private let kind: ProviderKind
  private let time: UTCInstant
  private var ids: Set<String> = []
  private var list = ModelList()
  private var leftOut = 0

  init(_ provider: Provider, at time: UTCInstant) {
    (self.provider, kind, self.time) = (provider.name, provider.kind, time)
  }

  /// Reads a page.
  ///
  /// - Returns: what asks for the next page; nil at the end.
  /// - Throws: ``CatalogError`` `provider` for what is no list of models.
  mutating func read(_ page: [UInt8]) throws(CatalogError) -> String? {
    var reader = ListReader(page)
    let isOwnShape = kind == .ollama || kind == .gemini
    var next = self
    let rest: [String: ListNode]
    let hasList: Bool
    do throws(ListReader.Fault) {
      (rest, hasList) = try reader.read(isOwnShape ? "models" : "data") { node throws(ListReader.Fault) in
        guard next.list.models.count < Self.mostModels else {
          throw ListReader.Fault(reason: "it has more than \(Self.mostModels) models")
        }
        next.add(node)
      }
    } catch {
      throw CatalogError(.provider, "Its list of models cannot be read: \(error.reason).")
    }
    // Gemini leaves the array out when it is empty; anybody else who does so said something else.
    guard hasList || kind == .gemini && rest["error"] == nil else {
      let said = rest["error"].flatMap { $0.text ?? $0["message"]?.text }.map { ": “\(Self.cut($0))”" } ?? ""
      throw CatalogError(.provider, "Its answer has no list of models\(said).")
    }
    self = next
    switch kind {
    case .anthropic:
      guard rest["has_more"]?.bool == true else { return nil }
      return rest["last_id"]?.text ?? list.models.last?.id
    case .gemini:
      let token = rest["nextPageToken"]?.text
      return token?.isEmpty == false ? token : nil
    case .openAI, .ollama: return nil
    }
  }

  /// The list, once its last page was read.
  func finish() -> ModelList {
    var list = list
    if leftOut > 0 { list.notes.append("So it is with \(leftOut) more.") }
    return list
  }

  private mutating func note(_ text: String) {
    if list.notes.count < Self.mostNotes { list.notes.append(text) } else { leftOut += 1 }
  }

  private static func cut(_ text: String) -> String {
    text.unicodeScalars.count <= 200
      ? text : String(String.UnicodeScalarView(text.unicodeScalars.prefix(200))) + "…"
  }

  private mutating func add(_ entry: ListNode) {
    let named = kind == .ollama || kind == .gemini ? entry["name"] ?? entry["model"] : entry["id"]
    guard var id = named?.text, !id.isEmpty, id.utf8.count <= 512, !id.utf8.contains(where: { $0 < 0x20 })
    else {
      note("An entry without a usable id was left out.")
      return
    }
    if kind == .gemini, id.hasPrefix("models/"), id != "models/" { id = String(id.dropFirst(7)) }
    guard ids.insert(id).inserted else {
      note("The id “\(Self.cut(id))” stands in the list more than once; the first counts.")
      return
    }
    var model = CatalogModel(id: id, provider: provider, fetchedAt: time)
    switch kind {
    case .anthropic, .openAI: fill(&model, entry)
    case .ollama:
      if id.hasSuffix(":latest"), id != ":latest" { model.aliases = [String(id.dropLast(7))] }
      model.context = Self.tokens(entry["context_length"])
    case .gemini:
      model.displayName = entry["displayName"]?.text
      model.context = Self.tokens(entry["inputTokenLimit"])
      model.maxOutput = Self.tokens(entry["outputTokenLimit"])
      model.aliases = ["models/" + id]
    }
    list.models.append(model)
  }
}

// MARK: - The fields of OpenAI's and Anthropic's shape, with what others add

extension ModelListParser {
  private mutating func fill(_ model: inout CatalogModel, _ entry: ListNode) {
    let name = (entry["display_name"] ?? entry["name"])?.text
    model.displayName = name == model.id ? nil : name
    let top = entry["top_provider"]
    // OpenRouter, Together, Fireworks; Groq; Mistral, LM Studio; vLLM; Anthropic.
    let contexts = [
      entry["context_length"], entry["context_window"], entry["max_context_length"], entry["max_model_len"],
      entry["max_input_tokens"], top?["context_length"],
    ]
    model.context = contexts.lazy.compactMap { Self.tokens($0) }.first
    // OpenRouter; Groq; others; Anthropic.
    let outputs = [
      top?["max_completion_tokens"], entry["max_completion_tokens"], entry["max_output_tokens"],
      kind == .anthropic ? entry["max_tokens"] : nil,
    ]
    model.maxOutput = outputs.lazy.compactMap { Self.tokens($0) }.first
    Self.readModalities(&model, entry)
    model.prices = prices(model.id, entry)
    var aliases = (entry["aliases"]?.list ?? []).compactMap(\.text)
    if let slug = entry["canonical_slug"]?.text { aliases.append(slug) }
    var seen: Set<String> = [model.id, ""]
    model.aliases = aliases.filter { $0.utf8.count <= 512 && seen.insert($0).inserted }
    model.created = Self.time(entry["created"] ?? entry["created_at"])
  }

  private static func readModalities(_ model: inout CatalogModel, _ entry: ListNode) {
    let architecture = entry["architecture"]
    func names(_ key: String) -> [String] {
      ((architecture?[key] ?? entry[key])?.list ?? []).compactMap(\.text)
    }
    model.inputModalities = names("input_modalities")
    model.outputModalities = names("output_modalities")
    guard model.inputModalities.isEmpty else { return }
    // Mistral and Fireworks say what a model can do; LM Studio what it is.
    let sees = entry["capabilities"]?["vision"]?.bool ?? entry["supports_image_input"]?.bool
    let type = entry["type"]?.text
    if sees == true || type == "vlm" {
      model.inputModalities = ["text", "image"]
    } else if sees == false || type == "llm" {
      model.inputModalities = ["text"]
    }
  }

  private mutating func prices(_ id: String, _ entry: ListNode) -> ModelPrices? {
    let unit: PublishedPrice.Unit
    var fields: [(name: String, node: ListNode?)]
    if let pricing = entry["pricing"], pricing["prompt"] != nil || pricing["completion"] != nil {
      unit = .token
      fields = [
        ("input", pricing["prompt"]), ("output", pricing["completion"]),
        ("cache-read", pricing["input_cache_read"]), ("cache-write", pricing["input_cache_write"]),
      ]
    } else if let pricing = entry["pricing"] {
      unit = .million
      fields = [
        ("input", pricing["input"]), ("output", pricing["output"]), ("cache-read", pricing["cached_input"]),
      ]
    } else if entry["prompt_text_token_price"] != nil {
      unit = .centsPerHundredMillion
      fields = [
        ("input", entry["prompt_text_token_price"]), ("output", entry["completion_text_token_price"]),
        ("cache-read", entry["cached_prompt_text_token_price"]),
      ]
    } else {
      return nil
    }
    fields.removeAll { $0.node == nil || $0.node == .null }
    var amounts: [String: Int64] = [:]
    for (name, node) in fields {
      guard let node else { continue }
      if let amount = PublishedPrice.microdollars(node, unit) {
        amounts[name] = amount
      } else {
        note("The \(name) price of “\(Self.cut(id))” is no amount of money and was left out.")
      }
    }
    // One without the other would look like half of the truth.
    guard let input = amounts["input"], let output = amounts["output"] else { return nil }
    var prices = ModelPrices(
      input: input, output: output, cacheRead: amounts["cache-read"], cacheWrite: amounts["cache-write"])
    if unit == .token, let pricing = entry["pricing"] {
      // A fee that cannot be read makes the rest half of the truth as well.
      for (name, path) in [("request", \ModelPrices.request), ("web_search", \ModelPrices.webSearch)] {
        guard let node = pricing[name], node != .null else { continue }
        guard let amount = PublishedPrice.microdollars(node, .each) else {
          note(
            "The \(name) price of “\(Self.cut(id))” is no amount of money; its other prices were left out, too."
          )
          return nil
        }
        if amount > 0 { prices[keyPath: path] = amount }
      }
    }
    return prices
  }

  private static func tokens(_ node: ListNode?) -> Int? {
    guard let count = node?.whole, (1...1_000_000_000_000).contains(count) else { return nil }
    return count
  }

  private static func time(_ node: ListNode?) -> UTCInstant? {
    if let seconds = node?.whole {
      return seconds > 0 && seconds < 253_402_300_800 ? UTCInstant(milliseconds: Int64(seconds) * 1000) : nil
    }
    guard let time = node?.text.flatMap({ UTCInstant($0) }), UTCInstant.supported.contains(time),
      time.milliseconds > 0
    else { return nil }
    return time
  }
}
