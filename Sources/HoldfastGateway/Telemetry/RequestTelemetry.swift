// SPDX-License-Identifier: Apache-2.0

import CoreMetrics
import HoldfastEngine
import HoldfastUsage
import Instrumentation
import ServiceContextModule
import Tracing

/// What a request said of itself that its usage row does not keep.
struct RequestTraits: Sendable {
  /// The model asked for.
  var model: String?
  /// The client's own trace (W3C Trace Context), which the request is a part of.
  var traceparent: String?
  var tracestate: String?
}

/// Emits each ended request's metrics and its span through swift-metrics and swift-distributed-tracing.
///
/// The data path only puts the request in a queue; one task takes them out, at most ten times a second. The queue is
/// bounded: what does not fit is counted and let go of. Nothing of a prompt or an answer is in what is emitted.
final class RequestTelemetry: Sendable {
  static let maximumQueued = 8192
  static let pause = Duration.milliseconds(100)

  /// Where a provider's requests go.
  struct Server: Sendable {
    var host: String
    var port: Int
  }

  private struct Ended: Sendable {
    var row: UsageRow
    var traits: RequestTraits
    var start: UnixTime
    var duration: Duration
  }

  private struct State {
    var queue: [Ended] = []
    var dropped: UInt64 = 0
  }

  private let servers: [String: Server]
  private let factory: any MetricsFactory
  private let tracer: any Tracer
  private let state = Monitor(State())
  private let wakes: AsyncStream<Void>
  private let wake: AsyncStream<Void>.Continuation

