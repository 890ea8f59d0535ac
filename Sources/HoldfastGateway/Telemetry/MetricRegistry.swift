// SPDX-License-Identifier: Apache-2.0

public import CoreMetrics
import HoldfastEngine

/// What is said of a metric beside its name.
public struct MetricDefinition: Sendable, Hashable {
  /// Its name, with dots.
  public var name: String
  /// Its unit in UCUM, as in `s`, `By` or `{token}`.
  public var unit: String
  /// One sentence.
  public var description: String
  /// The upper bounds of a histogram's buckets, in order.
  public var bounds: [Double]

  /// Makes a definition.
  public init(_ name: String, unit: String = "", description: String = "", bounds: [Double] = []) {
    self.name = name
    self.unit = unit
    self.description = description
    self.bounds = bounds
  }
}

/// Keeps what is measured through swift-metrics, for whoever reads it: `/metrics` and OpenTelemetry's exporter.
///
/// Bounded: a metric has at most ``maximumSeries`` series; what would be one more is counted in a series with the
/// attribute `otel.metric.overflow`, as OpenTelemetry's SDK specification has it.
public final class MetricRegistry: MetricsFactory {
  static let maximumSeries = 1000

  /// A name and a value, as OpenTelemetry's attributes and Prometheus' labels.
  struct Attribute: Hashable, Comparable, Sendable {
    var key: String
    var value: String

    static func < (left: Self, right: Self) -> Bool { (left.key, left.value) < (right.key, right.value) }
  }

  enum Kind: Sendable {
    case counter
    case gauge
    case histogram
  }

  struct Histogram: Sendable {
    /// One more than bounds: the last is beyond all of them.
    var buckets: [UInt64]
    var count: UInt64 = 0
    var sum = 0.0
  }

  enum Value: Sendable {
    case number(Double)
    case histogram(Histogram)
  }

  /// A metric with all its series.
  struct Metric: Sendable {
    var definition: MetricDefinition
    var kind: Kind
    var series: [[Attribute]: Value] = [:]
  }

  private static let overflow = [Attribute(key: "otel.metric.overflow", value: "true")]
  private static let usualBounds: [Double] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600,
  ]

  private let definitions: [String: MetricDefinition]
  private let metrics = Monitor<[String: Metric]>([:])
  /// When the counting began.
  let since = UnixTime.now()

  /// Makes an empty registry.
  ///
  /// - Parameter definitions: of metrics that are known beforehand; others have no description.
  public init(definitions: [MetricDefinition] = GenAIConventions.definitions) {
    self.definitions = Dictionary(definitions.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// Everything measured so far, by name.
  var snapshot: [Metric] {
    metrics.withLock { Array($0.values) }.sorted { $0.definition.name < $1.definition.name }
  }

  fileprivate func change(
    _ name: String, _ kind: Kind, _ attributes: [Attribute], _ body: (inout Value, [Double]) -> Void
  ) {
    metrics.withLock { metrics in
      if metrics[name] == nil {
        var definition = definitions[name] ?? MetricDefinition(name)
        if kind == .histogram, definition.bounds.isEmpty { definition.bounds = Self.usualBounds }
        metrics[name] = Metric(definition: definition, kind: kind)
      }
      guard let metric = metrics[name], metric.kind == kind else { return }
      let bounds = metric.definition.bounds
      let isNew = metric.series[attributes] == nil
      let key = isNew && metric.series.count >= Self.maximumSeries ? Self.overflow : attributes
      let empty: Value =
        kind == .histogram
        ? .histogram(Histogram(buckets: Array(repeating: 0, count: bounds.count + 1))) : .number(0)
      body(&metrics[name]!.series[key, default: empty], bounds)
    }
  }

  private func series(_ label: String, _ kind: Kind, _ dimensions: [(String, String)]) -> Series {
    Series(
      registry: self, name: label, kind: kind,
      attributes: dimensions.map { Attribute(key: $0.0, value: $0.1) }.sorted())
  }

  /// A counter; `increment` adds to it.
  public func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
    series(label, .counter, dimensions)
  }

  /// A counter of fractions.
  public func makeFloatingPointCounter(
    label: String, dimensions: [(String, String)]
  ) -> any FloatingPointCounterHandler { FractionSeries(series(label, .counter, dimensions)) }

  /// A gauge.
  public func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
    GaugeSeries(series(label, .gauge, dimensions))
  }

  /// A histogram, or where values are not to be aggregated a gauge of the last.
  public func makeRecorder(
    label: String, dimensions: [(String, String)], aggregate: Bool
  ) -> any RecorderHandler { series(label, aggregate ? .histogram : .gauge, dimensions) }

  /// A histogram of seconds.
  public func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
    series(label, .histogram, dimensions)
  }

  /// Nothing: what was counted stays for the next reader.
  public func destroyCounter(_ handler: any CounterHandler) {}
  /// Nothing: what was counted stays for the next reader.
  public func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) {}
  /// Nothing: what was measured stays for the next reader.
  public func destroyMeter(_ handler: any MeterHandler) {}
  /// Nothing: what was recorded stays for the next reader.
  public func destroyRecorder(_ handler: any RecorderHandler) {}
  /// Nothing: what was recorded stays for the next reader.
  public func destroyTimer(_ handler: any TimerHandler) {}

  /// One series of a metric; whoever holds it writes straight into the registry.
  fileprivate final class Series: CounterHandler, RecorderHandler, TimerHandler {
    let registry: MetricRegistry
    let name: String
    let kind: Kind
    let attributes: [Attribute]

    init(registry: MetricRegistry, name: String, kind: Kind, attributes: [Attribute]) {
      (self.registry, self.name, self.kind, self.attributes) = (registry, name, kind, attributes)
    }

    func add(_ amount: Double) {
      registry.change(name, kind, attributes) { value, _ in
        if case .number(let number) = value { value = .number(number + amount) }
      }
    }

    func set(_ amount: Double) {
      registry.change(name, kind, attributes) { value, _ in value = .number(amount) }
    }

    func increment(by amount: Int64) { add(Double(amount)) }

    func reset() { set(0) }

    func record(_ amount: Int64) { record(Double(amount)) }

    func record(_ amount: Double) {
      guard kind == .histogram else { return set(amount) }
      // What is no number belongs in no bucket.
      guard amount.isFinite else { return }
      registry.change(name, kind, attributes) { value, bounds in
        guard case .histogram(var histogram) = value else { return }
        // The bucket's upper bound belongs to it.
        histogram.buckets[bounds.firstIndex { amount <= $0 } ?? bounds.count] += 1
        histogram.count += 1
        histogram.sum += amount
        value = .histogram(histogram)
      }
    }

    func recordNanoseconds(_ duration: Int64) { record(Double(duration) / 1e9) }
  }

  private final class FractionSeries: FloatingPointCounterHandler {
    let series: Series

    init(_ series: Series) { self.series = series }

    func increment(by amount: Double) { series.add(amount) }

    func reset() { series.set(0) }
  }

  private final class GaugeSeries: MeterHandler {
    let series: Series

    init(_ series: Series) { self.series = series }

    func set(_ value: Int64) { series.set(Double(value)) }

    func set(_ value: Double) { series.set(value) }

    func increment(by amount: Double) { series.add(amount) }

    func decrement(by amount: Double) { series.add(-amount) }
  }
}
