// SPDX-License-Identifier: Apache-2.0

import GRDB

/// The schema of `inbound.db`, which the host writes and workers read. It is public (docs/mailboxes.md).
///
/// Times are UTC, in milliseconds since 1970. No CHECK says `json_valid`: before SQLite 3.41 it is not among the
/// functions a schema may use on a connection with `trusted_schema` off.
enum InboundSchema {
  static var migrations: DatabaseMigrator {
    var migrator = DatabaseMigrator()
    migrator.registerMigration("mailbox inbound 1") { db in
      try db.execute(sql: messages)
      try db.execute(sql: ledger)
      try db.execute(sql: schedules)
      try db.execute(sql: worker)
      try db.execute(sql: "PRAGMA user_version = 1")
    }
    return migrator
  }

  static let now = "(CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER))"
  /// No later moment fits RFC 3339.
  static let times = "BETWEEN 0 AND 253402300799999"

  private static let messages = """
    -- One row for each message for the worker. Which of them are due, and for whom, is in docs/mailboxes.md.
    CREATE TABLE messages_in(
      seq INTEGER PRIMARY KEY AUTOINCREMENT,
      id TEXT NOT NULL UNIQUE CHECK (length(id) BETWEEN 1 AND 256),
      wanted_id TEXT,                              -- the id it was sent with, when another message has that
      kind TEXT NOT NULL DEFAULT 'message' CHECK (length(kind) BETWEEN 1 AND 64),
      content TEXT NOT NULL,                       -- JSON
      time INTEGER NOT NULL DEFAULT \(now) CHECK (time \(times)),
      status TEXT NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'completed', 'failed', 'cancelled', 'dead')),
      process_after INTEGER NOT NULL DEFAULT 0 CHECK (process_after \(times)),
      tries INTEGER NOT NULL DEFAULT 0 CHECK (tries >= 0),          -- that have failed, or were lost
      tries_before INTEGER NOT NULL DEFAULT 0,     -- those of them from before it was last put back
      max_tries INTEGER NOT NULL DEFAULT 5 CHECK (max_tries > 0),
      series TEXT,                                 -- the schedule that made it
      recurrence TEXT,                             -- and its expression
      wake_only INTEGER NOT NULL DEFAULT 0 CHECK (wake_only IN (0, 1)),
      after_incarnation INTEGER NOT NULL DEFAULT 0 CHECK (after_incarnation >= 0),
      trigger INTEGER NOT NULL DEFAULT 1 CHECK (trigger IN (0, 1)),  -- whether it starts a worker
      routing TEXT,                                -- JSON
      finished_at INTEGER CHECK (finished_at \(times)),
      error TEXT                                   -- what went wrong last
    ) STRICT;
    CREATE INDEX messages_in_due ON messages_in(kind, process_after, seq) WHERE status = 'pending';
    CREATE INDEX messages_in_status ON messages_in(status, seq);
    CREATE INDEX messages_in_series ON messages_in(series) WHERE status = 'pending' AND series IS NOT NULL;
    """

  private static let ledger = """
    -- How far the host has read the worker's file.
    CREATE TABLE progress(
      name TEXT PRIMARY KEY CHECK (name IN ('messages_out', 'finished')),
      seq INTEGER NOT NULL DEFAULT 0 CHECK (seq >= 0)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO progress(name) VALUES ('messages_out'), ('finished');
    -- What became of the worker's messages, by their ids; written before each attempt and after.
    CREATE TABLE deliveries(
      seq INTEGER PRIMARY KEY CHECK (seq > 0),     -- messages_out.seq
      id TEXT NOT NULL UNIQUE,
      kind TEXT NOT NULL,
      status TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'delivered', 'dead')),
      attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
      deliver_after INTEGER NOT NULL DEFAULT 0,    -- as the worker wants it
      next_attempt INTEGER NOT NULL DEFAULT 0,     -- not before; never before deliver_after
      first_attempt INTEGER,
      last_error TEXT,
      delivered_at INTEGER
    ) STRICT;
    CREATE INDEX deliveries_due ON deliveries(kind, next_attempt, seq) WHERE status = 'pending';
    CREATE INDEX deliveries_status ON deliveries(status, seq);
    -- Messages that went no further, whole.
    CREATE TABLE dead_letters(
      direction TEXT NOT NULL CHECK (direction IN ('in', 'out')),
      id TEXT NOT NULL,
      seq INTEGER NOT NULL,
      kind TEXT NOT NULL,
      content TEXT NOT NULL,
      routing TEXT,
      reason TEXT NOT NULL,
      error TEXT,
      tries INTEGER NOT NULL,
      time INTEGER NOT NULL DEFAULT \(now),
      retried_at INTEGER,
      PRIMARY KEY (direction, id)
    ) STRICT;
    """

  private static let schedules = """
    -- The one live row of each series: moved on before what it makes is sent.
    CREATE TABLE schedules(
      series TEXT PRIMARY KEY CHECK (length(series) BETWEEN 1 AND 200),
      cron TEXT NOT NULL,
      time_zone TEXT NOT NULL DEFAULT 'UTC',
      kind TEXT NOT NULL DEFAULT 'message' CHECK (length(kind) BETWEEN 1 AND 64),
      content TEXT NOT NULL,
      routing TEXT,
      missed TEXT NOT NULL DEFAULT 'latest' CHECK (missed IN ('skip', 'latest', 'all')),
      cap INTEGER NOT NULL DEFAULT 100 CHECK (cap BETWEEN 1 AND 10000),
      state TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'paused', 'cancelled', 'retired')),
      next_run INTEGER CHECK (next_run \(times)),  -- none unless it is active
      last_run INTEGER CHECK (last_run \(times)),
      runs INTEGER NOT NULL DEFAULT 0 CHECK (runs >= 0),
      error TEXT                                   -- why it was retired
    ) STRICT;
    CREATE INDEX schedules_due ON schedules(next_run) WHERE state = 'active';
    """

  private static let worker = """
    -- The worker of this session, as the host last knew it: always one row.
    CREATE TABLE worker(
      one INTEGER PRIMARY KEY CHECK (one = 1),
      incarnation INTEGER NOT NULL DEFAULT 0 CHECK (incarnation >= 0),
      state TEXT NOT NULL DEFAULT 'stopped',
      wanted TEXT NOT NULL DEFAULT 'run' CHECK (wanted IN ('run', 'stop')),
      runtime TEXT,
      pid INTEGER,
      process_start TEXT,
      boot TEXT,
      container TEXT,
      started_at INTEGER,
      restarts INTEGER NOT NULL DEFAULT 0,
      next_start INTEGER,
      last_exit TEXT,
      last_reason TEXT
    ) STRICT;
    INSERT INTO worker(one) VALUES (1);
    CREATE TRIGGER worker_stays BEFORE DELETE ON worker BEGIN
      SELECT RAISE(ABORT, 'worker has one row, always');
    END;
    -- A lower number would make a dead worker's claims live again.
    CREATE TRIGGER worker_counts_up BEFORE UPDATE OF incarnation ON worker
    WHEN NEW.incarnation < OLD.incarnation
    BEGIN
      SELECT RAISE(ABORT, 'an incarnation is never lower than the one before');
    END;
    """
}
