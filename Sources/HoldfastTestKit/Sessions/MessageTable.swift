// SPDX-License-Identifier: Apache-2.0

import GRDB
public import HoldfastEngine
public import HoldfastSessions

/// Messages with what search reads of `sessions.db` and no more: for tests of search alone.
public struct MessageTable: Sendable {
  /// The file the messages are in.
  public let file: StateFile

  /// Opens or makes the tables.
  public static func open(_ path: String) async throws -> MessageTable {
    var migrator = DatabaseMigrator()
    migrator.registerMigration("messages") { db in try db.execute(sql: schema) }
    return MessageTable(
      file: try await StateFile.open(
        path, configuration: .init(durability: .processDeathOnly), migrations: migrator))
  }

  private static let schema = """
    CREATE TABLE session(
      key INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
      parent INTEGER REFERENCES session(key), source TEXT) STRICT;
    CREATE TABLE message(
      id INTEGER PRIMARY KEY AUTOINCREMENT, session INTEGER NOT NULL, seq INTEGER NOT NULL,
      uid TEXT NOT NULL DEFAULT (lower(hex(randomblob(16)))), role TEXT NOT NULL,
      content TEXT NOT NULL DEFAULT '', content_kind TEXT NOT NULL DEFAULT 'text', tool_calls TEXT,
      time_ms INTEGER NOT NULL, state TEXT NOT NULL DEFAULT 'live',
      UNIQUE (session, seq), UNIQUE (session, uid)) STRICT;
    CREATE TABLE message_change(
      seq INTEGER PRIMARY KEY AUTOINCREMENT, message INTEGER NOT NULL UNIQUE, change TEXT NOT NULL) STRICT;
    CREATE TRIGGER message_edited AFTER UPDATE ON message BEGIN
      DELETE FROM message_change WHERE message = NEW.id;
      INSERT INTO message_change(message, change) VALUES (NEW.id, 'edited');
    END;
    CREATE TRIGGER message_deleted AFTER DELETE ON message BEGIN
      DELETE FROM message_change WHERE message = OLD.id;
      INSERT INTO message_change(message, change) VALUES (OLD.id, 'deleted');
    END;
    """

  /// The messages as search follows them.
  public var feed: SessionFeed {
    let file = file
    return SessionFeed { file }
  }

  /// Appends messages to a session, which is made if need be; returns their numbers once they are committed.
  @discardableResult
  public func append(
    _ texts: [String], session: String = "s1", parent: String? = nil, role: String = "user",
    source: String = "test", time: Int64 = 1_795_000_000_000
  ) async throws -> [Int64] {
    try await file.write { db in
      try db.execute(
        sql: """
          INSERT INTO session(id, parent, source) VALUES (?, (SELECT key FROM session WHERE id = ?), ?)
          ON CONFLICT DO NOTHING
          """, arguments: [session, parent, source])
      return try texts.map { text in
        try db.cachedStatement(
          sql: """
            INSERT INTO message(session, seq, role, time_ms, content)
            SELECT key, (SELECT coalesce(max(seq), 0) + 1 FROM message WHERE session = key), ?, ?, ?
            FROM session WHERE id = ?
            """
        ).execute(arguments: [role, time, text, session])
        return db.lastInsertedRowID
      }
    }
  }
}
