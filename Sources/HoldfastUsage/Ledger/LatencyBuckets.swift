// SPDX-License-Identifier: Apache-2.0

/// Spans of time in buckets, six to each power of ten, so that any percentile of any number of requests can be told from
/// the sums: to the width of a bucket, with what lies in it taken as evenly spread.
enum LatencyBuckets {
  /// The upper bounds in milliseconds, the bound within its bucket: 1, 1.5, 2, 3, 5, 7 and their tens, to twenty minutes.
  static let bounds: [Int64] =
    [1, 2, 3, 5, 7]
    + [10, 15, 20, 30, 50, 70].flatMap { base in [1, 10, 100, 1000].map { base * $0 } }.sorted()
    + [100_000, 150_000, 200_000, 300_000, 500_000, 700_000, 1_200_000]

  /// The key of what is longer.
  static let beyond = "inf"

  private static let keys = bounds.map(String.init)

  /// The key of a span's bucket; none for one that is not known.
  static func key(_ milliseconds: Int64?) -> String {
    guard let milliseconds else { return "" }
    let index = bounds.partitioningIndex { $0 >= milliseconds }
    return index < keys.count ? keys[index] : beyond
  }

  /// The same in SQL.
  static func sql(_ column: String) -> String {
    let cases = bounds.map { "WHEN \(column) <= \($0) THEN '\($0)'" }.joined(separator: " ")
    return "CASE WHEN \(column) IS NULL THEN '' \(cases) ELSE '\(beyond)' END"
  }

  /// Percentiles of what was counted, in milliseconds; nil when nothing was.
  ///
  /// - Parameter counts: how many requests each key has; the key of what is not known is passed over.
  static func percentiles(_ counts: [String: Int64]) -> UsagePercentiles? {
    let total = keys.reduce(counts[beyond] ?? 0) { $0 + (counts[$1] ?? 0) }
    guard total > 0 else { return nil }
    func value(_ share: Double) -> Double {
      let rank = share * Double(total)
      var below: Double = 0
      for (index, key) in keys.enumerated() {
        let count = Double(counts[key] ?? 0)
        if count > 0, below + count >= rank {
          let lower = index == 0 ? 0 : Double(bounds[index - 1])
          return lower + (Double(bounds[index]) - lower) * max(0, rank - below) / count
        }
        below += count
      }
      return Double(bounds[bounds.count - 1])
    }
    return UsagePercentiles(p50: value(0.5), p95: value(0.95), p99: value(0.99))
  }
}

/// Percentiles of spans of time, in milliseconds, told from the sums: right to the width of a bucket, about a third.
public struct UsagePercentiles: Sendable, Hashable, Codable {
  /// Half took no longer.
  public var p50: Double
  /// 95 of 100 took no longer.
  public var p95: Double
  /// 99 of 100 took no longer.
  public var p99: Double

  /// Percentiles, in milliseconds.
  public init(p50: Double, p95: Double, p99: Double) { (self.p50, self.p95, self.p99) = (p50, p95, p99) }
}

extension Array where Element == Int64 {
  /// The first place at which something holds that holds from some place on.
  fileprivate func partitioningIndex(_ holds: (Int64) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if holds(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
