// SPDX-License-Identifier: Apache-2.0

import HoldfastUsage

/// OpenTelemetry's semantic conventions for generative AI, as far as a gateway can know what they name.
///
/// Names and histogram bounds are those of the conventions for metrics and client spans, with
/// `gen_ai.provider.name` (it replaced `gen_ai.system` in 1.37).
public enum GenAIConventions {
  static let tokenUsage = "gen_ai.client.token.usage"
  static let operationDuration = "gen_ai.client.operation.duration"
  static let timeToFirstToken = "gen_ai.server.time_to_first_token"

  /// The metrics and what is said of them, for ``MetricRegistry``.
  public static let definitions = [
    MetricDefinition(
      tokenUsage, unit: "{token}", description: "Number of input and output tokens used.",
      bounds: [
        1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864,
      ]),
    MetricDefinition(
      operationDuration, unit: "s", description: "GenAI operation duration.",
      bounds: [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]),
    MetricDefinition(
      timeToFirstToken, unit: "s", description: "Time to generate first token for successful responses.",
      bounds: [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]),
  ]

  /// `gen_ai.operation.name`.
  static func operation(_ kind: WireKind?) -> String {
    switch kind {
    case .openAIEmbeddings: "embeddings"
    case .geminiGenerateContent: "generate_content"
    default: "chat"
    }
  }

  /// `gen_ai.provider.name`: the well-known value where there is one, else the provider's own name.
  static func provider(_ name: String) -> String {
    switch name {
    case "google", "gemini": "gcp.gemini"
    case "vertex": "gcp.vertex_ai"
    case "bedrock": "aws.bedrock"
    case "azure": "azure.ai.openai"
    case "xai": "x_ai"
    case "mistral": "mistral_ai"
    default: name
    }
  }

  /// `error.type`: what the provider named, or the status, or how it ended; nil when nothing failed. Few values, so
  /// that they can be labels.
  static func errorType(_ row: UsageRow) -> String? {
    switch row.outcome {
    case .complete: return nil
    case .upstreamError: return row.status.map(String.init) ?? row.outcome.rawValue
    default: return row.outcome.rawValue
    }
  }

  /// The whole prompt, as the conventions count it: what came from a cache is in it.
  static func inputTokens(_ row: UsageRow) -> Int64? {
    row.inputTokens.map {
      $0 + (row.cacheReadTokens ?? 0) + (row.cacheWrite5mTokens ?? 0) + (row.cacheWrite1hTokens ?? 0)
    }
  }
}
