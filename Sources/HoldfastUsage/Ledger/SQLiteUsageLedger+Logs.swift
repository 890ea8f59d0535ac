// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine

/// Programs' logs: what was read of them, and how far.
extension SQLiteUsageLedger {
  /// How far the logs at some paths have been read, those of them that have been.
  public func logMarks(_ paths: [String]) async throws -> [String: UsageLogMark] {
    guard !paths.isEmpty else { return [:] }
    let wanted = String(decoding: try JSONEncoder().encode(paths), as: UTF8.self)
    return try await openFile().read { db in
      let statement = try db.cachedStatement(
        sql: """
          SELECT \(Self.markColumns) FROM usage_import_marks WHERE path IN (SELECT value FROM json_each(?))
          """)
      var marks: [String: UsageLogMark] = [:]
      for row in try Row.fetchAll(statement, arguments: [wanted]) {
        guard let mark = Self.mark(row) else { continue }
        marks[mark.path] = mark
      }
      return marks
    }
  }

  /// Lands what was read from programs' logs, rows and marks in one transaction; see ``UsageLedger/land(_:)``.
  public func land(_ pieces: [UsageLogPiece]) async throws -> UsageLogLanding {
    let rates = rates
    return try await openFile().write { db in
      let start = ContinuousClock.now
      var landing = UsageLogLanding()
      let rows = pieces.flatMap(\.rows).map { row in Self.priced(row, rates) }
      if !rows.isEmpty {
        landing.counts = Self.counts(try UsageWriter.apply(db, rows: rows, rates: rates))
      }
      for piece in pieces {
        guard let mark = piece.mark else { continue }
        if let standing = try Self.mark(mark.path, db), standing.isAhead(of: mark) {
          landing.ahead[mark.path] = standing
        } else {
          try Self.write(mark, db)
        }
      }
      landing.held = start.duration(to: .now)
      return landing
    }
  }

  /// What landing rows would do.
  public func preview(_ rows: [UsageRow]) async throws -> UsageLogCounts {
    let rates = rates
    return try await openFile().read { db in
      var merging = UsageMerging(rates: rates)
      var counts = UsageLogCounts()
      for row in rows {
        counts.add(try merging.preview(Self.priced(row, rates), db))
      }
      return counts
    }
  }

  /// The ledger's prices go before what a program reckons; where there is none, what it says stands.
  static func priced(_ row: UsageRow, _ rates: RateCardTable) -> UsageRow {
    var priced = row
    rates.price(&priced)
    if priced.costMicrodollars == nil { priced.costMicrodollars = row.costMicrodollars }
    return priced
  }

  private static func counts(_ landed: [UsageMerging.Landed]) -> UsageLogCounts {
    var counts = UsageLogCounts()
    for came in landed { counts.add(came) }
    return counts
  }

  // MARK: Marks

  private static let markColumns =
    "path, format, device, inode, generation, offset, line, tail, size, modified_ns, requests, state"

  private static func mark(_ path: String, _ db: Database) throws -> UsageLogMark? {
    try Row.fetchOne(
      db.cachedStatement(sql: "SELECT \(markColumns) FROM usage_import_marks WHERE path = ?"),
      arguments: [path]
    ).flatMap(mark)
  }

  private static func mark(_ row: Row) -> UsageLogMark? {
    // A newer version may know more programs.
    guard let format = UsageLogFormat(rawValue: row[1]) else { return nil }
    var mark = UsageLogMark(path: row[0], format: format)
    (mark.device, mark.inode, mark.generation) = (row[2], row[3], row[4])
    (mark.offset, mark.line, mark.tail) = (row[5], row[6], row[7])
    (mark.size, mark.modified) = (row[8], row[9])
    (mark.rows, mark.state) = (row[10], row[11])
    return mark
  }

  private static func write(_ mark: UsageLogMark, _ db: Database) throws {
    try db.cachedStatement(
      sql: """
        INSERT OR REPLACE INTO usage_import_marks(\(markColumns)) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """
    ).execute(arguments: [
      mark.path, mark.format.rawValue, mark.device, mark.inode, mark.generation, mark.offset, mark.line,
      mark.tail, mark.size, mark.modified, mark.rows, mark.state,
    ])
  }
}

extension UsageLogMark {
  /// Whether this one is of a later beginning, or has got further in the same file.
  func isAhead(of other: UsageLogMark) -> Bool {
    guard format == other.format else { return false }
    guard generation == other.generation else { return generation > other.generation }
    return device == other.device && inode == other.inode && offset > other.offset
  }
}

extension UsageLogCounts {
  mutating func add(_ landed: UsageMerging.Landed) {
    switch landed {
    case .new: new += 1
    case .merged: merged += 1
    case .unchanged: unchanged += 1
    case .expired: expired += 1
    }
  }
}
