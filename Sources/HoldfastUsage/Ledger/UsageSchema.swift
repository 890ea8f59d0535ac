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
      try db.execute(sql: firstTriggers)
      try db.execute(sql: rejected)
    }
    migrator.registerMigration("usage 2") { db in try db.execute(sql: routes) }
    migrator.registerMigration("usage 3") { db in
      try db.execute(sql: dropOfFirstTriggers)
      try db.execute(sql: witnesses)
      try db.execute(sql: sums)
      try sumAnew(db)
      try db.execute(sql: triggers)
    }
    migrator.registerMigration("usage 4") { db in try db.execute(sql: UsageLogSchema.tables) }
    migrator.registerMigration("usage 5") { db in try db.execute(sql: BudgetCrossings.schema) }
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

    -- Always empty, but within a transaction that adds the rows it inserts to the sums itself, many at once, or that
    -- removes rows whose sums are to stay: what is here then nobody else ever sees. It keeps the triggers of inserting
    -- and deleting from changing the sums.
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

  private static let witnesses = """
    ALTER TABLE usage ADD COLUMN tool TEXT;            -- the first tool the answer called
    ALTER TABLE usage ADD COLUMN origin TEXT NOT NULL  -- who saw it: wire (the gateway), log (a program's log), both, told
      DEFAULT 'told' CHECK (origin IN ('wire', 'log', 'both', 'told'));
    ALTER TABLE usage ADD COLUMN saved_microusd INTEGER  -- what caching saved; below zero: written and not yet read
      CHECK (saved_microusd BETWEEN -10000000000000 AND 10000000000000);
    -- The rows of one request, told by several. By hour first, so that a new row's place is among the latest: in order
    -- of ids alone, which are random, each row would touch a page of its own.
    CREATE INDEX usage_by_request ON usage(time_ms / 3600000, request_id) WHERE request_id IS NOT NULL;
    CREATE INDEX usage_by_response ON usage(time_ms / 3600000, response_id) WHERE response_id IS NOT NULL;
    """

  private static let sums = """
    ALTER TABLE usage_hourly ADD COLUMN saved_microusd INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE usage_hourly ADD COLUMN errors INTEGER NOT NULL DEFAULT 0;  -- failed, but not for the client's leaving
    -- The same by UTC day, so that a report over many days reads few rows.
    CREATE TABLE usage_daily(
      dimension TEXT NOT NULL,
      day INTEGER NOT NULL,                  -- time_ms / 86400000
      key TEXT NOT NULL,
      \(measureColumns.map { "\($0) INTEGER NOT NULL" }.joined(separator: ",\n  ")),
      PRIMARY KEY (dimension, day, key)
    ) STRICT, WITHOUT ROWID;
    -- Rows of hours before this one may be gone; their sums stay. No row: all are there.
    CREATE TABLE usage_horizon(
      id INTEGER PRIMARY KEY CHECK (id = 1),
      hour INTEGER NOT NULL                  -- time_ms / 3600000
    ) STRICT;
    """

  /// Makes all sums out of the rows.
  private static func sumAnew(_ db: Database) throws {
    let columns = measureColumns.joined(separator: ", ")
    try db.execute(sql: "DELETE FROM usage_hourly")
    let sums = measures(of: "u").map { "sum(\($0))" }.joined(separator: ", ")
    for dimension in dimensions {
      try db.execute(
        sql: """
          INSERT INTO usage_hourly(dimension, hour, key, \(columns))
          SELECT '\(dimension)', u.time_ms / 3600000 AS h, \(key(of: dimension, in: "u")) AS k, \(sums)
          FROM usage AS u GROUP BY h, k
          """)
    }
    try db.execute(
      sql: """
        INSERT INTO usage_daily(dimension, day, key, \(columns))
        SELECT dimension, hour / 24, key, \(measureColumns.map { "sum(\($0))" }.joined(separator: ", "))
        FROM usage_hourly GROUP BY dimension, hour / 24, key
        """)
  }

  /// The measures of a row, in the order of ``measureColumns``.
  static func measures(of row: String) -> [String] {
    let unknown = "\(row).expects_usage AND (\(row).input_tokens IS NULL OR \(row).output_tokens IS NULL)"
    return [
      "1", "coalesce(\(row).input_tokens, 0)", "coalesce(\(row).cache_read_tokens, 0)",
      "coalesce(\(row).cache_write_5m_tokens, 0)", "coalesce(\(row).cache_write_1h_tokens, 0)",
      "coalesce(\(row).output_tokens, 0)", "coalesce(\(row).cost_microusd, 0)",
      "\(row).cost_microusd IS NULL AND \(row).input_tokens IS NOT NULL AND \(row).output_tokens IS NOT NULL",
      unknown, "\(row).expects_usage AND \(row).outcome <> 'complete'",
      "coalesce(\(row).saved_microusd, 0)",
      "coalesce(\(row).status, 0) >= 400 OR \(row).outcome NOT IN ('complete', 'client_left')",
    ]
  }

  /// The columns of the measures, in the sums and in a report. New ones come last: those of "usage 1" are the first ten.
  static let measureColumns = [
    "requests", "input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens",
    "output_tokens", "cost_microusd", "unpriced", "unknown", "incomplete", "saved_microusd", "errors",
  ]

  /// What the sums are kept by. New ones come last: those of "usage 1" are the first five.
  static let dimensions = [
    "provider", "model", "source", "session", "project", "agent", "tool", "quarter", "latency", "first_token",
  ]

  /// What a dimension of the sums is in a row.
  static func key(of dimension: String, in row: String) -> String {
    switch dimension {
    case "provider", "model": "\(row).\(dimension)"
    // Of its hour: half the world's odd time zones begin their days there.
    case "quarter": "CAST(\(row).time_ms / 900000 % 4 AS TEXT)"
    case "latency": LatencyBuckets.sql("\(row).duration_ms")
    case "first_token": LatencyBuckets.sql("\(row).first_token_ms")
    default: "coalesce(\(row).\(dimension), '')"
    }
  }

  /// Adds a row's measures to its hour and its day, or (`sign` = "-") takes them out.
  private static func fold(_ row: String, sign: String) -> String {
    fold(row, sign: sign, into: .hourly) + "\n" + fold(row, sign: sign, into: .daily)
  }

  private static func fold(
    _ row: String, sign: String, into table: Sums, dimensions: [String] = dimensions, measureCount: Int? = nil
  ) -> String {
    let count = measureCount ?? measureColumns.count
    let keys = dimensions.map { "SELECT '\($0)' AS dimension, \(key(of: $0, in: row)) AS key" }
    let values = measures(of: row).prefix(count).map { sign.isEmpty ? $0 : "\(sign)(\($0))" }
    return """
      \(table.addition(count))
      SELECT d.dimension, \(row).time_ms / \(table.milliseconds), d.key,
        \(values.joined(separator: ",\n  "))
      FROM (\(keys.joined(separator: "\n  UNION ALL "))) AS d
      WHERE true
      \(table.onConflict(count));
      """
  }

  /// A table of sums.
  enum Sums: CaseIterable {
    case hourly, daily

    var name: String { self == .hourly ? "usage_hourly" : "usage_daily" }
    /// The column of the span a sum is of.
    var column: String { self == .hourly ? "hour" : "day" }
    var milliseconds: Int64 { self == .hourly ? 3_600_000 : 86_400_000 }

    /// Adds measures to a span; between this and ``onConflict(_:)`` stands the source of the values.
    func addition(_ count: Int = measureColumns.count) -> String {
      "INSERT INTO \(name)(dimension, \(column), key, \(measureColumns.prefix(count).joined(separator: ", ")))"
    }

    func onConflict(_ count: Int = measureColumns.count) -> String {
      """
      ON CONFLICT (dimension, \(column), key) DO UPDATE SET
        \(measureColumns.prefix(count).map { "\($0) = \($0) + excluded.\($0)" }.joined(separator: ",\n  "))
      """
    }
  }

  private static let sameUID = """
    -- The same uid again is the same row, whoever writes it and in whatever way: INSERT OR REPLACE too, which
    -- would otherwise take a row away without its sums.
    CREATE TRIGGER usage_same_uid BEFORE INSERT ON usage
    WHEN EXISTS (SELECT 1 FROM usage WHERE uid = NEW.uid)
    BEGIN
      SELECT RAISE(IGNORE);
    END;
    """

  private static let firstTriggers = """
    \(sameUID)
    CREATE TRIGGER usage_inserted AFTER INSERT ON usage
    WHEN NOT EXISTS (SELECT 1 FROM usage_batch)
    BEGIN
    \(firstFold("NEW", sign: ""))
    END;
    CREATE TRIGGER usage_deleted AFTER DELETE ON usage BEGIN
    \(firstFold("OLD", sign: "-"))
    END;
    CREATE TRIGGER usage_updated AFTER UPDATE OF
      time_ms, provider, model, source, session, project, outcome, expects_usage, input_tokens,
      cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, output_tokens, cost_microusd
    ON usage BEGIN
    \(firstFold("OLD", sign: "-"))
    \(firstFold("NEW", sign: ""))
    END;
    """

  private static func firstFold(_ row: String, sign: String) -> String {
    fold(row, sign: sign, into: .hourly, dimensions: Array(dimensions.prefix(5)), measureCount: 10)
  }

  private static let dropOfFirstTriggers = """
    DROP TRIGGER usage_inserted;
    DROP TRIGGER usage_deleted;
    DROP TRIGGER usage_updated;
    """

  private static let triggers = """
    CREATE TRIGGER usage_inserted AFTER INSERT ON usage
    WHEN NOT EXISTS (SELECT 1 FROM usage_batch)
    BEGIN
    \(fold("NEW", sign: ""))
    END;
    -- A row that is removed for its age keeps its place in the sums: see usage_batch.
    CREATE TRIGGER usage_deleted AFTER DELETE ON usage
    WHEN NOT EXISTS (SELECT 1 FROM usage_batch)
    BEGIN
    \(fold("OLD", sign: "-"))
    END;
    CREATE TRIGGER usage_updated AFTER UPDATE OF
      time_ms, provider, model, source, session, project, agent, tool, status, outcome, expects_usage,
      duration_ms, first_token_ms, input_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens,
      output_tokens, cost_microusd, saved_microusd
    ON usage BEGIN
    \(fold("OLD", sign: "-"))
    \(fold("NEW", sign: ""))
    END;
    """
}
