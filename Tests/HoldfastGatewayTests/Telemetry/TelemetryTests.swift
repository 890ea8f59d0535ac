// SPDX-License-Identifier: Apache-2.0

import CoreMetrics
import HoldfastCatalog
import HoldfastEngine
import HoldfastUsage
import NIOCore
import Testing
import Tracing

@testable import HoldfastGateway

@Suite struct MetricRegistryTests {
  private let registry = MetricRegistry(definitions: [
    MetricDefinition("some.size", unit: "By", description: "How\nlarge \\ it is.", bounds: [1, 10])
  ])

  private func record(_ values: [Double], _ dimensions: [(String, String)] = []) {
    let recorder = Recorder(label: "some.size", dimensions: dimensions, aggregate: true, factory: registry)
    for value in values { recorder.record(value) }
  }

  @Test func aValueOnABoundIsInItsBucket() {
    record([1, 1.5, 10, 10.5, .infinity, .nan])
    let text = registry.prometheusText()
    #expect(
      text.contains("# HELP some_size_bytes How\\nlarge \\\\ it is.\n# TYPE some_size_bytes histogram\n"))
    #expect(text.contains("some_size_bytes_bucket{le=\"1.0\"} 1\n"))
    #expect(text.contains("some_size_bytes_bucket{le=\"10.0\"} 3\n"))
    #expect(text.contains("some_size_bytes_bucket{le=\"+Inf\"} 4\n"))
    #expect(text.contains("some_size_bytes_sum 23.0\nsome_size_bytes_count 4\n"))
  }

  @Test func theOrderOfDimensionsMakesNoOtherSeries() {
    record([1], [("a", "1"), ("b", "2")])
    record([1], [("b", "2"), ("a", "1")])
    #expect(registry.snapshot.map(\.series.count) == [1])
  }

  @Test func aMetricHasSoManySeriesAndTheRestIsInOne() {
    for number in 0..<MetricRegistry.maximumSeries + 50 { record([1], [("key", "\(number)")]) }
    let metric = registry.snapshot[0]
    #expect(metric.series.count == MetricRegistry.maximumSeries + 1)
    guard case .histogram(let rest)? = metric.series[[.init(key: "otel.metric.overflow", value: "true")]]
    else {
      Issue.record("the rest is counted nowhere")
      return
    }
    #expect(rest.count == 50)
    // Those that were there before are counted on as themselves.
    record([1], [("key", "7")])
    guard case .histogram(let seventh)? = registry.snapshot[0].series[[.init(key: "key", value: "7")]] else {
      Issue.record("a series is gone")
      return
    }
    #expect(seventh.count == 2)
  }

  @Test func countersAndGaugesHaveTheirNames() {
    Counter(label: "some.things", dimensions: [], factory: registry).increment(by: 3)
    let meter = Meter(label: "some.level", dimensions: [("place.of", "\"x\"")], factory: registry)
    meter.set(5.5)
    meter.decrement(by: 1)
    let text = registry.prometheusText()
    #expect(text.contains("# TYPE some_things_total counter\nsome_things_total 3.0\n"))
    #expect(text.contains("# TYPE some_level gauge\nsome_level{place_of=\"\\\"x\\\"\"} 4.5\n"))
  }
}

@Suite struct TraceContextTests {
  private static let trace = "0af7651916cd43dd8448eb211c80319c"

  @Test(arguments: [
    ("00-\(trace)-b7ad6b7169203331-01", true), ("00-\(trace)-b7ad6b7169203331-00", false),
    ("cc-\(trace)-b7ad6b7169203331-03-more", true),
  ])
  func aTraceparentIsRead(_ text: String, _ isSampled: Bool) throws {
    let context = try #require(TraceContext(traceparent: text, state: nil))
    #expect(context.traceID == Self.trace)
    #expect(context.spanID == "b7ad6b7169203331")
    #expect(context.isSampled == isSampled)
  }

  @Test(arguments: [
    "", "00", "00-\(trace)-b7ad6b7169203331", "00-\(trace)-b7ad6b7169203331-01-more",
    "ff-\(trace)-b7ad6b7169203331-01", "00-\(trace.uppercased())-b7ad6b7169203331-01",
    "00-00000000000000000000000000000000-b7ad6b7169203331-01", "00-\(trace)-0000000000000000-01",
    "00-\(trace)-b7ad6b716920333-01", "00-\(trace)-b7ad6b7169203331-0x",
  ])
  func whatIsNoTraceparentBeginsATrace(_ text: String) {
    #expect(TraceContext(traceparent: text, state: nil) == nil)
  }
}

