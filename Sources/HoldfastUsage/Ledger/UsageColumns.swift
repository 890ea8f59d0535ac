// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine

/// A row of the table `usage`, and back.
enum UsageColumns {
  /// The columns that a row fills, in the order of ``arguments(_:)``.
  static let names = [
    "uid", "time_ms", "provider", "model", "source", "session", "project", "agent", "parent_agent",
    "request_id", "response_id", "endpoint", "streaming", "status", "outcome", "error_type", "stop_reason",
    "duration_ms", "first_token_ms", "input_tokens", "cache_read_tokens", "cache_write_5m_tokens",
    "cache_write_1h_tokens", "output_tokens", "reasoning_tokens", "web_searches", "service_tier", "speed",
    "inference_geo", "unknown_reason", "expects_usage", "cost_microusd", "rate_card",
    "route", "decision", "tool", "origin", "saved_microusd",
  ]

  /// The columns, to be selected; `seq` stands before them.
  static let selection = "seq, " + names.joined(separator: ", ")

  /// The values of a row.
  static func arguments(_ row: UsageRow) -> StatementArguments {
    [
      row.uid, row.time?.milliseconds, row.provider, row.model, kept(row.source), kept(row.session),
      kept(row.project), kept(row.agent), kept(row.parentAgent), kept(row.requestID), kept(row.responseID),
      row.endpoint?.rawValue, row.streaming, row.status, row.outcome.rawValue, kept(row.errorType),
      kept(row.stopReason), row.durationMilliseconds, row.firstTokenMilliseconds, row.inputTokens,
      row.cacheReadTokens, row.cacheWrite5mTokens, row.cacheWrite1hTokens, row.outputTokens,
      row.reasoningTokens, row.webSearches, kept(row.serviceTier), kept(row.speed), kept(row.inferenceGeo),
      row.unknown?.rawValue, row.expectsUsage, row.costMicrodollars, row.rateCard,
      kept(row.route), kept(row.decision), kept(row.tool), row.origin.rawValue, row.savedMicrodollars,
    ]
  }

  /// An empty name is no name.
  private static func kept(_ text: String?) -> String? { text?.isEmpty == true ? nil : text }

  /// A row of ``selection``. A word that this version does not know is read as the nearest thing it does.
  static func row(_ row: Row) -> (seq: Int64, row: UsageRow) {
    var usage = UsageRow(provider: row[3], model: row[4])
    usage.uid = row[1]
    usage.time = UTCInstant(milliseconds: row[2])
    usage.source = row[5]
    usage.session = row[6]
    usage.project = row[7]
    usage.agent = row[8]
    usage.parentAgent = row[9]
    usage.requestID = row[10]
    usage.responseID = row[11]
    usage.endpoint = (row[12] as String?).map { WireKind(rawValue: $0) ?? .other }
    usage.streaming = row[13]
    usage.status = row[14]
    usage.outcome = UsageOutcome(rawValue: row[15]) ?? .complete
    usage.errorType = row[16]
    usage.stopReason = row[17]
    usage.durationMilliseconds = row[18]
    usage.firstTokenMilliseconds = row[19]
    usage.inputTokens = row[20]
    usage.cacheReadTokens = row[21]
    usage.cacheWrite5mTokens = row[22]
    usage.cacheWrite1hTokens = row[23]
    usage.outputTokens = row[24]
    usage.reasoningTokens = row[25]
    usage.webSearches = row[26]
    usage.serviceTier = row[27]
    usage.speed = row[28]
    usage.inferenceGeo = row[29]
    usage.unknown = (row[30] as String?).flatMap(WireUsage.Unknown.init(rawValue:))
    usage.costMicrodollars = row[32]
    usage.rateCard = row[33]
    usage.route = row[34]
    usage.decision = row[35]
    usage.tool = row[36]
    usage.origin = UsageRow.Origin(rawValue: row[37]) ?? .told
    usage.savedMicrodollars = row[38]
    return (row[0], usage)
  }
}
