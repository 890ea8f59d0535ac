// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine

/// What a batch of new rows adds to `usage_hourly`.
///
/// It must come to what the trigger `usage_inserted` would add: the rules are ``UsageSchema/measures(of:)``'s.
struct HourlySums {
  private struct Slot: Hashable {
    var dimension: Int
    var hour: Int64
    var key: String
  }

  private var sums: [Slot: [Int64]] = [:]

  /// Adds a row that was inserted.
  mutating func add(_ row: UsageRow) {
    guard let time = row.time else { return }
    let hour = time.milliseconds / 3_600_000
    let measures = Self.measures(row)
    for (dimension, key) in Self.keys(row).enumerated() {
      let slot = Slot(dimension: dimension, hour: hour, key: key)
      guard let known = sums.index(forKey: slot) else {
        sums[slot] = measures
        continue
      }
      for (index, measure) in measures.enumerated() { sums.values[known][index] += measure }
    }
  }

  /// The keys, in the order of ``UsageSchema/dimensions``.
  private static func keys(_ row: UsageRow) -> [String] {
    [row.provider, row.model, row.source ?? "", row.session ?? "", row.project ?? ""]
  }

  /// The measures, in the order of ``UsageSchema/measureColumns``.
  private static func measures(_ row: UsageRow) -> [Int64] {
    let isKnown = row.inputTokens != nil && row.outputTokens != nil
    let isUnpriced = isKnown && row.costMicrodollars == nil
    return [
      1, row.inputTokens ?? 0, row.cacheReadTokens ?? 0, row.cacheWrite5mTokens ?? 0,
      row.cacheWrite1hTokens ?? 0, row.outputTokens ?? 0, row.costMicrodollars ?? 0, isUnpriced ? 1 : 0,
      row.isUnknown ? 1 : 0, row.isIncomplete ? 1 : 0,
    ]
  }

  /// Adds the sums to the table.
  func write(_ db: Database) throws {
    let statement = try db.cachedStatement(sql: Self.upsert)
    for (slot, measures) in sums {
      try statement.execute(
        arguments: [UsageSchema.dimensions[slot.dimension], slot.hour, slot.key]
          + StatementArguments(measures))
    }
  }

  private static let upsert =
    "\(UsageSchema.addition) VALUES (\((0..<3 + UsageSchema.measureColumns.count).map { _ in "?" }.joined(separator: ", "))) "
    + UsageSchema.onConflict
}
