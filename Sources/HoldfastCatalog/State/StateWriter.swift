// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine

/// Changes rows of `state`, inside a write transaction of the caller's.
enum StateWriter {
  /// How many expired rows a change takes along at most: enough for a table never to be mostly dead, few enough to
  /// cost nothing.
  private static let swept = 8

  /// Makes a change.
  ///
  /// - Returns: the new version; for a deletion that of what was there, 0 for nothing.
  static func apply(_ edit: StateEdit, now: UTCInstant, _ db: Database) throws -> Int64 {
    let key = edit.key
    let row = try Row.fetchOne(
      db.cachedStatement(sql: "SELECT id, version, expires_ms FROM state WHERE namespace = ? AND key = ?"),
      arguments: [key.namespace, key.key])
    let expires: Int64? = row?["expires_ms"]
    let isThere = row != nil && (expires.map { $0 > now.milliseconds } ?? true)
    let version: Int64 = isThere ? row?["version"] ?? 0 : 0
    if let wanted = edit.ifVersion, wanted != version {
      throw CatalogError(
        .versionConflict,
        version == 0
          ? "\(key) has no value, where version \(wanted) was asked for."
          : "\(key) has version \(version), where \(wanted == 0 ? "none" : "version \(wanted)") was asked for.",
        version: version)
    }
    switch edit.change {
    case .delete:
      if let row {
        try db.cachedStatement(sql: "DELETE FROM state WHERE id = ?").execute(arguments: [row["id"] as Int64])
      }
      return version
    case .set(let value):
      if let row {
        let next = (row["version"] as Int64) + 1
        // What expired was no secret any more, and neither is what is new because of it.
        let secret = edit.isSecret.map { $0 ? 1 : 0 } ?? (isThere ? nil : 0)
        try db.cachedStatement(
          sql: """
            UPDATE state SET value = ?, version = ?, secret = coalesce(?, secret), expires_ms = ?, updated_ms = ?
            WHERE id = ?
            """
        ).execute(
          arguments: [
            value.json, next, secret, edit.expires?.milliseconds, now.milliseconds, row["id"] as Int64,
          ])
        return next
      }
      return try Int64.fetchOne(
        db.cachedStatement(
          sql: """
            INSERT INTO state(namespace, key, value, version, secret, expires_ms, updated_ms)
            VALUES (?, ?, ?, (SELECT version + 1 FROM state_floor), ?, ?, ?) RETURNING version
            """),
        arguments: [
          key.namespace, key.key, value.json, edit.isSecret == true ? 1 : 0, edit.expires?.milliseconds,
          now.milliseconds,
        ]) ?? 0
    }
  }

  /// Takes a few expired rows away.
  ///
  /// - Returns: how many.
  @discardableResult
  static func sweep(_ most: Int = swept, now: UTCInstant, _ db: Database) throws -> Int {
    try db.cachedStatement(
      sql: "DELETE FROM state WHERE id IN (SELECT id FROM state WHERE expires_ms <= ? LIMIT ?)"
    ).execute(arguments: [now.milliseconds, most])
    return db.changesCount
  }
}
