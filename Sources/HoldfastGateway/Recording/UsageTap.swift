// SPDX-License-Identifier: Apache-2.0

import HoldfastCatalog
import HoldfastEngine
import HoldfastUsage
import NIOCore

/// Where the rows of proxied requests go. Called on event loops, at memory speed; never blocks.
protocol UsageSink: Sendable {
  /// Takes the row of a finished exchange.
  func record(_ row: UsageRow, of end: ExchangeEnd)
  /// The same, with what the row does not keep.
  func record(_ row: UsageRow, of end: ExchangeEnd, _ traits: RequestTraits)
}

extension UsageSink {
  func record(_ row: UsageRow, of end: ExchangeEnd, _ traits: RequestTraits) { record(row, of: end) }
}

/// Reads an exchange's usage out of its copy and makes the one row of it.
///
/// It holds a few hundred bytes, whatever passes; prompt and answer are looked through, never kept.
final class UsageTap: ExchangeTap {
  private let sink: any UsageSink
  private let provider: String
  private let kind: WireKind
  private let request: HeadFields
  private var peek = RequestPeek()
  private var peeks = true
  private var extractor: UsageExtractor?
  private var decoder: ContentDecoder?
  private var response: ResponseHead?
  private var isStreaming = false
  private var firstTokenAt: NIODeadline?
  private let start = NIODeadline.now()
  private let startedAt = UnixTime.now()
  private let requests: LiveRequests?
  private var live: LiveRequest?
  private var hasTold = false
  /// Told of a provider that was chosen later.
  private var chosen: String?
  /// The row, once the exchange has ended.
  private(set) var row: UsageRow?

  /// Makes the tap of a request; nil for requests that make no row.
  ///
  /// Rows are made of requests that are billed by their tokens: messages, chat completions, responses,
  /// embeddings and Gemini's generateContent, through whichever provider. Listing models and counting
  /// tokens costs nothing and makes none.
  ///
  /// - Parameter requests: where it is seen while it is in flight.
  static func make(
    for head: RequestHead, _ route: RouteTable.Route, sink: any UsageSink, requests: LiveRequests? = nil
  ) -> UsageTap? {
    guard route.kind.billsTokens else { return nil }
    return UsageTap(
      head, provider: route.target.provider.name, kind: route.kind, sink: sink, requests: requests)
  }

  private init(
    _ head: RequestHead, provider: String, kind: WireKind, sink: any UsageSink, requests: LiveRequests?
  ) {
    self.sink = sink
    self.requests = requests
    self.provider = provider
    self.kind = kind
    request = head.fields
    // A compressed request cannot be read; the answer names its model.
    peeks = ContentDecoder.Coding(head.fields.first(.contentEncoding)) == .identity
  }

  func requestBody(_ bytes: ByteBuffer) {
    if peeks { peek.consume(bytes.readableBytesUInt8Span) }
    showLive()
  }

  func sent(to provider: String) {
    guard provider != chosen else { return }
    chosen = provider
    if let live { requests?.tell(live, provider: provider) }
  }

  func responseHead(_ head: ResponseHead) {
    response = head
    showLive()
    live?.noteHead()
    isStreaming = head.fields.first(.contentType)?.lowercased().hasPrefix("text/event-stream") ?? false
    let coding = ContentDecoder.Coding(head.fields.first(.contentEncoding))
    decoder = ContentDecoder(coding)
    if coding != .unsupported { extractor = UsageExtractor(kind: kind, streaming: isStreaming) }
  }

  func responseBody(_ bytes: ByteBuffer) {
    live?.noteBody(bytes.readableBytes)
    guard extractor != nil else { return }
    decoder?.decode(bytes) { extractor?.consume($0) }
    if firstTokenAt == nil, isStreaming, extractor?.sawFirstToken == true {
      let now = NIODeadline.now()
      firstTokenAt = now
      live?.noteFirstToken(at: now)
    }
    live?.noteOutput(pieces: extractor?.outputPieces ?? 0, tokens: extractor?.outputTokensSoFar)
  }

  /// Lists the request among those in flight, once it is on its way: nothing waits for it.
  private func showLive() {
    guard let requests else { return }
    if let live {
      guard !hasTold, let model = peek.model else { return }
      hasTold = true
      requests.tell(live, model: model)
    } else {
      hasTold = peek.model != nil
      live = requests.begin(
        LiveRequest.Facts(
          provider: chosen ?? provider, endpoint: kind, model: peek.model, source: origin.source,
          session: origin.session ?? peek.session, project: origin.project),
        startedAt: startedAt, start: start)
    }
  }

  func ended(_ end: ExchangeEnd) {
    var row = UsageRow(provider: end.route?.provider ?? provider, model: peek.model ?? "unknown")
    row.origin = .wire
    row.time = UTCInstant(milliseconds: end.startedAt.milliseconds)
    row.endpoint = kind
    row.status = end.status
    row.durationMilliseconds = end.duration.milliseconds
    row.outcome = outcome(end)
    row.streaming = response == nil ? peek.stream : isStreaming
    row.firstTokenMilliseconds = firstTokenAt.map { ($0 - start).duration.milliseconds }
    if !isStreaming, row.outcome == .complete { row.firstTokenMilliseconds = end.firstByte?.milliseconds }
    row.take(origin)
    if row.session == nil { row.session = peek.session }
    row.requestID = response.flatMap { $0.fields.first(.requestID) ?? $0.fields.first(.xRequestID) }
    row.take(usage())
    if row.serviceTier == nil { row.serviceTier = peek.serviceTier }
    if case .failed(.budgetExhausted) = end.outcome {
      row.errorType = ProxyFault.Code.budgetExhausted.rawValue
    }
    row.route = end.route?.path
    row.decision = end.route?.reason
    self.row = row
    sink.record(
      row, of: end,
      RequestTraits(
        model: peek.model, traceparent: request.first(.traceparent), tracestate: request.first(.tracestate)))
    showLive()
    if let live { requests?.end(live, row) }
  }

  private func usage() -> WireUsage {
    guard response != nil else { return WireUsage(unknown: .cutShort, finish: .incomplete) }
    guard decoder?.isIntact == true, var extractor else { return WireUsage(unknown: .compressed) }
    return extractor.finish()
  }

  private func outcome(_ end: ExchangeEnd) -> UsageOutcome {
    switch end.outcome {
    case .complete: (response?.status ?? 0) >= 400 ? .upstreamError : .complete
    case .clientLeft: .clientLeft
    case .upstreamDied: .upstreamDied
    case .stalled: .upstreamTimeout
    case .shutDown: response == nil ? .refused : .upstreamDied
    case .failed(let code):
      switch code {
      case .upstreamUnreachable: .upstreamUnreachable
      case .upstreamClosed, .upstreamMalformed: .upstreamDied
      case .upstreamConnectTimeout, .upstreamTimeout: .upstreamTimeout
      default: .refused
      }
    }
  }

  private lazy var origin: RequestOrigin = {
    let request = self.request
    return RequestOrigin(
      headers: request.fields.lazy.map { (name: request.name($0), value: request.value($0)) })
  }()
}

extension Duration {
  /// Whole milliseconds.
  var milliseconds: Int64 {
    components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000
  }

  /// Seconds with their fraction.
  var seconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}
