// SPDX-License-Identifier: Apache-2.0

import GRDB

/// The schema of `state.db`. It is public (docs/schema.md): other programs may read and write it, so versions are kept
/// by triggers, whoever writes.
///
/// No CHECK says `json_valid`: before SQLite 3.41 it is not among the functions a schema may use on a connection
/// with `trusted_schema` off, which every connection of the engine has. What is no JSON is told when it is read.
package enum StateSchema {
  /// The names of the migrations this build knows, the oldest first.
  package static var identifiers: [String] { migrations.migrations }

  /// Tells `state.db` from other programs' files: “HFst” in ASCII.
  static let applicationID = 0x4846_7374

  /// The migrations, for `StateFile.open`.
  static var migrations: DatabaseMigrator {
    var migrator = DatabaseMigrator()
    migrator.registerMigration("state 1") { db in
      try db.execute(sql: state)
      try db.execute(sql: triggers)
      try db.execute(sql: "PRAGMA application_id = \(applicationID)")
    }
    return migrator
  }

  private static let now = "(CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER))"

  private static let state = """
    -- One row for each value. A foreign writer needs no more than
    --   INSERT INTO state(namespace, key, value) VALUES (…);  UPDATE state SET value = … WHERE …;
    -- the version is made by the table.
    CREATE TABLE state(
      id INTEGER PRIMARY KEY,
      namespace TEXT NOT NULL CHECK (length(namespace) BETWEEN 1 AND 256),
      key TEXT NOT NULL CHECK (length(key) BETWEEN 1 AND 1024),
      value TEXT NOT NULL,                       -- JSON
      version INTEGER NOT NULL DEFAULT 0 CHECK (version >= 0),  -- grows with each change
      secret INTEGER NOT NULL DEFAULT 0 CHECK (secret IN (0, 1)),  -- masked where it is shown
      expires_ms INTEGER CHECK (expires_ms BETWEEN 0 AND 253402300799999),  -- from then on it is not there
      updated_ms INTEGER NOT NULL DEFAULT \(now) CHECK (updated_ms BETWEEN 0 AND 253402300799999),
      UNIQUE (namespace, key)
    ) STRICT;
    CREATE INDEX state_by_expiry ON state(expires_ms) WHERE expires_ms IS NOT NULL;
    -- The highest version of any value that was taken away: a value made anew begins above it, so that no version
    -- of a key is ever seen twice.
    CREATE TABLE state_floor(
      id INTEGER PRIMARY KEY CHECK (id = 1),
      version INTEGER NOT NULL CHECK (version >= 0)
    ) STRICT;
    INSERT INTO state_floor(id, version) VALUES (1, 0);
    """

  private static let triggers = """
    -- Before, because REPLACE takes the old row away without a trigger of its own.
    CREATE TRIGGER state_replaced BEFORE INSERT ON state
    WHEN EXISTS (SELECT 1 FROM state WHERE namespace = NEW.namespace AND key = NEW.key)
    BEGIN
      UPDATE state_floor SET version = max(version,
        (SELECT version FROM state WHERE namespace = NEW.namespace AND key = NEW.key));
    END;
    CREATE TRIGGER state_made AFTER INSERT ON state
    WHEN NEW.version <= (SELECT version FROM state_floor)
    BEGIN
      UPDATE state SET version = (SELECT version FROM state_floor) + 1 WHERE id = NEW.id;
    END;
    CREATE TRIGGER state_changed AFTER UPDATE OF value ON state WHEN NEW.version <= OLD.version
    BEGIN
      UPDATE state SET version = OLD.version + 1 WHERE id = NEW.id;
    END;
    CREATE TRIGGER state_moved BEFORE UPDATE OF namespace, key ON state
    WHEN NEW.namespace <> OLD.namespace OR NEW.key <> OLD.key
    BEGIN
      SELECT RAISE(ABORT, 'a value keeps its key: delete it and insert another');
    END;
    CREATE TRIGGER state_deleted AFTER DELETE ON state BEGIN
      UPDATE state_floor SET version = max(version, OLD.version);
    END;
    """
}
