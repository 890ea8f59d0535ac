// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine

/// What a batch of new rows adds to `usage_hourly` and `usage_daily`.
///
/// It must come to what the trigger `usage_inserted` would add: the rules are ``UsageSchema/measures(of:)``'s.
struct UsageSums {
  private struct Slot: Hashable {
    var dimension: Int
    /// The hour, or the day.
    var span: Int64
    var key: String
  }

  private var hours: [Slot: [Int64]] = [:]

  /// Adds a row that was inserted.
  mutating func add(_ row: UsageRow) {
    guard let time = row.time else { return }
    let hour = time.milliseconds / 3_600_000
    let measures = Self.measures(row)
    for (dimension, key) in Self.keys(row, time).enumerated() {
      Self.add(measures, to: Slot(dimension: dimension, span: hour, key: key), in: &hours)
    }
  }

  private static func add(_ measures: [Int64], to slot: Slot, in sums: inout [Slot: [Int64]]) {
    guard let known = sums.index(forKey: slot) else {
      sums[slot] = measures
      return
    }
    for (index, measure) in measures.enumerated() { sums.values[known][index] += measure }
  }

  /// The keys, in the order of ``UsageSchema/dimensions``.
  private static func keys(_ row: UsageRow, _ time: UTCInstant) -> [String] {
    [
      row.provider, row.model, row.source ?? "", row.session ?? "", row.project ?? "", row.agent ?? "",
      row.tool ?? "", quarters[Int(time.milliseconds / 900_000 % 4)],
      LatencyBuckets.key(row.durationMilliseconds),
      LatencyBuckets.key(row.firstTokenMilliseconds),
    ]
  }

  private static let quarters = ["0", "1", "2", "3"]

  /// The measures, in the order of ``UsageSchema/measureColumns``.
  private static func measures(_ row: UsageRow) -> [Int64] {
    let isKnown = row.inputTokens != nil && row.outputTokens != nil
    let isUnpriced = isKnown && row.costMicrodollars == nil
    return [
      1, row.inputTokens ?? 0, row.cacheReadTokens ?? 0, row.cacheWrite5mTokens ?? 0,
      row.cacheWrite1hTokens ?? 0, row.outputTokens ?? 0, row.costMicrodollars ?? 0, isUnpriced ? 1 : 0,
      row.isUnknown ? 1 : 0, row.isIncomplete ? 1 : 0, row.savedMicrodollars ?? 0, row.isFailed ? 1 : 0,
    ]
  }

  /// Adds the sums to the tables.
  func write(_ db: Database) throws {
    var days: [Slot: [Int64]] = [:]
    for (slot, measures) in hours {
      Self.add(measures, to: Slot(dimension: slot.dimension, span: slot.span / 24, key: slot.key), in: &days)
    }
    try Self.write(hours, to: .hourly, db)
    try Self.write(days, to: .daily, db)
  }

  private static func write(_ sums: [Slot: [Int64]], to table: UsageSchema.Sums, _ db: Database) throws {
    let statement = try db.cachedStatement(sql: table == .hourly ? hourly : daily)
    for (slot, measures) in sums {
      try statement.execute(
        arguments: [UsageSchema.dimensions[slot.dimension], slot.span, slot.key]
          + StatementArguments(measures))
    }
  }

  private static let hourly = upsert(.hourly)
  private static let daily = upsert(.daily)

  private static func upsert(_ table: UsageSchema.Sums) -> String {
    let marks = (0..<3 + UsageSchema.measureColumns.count).map { _ in "?" }.joined(separator: ", ")
    return "\(table.addition()) VALUES (\(marks)) \(table.onConflict())"
  }
}
