// SPDX-License-Identifier: Apache-2.0

import AsyncHTTPClient
import CoreMetrics
import HoldfastCatalog
import HoldfastEngine
public import Logging
import NIOCore
import NIOHTTP1
import NIOSSL
public import ServiceLifecycle

/// Sends spans and metrics to a collector by OTLP/HTTP, in the background.
///
/// What cannot be sent is tried again a few times when the collector says that it may be, and then counted and let go
/// of; nothing else of the daemon waits for it. Told to stop, it sends once more what there is, within
/// ``lastSending``.
public final class OTLPExporter: Service {
  static let spansAtOnce = 512
  static let lastSending = Duration.seconds(3)
  private static let tries = 3

  private let configuration: OTLPConfiguration
  private let registry: MetricRegistry
  private let collector: SpanCollector
  private let logger: Logger
  private let client: HTTPClient
  private let state = Monitor((toldDropped: UInt64(0), hasComplained: false))

  /// Makes an exporter; ``run()`` starts it.
  ///
  /// - Parameters:
  ///   - registry: whose metrics are sent.
  ///   - collector: whose spans are sent.
  ///   - certificateFile: a file of certificate authorities to trust instead of the system's.
  public init(
    _ configuration: OTLPConfiguration, registry: MetricRegistry, collector: SpanCollector,
    certificateFile: String? = nil, logger: Logger
  ) {
    self.configuration = configuration
    self.registry = registry
    self.collector = collector
    self.logger = logger
    var http = HTTPClient.Configuration()
    http.redirectConfiguration = .disallow
    http.timeout.connect = .seconds(5)
    http.connectionPool.retryConnectionEstablishment = false
    // Its own requests are no part of what it tells of.
    http.tracing.tracer = nil
    if let certificateFile {
      var tls = TLSConfiguration.makeClientConfiguration()
      tls.trustRoots = .file(certificateFile)
      http.tlsConfiguration = tls
    }
    client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: http)
  }

  /// Sends until told to stop.
  public func run() async throws {
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await self.sendSpansAgainAndAgain() }
      group.addTask { await self.sendMetricsAgainAndAgain() }
      try? await gracefulShutdown()
      group.cancelAll()
    }
    await finish()
    try? await client.shutdown()
  }

  private func sendSpansAgainAndAgain() async {
    guard configuration.traces != nil else { return }
    while !Task.isCancelled {
      guard (try? await Task.sleep(for: configuration.spanDelay)) != nil else { return }
      await sendSpans(tries: Self.tries, timeout: configuration.timeout)
    }
  }

  private func sendMetricsAgainAndAgain() async {
    guard configuration.metrics != nil else { return }
    while !Task.isCancelled {
      guard (try? await Task.sleep(for: configuration.metricInterval)) != nil else { return }
      await sendMetrics(tries: Self.tries, timeout: configuration.timeout)
    }
  }

  /// The last of it, within a bound; in tasks of their own, since this one may be cancelled.
  private func finish() async {
    let bound = min(configuration.timeout, Self.lastSending)
    let last = Task {
      await withTaskGroup(of: Void.self) { group in
        group.addTask { await self.sendSpans(tries: 1, timeout: bound) }
        group.addTask { await self.sendMetrics(tries: 1, timeout: bound) }
      }
    }
    let clock = Task {
      try? await Task.sleep(for: bound)
      last.cancel()
    }
    await last.value
    clock.cancel()
  }

  /// What came of a request, for `/metrics` and the collector itself.
  private func count(_ outcome: String) {
    Counter(label: "holdfast.telemetry.exports", dimensions: [("outcome", outcome)], factory: registry)
      .increment()
  }

  private func countDropped() {
    let dropped = collector.dropped
    let fresh = state.withLock { state in
      defer { state.toldDropped = dropped }
      return dropped - state.toldDropped
    }
    guard fresh > 0 else { return }
    Counter(label: "holdfast.telemetry.spans.dropped", dimensions: [], factory: registry)
      .increment(by: Int64(clamping: fresh))
  }

  private func sendSpans(tries: Int, timeout: Duration) async {
    guard let url = configuration.traces else { return }
    defer { countDropped() }
    while true {
      let spans = collector.take(Self.spansAtOnce)
      if spans.isEmpty { return }
      let text = OTLPText.traces(spans, resource: configuration.resource)
      guard await send(text, to: url, tries: tries, timeout: timeout) else {
        // The others wait for the next turn, within the collector's bound.
        return collector.noteLost(spans.count)
      }
    }
  }

  private func sendMetrics(tries: Int, timeout: Duration) async {
    guard let url = configuration.metrics else { return }
    let metrics = registry.snapshot
    if metrics.isEmpty { return }
    // Cumulative: what one message lacks is in the next.
    let text = OTLPText.metrics(
      metrics, since: registry.since, now: .now(), resource: configuration.resource)
    _ = await send(text, to: url, tries: tries, timeout: timeout)
  }

  /// - Returns: whether the collector took it.
  private func send(_ text: String, to url: BaseURL, tries: Int, timeout: Duration) async -> Bool {
    var request = HTTPClientRequest(url: "\(url)")
    request.method = .POST
    request.headers.add(name: "content-type", value: "application/json")
    request.headers.add(name: "user-agent", value: "holdfast")
    for (name, value) in configuration.headers { request.headers.replaceOrAdd(name: name, value: value) }
    request.body = .bytes(ByteBuffer(string: text))
    var pause = Duration.seconds(1)
    var problem = ""
    for turn in 1...tries {
      do {
        let answer = try await client.execute(
          request, timeout: .nanoseconds(Int64(timeout / .nanoseconds(1))))
        // Read to its end, so that the connection can be used again; a receiver has little to say.
        _ = try await answer.body.collect(upTo: 1 << 20)
        if (200..<300).contains(answer.status.code) {
          state.withLock { $0.hasComplained = false }
          count("sent")
          return true
        }
        problem = "status \(answer.status.code)"
        // OTLP/HTTP names those worth another try.
        guard [429, 502, 503, 504].contains(answer.status.code) else { break }
      } catch {
        problem = "\(error)"
      }
      guard turn < tries, (try? await Task.sleep(for: pause)) != nil else { break }
      pause *= 2
    }
    count("failed")
    let complains = state.withLock { state in
      defer { state.hasComplained = true }
      return !state.hasComplained
    }
    // Once, until it works again.
    if complains {
      logger.warning(
        "telemetry cannot be sent",
        metadata: ["host": "\(url.host)", "port": "\(url.port)", "reason": "\(problem)"])
    }
    return false
  }
}
