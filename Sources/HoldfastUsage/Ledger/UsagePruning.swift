// SPDX-License-Identifier: Apache-2.0

import GRDB
public import HoldfastEngine

/// Removes rows for their age, in slices so small that no writer waits long (failure A11); their sums stay.
enum UsagePruning {
  /// Rows removed between two writers' turns.
  static let slice = 500

  /// Notes that the rows before an hour may be gone: reports count whole hours there from now on.
  static func moveHorizon(to hour: Int64, _ db: Database) throws {
    try db.execute(
      sql: """
        INSERT INTO usage_horizon(id, hour) VALUES (1, ?)
        ON CONFLICT (id) DO UPDATE SET hour = max(hour, excluded.hour)
        """, arguments: [hour])
  }

  /// Removes some of the rows before an hour.
  ///
  /// - Returns: how many; fewer than a slice when those were the last.
  static func remove(before hour: Int64, _ db: Database) throws -> Int {
    try db.cachedStatement(sql: "INSERT INTO usage_batch DEFAULT VALUES").execute()
    let statement = try db.cachedStatement(
      sql: "DELETE FROM usage WHERE seq IN (SELECT seq FROM usage WHERE time_ms < ? ORDER BY time_ms LIMIT ?)"
    )
    try statement.execute(arguments: [hour * UsageSpan.hour, slice])
    let removed = db.changesCount
    try db.cachedStatement(sql: "DELETE FROM usage_batch").execute()
    return removed
  }
}

extension SQLiteUsageLedger {
  /// Removes the rows before an hour and keeps their sums.
  ///
  /// Reports answer as before, but count the hours before it as wholes; what is removed can be costed no more.
  ///
  /// - Parameter moment: rows before the hour that contains it are removed.
  /// - Throws: `StoreError`, or `CancellationError`; what has been removed by then is told by running it again.
  public func prune(before moment: UTCInstant) async throws -> UsagePruneReport {
    let file = try await openFile()
    let hour = moment.startOfHour.milliseconds / UsageSpan.hour
    var report = UsagePruneReport()
    let clock = ContinuousClock()
    let isAny = try await file.read { db in
      try Bool.fetchOne(
        db, sql: "SELECT EXISTS (SELECT 1 FROM usage WHERE time_ms < ?)", arguments: [hour * UsageSpan.hour])
    }
    if isAny == true {
      try await file.write { db in try UsagePruning.moveHorizon(to: hour, db) }
      while true {
        try Task.checkCancellation()
        let start = clock.now
        let removed = try await file.write { db in try UsagePruning.remove(before: hour, db) }
        report.rows += Int64(removed)
        guard removed == UsagePruning.slice else { break }
        try await Task.sleep(for: start.duration(to: clock.now) * 2)
      }
    }
    let horizon = try await file.read { db in try UsageSpan.horizon(db) }
    report.since = horizon > 0 ? UTCInstant(milliseconds: horizon * UsageSpan.hour) : nil
    return report
  }
}
