// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import HoldfastCatalog
import HoldfastEngine
import HoldfastUsage
import Hummingbird

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// The gateway's own API: JSON, never cached, and nothing in it that a script elsewhere could read.
struct APIRoutes {
  let state: GatewayState
  let feed: LiveFeed
  let telemetry: RequestTelemetry
  let registry: MetricRegistry?

  func add(to router: Router<BasicRequestContext>) {
    let state = self.state
    let feed = self.feed
    let telemetry = self.telemetry
    let registry = self.registry
    router.get("/health") { _, _ in APIAnswer.json(#"{"status":"ok"}"#) }
    router.get("/ready") { _, _ in
      state.isStopping
        ? APIAnswer.json(#"{"status":"stopping"}"#, status: .serviceUnavailable)
        : APIAnswer.json(#"{"status":"ready"}"#)
    }
    router.get("/api/status") { _, _ in try APIAnswer.json(await state.status()) }
    UsageRoutes(ledger: state.ledger).add(to: router)
    router.get("/metrics") { _, _ in
      // What has ended is in the answer.
      telemetry.emitQueued()
      return Response(
        status: .ok,
        headers: APIAnswer.fields + [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
        body: ResponseBody(
          byteBuffer: ByteBuffer(
            string: MetricsPage.text(
              state.metrics.snapshot, ledger: await state.ledger.status(),
              sessions: await state.sessions?.status(), backups: state.backups?.snapshot,
              state: await state.state?.status(), mailboxes: await state.mailboxes(),
              live: (feed.running, feed.counts), telemetryDropped: telemetry.dropped, registry: registry,
              home: state.home))))
    }
  }
}

/// One JSON value on one line.
public enum JSONLine {
  /// The value's text, with sorted keys and slashes as they are.
  public static func text(_ value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(value), as: UTF8.self)
  }
}
