// SPDX-License-Identifier: Apache-2.0

/// What `usage.db` keeps of the programs' logs that are imported into it.
enum UsageLogSchema {
  static let tables = """
    -- How far each log has been read, written in the transaction that lands what was read.
    CREATE TABLE usage_import_marks(
      path TEXT PRIMARY KEY,
      format TEXT NOT NULL,                  -- claude-code, codex, opencode, gemini, cline
      device INTEGER NOT NULL,
      inode INTEGER NOT NULL,
      generation INTEGER NOT NULL,           -- how often it was begun anew
      offset INTEGER NOT NULL,               -- the first byte that was not read
      line INTEGER NOT NULL,                 -- the number of the line before it
      tail INTEGER NOT NULL,                 -- a checksum of the bytes before it
      size INTEGER NOT NULL,                 -- with modified_ns: nobody has written to it since
      modified_ns INTEGER NOT NULL,          -- 0: reading was not at its end
      requests INTEGER NOT NULL,             -- how many it has told of
      state TEXT NOT NULL                    -- what its parser carries over, JSON
    ) STRICT, WITHOUT ROWID;

    -- Uids by which logs tell of requests whose row has another, because the gateway saw them too.
    CREATE TABLE usage_alias(
      uid TEXT PRIMARY KEY,
      seq INTEGER,                           -- the row; NULL: removed for its age, and counted
      lower_bound INTEGER NOT NULL           -- 1: the gateway saw less than all of the usage
        CHECK (lower_bound IN (0, 1))
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX usage_alias_by_row ON usage_alias(seq);

    -- The rows that only logs have told of: whether there are any near a request that comes by the wire.
    CREATE INDEX usage_of_logs ON usage(time_ms / 3600000) WHERE origin = 'log';

    CREATE TRIGGER usage_forgotten AFTER DELETE ON usage
    WHEN OLD.origin = 'both' AND NOT EXISTS (SELECT 1 FROM usage_batch)
    BEGIN
      DELETE FROM usage_alias WHERE seq = OLD.seq;
    END;
    -- Removed for its age it is not to come back out of its log.
    CREATE TRIGGER usage_expired AFTER DELETE ON usage
    WHEN OLD.origin IN ('log', 'both') AND EXISTS (SELECT 1 FROM usage_batch)
    BEGIN
      UPDATE usage_alias SET seq = NULL WHERE seq = OLD.seq;
      INSERT INTO usage_alias(uid, seq, lower_bound) SELECT OLD.uid, NULL, 0 WHERE OLD.origin = 'log'
        ON CONFLICT(uid) DO UPDATE SET seq = NULL;
    END;
    """
}
