// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDBSQLite
import HoldfastTestKit

@testable import HoldfastEngine

/// What a database of a test is made like.
struct ImageShape: Sendable, CustomStringConvertible {
  var pageSize = 4096
  var journalMode = "wal"
  var autoVacuum = "none"
  var encoding = "UTF-8"
  var synchronous = "normal"
  var reserved: Int32 = 0
  var seed: UInt64 = 1

  var description: String {
    "\(journalMode) \(pageSize) \(autoVacuum) \(encoding) \(synchronous) reserved \(reserved) seed \(seed)"
  }
}

/// A database in the middle of a seeded workload, and copies of its files as a kill would leave them.
struct ImageFixture {
  let directory: TemporaryDirectory
  let shape: ImageShape

  init(_ shape: ImageShape) throws {
    directory = try TemporaryDirectory()
    self.shape = shape
  }

  /// Keeps the directory to the end of the scope that defers this.
  func keep() { withExtendedLifetime(directory) {} }

  var path: String { directory.file("db") }

  /// Runs the workload and takes the copy in the middle of its last transaction.
  /// - Returns: the copy's path.
  func killed(transactions: Int = 12) throws -> String {
    var random = SplitMix64(seed: shape.seed)
    let connection = try ForeignConnection(path)
    if shape.reserved > 0 {
      var reserve = shape.reserved
      unsafe sqlite3_file_control(connection.rawHandle, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserve)
    }
    try connection.run(
      """
      PRAGMA page_size = \(shape.pageSize); PRAGMA encoding = '\(shape.encoding)';
      PRAGMA auto_vacuum = \(shape.autoVacuum); PRAGMA synchronous = \(shape.synchronous);
      PRAGMA cache_size = 4; PRAGMA wal_autocheckpoint = 0;
      """)
    _ = try connection.text("PRAGMA journal_mode = \(shape.journalMode)")
    try connection.run(
      """
      CREATE TABLE plain(id INTEGER PRIMARY KEY, name TEXT, body BLOB, n REAL);
      CREATE INDEX plain_name ON plain(name);
      CREATE TABLE keyed(k TEXT, v INT, PRIMARY KEY(k, v)) WITHOUT ROWID;
      """)
    for round in 0..<transactions {
      try connection.run("BEGIN")
      for _ in 0..<Int.random(in: 5...40, using: &random) { try step(connection, &random) }
      if shape.journalMode == "wal", round == transactions / 2 {
        try connection.run("COMMIT; PRAGMA wal_checkpoint(RESTART)")
      } else if round < transactions - 1 {
        try connection.run(random.chance(0.8) ? "COMMIT" : "ROLLBACK")
      }
    }
    for _ in 0..<40 { try step(connection, &random) }
    let copy = directory.file("copy")
    try Self.copySet(path, to: copy)
    return copy
  }

  private func step(_ connection: ForeignConnection, _ random: inout SplitMix64) throws {
    let number = Int.random(in: 0..<500, using: &random)
    let size = random.chance(0.1) ? Int.random(in: 0..<(3 * shape.pageSize), using: &random) : 60
    switch Int.random(in: 0..<6, using: &random) {
    case 0...2:
      try connection.run(
        """
        INSERT OR REPLACE INTO plain VALUES(\(number), 'name é \(number)', zeroblob(\(size)), \(number) * 0.5)
        """)
    case 3: try connection.run("INSERT OR REPLACE INTO keyed VALUES('key \(number % 40)', \(number))")
    case 4: try connection.run("DELETE FROM plain WHERE id BETWEEN \(number) AND \(number) + 3")
    default:
      try connection.run("UPDATE plain SET name = name || 'x', body = zeroblob(\(size)) WHERE id = \(number)")
    }
  }

  static func copySet(_ from: String, to: String) throws {
    for suffix in ["", "-wal", "-journal"] where FileManager.default.fileExists(atPath: from + suffix) {
      try [UInt8](contentsOf: from + suffix).write(to: to + suffix)
    }
  }

  static func image(_ path: String) throws -> FileImage {
    try FileImage(path: path, wal: path + "-wal", journal: path + "-journal")
  }

  static func bytes(of image: FileImage) throws -> [UInt8] {
    var bytes: [UInt8] = []
    for number in 1...max(1, image.pageCount) { bytes += try image.page(number) ?? [] }
    return bytes
  }

  /// The file after SQLite itself recovered a copy of it, with everything of its -wal folded in.
  static func recovered(_ path: String) throws -> [UInt8] {
    let other = path + ".recovered"
    try copySet(path, to: other)
    let connection = try ForeignConnection(other)
    _ = try connection.text("SELECT count(*) FROM sqlite_schema")
    _ = try connection.text("PRAGMA wal_checkpoint(TRUNCATE)")
    return try [UInt8](contentsOf: other)
  }

  static func rows(_ text: (String) throws -> String?) rethrows -> [String?] {
    try [
      "SELECT group_concat(id || name || hex(body) || n) FROM (SELECT * FROM plain ORDER BY id)",
      "SELECT group_concat(k || v) FROM (SELECT * FROM keyed ORDER BY k, v)",
    ].map(text)
  }
}
