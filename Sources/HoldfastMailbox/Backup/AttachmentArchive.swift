// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB

/// Attachments in one SQLite file, in the form of an SQLite archive: `sqlite3 FILE -Ax` takes them out, too.
///
/// <https://www.sqlite.org/sqlar.html>
enum AttachmentArchive {
  /// A larger attachment is no message's, and no row's.
  static let most = 512 << 20

  /// Blocks. What is removed meanwhile is left out.
  static func write(_ names: [String], of attachments: MailboxAttachments, to path: String) throws {
    let queue = try DatabaseQueue(path: path)
    defer { try? queue.close() }
    try queue.inDatabase { db in
      // It is copied when it is whole, and then removed.
      try db.execute(
        sql: """
          PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
          CREATE TABLE sqlar(name TEXT PRIMARY KEY, mode INT, mtime INT, sz INT, data BLOB)
          """)
      for name in names {
        guard let file = try attachments.fileIfThere(name, most: most) else { continue }
        // Not compressed: its size is that of the data.
        try db.execute(
          sql: "INSERT INTO sqlar VALUES (?, ?, ?, ?, ?)",
          arguments: [name, 0o100600, file.modified, file.data.count, file.data])
      }
    }
  }

  /// Blocks. Names are followed as a message's are: none leads elsewhere.
  static func read(_ path: String, into attachments: MailboxAttachments) throws {
    var configuration = Configuration()
    configuration.readonly = true
    let queue = try DatabaseQueue(path: path, configuration: configuration)
    defer { try? queue.close() }
    try queue.read { db in
      let rows = try Row.fetchCursor(db, sql: "SELECT name, sz, data FROM sqlar ORDER BY name")
      while let row = try rows.next() {
        let (name, data): (String, Data) = (row["name"], row["data"])
        guard row["sz"] == data.count else {
          throw MailboxError(
            .unreadable, "“\(name)” is compressed in the archive of attachments: take it out with sqlite3 -A."
          )
        }
        try attachments.restore(data, as: name)
      }
    }
  }
}
