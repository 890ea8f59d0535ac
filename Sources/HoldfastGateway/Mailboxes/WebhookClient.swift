// SPDX-License-Identifier: Apache-2.0

import AsyncHTTPClient
public import HoldfastMailbox
import NIOCore
import NIOSSL

/// What webhooks' requests go through: one pool of connections for all of them.
public final class WebhookClient: Sendable {
  private let client: HTTPClient

  /// Makes a client; ``close()`` it.
  ///
  /// - Parameter certificateFile: a file of certificate authorities to trust instead of the system's.
  public init(certificateFile: String? = nil) {
    var configuration = HTTPClient.Configuration()
    // A message goes to where the configuration says, and nowhere that a server says.
    configuration.redirectConfiguration = .disallow
    configuration.timeout.connect = .seconds(10)
    // What fails is tried again by whoever delivers, who counts it.
    configuration.connectionPool.retryConnectionEstablishment = false
    // A message's own headers are all it carries.
    configuration.tracing.tracer = nil
    if let certificateFile {
      var tls = TLSConfiguration.makeClientConfiguration()
      tls.trustRoots = .file(certificateFile)
      configuration.tlsConfiguration = tls
    }
    client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
  }

  /// Has messages carried to a webhook.
  public func adapter(_ webhook: DeliveryConfiguration.Webhook, timeLimit: Duration) -> any DeliveryAdapter {
    WebhookAdapter(webhook: webhook, timeLimit: timeLimit, client: client)
  }

  /// Posts bytes to a webhook, once.
  func post(
    _ bytes: [UInt8], to webhook: DeliveryConfiguration.Webhook, key: String, timeLimit: Duration
  ) async -> DeliveryOutcome {
    await WebhookAdapter(webhook: webhook, timeLimit: timeLimit, client: client).deliver(bytes, key: key)
  }

  /// Closes the connections, when nothing is delivered any more.
  public func close() async { try? await client.shutdown() }
}
