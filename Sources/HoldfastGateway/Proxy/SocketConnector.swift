// SPDX-License-Identifier: Apache-2.0

import NIOCore
import NIOPosix
import NIOSSL

/// Connects to upstreams over TCP, with TLS where the provider's base_url says https.
final class SocketConnector: UpstreamConnector {
  private let tls: NIOSSLContext?
  private let connectTimeout: TimeAmount
  private let budget: ConnectionBudget

  /// - Parameters:
  ///   - tls: the context for https upstreams; without one they are refused.
  ///   - budget: counts the connections; beyond it they fail as a ``ProxyFault``.
  init(tls: NIOSSLContext?, connectTimeout: TimeAmount, budget: ConnectionBudget) {
    self.tls = tls
    self.budget = budget
    self.connectTimeout = connectTimeout
  }

  /// A context that trusts the system's authorities, or those in the file named by `SSL_CERT_FILE`.
  static func systemTLS(certificateFile: String?) throws -> NIOSSLContext {
    var configuration = TLSConfiguration.makeClientConfiguration()
    configuration.applicationProtocols = ["http/1.1"]
    if let certificateFile, !certificateFile.isEmpty { configuration.trustRoots = .file(certificateFile) }
    return try NIOSSLContext(configuration: configuration)
  }

  func connect(to upstream: Upstream, on eventLoop: any EventLoop) -> EventLoopFuture<any Channel> {
    let tls = self.tls
    let budget = self.budget
    guard budget.admitUpstream() else {
      return eventLoop.makeFailedFuture(ProxyFault.tooManyConnections)
    }
    let connected = ClientBootstrap(group: eventLoop)
      .connectTimeout(connectTimeout)
      .channelOption(.tcpOption(.tcp_nodelay), value: 1)
      .channelOption(.socketOption(.so_keepalive), value: 1)
      // Reads begin once the connection's handlers are in place.
      .channelOption(.autoRead, value: false)
      .connect(host: upstream.host, port: upstream.port)
      .flatMapThrowing { channel in
        guard upstream.usesTLS else { return channel }
        guard let tls else { throw NIOSSLError.failedToLoadCertificate }
        do {
          try channel.pipeline.syncOperations.addHandler(
            NIOSSLClientHandler(context: tls, serverHostname: Self.serverName(upstream.host)))
        } catch {
          channel.close(promise: nil)
          throw error
        }
        return channel
      }
    connected.whenComplete { result in
      switch result {
      case .success(let channel): channel.closeFuture.whenComplete { _ in budget.leaveUpstream() }
      case .failure: budget.leaveUpstream()
      }
    }
    return connected
  }

  /// RFC 6066 §3: an address is no server name.
  private static func serverName(_ host: String) -> String? {
    (try? SocketAddress(ipAddress: host, port: 0)) == nil ? host : nil
  }
}
