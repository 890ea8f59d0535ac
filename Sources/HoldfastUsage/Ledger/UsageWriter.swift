// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine

/// Makes spool records into rows, inside the transaction that advances the spool's cursor.
enum UsageWriter {
  /// Applies a batch. A record that cannot become a row is kept with its bytes and its reason, and costs the
  /// others nothing (promise 4); only a fault of the database itself is thrown.
  static func apply(_ db: Database, _ records: [SpoolRecord]) throws {
    for record in records {
      do {
        let row = try UsageRow(record: record.payload)
        try row.validate()
        try insert(row, uid: row.uid ?? "\(record.segment)-\(record.sequence)", record.time.milliseconds, db)
      } catch let error as UsageError {
        try reject(record, error.message, db)
      } catch let error as DatabaseError where error.resultCode == .SQLITE_CONSTRAINT {
        // A statement that fails on a constraint undoes itself alone; the transaction goes on.
        try reject(record, error.message ?? "a constraint of the table refused it", db)
      }
    }
  }

  private static let columns = [
    "uid", "time_ms", "provider", "model", "source", "session", "project", "agent", "parent_agent",
    "request_id", "response_id", "endpoint", "streaming", "status", "outcome", "error_type", "stop_reason",
    "duration_ms", "first_token_ms", "input_tokens", "cache_read_tokens", "cache_write_5m_tokens",
    "cache_write_1h_tokens", "output_tokens", "reasoning_tokens", "web_searches", "service_tier", "speed",
    "inference_geo", "unknown_reason", "expects_usage", "cost_microusd", "rate_card",
  ]

  private static let insertion = """
    INSERT INTO usage(\(columns.joined(separator: ", ")))
    VALUES (\(columns.map { _ in "?" }.joined(separator: ", ")))
    ON CONFLICT(uid) DO NOTHING
    """

  private static func insert(_ row: UsageRow, uid: String, _ acceptedAt: Int64, _ db: Database) throws {
    let statement = try db.cachedStatement(sql: insertion)
    try statement.execute(arguments: [
      uid, row.time?.milliseconds ?? acceptedAt, row.provider, row.model, kept(row.source), kept(row.session),
      kept(row.project), kept(row.agent), kept(row.parentAgent), kept(row.requestID), kept(row.responseID),
      row.endpoint?.rawValue, row.streaming, row.status, row.outcome.rawValue, kept(row.errorType),
      kept(row.stopReason), row.durationMilliseconds, row.firstTokenMilliseconds, row.inputTokens,
      row.cacheReadTokens, row.cacheWrite5mTokens, row.cacheWrite1hTokens, row.outputTokens,
      row.reasoningTokens, row.webSearches, kept(row.serviceTier), kept(row.speed), kept(row.inferenceGeo),
      row.unknown?.rawValue, row.expectsUsage, row.costMicrodollars, row.rateCard,
    ])
  }

  /// An empty name is no name.
  private static func kept(_ text: String?) -> String? { text?.isEmpty == true ? nil : text }

  private static func reject(_ record: SpoolRecord, _ reason: String, _ db: Database) throws {
    let statement = try db.cachedStatement(
      sql: "INSERT INTO usage_rejected(time_ms, reason, record) VALUES (?, ?, ?)")
    try statement.execute(arguments: [record.time.milliseconds, reason, Data(record.payload)])
  }
}
