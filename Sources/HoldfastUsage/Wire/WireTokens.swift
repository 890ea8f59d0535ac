// SPDX-License-Identifier: Apache-2.0

/// The disjoint token columns, worked out of what each format counts together.
struct WireTokens {
  private let kind: WireKind
  private let fields: WireFields

  init(_ kind: WireKind, _ fields: WireFields) {
    self.kind = kind
    self.fields = fields
  }

  func write(_ usage: inout WireUsage) {
    usage.webSearches = fields.count(.webSearches)
    switch kind {
    case .anthropicMessages:
      // `input_tokens` excludes the cache already.
      usage.inputTokens = fields.count(.input)
      usage.outputTokens = fields.count(.output)
      usage.cacheReadTokens = fields.count(.cacheRead)
      (usage.cacheWrite5mTokens, usage.cacheWrite1hTokens) = fields.cacheWrites
      usage.reasoningTokens = fields.count(.reasoning)
    case .openAIChat, .openAIResponses:
      usage.cacheReadTokens = fields.count(.cacheRead)
      (usage.cacheWrite5mTokens, usage.cacheWrite1hTokens) = fields.cacheWrites
      usage.inputTokens = fields.count(.input).map(uncached)
      usage.outputTokens = fields.count(.output).map(withReasoning)
      usage.reasoningTokens = fields.count(.reasoning)
    case .openAIEmbeddings:
      usage.inputTokens = fields.count(.input)
      // An embedding has no output by its nature, so this 0 is known.
      usage.outputTokens = usage.inputTokens.map { _ in 0 }
    case .geminiGenerateContent:
      usage.cacheReadTokens = fields.count(.cacheRead)
      usage.inputTokens = fields.count(.input).map { uncached($0) + (fields.count(.inputBeside) ?? 0) }
      usage.reasoningTokens = fields.count(.reasoningBeside)
      usage.outputTokens = geminiOutput
    case .anthropicCountTokens, .models, .other:
      break
    }
  }

  /// The prompt without its cached part; a server that counts the cache beside the prompt is taken at its word.
  private func uncached(_ prompt: Int64) -> Int64 {
    let cached = (fields.count(.cacheRead) ?? 0) + (fields.count(.cacheWrite) ?? 0)
    return cached <= prompt ? prompt - cached : prompt
  }

  /// The output, reasoning included: some servers (xAI's chat) count it beside the completion, which shows in
  /// their total.
  private func withReasoning(_ output: Int64) -> Int64 {
    guard let reasoning = fields.count(.reasoning), let total = fields.count(.total),
      let prompt = fields.count(.input), total == prompt + output + reasoning
    else { return output }
    return output + reasoning
  }

  /// Gemini leaves out a count of zero, so an answer with a prompt count and no candidates produced nothing.
  private var geminiOutput: Int64? {
    let output = fields.count(.output)
    let thoughts = fields.count(.reasoningBeside)
    if output == nil, thoughts == nil { return fields.count(.input) != nil && fields.hasStopReason ? 0 : nil }
    return (output ?? 0) + (thoughts ?? 0)
  }
}
