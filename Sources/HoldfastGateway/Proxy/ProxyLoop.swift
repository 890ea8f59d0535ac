// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// The data path's share of one event loop: its client connections and its resting upstream connections.
final class ProxyLoop {
  let eventLoop: any EventLoop
  let director: any ProxyDirector
  let settings: ProxySettings
  let allocator = ByteBufferAllocator()
  let pool: UpstreamPool
  /// Bytes of requests' bodies that are held just now (see ``HeldBody``).
  var heldBytes = 0
  /// Bytes of requests that have come in and are not taken yet.
  var inputBytes = 0
  private var connections: [ObjectIdentifier: ClientConnection] = [:]
  private var sweeping: RepeatedTask?

  init(
    eventLoop: any EventLoop, director: any ProxyDirector, connector: any UpstreamConnector,
    settings: ProxySettings
  ) {
    self.eventLoop = eventLoop
    self.director = director
    self.settings = settings
    pool = UpstreamPool(eventLoop: eventLoop, connector: connector, settings: settings)
  }

  func add(_ connection: ClientConnection) {
    connections[ObjectIdentifier(connection)] = connection
    startSweeping()
  }

  func remove(_ connection: ClientConnection) { connections[ObjectIdentifier(connection)] = nil }

  /// The bound in time of a body that begins now.
  func pace() -> BodyPace {
    BodyPace(allowance: settings.bodyTimeout, leastRate: settings.leastBodyRate, now: eventLoop.now)
  }

  /// Ends everything that still runs: exchanges are recorded as shut down, connections closed.
  func shutDown() {
    for connection in Array(connections.values) { connection.shutDown() }
    pool.closeAll()
  }

  /// One timer per loop instead of one per request: every deadline is a field, looked at once a second while
  /// there is anything to look at.
  private func startSweeping() {
    guard sweeping == nil else { return }
    let loop = NIOLoopBound(self, eventLoop: eventLoop)
    sweeping = eventLoop.scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { _ in
      loop.value.sweep()
    }
  }

  /// Lets go of clients that do not read their answers, when they are many: those first that have not for the longest.
  private func letUnreadGo(_ now: NIODeadline) {
    let since = now - settings.lingerTimeout
    let unread = connections.values.filter { ($0.unwritableSince ?? .distantFuture) <= since }
    guard unread.count > settings.unreadConnections else { return }
    let oldest = unread.sorted {
      ($0.unwritableSince ?? .distantFuture) < ($1.unwritableSince ?? .distantFuture)
    }
    for connection in oldest.prefix(unread.count - settings.unreadConnections) { connection.letGo() }
  }

  private func sweep() {
    let now = eventLoop.now
    for connection in Array(connections.values) where connection.isDue(at: now) {
      connection.timedOut()
    }
    letUnreadGo(now)
    pool.sweep(now)
    if connections.isEmpty, pool.restingCount == 0 {
      sweeping?.cancel()
      sweeping = nil
    }
  }
}
