// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
public import Instrumentation
import ServiceContextModule
public import Tracing

/// The trace a span belongs to and its own place there, as W3C Trace Context writes it in `traceparent`.
struct TraceContext: Sendable, Hashable {
  var traceID: String
  var spanID: String
  var isSampled: Bool
  var state: String?

  /// Reads a `traceparent`; nil when it is none, so that a trace begins here.
  ///
  /// Of a later version than 00 only what version 00 has is read (W3C Trace Context, 4.3).
  init?(traceparent: String, state: String?) {
    let parts = traceparent.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count >= 4, parts[0].utf8.count == 2, parts[0] != "ff", parts[0] != "00" || parts.count == 4,
      Self.isHex(parts[0], 2), Self.isHex(parts[1], 32), Self.isHex(parts[2], 16), Self.isHex(parts[3], 2),
      parts[1].contains(where: { $0 != "0" }), parts[2].contains(where: { $0 != "0" }),
      let flags = UInt8(parts[3], radix: 16)
    else { return nil }
    (traceID, spanID) = (String(parts[1]), String(parts[2]))
    isSampled = flags & 1 == 1
    self.state = state
  }

  init(traceID: String, spanID: String, isSampled: Bool, state: String?) {
    (self.traceID, self.spanID, self.isSampled, self.state) = (traceID, spanID, isSampled, state)
  }

  var traceparent: String { "00-\(traceID)-\(spanID)-\(isSampled ? "01" : "00")" }

  private static func isHex(_ text: Substring, _ count: Int) -> Bool {
    text.utf8.count == count
      && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
  }

  static func randomID(bytes: Int) -> String {
    var text = ""
    // All zeros would be no id.
    while !text.contains(where: { $0 != "0" }) {
      text = ""
      for _ in 0..<bytes {
        let byte = UInt8.random(in: 0...255)
        text += (byte < 16 ? "0" : "") + String(byte, radix: 16)
      }
    }
    return text
  }
}

/// The trace context's place in a `ServiceContext`.
private enum TraceContextKey: ServiceContextKey {
  typealias Value = TraceContext
}

/// A tracer that keeps ended spans until somebody takes them: at most so many, what is more is counted and let go of.
///
/// A trace that a client began is gone on with, and left alone when the client does not sample it; one that begins
/// here is sampled by its ratio, which all who see the same trace id decide in the same way.
public final class SpanCollector: Tracer {
  static let maximumSpans = 4096

  /// A span that has ended.
  struct Ended: Sendable {
    var name: String
    var kind: SpanKind
    var context: TraceContext
    var parentID: String?
    var start: UInt64
    var end: UInt64
    var attributes: SpanAttributes
    var isError: Bool
    var message: String?
  }

  private struct State {
    var spans: [Ended] = []
    var dropped: UInt64 = 0
  }

  private let ratio: Double
  private let state = Monitor(State())

  /// Makes a collector.
  ///
  /// - Parameter ratio: the part of the traces beginning here that is sampled, from 0 to 1.
  public init(ratio: Double = 1) { self.ratio = ratio }

  /// Spans let go of because nobody took them in time.
  var dropped: UInt64 { state.withLock { $0.dropped } }

  /// Takes out the oldest spans.
  func take(_ count: Int) -> [Ended] {
    state.withLock { state in
      let taken = Array(state.spans.prefix(count))
      state.spans.removeFirst(taken.count)
      return taken
    }
  }

  /// Counts spans that could not be handed on.
  func noteLost(_ count: Int) { state.withLock { $0.dropped += UInt64(count) } }

  fileprivate func keep(_ span: Ended) {
    state.withLock { state in
      if state.spans.count < Self.maximumSpans { state.spans.append(span) } else { state.dropped += 1 }
    }
  }