@Suite struct RequestTelemetryTests {
  private let registry = MetricRegistry()
  private let collector = SpanCollector()

  private func end() -> ExchangeEnd {
    ExchangeEnd(
      outcome: .complete, status: 200, startedAt: UnixTime(nanoseconds: 1_763_000_000_000_000_000),
      duration: .milliseconds(1500), requestBytes: 1, responseBytes: 1)
  }

  private func row() -> UsageRow {
    var row = UsageRow(provider: "gemini", model: "m-1")
    (row.inputTokens, row.outputTokens, row.cacheReadTokens, row.status) = (5, 7, 90, 200)
    row.endpoint = .geminiGenerateContent
    return row
  }

  @Test func aRequestIsOneSpanFromItsBeginningToItsEnd() throws {
    let telemetry = RequestTelemetry(factory: registry, tracer: collector)
    telemetry.note(row(), of: end(), RequestTraits(model: "m"))
    #expect(collector.take(10).isEmpty)
    telemetry.emitQueued()
    let span = try #require(collector.take(10).first)
    #expect(span.name == "generate_content m")
    #expect(span.end - span.start == 1_500_000_000)
    #expect(span.attributes.get("gen_ai.usage.input_tokens") == .int64(95))
    #expect(span.attributes.get("gen_ai.provider.name") == .string("gcp.gemini"))
    telemetry.emitQueued()
    #expect(collector.take(10).isEmpty)
  }

  @Test func moreRequestsThanMayWaitAreCounted_G07() {
    let telemetry = RequestTelemetry(factory: registry, tracer: collector)
    for _ in 0..<RequestTelemetry.maximumQueued + 3 { telemetry.note(row(), of: end(), RequestTraits()) }
    #expect(telemetry.dropped == 3)
    telemetry.emitQueued()
    #expect(collector.dropped == UInt64(RequestTelemetry.maximumQueued - SpanCollector.maximumSpans))
    #expect(collector.take(.max).count == SpanCollector.maximumSpans)
    telemetry.note(row(), of: end(), RequestTraits())
    #expect(telemetry.dropped == 3)
  }
}

@Suite struct OTLPConfigurationTests {
  private func resolve(
    _ environment: [String: String], _ section: OTLPConfiguration.Section? = nil
  ) throws -> OTLPConfiguration? {
    try OTLPConfiguration.resolve(section, environment: environment, version: "1")
  }

  @Test func nothingIsSentUnlessAnEndpointIsNamed() throws {
    #expect(try resolve([:]) == nil)
    #expect(try resolve(["OTEL_SERVICE_NAME": "x"]) == nil)
    #expect(try resolve(["OTEL_EXPORTER_OTLP_ENDPOINT": " "]) == nil)
  }

  @Test func theBaseGetsTheSignalsPathsAndASignalsOwnIsTakenAsItIs() throws {
    let found = try #require(
      try resolve([
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4318/", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://b/t",
      ]))
    #expect(found.traces?.description == "https://b/t")
    #expect(found.metrics?.description == "http://a:4318/v1/metrics")
    #expect(found.resource == ["service.name": "holdfast", "service.version": "1"])
  }

  @Test func theEnvironmentStandsOverTheFile() throws {
    var section = OTLPConfiguration.Section()
    (section.endpoint, section.serviceName, section.headers) = ("http://file", "file", ["a": "1", "b": "1"])
    let found = try #require(
      try resolve(
        ["OTEL_EXPORTER_OTLP_HEADERS": "b=2%2C,c=3", "OTEL_RESOURCE_ATTRIBUTES": "service.name=env"], section)
    )
    #expect(found.traces?.host == "file")
    #expect(found.headers == ["a": "1", "b": "2,", "c": "3"])
    #expect(found.resource["service.name"] == "env")
  }

  @Test func aHeaderCannotBringAnotherAlong() {
    #expect(throws: GatewayError.self) {
      try resolve([
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_EXPORTER_OTLP_HEADERS": "a=b%0d%0ax: y",
      ])
    }
  }
}
