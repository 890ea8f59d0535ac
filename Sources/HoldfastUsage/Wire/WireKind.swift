// SPDX-License-Identifier: Apache-2.0

/// What a request asks of a provider: it decides where in the answer the usage stands.
public enum WireKind: String, Sendable, Hashable, Codable, CaseIterable {
  /// Anthropic `POST /v1/messages`.
  case anthropicMessages = "messages"
  /// Anthropic `POST /v1/messages/count_tokens`, which is not billed.
  case anthropicCountTokens = "count_tokens"
  /// OpenAI `POST /v1/chat/completions`, and the older `/v1/completions`, whose usage has the same shape.
  case openAIChat = "chat_completions"
  /// OpenAI `POST /v1/responses`, and `/v1/responses/compact`, which is billed the same way.
  case openAIResponses = "responses"
  /// OpenAI `POST /v1/embeddings`.
  case openAIEmbeddings = "embeddings"
  /// Google `POST …:generateContent` and `…:streamGenerateContent`.
  case geminiGenerateContent = "generate_content"
  /// A list of models.
  case models
  /// Anything else; nothing is read from it.
  case other

  /// True when an answer to this kind of request is billed by its tokens, so it should say its usage.
  public var billsTokens: Bool {
    switch self {
    case .anthropicMessages, .openAIChat, .openAIResponses, .openAIEmbeddings, .geminiGenerateContent: true
    case .anthropicCountTokens, .models, .other: false
    }
  }

  /// The kind of a request, from its method and its path, whatever base path stands before it.
  ///
  /// - Parameters:
  ///   - method: the request's method, upper case.
  ///   - target: the path, with or without its query.
  public init(method: String, target: String) {
    let path = target.prefix { $0 != "?" && $0 != "#" }
    let parts = path.split(separator: "/")
    let last = parts.last ?? ""
    switch (method, last) {
    case ("POST", "messages"): self = .anthropicMessages
    case ("POST", "count_tokens"): self = .anthropicCountTokens
    case ("POST", "completions"): self = .openAIChat
    case ("POST", "responses"): self = .openAIResponses
    case ("POST", "compact") where parts.dropLast().last == "responses": self = .openAIResponses
    case ("POST", "embeddings"): self = .openAIEmbeddings
    case ("POST", _) where last.hasSuffix(":generateContent") || last.hasSuffix(":streamGenerateContent"):
      self = .geminiGenerateContent
    case ("GET", "models"): self = .models
    default: self = .other
    }
  }
}
