// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastUsage

extension UsageLedgerConformance {
  private static let zones = ["UTC", "Europe/Berlin", "Asia/Kolkata"].compactMap { CivilZone($0) }

  private func filled(_ trial: Trial, _ sample: UsageSample) async throws -> any UsageLedger {
    let ledger = try await trial.store()
    for row in sample.rows { try ledger.accept(row) }
    try await ledger.flush()
    return ledger
  }

  /// Moments that cut days, hours and neither.
  private static func spans() -> [(since: UTCInstant?, until: UTCInstant?)] {
    let start = UsageSample.start.milliseconds
    func moment(_ hours: Double) -> UTCInstant { UTCInstant(milliseconds: start + Int64(hours * 3_600_000)) }
    return [
      (nil, nil), (moment(24), moment(72)), (moment(5), nil), (nil, moment(50)), (moment(7.3), moment(61.9)),
      (moment(30.25), moment(30.75)), (moment(10), moment(10)),
    ]
  }

  /// A report sums exactly the rows of its span, by any field and in any zone.
  public func reportsAreThoseOfTheRows() async throws {
    try await trial { trial in
      let sample = UsageSample(seed: 1, count: 400)
      let ledger = try await filled(trial, sample)
      for grouping in UsageGrouping.allCases {
        for (place, span) in Self.spans().enumerated() {
          let query = UsageReportQuery(
            by: grouping, since: span.since, until: span.until, zone: Self.zones[place % Self.zones.count])
          let lines = try await ledger.report(query)
          let keyed = Dictionary(lines.map { ($0.key, $0) }, uniquingKeysWith: { first, _ in first })
          try same(keyed.count, lines.count, "keys of \(query)")
          try same(keyed, sample.lines(query), "\(query)")
        }
      }
    }
  }

  /// The costliest come first, the latest days first, and no more than the limit.
  public func linesAreOrderedAndLimited() async throws {
    try await trial { trial in
      let sample = UsageSample(seed: 2, count: 200)
      let ledger = try await filled(trial, sample)
      let costs = try await ledger.report(UsageReportQuery(by: .model)).map(\.costMicrodollars)
      try same(costs, costs.sorted(by: >), "the order of costs")
      for grouping in [UsageGrouping.day, .hour] {
        let keys = try await ledger.report(UsageReportQuery(by: grouping)).map { $0.key ?? "" }
        try same(keys, keys.sorted(by: >), "the order of times")
        let few = try await ledger.report(UsageReportQuery(by: grouping, limit: 2)).map { $0.key ?? "" }
        try same(few, Array(keys.prefix(2)), "the first two")
      }
    }
  }

  /// Sums over time are those of the rows, the earliest first.
  public func seriesAreThoseOfTheRows() async throws {
    try await trial { trial in
      let sample = UsageSample(seed: 3, count: 300)
      let ledger = try await filled(trial, sample)
      for step in UsageSeriesQuery.Step.allCases {
        let zone = Self.zones[1]
        let points = try await ledger.series(UsageSeriesQuery(by: step, split: .model, zone: zone))
        var expected: [String: Int64] = [:]
        for row in sample.rows {
          let time = UsageSample.key(row, step == .day ? .day : .hour, zone) ?? ""
          expected["\(time) \(row.model)", default: 0] += row.costMicrodollars ?? 0
        }
        let found = points.map { ("\($0.time) \($0.line.key ?? "")", $0.line.costMicrodollars) }
        try same(Dictionary(found, uniquingKeysWith: +), expected, "models by \(step)")
        try same(points.map(\.time), points.map(\.time).sorted(), "the order of steps")
      }
    }
  }

  /// An overview has the span's sums and those of the span before it, and percentiles right to a third.
  public func overviewsAreThoseOfTheRows() async throws {
    try await trial { trial in
      let sample = UsageSample(seed: 4, count: 500)
      let ledger = try await filled(trial, sample)
      let (middle, end) = (
        UsageSample.start.advanced(by: .seconds(2 * 86_400)),
        UsageSample.start.advanced(by: .seconds(4 * 86_400))
      )
      let overview = try await ledger.overview(since: middle, until: end)
      let spans = [
        (overview.current, sample.rows(since: middle, until: end)),
        (overview.previous, sample.rows(since: nil, until: middle)),
      ]
      for (totals, rows) in spans {
        try same(totals?.line, UsageSample.sum(rows, key: nil), "the sums")
        try same(totals?.sessions, Int64(Set(rows.compactMap(\.session)).count), "the sessions")
        let times = rows.compactMap(\.durationMilliseconds).sorted()
        let exact = Double(times[times.count / 2])
        let found = totals?.latency?.p50 ?? 0
        try holds(abs(found - exact) <= exact / 3, "half took \(found) ms, not \(exact)")
      }
      try holds(
        try await ledger.overview(since: nil, until: end).previous == nil, "all time has a time before it")
    }
  }

  /// A block is five hours from the hour of its first request; the next begins with the first request after it.
  public func blocksFollowEachOther() async throws {
    try await trial { trial in
      let ledger = try await trial.store()
      for (number, minutes) in [70, 130, 359, 361, 1200].enumerated() {
        var row = UsageSample.row(number)
        row.time = UTCInstant(milliseconds: UsageSample.start.milliseconds + Int64(minutes) * 60_000)
        try ledger.accept(row)
      }
      try await ledger.flush()
      let blocks = try await ledger.blocks(since: UsageSample.start)
      let hours = blocks.map { ($0.start.milliseconds - UsageSample.start.milliseconds) / 3_600_000 }
      try same(hours, [20, 6, 1], "the hours blocks begin at, the latest first")
      try same(blocks.map(\.line.requests), [1, 1, 3], "the requests")
    }
  }

  /// Rows that are removed for their age stay in every sum.
  public func pruningKeepsTheSums() async throws {
    try await trial { trial in
      let sample = UsageSample(seed: 6, count: 700)
      let ledger = try await filled(trial, sample)
      let bound = UsageSample.start.advanced(by: .seconds(2 * 86_400 + 1800))
      let report = try await ledger.prune(before: bound)
      try same(
        report.rows, Int64(sample.rows(since: nil, until: bound.startOfHour).count), "the rows removed")
      try same(report.since, bound.startOfHour, "the moment since which all are there")
      for grouping in UsageGrouping.allCases {
        let query = UsageReportQuery(by: grouping)
        let lines = try await ledger.report(query)
        let keyed = Dictionary(lines.map { ($0.key, $0) }, uniquingKeysWith: { first, _ in first })
        try same(keyed, sample.lines(query), "\(query)")
      }
      try same(try await ledger.prune(before: bound).rows, 0, "the rows removed the second time")
    }
  }
}