  init(
    servers: [String: Server] = [:], factory: any MetricsFactory = MetricsSystem.factory,
    tracer: any Tracer = InstrumentationSystem.tracer
  ) {
    self.servers = servers
    self.factory = factory
    self.tracer = tracer
    (wakes, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
  }

  /// Requests that were not emitted because too many waited.
  var dropped: UInt64 { state.withLock { $0.dropped } }

  /// A request has ended. Called on event loops: never blocks.
  func note(_ row: UsageRow, of end: ExchangeEnd, _ traits: RequestTraits) {
    let isFirst = state.withLock { state in
      guard state.queue.count < Self.maximumQueued else {
        state.dropped += 1
        return false
      }
      state.queue.append(Ended(row: row, traits: traits, start: end.startedAt, duration: end.duration))
      return state.queue.count == 1
    }
    // The others are taken along with it.
    if isFirst { wake.yield() }
  }

  /// Emits what is queued, as it comes, until it is cancelled.
  func run() async {
    for await _ in wakes {
      emitQueued()
      try? await Task.sleep(for: Self.pause)
    }
    emitQueued()
  }

  /// Emits everything that is queued.
  func emitQueued() {
    let queue = state.withLock { state in
      defer { state.queue = [] }
      return state.queue
    }
    for one in queue { emit(one) }
  }

  // MARK: One request

  private func emit(_ ended: Ended) {
    let row = ended.row
    let seconds = ended.duration / .seconds(1)
    let error = GenAIConventions.errorType(row)
    var common = [
      ("gen_ai.operation.name", GenAIConventions.operation(row.endpoint)),
      ("gen_ai.provider.name", GenAIConventions.provider(row.provider)),
    ]
    if let model = ended.traits.model { common.append(("gen_ai.request.model", model)) }
    // Without an answer the row has the model asked for.
    if row.status.map({ $0 < 400 }) == true { common.append(("gen_ai.response.model", row.model)) }
    if let server = servers[row.provider] {
      common += [("server.address", server.host), ("server.port", String(server.port))]
    }
    let failed = error.map { [("error.type", $0)] } ?? []
    recorder(GenAIConventions.operationDuration, common + failed).record(seconds)
    if error == nil, let first = row.firstTokenMilliseconds {
      recorder(GenAIConventions.timeToFirstToken, common).record(Double(first) / 1000)
    }
    let input = GenAIConventions.inputTokens(row)
    for (kind, count) in [("input", input), ("output", row.outputTokens)] {
      guard let count else { continue }
      recorder(GenAIConventions.tokenUsage, common + [("gen_ai.token.type", kind)]).record(count)
    }
    trace(ended, error)
  }

  private func recorder(_ label: String, _ dimensions: [(String, String)]) -> Recorder {
    Recorder(label: label, dimensions: dimensions, aggregate: true, factory: factory)
  }

  private static func begin(
    _ name: String, with tracer: some Tracer, _ context: ServiceContext, at time: DefaultTracerClock.Timestamp
  ) -> any Tracing.Span {
    tracer.startSpan(
      name, context: context, ofKind: .client, at: time, function: #function, file: #fileID, line: #line)
  }

  private func trace(_ ended: Ended, _ error: String?) {
    let row = ended.row
    var context = ServiceContext.topLevel
    tracer.extract(ended.traits, into: &context, using: TraitsExtractor())
    let start = UInt64(max(0, ended.start.nanoseconds))
    let (seconds, rest) = ended.duration.components
    let end = start &+ UInt64(max(0, seconds)) &* 1_000_000_000 &+ UInt64(max(0, rest) / 1_000_000_000)
    let operation = GenAIConventions.operation(row.endpoint)
    let span = Self.begin(
      "\(operation) \(ended.traits.model ?? row.model)", with: tracer, context,
      at: DefaultTracerClock.Timestamp(nanosecondsSinceEpoch: start))
    guard span.isRecording else { return span.end() }
    span.updateAttributes { attributes in
      attributes["gen_ai.operation.name"] = operation
      attributes["gen_ai.provider.name"] = GenAIConventions.provider(row.provider)
      if let model = ended.traits.model { attributes["gen_ai.request.model"] = model }
      if row.status.map({ $0 < 400 }) == true { attributes["gen_ai.response.model"] = row.model }
      if let id = row.responseID { attributes["gen_ai.response.id"] = id }
      if let reason = row.stopReason { attributes["gen_ai.response.finish_reasons"] = [reason] }
      if let tokens = GenAIConventions.inputTokens(row) { attributes["gen_ai.usage.input_tokens"] = tokens }
      if let tokens = row.outputTokens { attributes["gen_ai.usage.output_tokens"] = tokens }
      if let tokens = row.cacheReadTokens {
        attributes["gen_ai.usage.cache_read.input_tokens"] = tokens
      }
      if row.cacheWrite5mTokens != nil || row.cacheWrite1hTokens != nil {
        attributes["gen_ai.usage.cache_creation.input_tokens"] =
          (row.cacheWrite5mTokens ?? 0) + (row.cacheWrite1hTokens ?? 0)
      }
      if let session = row.session { attributes["gen_ai.conversation.id"] = session }
      if let server = servers[row.provider] {
        attributes["server.address"] = server.host
        attributes["server.port"] = Int64(server.port)
      }
      if let status = row.status { attributes["http.response.status_code"] = Int64(status) }
      if let error { attributes["error.type"] = error }
      attributes["holdfast.outcome"] = row.outcome.rawValue
      attributes["holdfast.provider"] = row.provider
      if let source = row.source { attributes["holdfast.source"] = source }
      if let project = row.project { attributes["holdfast.project"] = project }
      if let first = row.firstTokenMilliseconds { attributes["holdfast.first_token_ms"] = first }
    }
    // That the client went away is nobody's error.
    if error != nil, row.outcome != .clientLeft { span.setStatus(SpanStatus(code: .error)) }
    span.end(at: DefaultTracerClock.Timestamp(nanosecondsSinceEpoch: end))
  }
}

/// Reads the client's trace out of what it sent.
private struct TraitsExtractor: Extractor {
  func extract(key: String, from traits: RequestTraits) -> String? {
    switch key {
    case "traceparent": traits.traceparent
    case "tracestate": traits.tracestate
    default: nil
    }
  }
}
