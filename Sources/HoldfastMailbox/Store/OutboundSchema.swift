// SPDX-License-Identifier: Apache-2.0

import GRDB

/// The schema of `outbound.db`, which the host makes and from then on the worker alone writes. It is public
/// (docs/mailboxes.md).
///
/// A worker may be any program in any language, so the rules it could break are the tables' own: numbers are minted
/// here, what was said stays said, and what is finished stays finished.
enum OutboundSchema {
  static var migrations: DatabaseMigrator {
    var migrator = DatabaseMigrator()
    migrator.registerMigration("mailbox outbound 1") { db in
      try db.execute(sql: messages)
      try db.execute(sql: processing)
      try db.execute(sql: "PRAGMA user_version = 1")
    }
    return migrator
  }

  private static let messages = """
    -- One row for each message of the worker's: INSERT INTO messages_out(id, kind, content) is enough.
    CREATE TABLE messages_out(
      seq INTEGER PRIMARY KEY AUTOINCREMENT,
      id TEXT NOT NULL UNIQUE DEFAULT (lower(hex(randomblob(16)))) CHECK (length(id) BETWEEN 1 AND 256),
      kind TEXT NOT NULL DEFAULT 'message' CHECK (length(kind) BETWEEN 1 AND 64),
      content TEXT NOT NULL CHECK (length(CAST(content AS BLOB)) <= \(MailboxContent.maximumBytes)),
      in_reply_to TEXT,                            -- messages_in.id
      deliver_after INTEGER CHECK (deliver_after \(InboundSchema.times)),
      routing TEXT,                                -- JSON
      idempotency_key TEXT,                        -- the id, when left out
      time INTEGER NOT NULL DEFAULT \(InboundSchema.now) CHECK (time \(InboundSchema.times))
    ) STRICT;
    -- The same message again is nothing new; OR REPLACE does not get past a BEFORE trigger either.
    CREATE TRIGGER messages_out_once BEFORE INSERT ON messages_out
    WHEN EXISTS (SELECT 1 FROM messages_out WHERE id = NEW.id)
    BEGIN
      SELECT RAISE(IGNORE) FROM messages_out
      WHERE id = NEW.id AND kind = NEW.kind AND content = NEW.content;
      SELECT RAISE(ABORT, 'messages_out has another message with this id: give each its own');
    END;
    -- The host reads on from the last sequence it has seen.
    CREATE TRIGGER messages_out_minted AFTER INSERT ON messages_out
    WHEN NEW.seq <> (SELECT max(seq) FROM messages_out)
    BEGIN
      SELECT RAISE(ABORT, 'the sequence is minted by messages_out: leave seq out');
    END;
    CREATE TRIGGER messages_out_said BEFORE UPDATE ON messages_out BEGIN
      SELECT RAISE(ABORT, 'a message that was said is not changed: say another');
    END;
    CREATE TRIGGER messages_out_stays BEFORE DELETE ON messages_out BEGIN
      SELECT RAISE(ABORT, 'messages stay until the host has no use for them');
    END;
    """

  private static let processing = """
    -- Who works on which try of which message of inbound.db, and what became of it.
    CREATE TABLE processing(
      message TEXT NOT NULL,                       -- messages_in.id
      try INTEGER NOT NULL CHECK (try >= 0),       -- messages_in.tries as it was read
      incarnation INTEGER NOT NULL DEFAULT 1,      -- of the worker: HOLDFAST_INCARNATION
      worker TEXT NOT NULL DEFAULT '',             -- which of several threads or processes of it
      status TEXT NOT NULL DEFAULT 'claimed' CHECK (status IN ('claimed', 'completed', 'failed')),
      claimed_at INTEGER NOT NULL DEFAULT \(InboundSchema.now),
      lease_until INTEGER NOT NULL DEFAULT (\(InboundSchema.now) + 60000),
      finished_at INTEGER,
      error TEXT,
      retryable INTEGER NOT NULL DEFAULT 1 CHECK (retryable IN (0, 1)),
      PRIMARY KEY (message, try)
    ) STRICT;
    CREATE INDEX processing_claimed ON processing(message) WHERE status = 'claimed';
    -- In the order of their end: the host reads on from the last it has seen.
    CREATE TABLE finished(
      seq INTEGER PRIMARY KEY AUTOINCREMENT,
      message TEXT NOT NULL,
      try INTEGER NOT NULL
    ) STRICT;
    CREATE TRIGGER processing_ended AFTER UPDATE OF status ON processing
    WHEN OLD.status = 'claimed' AND NEW.status <> 'claimed'
    BEGIN
      UPDATE processing SET finished_at = coalesce(finished_at, \(InboundSchema.now))
      WHERE message = NEW.message AND try = NEW.try;
      INSERT INTO finished(message, try) VALUES (NEW.message, NEW.try);
    END;
    CREATE TRIGGER processing_done AFTER INSERT ON processing WHEN NEW.status <> 'claimed' BEGIN
      UPDATE processing SET finished_at = coalesce(finished_at, \(InboundSchema.now))
      WHERE message = NEW.message AND try = NEW.try;
      INSERT INTO finished(message, try) VALUES (NEW.message, NEW.try);
    END;
    -- A claim is taken or not, however it is spelt: of OR REPLACE no AFTER or UPDATE trigger would know.
    CREATE TRIGGER processing_taken BEFORE INSERT ON processing
    WHEN NEW.status = 'claimed' AND EXISTS (
      SELECT 1 FROM processing WHERE message = NEW.message AND try = NEW.try
        AND (status <> 'claimed' OR incarnation > NEW.incarnation
          OR incarnation = NEW.incarnation AND lease_until > NEW.claimed_at))
    BEGIN
      SELECT RAISE(IGNORE);
    END;
    CREATE TRIGGER processing_once BEFORE INSERT ON processing
    WHEN NEW.status <> 'claimed'
      AND EXISTS (SELECT 1 FROM processing WHERE message = NEW.message AND try = NEW.try)
    BEGIN
      SELECT RAISE(ABORT, 'this try is claimed or finished: update its row by message, try, incarnation and worker');
    END;
    CREATE TRIGGER processing_final BEFORE UPDATE OF status, incarnation, worker ON processing
    WHEN OLD.status <> 'claimed'
    BEGIN
      SELECT RAISE(ABORT, 'this try is finished, and what came of it stays');
    END;
    -- A worker that was replaced takes nothing from the one that came after it.
    CREATE TRIGGER processing_forward BEFORE UPDATE OF incarnation ON processing
    WHEN NEW.incarnation < OLD.incarnation
    BEGIN
      SELECT RAISE(ABORT, 'a later worker has this try');
    END;
    CREATE TRIGGER processing_leased BEFORE UPDATE OF worker, incarnation ON processing
    WHEN NEW.incarnation = OLD.incarnation AND NEW.worker <> OLD.worker AND OLD.lease_until > NEW.claimed_at
    BEGIN
      SELECT RAISE(ABORT, 'another worker has this try, and its lease still runs');
    END;
    CREATE TRIGGER processing_stays BEFORE DELETE ON processing BEGIN
      SELECT RAISE(ABORT, 'tries stay until the host has no use for them');
    END;
    """
}
