// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import HummingbirdCore
import Logging
import NIOCore
import NIOHTTPTypes

/// One port for proxy, API and pages: a ``ClientConnection`` first, Hummingbird's usual HTTP/1 handling behind it.
struct ProxyServerChannel: ServerChildChannel {
  typealias Value = HTTP1Channel.Value

  private let loops: ProxyLoops
  private let budget: ConnectionBudget
  private let responder: HTTPChannelHandler.Responder

  init(loops: ProxyLoops, budget: ConnectionBudget, responder: @escaping HTTPChannelHandler.Responder) {
    self.loops = loops
    self.budget = budget
    self.responder = responder
  }

  func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
    let loops = self.loops
    let responder = self.responder
    let budget = self.budget
    let admission = budget.admit()
    channel.closeFuture.whenComplete { _ in budget.leave() }
    return channel.eventLoop.makeCompletedFuture {
      let loop = loops.loop(for: channel.eventLoop)
      try channel.syncOptions?.setOption(.tcpOption(.tcp_nodelay), value: 1)
      try channel.syncOptions?.setOption(.writeBufferWaterMark, value: loop.settings.writeMarks)
      let connection = ClientConnection(loop: loop, admission: admission)
      try channel.pipeline.syncOperations.addHandler(connection)
      return NIOLoopBound(connection, eventLoop: channel.eventLoop)
    }.flatMap { (connection: NIOLoopBound<ClientConnection>) in
      HTTP1Channel(
        responder: responder,
        configuration: .init(additionalChannelHandlers: [LocalResponseWatch(connection.value)])
      ).setup(channel: channel, logger: logger)
    }
  }

  func handle(value: Value, logger: Logger) async {
    await HTTP1Channel(responder: responder).handle(value: value, logger: logger)
  }
}

/// Tells a connection when the API has answered, so that its next request may begin.
private final class LocalResponseWatch: ChannelOutboundHandler, RemovableChannelHandler {
  typealias OutboundIn = HTTPResponsePart
  typealias OutboundOut = HTTPResponsePart

  private let connection: ClientConnection

  init(_ connection: ClientConnection) { self.connection = connection }

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    let part = unwrapOutboundIn(data)
    if case .head = part { connection.localResponseBegan() }
    context.write(data, promise: promise)
    if case .end = part { connection.localResponseEnded() }
  }
}

/// The data path's shares, one per event loop.
final class ProxyLoops: Sendable {
  private let loops: [ObjectIdentifier: NIOLoopBound<ProxyLoop>]
  private let eventLoops: [any EventLoop]

  /// Makes a share on each loop of `group`.
  static func make(
    group: any EventLoopGroup, director: any ProxyDirector, connector: any UpstreamConnector,
    settings: ProxySettings
  ) async throws -> ProxyLoops {
    var loops: [ObjectIdentifier: NIOLoopBound<ProxyLoop>] = [:]
    var eventLoops: [any EventLoop] = []
    for eventLoop in group.makeIterator() {
      loops[ObjectIdentifier(eventLoop)] = try await eventLoop.submit {
        NIOLoopBound(
          ProxyLoop(eventLoop: eventLoop, director: director, connector: connector, settings: settings),
          eventLoop: eventLoop)
      }.get()
      eventLoops.append(eventLoop)
    }
    return ProxyLoops(loops: loops, eventLoops: eventLoops)
  }

  private init(loops: [ObjectIdentifier: NIOLoopBound<ProxyLoop>], eventLoops: [any EventLoop]) {
    self.loops = loops
    self.eventLoops = eventLoops
  }

  /// The share of `eventLoop`; on that loop only.
  func loop(for eventLoop: any EventLoop) -> ProxyLoop {
    guard let loop = loops[ObjectIdentifier(eventLoop)] else {
      preconditionFailure("A connection arrived on an event loop the proxy was not made for.")
    }
    return loop.value
  }

  /// Ends everything that still runs on every loop.
  func shutDown() {
    for eventLoop in eventLoops {
      guard let loop = loops[ObjectIdentifier(eventLoop)] else { continue }
      eventLoop.execute { loop.value.shutDown() }
    }
  }
}
