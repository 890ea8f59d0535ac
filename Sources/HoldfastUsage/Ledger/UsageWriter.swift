// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine

/// Makes spool records into rows, inside the transaction that advances the spool's cursor.
enum UsageWriter {
  /// Applies a batch. A record that cannot become a row is kept with its bytes and its reason, and costs the
  /// others nothing (promise 4); only a fault of the database itself is thrown.
  ///
  /// The hourly sums are added once for the batch, which is half of the work of leaving them to the trigger.
  ///
  /// - Parameter rates: what a row is priced with anew when another teller of its request adds to its counts.
  static func apply(
    _ db: Database, _ records: [SpoolRecord], rates: RateCardTable = .builtIn
  ) throws {
    var merging = UsageMerging(rates: rates)
    try withSums(db) { sums in
      for record in records {
        do {
          var row = try UsageRow(record: record.payload)
          row.uid = row.uid ?? "\(record.segment)-\(record.sequence)"
          row.time = row.time ?? UTCInstant(milliseconds: record.time.milliseconds)
          try row.validate()
          if try merging.land(row, db) == .new { sums.add(row) }
        } catch let error as UsageError {
          try reject(record, error.message, db)
        } catch let error as DatabaseError where error.resultCode == .SQLITE_CONSTRAINT {
          // A statement that fails on a constraint undoes itself alone; the transaction goes on.
          try reject(record, error.message ?? "a constraint of the table refused it", db)
        }
      }
    }
  }

  /// Lands rows that are complete; a row the table refuses is thrown.
  ///
  /// - Returns: what became of each.
  @discardableResult
  static func apply(
    _ db: Database, rows: [UsageRow], rates: RateCardTable = .builtIn
  ) throws -> [UsageMerging.Landed] {
    var merging = UsageMerging(rates: rates)
    var landed: [UsageMerging.Landed] = []
    try withSums(db) { sums in
      for row in rows {
        let came = try merging.land(row, db)
        if came == .new { sums.add(row) }
        landed.append(came)
      }
    }
    return landed
  }

  /// Adds to the hourly sums what `body` inserted, in place of the trigger.
  private static func withSums(_ db: Database, _ body: (inout UsageSums) throws -> Void) throws {
    var sums = UsageSums()
    try db.cachedStatement(sql: "INSERT INTO usage_batch DEFAULT VALUES").execute()
    try body(&sums)
    try sums.write(db)
    try db.cachedStatement(sql: "DELETE FROM usage_batch").execute()
  }

  private static func reject(_ record: SpoolRecord, _ reason: String, _ db: Database) throws {
    let statement = try db.cachedStatement(
      sql: "INSERT INTO usage_rejected(time_ms, reason, record) VALUES (?, ?, ?)")
    try statement.execute(arguments: [record.time.milliseconds, reason, Data(record.payload)])
  }
}
