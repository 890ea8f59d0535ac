// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import Tracing

/// Writes OTLP's requests as JSON: Protocol Buffers' JSON mapping, with 64-bit integers as texts, and OTLP's own
/// exceptions from it, ids in hexadecimal and enumerations as numbers (OTLP 1.x, "JSON Protobuf Encoding").
enum OTLPText {
  private static let scope = #""scope":{"name":"holdfast.gateway"}"#

  /// An ExportTraceServiceRequest.
  static func traces(_ spans: [SpanCollector.Ended], resource: [String: String]) -> String {
    #"{"resourceSpans":[{"resource":\#(self.resource(resource)),"scopeSpans":[{\#(scope),"spans":["#
      + spans.map(span).joined(separator: ",") + "]}]}]}"
  }

  /// An ExportMetricsServiceRequest, of everything since the counting began.
  static func metrics(
    _ metrics: [MetricRegistry.Metric], since: UnixTime, now: UnixTime, resource: [String: String]
  ) -> String {
    #"{"resourceMetrics":[{"resource":\#(self.resource(resource)),"scopeMetrics":[{\#(scope),"metrics":["#
      + metrics.map { metric($0, since, now) }.joined(separator: ",") + "]}]}]}"
  }

  private static func resource(_ attributes: [String: String]) -> String {
    let pairs = attributes.sorted { $0.key < $1.key }.map {
      pair($0.key, #"{"stringValue":\#(quoted($0.value))}"#)
    }
    return #"{"attributes":[\#(pairs.joined(separator: ","))]}"#
  }

  private static func quoted(_ text: String) -> String { JSONText.quoted(text) }

  private static func pair(_ key: String, _ value: String) -> String {
    #"{"key":\#(quoted(key)),"value":\#(value)}"#
  }

  // MARK: Spans

  private static func span(_ span: SpanCollector.Ended) -> String {
    var fields = [
      #""traceId":\#(quoted(span.context.traceID))"#, #""spanId":\#(quoted(span.context.spanID))"#,
      #""name":\#(quoted(span.name))"#, #""kind":\#(kind(span.kind))"#,
      #""startTimeUnixNano":"\#(span.start)""#, #""endTimeUnixNano":"\#(span.end)""#,
    ]
    if let parent = span.parentID { fields.append(#""parentSpanId":\#(quoted(parent))"#) }
    if let state = span.context.state { fields.append(#""traceState":\#(quoted(state))"#) }
    var attributes: [String] = []
    span.attributes.forEach { key, attribute in
      if let value = value(attribute) { attributes.append(pair(key, value)) }
    }
    fields.append(#""attributes":[\#(attributes.sorted().joined(separator: ","))]"#)
    if span.isError {
      let message = span.message.map { #","message":\#(quoted($0))"# } ?? ""
      fields.append(#""status":{"code":2\#(message)}"#)
    }
    return "{" + fields.joined(separator: ",") + "}"
  }

  private static func kind(_ kind: SpanKind) -> Int {
    switch kind {
    case .internal: 1
    case .server: 2
    case .client: 3
    case .producer: 4
    case .consumer: 5
    }
  }

  private static func value(_ attribute: SpanAttribute) -> String? {
    switch attribute {
    case .int32(let number): #"{"intValue":"\#(number)"}"#
    case .int64(let number): #"{"intValue":"\#(number)"}"#
    case .double(let number): number.isFinite ? #"{"doubleValue":\#(number)}"# : nil
    case .bool(let flag): #"{"boolValue":\#(flag)}"#
    case .string(let text): #"{"stringValue":\#(quoted(text))}"#
    case .stringConvertible(let value): #"{"stringValue":\#(quoted("\(value)"))}"#
    case .stringArray(let texts):
      #"{"arrayValue":{"values":[\#(texts.map { #"{"stringValue":\#(quoted($0))}"# }.joined(separator: ","))]}}"#
    default: nil
    }
  }

  // MARK: Metrics

  /// 2 stands for cumulative.
  private static let temporality = #""aggregationTemporality":2"#

  private static func metric(_ metric: MetricRegistry.Metric, _ since: UnixTime, _ now: UnixTime) -> String {
    let definition = metric.definition
    let times = #""startTimeUnixNano":"\#(since.nanoseconds)","timeUnixNano":"\#(now.nanoseconds)""#
    let points = metric.series.sorted { $0.key.lexicographicallyPrecedes($1.key) }.map { attributes, value in
      let pairs = attributes.map { pair($0.key, #"{"stringValue":\#(quoted($0.value))}"#) }
      let shared = #""attributes":[\#(pairs.joined(separator: ","))],\#(times)"#
      switch value {
      case .number(let number): return #"{\#(shared),"asDouble":\#(number)}"#
      case .histogram(let histogram):
        let buckets = histogram.buckets.map { "\"\($0)\"" }.joined(separator: ",")
        let bounds = definition.bounds.map { "\($0)" }.joined(separator: ",")
        return #"{\#(shared),"count":"\#(histogram.count)","sum":\#(histogram.sum),"#
          + #""bucketCounts":[\#(buckets)],"explicitBounds":[\#(bounds)]}"#
      }
    }
    let data = #""dataPoints":[\#(points.joined(separator: ","))]"#
    let body =
      switch metric.kind {
      case .counter: #""sum":{\#(data),\#(temporality),"isMonotonic":true}"#
      case .gauge: #""gauge":{\#(data)}"#
      case .histogram: #""histogram":{\#(data),\#(temporality)}"#
      }
    return #"{"name":\#(quoted(definition.name)),"description":\#(quoted(definition.description)),"#
      + #""unit":\#(quoted(definition.unit)),\#(body)}"#
  }
}
