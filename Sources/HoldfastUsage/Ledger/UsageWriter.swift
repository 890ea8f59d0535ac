// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine

/// Makes spool records into rows, inside the transaction that advances the spool's cursor.
enum UsageWriter {
  /// Applies a batch. A record that cannot become a row is kept with its bytes and its reason, and costs the
  /// others nothing (promise 4); only a fault of the database itself is thrown.
  ///
  /// The hourly sums are added once for the batch, which is half of the work of leaving them to the trigger.
  static func apply(_ db: Database, _ records: [SpoolRecord]) throws {
    try withSums(db) { sums in
      for record in records {
        do {
          var row = try UsageRow(record: record.payload)
          row.uid = row.uid ?? "\(record.segment)-\(record.sequence)"
          row.time = row.time ?? UTCInstant(milliseconds: record.time.milliseconds)
          try row.validate()
          if try insert(row, db) { sums.add(row) }
        } catch let error as UsageError {
          try reject(record, error.message, db)
        } catch let error as DatabaseError where error.resultCode == .SQLITE_CONSTRAINT {
          // A statement that fails on a constraint undoes itself alone; the transaction goes on.
          try reject(record, error.message ?? "a constraint of the table refused it", db)
        }
      }
    }
  }

  /// Inserts rows that are complete; a row the table refuses is thrown.
  static func apply(_ db: Database, rows: [UsageRow]) throws {
    try withSums(db) { sums in
      for row in rows where try insert(row, db) { sums.add(row) }
    }
  }

  /// Adds to the hourly sums what `body` inserted, in place of the trigger.
  private static func withSums(_ db: Database, _ body: (inout UsageSums) throws -> Void) throws {
    var sums = UsageSums()
    try db.cachedStatement(sql: "INSERT INTO usage_batch DEFAULT VALUES").execute()
    try body(&sums)
    try sums.write(db)
    try db.cachedStatement(sql: "DELETE FROM usage_batch").execute()
  }

  private static let columns = [
    "uid", "time_ms", "provider", "model", "source", "session", "project", "agent", "parent_agent",
    "request_id", "response_id", "endpoint", "streaming", "status", "outcome", "error_type", "stop_reason",
    "duration_ms", "first_token_ms", "input_tokens", "cache_read_tokens", "cache_write_5m_tokens",
    "cache_write_1h_tokens", "output_tokens", "reasoning_tokens", "web_searches", "service_tier", "speed",
    "inference_geo", "unknown_reason", "expects_usage", "cost_microusd", "rate_card",
    "route", "decision", "tool", "origin", "saved_microusd",
  ]

  private static let insertion = """
    INSERT INTO usage(\(columns.joined(separator: ", ")))
    VALUES (\(columns.map { _ in "?" }.joined(separator: ", ")))
    ON CONFLICT(uid) DO NOTHING
    """

  /// Whether the row is new.
  private static func insert(_ row: UsageRow, _ db: Database) throws -> Bool {
    let statement = try db.cachedStatement(sql: insertion)
    try statement.execute(arguments: [
      row.uid, row.time?.milliseconds, row.provider, row.model, kept(row.source), kept(row.session),
      kept(row.project), kept(row.agent), kept(row.parentAgent), kept(row.requestID), kept(row.responseID),
      row.endpoint?.rawValue, row.streaming, row.status, row.outcome.rawValue, kept(row.errorType),
      kept(row.stopReason), row.durationMilliseconds, row.firstTokenMilliseconds, row.inputTokens,
      row.cacheReadTokens, row.cacheWrite5mTokens, row.cacheWrite1hTokens, row.outputTokens,
      row.reasoningTokens, row.webSearches, kept(row.serviceTier), kept(row.speed), kept(row.inferenceGeo),
      row.unknown?.rawValue, row.expectsUsage, row.costMicrodollars, row.rateCard,
      kept(row.route), kept(row.decision), kept(row.tool), row.origin.rawValue, row.savedMicrodollars,
    ])
    return db.changesCount > 0
  }

  /// An empty name is no name.
  private static func kept(_ text: String?) -> String? { text?.isEmpty == true ? nil : text }

  private static func reject(_ record: SpoolRecord, _ reason: String, _ db: Database) throws {
    let statement = try db.cachedStatement(
      sql: "INSERT INTO usage_rejected(time_ms, reason, record) VALUES (?, ?, ?)")
    try statement.execute(arguments: [record.time.milliseconds, reason, Data(record.payload)])
  }
}
