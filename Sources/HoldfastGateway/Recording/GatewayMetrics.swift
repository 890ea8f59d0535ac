// SPDX-License-Identifier: Apache-2.0

import HoldfastUsage
import Synchronization

/// What the gateway counts about the requests it relayed, for `/metrics`.
///
/// Counters live in memory and start at zero with the process, as Prometheus expects; the durable numbers are the
/// ledger's. One short lock, held for a few additions.
final class GatewayMetrics: Sendable {
  /// The labels of a series.
  struct Series: Hashable, Sendable {
    var provider: String
    var model: String
    var status: String
  }

  /// A histogram with fixed bounds.
  struct Histogram: Sendable {
    static let bounds: [Double] = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600]
    var buckets = [UInt64](repeating: 0, count: bounds.count)
    var count: UInt64 = 0
    var sum = 0.0

    mutating func observe(_ value: Double) {
      count += 1
      sum += value
      if let index = Self.bounds.firstIndex(where: { value <= $0 }) { buckets[index] += 1 }
    }
  }

  /// Everything counted, at one moment.
  struct Snapshot: Sendable {
    var requests: [Series: UInt64] = [:]
    var durations: [String: Histogram] = [:]
    var firstTokens: [String: Histogram] = [:]
    var tokens: [TokenSeries: UInt64] = [:]
    var outcomes: [String: UInt64] = [:]
    var unrecorded: UInt64 = 0
  }

  /// The labels of a token counter.
  struct TokenSeries: Hashable, Sendable {
    var provider: String
    var model: String
    var kind: String
  }

  /// Models come from clients: beyond this many series the rest is counted under one name.
  private static let maximumSeries = 1000

  private let state = Mutex(Snapshot())

  /// Everything counted so far.
  var snapshot: Snapshot { state.withLock { $0 } }

  /// Counts a finished request.
  func count(_ row: UsageRow, _ end: ExchangeEnd) {
    let duration = end.duration.seconds
    state.withLock { state in
      var series = Series(
        provider: row.provider, model: row.model, status: row.status.map(String.init) ?? "none")
      if state.requests[series] == nil, state.requests.count >= Self.maximumSeries { series.model = "other" }
      state.requests[series, default: 0] += 1
      state.durations[row.provider, default: Histogram()].observe(duration)
      if let first = row.firstTokenMilliseconds {
        state.firstTokens[row.provider, default: Histogram()].observe(Double(first) / 1000)
      }
      state.outcomes[row.outcome.rawValue, default: 0] += 1
      let counts = [
        ("input", row.inputTokens), ("cache_read", row.cacheReadTokens),
        ("cache_write_5m", row.cacheWrite5mTokens), ("cache_write_1h", row.cacheWrite1hTokens),
        ("output", row.outputTokens),
      ]
      for (kind, count) in counts {
        guard let count, count > 0 else { continue }
        state.tokens[TokenSeries(provider: row.provider, model: series.model, kind: kind), default: 0] &+=
          UInt64(count)
      }
    }
  }

  /// Counts a row the ledger would not take.
  func countUnrecorded() { state.withLock { $0.unrecorded += 1 } }
}

/// Hands rows to the ledger and to the counters.
final class LedgerSink: UsageSink {
  private let ledger: any UsageLedger
  private let metrics: GatewayMetrics
  private let refusals: RefusalLog
  private let telemetry: RequestTelemetry?

  init(
    ledger: any UsageLedger, metrics: GatewayMetrics, refusals: RefusalLog, telemetry: RequestTelemetry? = nil
  ) {
    self.ledger = ledger
    self.telemetry = telemetry
    self.metrics = metrics
    self.refusals = refusals
  }

  func record(_ row: UsageRow, of end: ExchangeEnd, _ traits: RequestTraits) {
    record(row, of: end)
    telemetry?.note(row, of: end, traits)
  }

  func record(_ row: UsageRow, of end: ExchangeEnd) {
    metrics.count(row, end)
    do {
      _ = try ledger.accept(row)
    } catch {
      metrics.countUnrecorded()
      refusals.note(error)
    }
  }
}
