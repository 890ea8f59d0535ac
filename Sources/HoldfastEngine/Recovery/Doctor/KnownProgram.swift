// SPDX-License-Identifier: Apache-2.0

/// Programs whose databases can be told by what is in them.
///
/// Only what no other program is likely to have counts: a fixed application id, or several tables together.
enum KnownProgram {
  /// Ids that are registered (`magic.txt` of SQLite's sources).
  private static let applications: [UInt32: String] = [
    0x0f05_5111: "a Fossil checkout", 0x0f05_5112: "a Fossil repository", 0x0f05_5113: "Fossil's settings",
    0x4750_4b47: "a GeoPackage", 0x4d50_4258: "an MBTiles tile set",
  ]

  private static let schemas: [(tables: Set<String>, name: String)] = [
    (["moz_places", "moz_historyvisits", "moz_bookmarks"], "Firefox's history and bookmarks"),
    (["moz_cookies"], "Firefox's cookies"),
    (["urls", "visits", "keyword_search_terms", "meta"], "a Chromium browser's history"),
    (["cookies", "meta"], "a Chromium browser's cookies"),
    (
      ["registered_groups", "scheduled_tasks", "task_run_logs", "router_state"],
      "NanoClaw's messages and tasks"
    ),
    (["goose_db_version", "sessions", "messages", "files", "read_files"], "Crush's sessions"),
    (["sessions", "messages", "messages_fts", "schema_version"], "Hermes Agent's sessions"),
    (["usage", "usage_hourly", "usage_rejected"], "Holdfast's usage ledger"),
    (["state", "state_floor"], "Holdfast's state"),
    (["session", "message", "message_change"], "Holdfast's sessions"),
    (["document", "progress", "word_idx"], "Holdfast's search index, which may be deleted at any time"),
  ]

  /// What the database is or looks like; nil when nothing says.
  static func name(applicationID: UInt32, tables: Set<String>) -> String? {
    applications[applicationID] ?? schemas.first { $0.tables.isSubset(of: tables) }?.name
  }
}
