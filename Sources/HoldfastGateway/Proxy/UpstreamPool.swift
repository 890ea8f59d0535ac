// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// Makes channels to upstreams; in tests, to scripted ones.
protocol UpstreamConnector: Sendable {
  /// Connects on `eventLoop`; the channel arrives with automatic reads off and, for TLS, its handler in place.
  func connect(to upstream: Upstream, on eventLoop: any EventLoop) -> EventLoopFuture<any Channel>
}

/// The resting upstream connections of one event loop.
///
/// The most recently used one goes out first, so the others age and are closed. A connection the peer has closed
/// leaves the pool as soon as its event loop hears of it, which is before a request could be written to it.
final class UpstreamPool {
  private let eventLoop: any EventLoop
  private let connector: any UpstreamConnector
  private let settings: ProxySettings
  private var resting: [ObjectIdentifier: [UpstreamConnection]] = [:]

  init(eventLoop: any EventLoop, connector: any UpstreamConnector, settings: ProxySettings) {
    self.eventLoop = eventLoop
    self.connector = connector
    self.settings = settings
  }

  /// How many connections rest here.
  var restingCount: Int { resting.values.reduce(0) { $0 + $1.count } }

  /// A resting connection to `upstream`, or nil.
  func take(_ upstream: Upstream) -> UpstreamConnection? {
    let key = ObjectIdentifier(upstream)
    while let connection = resting[key]?.popLast() {
      if connection.isUsable { return connection }
    }
    return nil
  }

  /// Keeps a connection whose exchange is over.
  func rest(_ connection: UpstreamConnection) {
    let key = ObjectIdentifier(connection.upstream)
    guard resting[key, default: []].count < settings.pooledPerUpstream else {
      connection.cancel()
      return
    }
    var bound = connection.upstream.usesTLS ? settings.tlsPoolTimeout : settings.plainPoolTimeout
    if let announced = connection.announcedTimeout {
      // A second's margin for the way there.
      bound = max(announced - .seconds(1), .zero)
    }
    connection.expires = eventLoop.now + bound
    resting[key, default: []].append(connection)
  }

  /// Drops a connection that has ended.
  func forget(_ connection: UpstreamConnection) {
    resting[ObjectIdentifier(connection.upstream)]?.removeAll { $0 === connection }
  }

  /// Closes what has rested long enough.
  func sweep(_ now: NIODeadline) {
    for (key, connections) in resting {
      let stale = connections.filter { $0.expires <= now }
      if stale.isEmpty { continue }
      resting[key] = connections.filter { $0.expires > now }
      for connection in stale { connection.cancel() }
    }
  }

  /// Closes all that rests.
  func closeAll() {
    let all = resting
    resting = [:]
    for connection in all.values.joined() { connection.cancel() }
  }

  /// Makes a new connection; the result is usable when it arrives.
  func connect(_ upstream: Upstream) -> EventLoopFuture<UpstreamConnection> {
    let ready = eventLoop.makePromise(of: Void.self)
    let connection = UpstreamConnection(
      upstream: upstream, limits: settings.responseHead, pool: self, ready: ready)
    // Addresses, TCP and the TLS handshake share one bound.
    let deadline = eventLoop.scheduleTask(in: settings.connectTimeout) { [settings] in
      ready.fail(ChannelError.connectTimeout(settings.connectTimeout))
    }
    let result = eventLoop.makePromise(of: UpstreamConnection.self)
    connector.connect(to: upstream, on: eventLoop).assumeIsolated().whenComplete { [settings] outcome in
      do {
        let channel = try outcome.get()
        try channel.syncOptions?.setOption(.writeBufferWaterMark, value: settings.writeMarks)
        try channel.pipeline.syncOperations.addHandler(connection)
        try channel.syncOptions?.setOption(.autoRead, value: true)
      } catch {
        ready.fail(error)
      }
    }
    ready.futureResult.assumeIsolated().whenComplete { outcome in
      deadline.cancel()
      switch outcome {
      case .success:
        result.assumeIsolated().succeed(connection)
      case .failure(let error):
        connection.cancel()
        result.fail(error)
      }
    }
    return result.futureResult
  }
}
