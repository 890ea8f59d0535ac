// SPDX-License-Identifier: Apache-2.0

/// How often one writer wrote, and how long its writes took, in microseconds.
struct Turns: Codable, Sendable {
  var waits: [Int32] = []

  var count: Int { waits.count }
  var longest: Int { Int(waits.max() ?? 0) }

  mutating func add(_ duration: Duration) {
    let microseconds =
      duration.components.seconds * 1_000_000 + duration.components.attoseconds / 1_000_000_000_000
    waits.append(Int32(clamping: microseconds))
  }

  /// The wait that `share` of all were no longer than.
  func percentile(_ share: Double) -> Int {
    guard !waits.isEmpty else { return 0 }
    let sorted = waits.sorted()
    return Int(sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))])
  }
}

/// The turns of all writers of one run.
struct RunResult: Sendable {
  /// One for each process, or one for all the tasks of a process.
  var writers: [Turns]
  var seconds: Double

  var perSecond: Double { Double(writers.reduce(0) { $0 + $1.count }) / seconds }
  var longest: Int { writers.map(\.longest).max() ?? 0 }
  var fewest: Int { writers.map(\.count).min() ?? 0 }
  var most: Int { writers.map(\.count).max() ?? 0 }
  var evenness: Double { Double(fewest) / Double(max(1, most)) }
}