  /// Begins a span.
  public func startSpan<Instant: TracerInstant>(
    _ operationName: String, context: @autoclosure () -> ServiceContext, ofKind kind: SpanKind,
    at instant: @autoclosure () -> Instant, function: String, file fileID: String, line: UInt
  ) -> CollectedSpan {
    var context = context()
    let parent = context[TraceContextKey.self]
    let traceID = parent?.traceID ?? TraceContext.randomID(bytes: 16)
    let trace = TraceContext(
      traceID: traceID, spanID: TraceContext.randomID(bytes: 8),
      isSampled: parent?.isSampled ?? isSampled(traceID), state: parent?.state)
    context[TraceContextKey.self] = trace
    return CollectedSpan(
      context: context,
      span: Ended(
        name: operationName, kind: kind, context: trace, parentID: parent?.spanID,
        start: instant().nanosecondsSinceEpoch, end: 0, attributes: [:], isError: false, message: nil),
      collector: self)
  }

  /// By the trace id's last eight bytes, of which W3C Trace Context level 2 says that they are random.
  private func isSampled(_ traceID: String) -> Bool {
    if ratio >= 1 { return true }
    let value = UInt64(traceID.suffix(14), radix: 16) ?? 0
    return Double(value) < ratio * Double(1 << 56)
  }

  /// Nothing: spans are taken by who exports them.
  public func forceFlush() {}

  /// Reads `traceparent` and `tracestate`.
  public func extract<Carrier, Extract: Extractor>(
    _ carrier: Carrier, into context: inout ServiceContext, using extractor: Extract
  ) where Extract.Carrier == Carrier {
    guard let text = extractor.extract(key: "traceparent", from: carrier) else { return }
    context[TraceContextKey.self] = TraceContext(
      traceparent: text, state: extractor.extract(key: "tracestate", from: carrier))
  }

  /// Writes `traceparent` and `tracestate`.
  public func inject<Carrier, Inject: Injector>(
    _ context: ServiceContext, into carrier: inout Carrier, using injector: Inject
  ) where Inject.Carrier == Carrier {
    guard let trace = context[TraceContextKey.self] else { return }
    injector.inject(trace.traceparent, forKey: "traceparent", into: &carrier)
    if let state = trace.state { injector.inject(state, forKey: "tracestate", into: &carrier) }
  }
}

/// A span under way.
public final class CollectedSpan: Tracing.Span {
  /// The context of what happens within it.
  public let context: ServiceContext
  /// Whether it will be kept: false when its trace is not sampled.
  public let isRecording: Bool

  private let collector: SpanCollector
  /// nil once it has ended.
  private let state: Monitor<SpanCollector.Ended?>

  fileprivate init(context: ServiceContext, span: SpanCollector.Ended, collector: SpanCollector) {
    self.context = context
    self.collector = collector
    isRecording = span.context.isSampled
    state = Monitor(span)
  }

  /// Its name.
  public var operationName: String {
    get { state.withLock { $0?.name ?? "" } }
    set { state.withLock { $0?.name = newValue } }
  }

  /// Its attributes.
  public var attributes: SpanAttributes {
    get { state.withLock { $0?.attributes ?? [:] } }
    set { state.withLock { $0?.attributes = newValue } }
  }

  /// Says how it went.
  public func setStatus(_ status: SpanStatus) {
    state.withLock { span in
      span?.isError = status.code == .error
      span?.message = status.message
    }
  }

  /// Notes an error's kind; its text may hold what is nobody's business.
  public func recordError<Instant: TracerInstant>(
    _ error: any Error, attributes: SpanAttributes, at instant: @autoclosure () -> Instant
  ) {
    state.withLock { span in
      span?.isError = true
      span?.attributes["error.type"] = String(describing: type(of: error))
    }
  }

  /// Events are not kept.
  public func addEvent(_ event: SpanEvent) {}

  /// Links are not kept.
  public func addLink(_ link: SpanLink) {}

  /// Ends it, once.
  public func end<Instant: TracerInstant>(at instant: @autoclosure () -> Instant) {
    let ended = state.withLock { span in
      defer { span = nil }
      return span
    }
    guard var ended, isRecording else { return }
    ended.end = instant().nanosecondsSinceEpoch
    collector.keep(ended)
  }
}
