// SPDX-License-Identifier: Apache-2.0

import GRDB

/// The schema of `usage.db`. It is public: `sqlite3`, Python and others may read and write it (promise 6), so
/// everything a row needs to be counted rightly is in the schema itself.
package enum UsageSchema {
  /// The names of the migrations this build knows, the oldest first.
  package static var identifiers: [String] { migrations.migrations }

  /// The migrations, for `StateFile.open`.
  static var migrations: DatabaseMigrator {
    var migrator = DatabaseMigrator()
    migrator.registerMigration("usage 1") { db in
      try db.execute(sql: usage)
      try db.execute(sql: hourly)
      try db.execute(sql: triggers)
      try db.execute(sql: rejected)
    }
    migrator.registerMigration("usage 2") { db in try db.execute(sql: routes) }
    return migrator
  }

  private static let routes = """
    -- The providers a request was sent to, in order, with what came of each (groq=429, together=200), and why it was
    -- sent there (cheapest, only, cooldown, default, pin); NULL where that was settled beforehand.
    ALTER TABLE usage ADD COLUMN route TEXT;
    ALTER TABLE usage ADD COLUMN decision TEXT;
    """

  private static let usage = """
    -- One row for each request, written when it ended. A foreign writer needs no more than
    --   INSERT INTO usage(provider, model, input_tokens, output_tokens) VALUES (…);
    -- a uid, the time and the hourly sums are made by the table. NULL means unknown, never 0.
    CREATE TABLE usage(
      seq INTEGER PRIMARY KEY,               -- order of arrival
      uid TEXT NOT NULL UNIQUE               -- the same uid again changes nothing
        DEFAULT (lower(hex(randomblob(16)))) CHECK (length(uid) BETWEEN 1 AND 1024),
      time_ms INTEGER NOT NULL               -- when the request was made: UTC, milliseconds since 1970
        DEFAULT (CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER))
        CHECK (time_ms BETWEEN 0 AND 253402300799999),
      provider TEXT NOT NULL CHECK (provider <> ''),
      model TEXT NOT NULL CHECK (model <> ''),
      source TEXT,                           -- the program that asked: claude-code, openai-python…
      session TEXT,
      project TEXT,
      agent TEXT,
      parent_agent TEXT,
      request_id TEXT,                       -- the provider's request-id; joins the client's own log
      response_id TEXT,                      -- the message's or response's id
      endpoint TEXT,                         -- messages, chat_completions, responses…
      streaming INTEGER CHECK (streaming IN (0, 1)),
      status INTEGER CHECK (status BETWEEN 100 AND 599),
      outcome TEXT NOT NULL DEFAULT 'complete',
      error_type TEXT,
      stop_reason TEXT,
      duration_ms INTEGER CHECK (duration_ms >= 0),
      first_token_ms INTEGER CHECK (first_token_ms >= 0),
      -- The prompt is the sum of the first four, which are disjoint; reasoning is a part of the output.
      input_tokens INTEGER CHECK (input_tokens BETWEEN 0 AND 1000000000000),
      cache_read_tokens INTEGER CHECK (cache_read_tokens BETWEEN 0 AND 1000000000000),
      cache_write_5m_tokens INTEGER CHECK (cache_write_5m_tokens BETWEEN 0 AND 1000000000000),
      cache_write_1h_tokens INTEGER CHECK (cache_write_1h_tokens BETWEEN 0 AND 1000000000000),
      output_tokens INTEGER CHECK (output_tokens BETWEEN 0 AND 1000000000000),
      reasoning_tokens INTEGER CHECK (reasoning_tokens BETWEEN 0 AND 1000000000000),
      web_searches INTEGER CHECK (web_searches BETWEEN 0 AND 1000000000000),
      service_tier TEXT,
      speed TEXT,
      inference_geo TEXT,
      unknown_reason TEXT,                   -- why input or output is NULL
      expects_usage INTEGER NOT NULL DEFAULT 1  -- 0: failed before it began, or of a kind that is not billed
        CHECK (expects_usage IN (0, 1)),
      cost_microusd INTEGER CHECK (cost_microusd BETWEEN 0 AND 10000000000000),
      rate_card TEXT                         -- the version of the prices behind cost_microusd
    ) STRICT;
    CREATE INDEX usage_by_time ON usage(time_ms);
    """

  private static let hourly = """
    -- Sums by hour, kept by triggers in the transaction of each change: for every hour and every dimension
    -- (provider, model, source, session, project) one row for each value, '' for the rows that have none.
    CREATE TABLE usage_hourly(
      dimension TEXT NOT NULL,
      hour INTEGER NOT NULL,                 -- time_ms / 3600000
      key TEXT NOT NULL,
      requests INTEGER NOT NULL,
      input_tokens INTEGER NOT NULL,
      cache_read_tokens INTEGER NOT NULL,
      cache_write_5m_tokens INTEGER NOT NULL,
      cache_write_1h_tokens INTEGER NOT NULL,
      output_tokens INTEGER NOT NULL,
      cost_microusd INTEGER NOT NULL,
      unpriced INTEGER NOT NULL,             -- usage known, price not
      unknown INTEGER NOT NULL,              -- usage expected and not said
      incomplete INTEGER NOT NULL,           -- cut short: the tokens are a lower bound
      PRIMARY KEY (dimension, hour, key)
    ) STRICT, WITHOUT ROWID;

    -- Always empty, but within a transaction that adds the rows it inserts to usage_hourly itself, many at
    -- once: what is here then nobody else ever sees. It keeps the trigger from adding them again.
    CREATE TABLE usage_batch(
      id INTEGER PRIMARY KEY
    ) STRICT;
    """

  private static let rejected = """
    -- Accepted records that could not be made into a row, with their bytes.
    CREATE TABLE usage_rejected(
      seq INTEGER PRIMARY KEY,
      time_ms INTEGER NOT NULL,              -- when it was accepted
      reason TEXT NOT NULL,
      record BLOB NOT NULL
    ) STRICT;
    """

  /// The measures of a row, in the order of ``measureColumns``.
  static func measures(of row: String) -> [String] {
    let unknown = "\(row).expects_usage AND (\(row).input_tokens IS NULL OR \(row).output_tokens IS NULL)"
    return [
      "1", "coalesce(\(row).input_tokens, 0)", "coalesce(\(row).cache_read_tokens, 0)",
      "coalesce(\(row).cache_write_5m_tokens, 0)", "coalesce(\(row).cache_write_1h_tokens, 0)",
      "coalesce(\(row).output_tokens, 0)", "coalesce(\(row).cost_microusd, 0)",
      "\(row).cost_microusd IS NULL AND \(row).input_tokens IS NOT NULL AND \(row).output_tokens IS NOT NULL",
      unknown, "\(row).expects_usage AND \(row).outcome <> 'complete'",
    ]
  }

  /// The columns of the measures, in `usage_hourly` and in a report.
  static let measureColumns = [
    "requests", "input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens",
    "output_tokens", "cost_microusd", "unpriced", "unknown", "incomplete",
  ]

  /// What a dimension of `usage_hourly` is in a row.
  static func key(of dimension: String, in row: String) -> String {
    switch dimension {
    case "provider", "model": "\(row).\(dimension)"
    default: "coalesce(\(row).\(dimension), '')"
    }
  }

  /// What the sums are kept by.
  static let dimensions = ["provider", "model", "source", "session", "project"]

  /// Adds a row's measures to its hour, or (`sign` = "-") takes them out.
  private static func fold(_ row: String, sign: String) -> String {
    let keys = dimensions.map { "SELECT '\($0)' AS dimension, \(key(of: $0, in: row)) AS key" }
    let values = measures(of: row).map { sign.isEmpty ? $0 : "\(sign)(\($0))" }
    return """
      \(addition)
      SELECT d.dimension, \(row).time_ms / 3600000, d.key,
        \(values.joined(separator: ",\n  "))
      FROM (\(keys.joined(separator: "\n  UNION ALL "))) AS d
      WHERE true
      \(onConflict);
      """
  }

  /// Adds measures to an hour; between the two stands the source of the values.
  static let addition =
    "INSERT INTO usage_hourly(dimension, hour, key, \(measureColumns.joined(separator: ", ")))"
  static let onConflict = """
    ON CONFLICT (dimension, hour, key) DO UPDATE SET
      \(measureColumns.map { "\($0) = \($0) + excluded.\($0)" }.joined(separator: ",\n  "))
    """

  private static let triggers = """
    -- The same uid again is the same row, whoever writes it and in whatever way: INSERT OR REPLACE too, which
    -- would otherwise take a row away without its sums.
    CREATE TRIGGER usage_same_uid BEFORE INSERT ON usage
    WHEN EXISTS (SELECT 1 FROM usage WHERE uid = NEW.uid)
    BEGIN
      SELECT RAISE(IGNORE);
    END;
    CREATE TRIGGER usage_inserted AFTER INSERT ON usage
    WHEN NOT EXISTS (SELECT 1 FROM usage_batch)
    BEGIN
    \(fold("NEW", sign: ""))
    END;
    CREATE TRIGGER usage_deleted AFTER DELETE ON usage BEGIN
    \(fold("OLD", sign: "-"))
    END;
    CREATE TRIGGER usage_updated AFTER UPDATE OF
      time_ms, provider, model, source, session, project, outcome, expects_usage, input_tokens,
      cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, output_tokens, cost_microusd
    ON usage BEGIN
    \(fold("OLD", sign: "-"))
    \(fold("NEW", sign: ""))
    END;
    """
}
