// SPDX-License-Identifier: Apache-2.0

/// The values read out of an answer, whatever the format calls them.
enum WireField: UInt8, CaseIterable, Sendable {
  case input
  case output
  case cacheRead
  /// Cache writes not split by lifetime.
  case cacheWrite
  case cacheWrite5m
  case cacheWrite1h
  case reasoning
  /// Gemini's reasoning, which stands beside its output instead of within it.
  case reasoningBeside
  /// Gemini's prompt tokens of tool results, which stand beside its prompt.
  case inputBeside
  case webSearches
  case total
  case model
  case responseID
  case stopReason
  case serviceTier
  case speed
  case inferenceGeo
  case errorType
  /// OpenAI's error code, used where there is no type.
  case errorCode
  case incompleteReason
  /// The tools an answer calls, of which the first is kept.
  case tool
  case status
  case type
  case outputItemType
  case content

  /// The counts come first, so that their raw values index an array.
  static let counts = 11
  /// The texts come next, from ``model`` to ``tool``.
  static let texts = 10

  /// Where a text stands in an array of the texts.
  var textIndex: Int { Int(rawValue) - Self.counts }
}

/// Where each format keeps the values.
extension WireKind {
  var paths: JSONFieldPaths {
    switch self {
    case .anthropicMessages: Self.anthropicPaths
    case .openAIChat: Self.chatPaths
    case .openAIResponses: Self.responsesPaths
    case .openAIEmbeddings: Self.embeddingsPaths
    case .geminiGenerateContent: Self.geminiPaths
    case .anthropicCountTokens, .models, .other: Self.errorPaths
    }
  }

  private static let anthropicUsage: [(String, WireField)] = [
    ("input_tokens", .input),
    ("output_tokens", .output),
    ("cache_read_input_tokens", .cacheRead),
    ("cache_creation_input_tokens", .cacheWrite),
    ("cache_creation.ephemeral_5m_input_tokens", .cacheWrite5m),
    ("cache_creation.ephemeral_1h_input_tokens", .cacheWrite1h),
    ("output_tokens_details.thinking_tokens", .reasoning),
    ("output_tokens_details.reasoning_tokens", .reasoning),
    ("server_tool_use.web_search_requests", .webSearches),
    ("service_tier", .serviceTier),
    ("speed", .speed),
    ("inference_geo", .inferenceGeo),
  ]

  private static let chatUsage: [(String, WireField)] = [
    ("prompt_tokens", .input),
    ("completion_tokens", .output),
    ("total_tokens", .total),
    ("prompt_tokens_details.cached_tokens", .cacheRead),
    // DeepSeek's name for the same.
    ("prompt_cache_hit_tokens", .cacheRead),
    ("prompt_tokens_details.cache_write_tokens", .cacheWrite),
    ("completion_tokens_details.reasoning_tokens", .reasoning),
  ]

  private static let responsesUsage: [(String, WireField)] = [
    ("input_tokens", .input),
    ("output_tokens", .output),
    ("input_tokens_details.cached_tokens", .cacheRead),
    ("input_tokens_details.cache_write_tokens", .cacheWrite),
    ("output_tokens_details.reasoning_tokens", .reasoning),
  ]

  private static let errors: [(String, WireField)] = [
    ("error.type", .errorType),
    ("error.code", .errorCode),
  ]

  /// The body of a message, and the events of its stream.
  private static let anthropicPaths = JSONFieldPaths(
    fields: [
      ("type", .type), ("id", .responseID), ("model", .model), ("stop_reason", .stopReason),
      ("message.id", .responseID), ("message.model", .model), ("message.stop_reason", .stopReason),
      ("delta.stop_reason", .stopReason), ("content[].name", .tool), ("content_block.name", .tool),
    ] + errors + under("usage.", anthropicUsage) + under("message.usage.", anthropicUsage))

  private static let chatPaths = JSONFieldPaths(
    fields: [
      ("id", .responseID), ("model", .model), ("service_tier", .serviceTier),
      ("choices[].finish_reason", .stopReason),
      ("choices[].text", .content), ("choices[].delta.content", .content),
      ("choices[].delta.reasoning", .content), ("choices[].delta.reasoning_content", .content),
      ("choices[].delta.tool_calls", .content), ("choices[].delta.refusal", .content),
      ("choices[].delta.tool_calls[].function.name", .tool),
      ("choices[].message.tool_calls[].function.name", .tool),
    ] + errors + under("usage.", chatUsage)
      // Moonshot puts a stream's usage in its choice, Groq in a field of its own.
      + under("choices[].usage.", chatUsage) + under("x_groq.usage.", chatUsage))

  private static let responsesPaths = JSONFieldPaths(
    fields: [("type", .type), ("code", .errorCode), ("item.name", .tool)]
      + errors + under("", responsesBody) + under("response.", responsesBody))

  private static let responsesBody: [(String, WireField)] =
    [
      ("id", .responseID), ("model", .model), ("service_tier", .serviceTier), ("status", .status),
      ("incomplete_details.reason", .incompleteReason), ("output[].type", .outputItemType),
      ("output[].name", .tool),
      ("error.code", .errorCode), ("error.type", .errorType),
    ] + under("usage.", responsesUsage)

  private static let embeddingsPaths = JSONFieldPaths(
    fields: [("model", .model), ("usage.prompt_tokens", .input)] + errors)

  private static let geminiBody: [(String, WireField)] = [
    ("modelVersion", .model), ("responseId", .responseID),
    ("candidates[].finishReason", .stopReason), ("candidates[].content", .content),
    ("candidates[].content.parts[].functionCall.name", .tool), ("error.status", .errorType),
    ("usageMetadata.promptTokenCount", .input),
    ("usageMetadata.toolUsePromptTokenCount", .inputBeside),
    ("usageMetadata.cachedContentTokenCount", .cacheRead),
    ("usageMetadata.candidatesTokenCount", .output),
    ("usageMetadata.thoughtsTokenCount", .reasoningBeside),
    ("usageMetadata.serviceTier", .serviceTier),
  ]

  /// Gemini streams either events or, unless asked for those, one JSON array.
  private static let geminiPaths = JSONFieldPaths(fields: geminiBody + under("[].", geminiBody))

  private static let errorPaths = JSONFieldPaths(fields: errors)

  private static func under(_ prefix: String, _ fields: [(String, WireField)]) -> [(String, WireField)] {
    fields.map { (prefix + $0.0, $0.1) }
  }
}

extension JSONFieldPaths {
  fileprivate init(fields: [(String, WireField)]) {
    self.init(fields.map { (path: $0.0, field: $0.1.rawValue) })
  }
}
