// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine

/// Reads rows of `state`.
enum StateReader {
  private static let columns = "key, CAST(value AS BLOB) AS value, version, secret, expires_ms, updated_ms"

  /// The value of a key that has not expired.
  static func entry(_ key: StateKey, now: UTCInstant, _ db: Database) throws -> StateEntry? {
    let row = try Row.fetchOne(
      db.cachedStatement(
        sql: """
          SELECT \(columns) FROM state
          WHERE namespace = ? AND key = ? AND (expires_ms IS NULL OR expires_ms > ?)
          """),
      arguments: [key.namespace, key.key, now.milliseconds])
    guard let row else { return nil }
    return try entry(row, key)
  }

  /// A page of values that have not expired.
  static func page(_ query: StateQuery, now: UTCInstant, _ db: Database) throws -> StatePage {
    var conditions = "namespace = ? AND (expires_ms IS NULL OR expires_ms > ?) AND key >= ?"
    var arguments: StatementArguments = [query.namespace, now.milliseconds, query.prefix]
    if let after = query.after {
      conditions += " AND key > ?"
      arguments += [after]
    }
    if let bound = bound(query.prefix) {
      conditions += " AND key < ?"
      arguments += [bound]
    }
    let limit = max(1, query.limit)
    let rows = try Row.fetchCursor(
      db, sql: "SELECT \(columns) FROM state WHERE \(conditions) ORDER BY key LIMIT \(limit + 1)",
      arguments: arguments)
    var page = StatePage()
    var bytes = 0
    var last: String?
    while let row = try rows.next() {
      // A page is bounded in bytes too, but for a single value larger than that.
      if page.entries.count + page.faults.count == limit || bytes > Self.mostBytes {
        page.next = last
        break
      }
      let key = StateKey(query.namespace, row["key"])
      last = key.key
      do throws(CatalogError) {
        let entry = try entry(row, key)
        bytes += entry.value.json.utf8.count
        page.entries.append(entry)
      } catch {
        page.faults.append(.init(key: key, reason: error.message))
      }
    }
    return page
  }

  /// The most bytes of values in one page.
  private static let mostBytes = 32 << 20

  private static func entry(_ row: Row, _ key: StateKey) throws(CatalogError) -> StateEntry {
    let bytes: Data = row["value"] ?? Data()
    guard JSONText.isValid(bytes) else {
      throw CatalogError(
        .unreadable,
        "The value of \(key) is no JSON; it was left as it is: set it anew, or look at it with sqlite3.")
    }
    return StateEntry(
      key: key, value: StateValue(checked: String(decoding: bytes, as: UTF8.self)), version: row["version"],
      isSecret: row["secret"] as Int64 != 0,
      expires: (row["expires_ms"] as Int64?).map { UTCInstant(milliseconds: $0) },
      updated: UTCInstant(milliseconds: row["updated_ms"]))
  }

  /// The first text, in the order of UTF-8, behind all that begin with `prefix`; nil when there is none.
  private static func bound(_ prefix: String) -> String? {
    var scalars = Array(prefix.unicodeScalars)
    while let last = scalars.popLast() {
      let next = last.value == 0xD7FF ? 0xE000 : last.value + 1
      guard let scalar = Unicode.Scalar(next) else { continue }
      scalars.append(scalar)
      var text = String.UnicodeScalarView()
      text.append(contentsOf: scalars)
      return String(text)
    }
    return nil
  }
}
