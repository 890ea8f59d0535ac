// SPDX-License-Identifier: Apache-2.0

import GRDB

/// The schema of `sessions.db`. It is public (docs/schema.md): other programs may read and write it, so the
/// sums over sessions and their ancestors are kept by triggers, whoever writes.
///
/// No CHECK says `json_valid`: before SQLite 3.41 it is not among the functions a schema may use on a connection
/// with `trusted_schema` off, which every connection of the engine has. What is no JSON is told when it is read.
package enum SessionSchema {
  /// The names of the migrations this build knows, the oldest first.
  package static var identifiers: [String] { migrations.migrations }

  /// The migrations, for `StateFile.open`.
  static var migrations: DatabaseMigrator {
    var migrator = DatabaseMigrator()
    migrator.registerMigration("sessions 1") { db in
      try db.execute(sql: session)
      try db.execute(sql: message)
      try db.execute(sql: sums)
      try db.execute(sql: changes)
    }
    migrator.registerMigration("sessions 2") { db in
      try db.execute(sql: "DROP TRIGGER message_summed")
      try db.execute(sql: additions)
    }
    return migrator
  }

  /// What is summed for each session, in the order of its columns.
  static let measures = [
    "input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "cost_microusd",
  ]

  private static func columns(_ prefix: String) -> String {
    measures.map { "  \(prefix)_\($0) INTEGER NOT NULL DEFAULT 0," }.joined(separator: "\n")
  }

  private static let now = "(CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER))"

  private static let session = """
    -- One row for each session. key is never used again, id is what people and programs call it.
    CREATE TABLE session(
      key INTEGER PRIMARY KEY AUTOINCREMENT,
      id TEXT NOT NULL UNIQUE CHECK (length(id) BETWEEN 1 AND 256),
      parent INTEGER REFERENCES session(key),   -- the session this one came from
      edge TEXT NOT NULL DEFAULT 'root' CHECK (edge IN ('root', 'subagent', 'fork', 'continuation')),
      source TEXT,
      title TEXT,
      title_from TEXT CHECK (title_from IN ('user', 'model', 'import', 'derived')),
      model TEXT,
      cwd TEXT,
      git_branch TEXT,
      started_ms INTEGER NOT NULL DEFAULT \(now) CHECK (started_ms BETWEEN 0 AND 253402300799999),
      last_active_ms INTEGER NOT NULL DEFAULT \(now) CHECK (last_active_ms BETWEEN 0 AND 253402300799999),
      ended_ms INTEGER CHECK (ended_ms BETWEEN 0 AND 253402300799999),
      ended_reason TEXT,
      failed INTEGER NOT NULL DEFAULT 0 CHECK (failed IN (0, 1)),
      archived INTEGER NOT NULL DEFAULT 0 CHECK (archived IN (0, 1)),
      pinned INTEGER NOT NULL DEFAULT 0 CHECK (pinned IN (0, 1)),
      metadata TEXT,                            -- a JSON object
      messages INTEGER NOT NULL DEFAULT 0,      -- of every state
      last_seq INTEGER NOT NULL DEFAULT 0,      -- the highest sequence ever given to a message
      failed_children INTEGER NOT NULL DEFAULT 0,  -- sub-agents that ended as failed
    \(columns("own"))
    \(columns("total"))
    \(columns("deleted"))
      CHECK ((edge = 'root') = (parent IS NULL))
    ) STRICT;
    CREATE INDEX session_by_parent ON session(parent) WHERE parent IS NOT NULL;
    CREATE INDEX session_by_activity ON session(last_active_ms, key);
    CREATE INDEX session_by_title ON session(title) WHERE title IS NOT NULL;
    """

  private static let message = """
    -- One row for each message; id is its number in the whole store and is never used again.
    CREATE TABLE message(
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      session INTEGER NOT NULL,                 -- session.key
      seq INTEGER NOT NULL CHECK (seq > 0),     -- the order within the session
      placed_after INTEGER,                     -- seq it is read right after, where that is not seq - 1
      uid TEXT NOT NULL DEFAULT (lower(hex(randomblob(16)))) CHECK (length(uid) BETWEEN 1 AND 1024),
      wanted_uid TEXT,                          -- the uid it was sent with, when that was another message's
      role TEXT NOT NULL CHECK (role <> ''),
      content TEXT NOT NULL DEFAULT '',
      content_kind TEXT NOT NULL DEFAULT 'text' CHECK (content_kind IN ('text', 'json')),
      tool_calls TEXT,                              -- JSON, as the provider shapes it
      tool_call_id TEXT,
      model TEXT,
      finish_reason TEXT,
      time_ms INTEGER NOT NULL DEFAULT \(now) CHECK (time_ms BETWEEN 0 AND 253402300799999),
      state TEXT NOT NULL DEFAULT 'live' CHECK (state IN ('live', 'compacted', 'undone')),
      synthetic INTEGER NOT NULL DEFAULT 0 CHECK (synthetic IN (0, 1)),  -- made by resume repair
      streaming INTEGER NOT NULL DEFAULT 0 CHECK (streaming IN (0, 1)),  -- its end has not been written
      copied_from INTEGER,                      -- message.id a fork copied it from; it costs nothing again
    \(measures.map { "  \($0) INTEGER CHECK (\($0) BETWEEN 0 AND 1000000000000000)," }.joined(separator: "\n"))
      UNIQUE (session, seq),
      UNIQUE (session, uid)
    ) STRICT;
    CREATE TRIGGER message_has_session BEFORE INSERT ON message
    WHEN NOT EXISTS (SELECT 1 FROM session WHERE key = NEW.session)
    BEGIN
      SELECT RAISE(ABORT, 'the message''s session does not exist');
    END;
    """

  /// `row`'s session and everything it came from; UNION, not UNION ALL: it ends in a loop too.
  private static func lineage(from key: String) -> String {
    """
    WITH RECURSIVE up(key) AS (
        SELECT \(key) UNION SELECT session.parent FROM session JOIN up ON session.key = up.key
        WHERE session.parent IS NOT NULL)
      SELECT key FROM up
    """
  }

  private static func addition(_ column: String, _ value: (String) -> String) -> String {
    measures.map { "\(column)_\($0) = \(column)_\($0) + \(value($0))" }.joined(separator: ",\n    ")
  }

  private static let sums = """
    CREATE TRIGGER message_counted AFTER INSERT ON message BEGIN
      UPDATE session SET messages = messages + 1, last_seq = max(last_seq, NEW.seq),
        last_active_ms = max(last_active_ms, NEW.time_ms)
      WHERE key = NEW.session;
    END;
    CREATE TRIGGER message_summed AFTER INSERT ON message
    WHEN coalesce(\(measures.map { "NEW.\($0)" }.joined(separator: ", "))) IS NOT NULL
    BEGIN
      UPDATE session SET \(addition("own") { "coalesce(NEW.\($0), 0)" }) WHERE key = NEW.session;
      UPDATE session SET \(addition("total") { "coalesce(NEW.\($0), 0)" })
      WHERE key IN (\(lineage(from: "NEW.session")));
    END;
    CREATE TRIGGER message_resummed AFTER UPDATE OF \(measures.joined(separator: ", ")) ON message BEGIN
      UPDATE session SET \(addition("own") { "coalesce(NEW.\($0), 0) - coalesce(OLD.\($0), 0)" })
      WHERE key = NEW.session;
      UPDATE session SET \(addition("total") { "coalesce(NEW.\($0), 0) - coalesce(OLD.\($0), 0)" })
      WHERE key IN (\(lineage(from: "NEW.session")));
    END;
    CREATE TRIGGER session_no_cycle BEFORE UPDATE OF parent ON session
    WHEN NEW.parent IS NOT NULL AND NEW.key IN (\(lineage(from: "NEW.parent")))
    BEGIN
      SELECT RAISE(ABORT, 'a session cannot come from itself');
    END;
    CREATE TRIGGER session_failed AFTER UPDATE OF failed ON session
    WHEN NEW.failed <> OLD.failed AND NEW.edge = 'subagent'
    BEGIN
      UPDATE session SET failed_children = failed_children + NEW.failed - OLD.failed WHERE key = NEW.parent;
    END;
    """

  /// A session that came from no other is summed in one statement: looking for its ancestors as `message_summed` of
  /// the first version did costs as much as all the rest of an insertion.
  private static let additions = """
    CREATE TRIGGER message_added AFTER INSERT ON message
    WHEN coalesce(\(measures.map { "NEW.\($0)" }.joined(separator: ", "))) IS NOT NULL
    BEGIN
      UPDATE session SET \(addition("own") { "coalesce(NEW.\($0), 0)" }),
        \(addition("total") { "coalesce(NEW.\($0), 0)" })
      WHERE key = NEW.session;
    END;
    CREATE TRIGGER message_added_above AFTER INSERT ON message
    WHEN coalesce(\(measures.map { "NEW.\($0)" }.joined(separator: ", "))) IS NOT NULL
      AND (SELECT parent FROM session WHERE key = NEW.session) IS NOT NULL
    BEGIN
      UPDATE session SET \(addition("total") { "coalesce(NEW.\($0), 0)" })
      WHERE key IN (\(lineage(from: "NEW.session"))) AND key <> NEW.session;
    END;
    """

  private static let changes = """
    -- Messages that changed or went after they were inserted, each once with its latest change: what follows
    -- message.id for new ones reads this by seq for the rest.
    CREATE TABLE message_change(
      seq INTEGER PRIMARY KEY AUTOINCREMENT,
      message INTEGER NOT NULL UNIQUE,
      change TEXT NOT NULL CHECK (change IN ('edited', 'deleted'))
    ) STRICT;
    CREATE TRIGGER message_edited AFTER UPDATE OF content, content_kind, tool_calls, role, state, streaming
    ON message BEGIN
      DELETE FROM message_change WHERE message = NEW.id;
      INSERT INTO message_change(message, change) VALUES (NEW.id, 'edited');
    END;
    CREATE TRIGGER message_deleted AFTER DELETE ON message BEGIN
      DELETE FROM message_change WHERE message = OLD.id;
      INSERT INTO message_change(message, change) VALUES (OLD.id, 'deleted');
    END;
    """
}
