// SPDX-License-Identifier: Apache-2.0

import NIOCore
import NIOTLS

/// One connection to an upstream: carries one exchange at a time, and rests in the pool between them.
///
/// On its channel's event loop only, which is the client's too.
final class UpstreamConnection: ChannelDuplexHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  let upstream: Upstream
  private let limits: HeadParser.Limits
  /// Fulfilled when requests can be sent: connected and, over TLS, with the handshake done.
  private let readyPromise: EventLoopPromise<Void>
  private weak var pool: UpstreamPool?
  private var context: ChannelHandlerContext?

  private var exchange: ProxyExchange?
  private var isToHEAD = false
  private var parser: HeadParser
  private var head: ResponseHead?
  private var body: BodyReader?
  private var input = ByteBuffer()
  private var isReading = false
  private var heldRead = false
  private var isReady = false
  private var isCancelled = false
  private var failure: (any Error)?
  /// Whether an exchange has been completed on this connection.
  private(set) var isReused = false
  /// While pooled: when it is closed.
  var expires = NIODeadline.distantFuture
  /// The server's own bound for resting connections, from its Keep-Alive field.
  private(set) var announcedTimeout: TimeAmount?

  init(upstream: Upstream, limits: HeadParser.Limits, pool: UpstreamPool, ready: EventLoopPromise<Void>) {
    self.upstream = upstream
    self.limits = limits
    self.pool = pool
    readyPromise = ready
    parser = HeadParser(limits: limits)
  }

  /// Whether requests can be sent on it.
  var isUsable: Bool { isReady && !isCancelled && failure == nil && context?.channel.isActive == true }

  /// Whether the peer takes more bytes just now.
  var isWritable: Bool { context?.channel.isWritable ?? false }

  // MARK: For the exchange

  /// Takes the connection for one exchange.
  func begin(_ exchange: ProxyExchange, toHEAD: Bool) {
    precondition(self.exchange == nil, "A connection carries one exchange at a time.")
    self.exchange = exchange
    isToHEAD = toHEAD
    expires = .distantFuture
  }

  func write(_ bytes: ByteBuffer) { context?.write(wrapOutboundOut(bytes), promise: nil) }

  func flush() { context?.flush() }

  /// Lets reads go on that were held back while the client could not take more.
  func resumeReads() {
    guard heldRead, let context else { return }
    heldRead = false
    context.read()
  }

  /// Ends the connection without a word to its exchange: the request is cancelled.
  func cancel() {
    exchange = nil
    isCancelled = true
    context?.close(promise: nil)
  }

  // MARK: Channel

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    // The connect came too late: its bound had passed.
    if isCancelled { return context.close(promise: nil) }
    if context.channel.isActive, !upstream.usesTLS { becomeReady() }
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    self.context = nil
    if !isReady { readyPromise.fail(failure ?? ChannelError.ioOnClosedChannel) }
  }

  func channelActive(context: ChannelHandlerContext) {
    if !upstream.usesTLS { becomeReady() }
    context.fireChannelActive()
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case .handshakeCompleted = event as? TLSUserEvent { becomeReady() }
    context.fireUserInboundEventTriggered(event)
  }

  private func becomeReady() {
    guard !isReady else { return }
    isReady = true
    readyPromise.succeed()
  }

  func read(context: ChannelHandlerContext) {
    if let exchange, !exchange.clientTakesMore {
      heldRead = true
    } else {
      context.read()
    }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard exchange != nil else {
      // An answer nobody asked for: whatever it is, it must not meet the next request.
      context.close(promise: nil)
      return
    }
    var bytes = unwrapInboundIn(data)
    if input.readableBytes == 0 { input = bytes } else { input.writeBuffer(&bytes) }
    readResponses()
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    exchange?.upstreamReadComplete()
    if input.readableBytes == 0 { input = ByteBuffer() }
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    if context.channel.isWritable { exchange?.upstreamTakesMore() }
    context.fireChannelWritabilityChanged()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    if failure == nil { failure = error }
    context.close(promise: nil)
  }

  func channelInactive(context: ChannelHandlerContext) {
    pool?.forget(self)
    if let exchange {
      if failure == nil, body?.endsWithConnection == true {
        // RFC 9112 §6.3: without a length the end of the connection is the end of the body.
        endResponse(reusable: false)
      } else {
        self.exchange = nil
        exchange.upstreamClosed(failure)
      }
    }
    if !isReady {
      isReady = true
      readyPromise.fail(failure ?? ChannelError.eof)
    }
    context.fireChannelInactive()
  }

  // MARK: Responses

  private func readResponses() {
    // What an exchange does with a part may bring further reads about: they only add to the input.
    guard !isReading else { return }
    isReading = true
    defer { isReading = false }
    do {
      while exchange != nil {
        if body == nil {
          guard let head = try parser.response(from: &input, toHEAD: isToHEAD) else { return }
          try take(head)
        } else {
          switch try body!.next(from: &input) {
          case .payload(let piece): exchange?.upstreamPayload(piece)
          case .end: endResponse(reusable: head?.keepsAlive == true && input.readableBytes == 0)
          case .needsMore: return
          }
        }
      }
    } catch {
      let exchange = self.exchange
      self.exchange = nil
      context?.close(promise: nil)
      exchange?.upstreamMalformed(error)
    }
  }

  private func take(_ head: ResponseHead) throws(MessageFault) {
    if head.isInformational {
      // Upgrade is never forwarded, so there is nothing to switch to.
      if head.status == 101 { throw .malformed("it switches protocols unasked") }
      exchange?.upstreamInterim(head)
      return
    }
    self.head = head
    body = BodyReader(head.framing)
    announcedTimeout = head.fields.keepAliveTimeout()
    exchange?.upstreamHead(head)
  }

  private func endResponse(reusable: Bool) {
    guard let exchange else { return }
    self.exchange = nil
    head = nil
    body = nil
    isReused = true
    if reusable, exchange.requestIsSent, isUsable, let pool {
      resumeReads()
      pool.rest(self)
    } else {
      context?.close(promise: nil)
    }
    exchange.upstreamEnded()
  }
}

extension HeadFields {
  /// The `timeout` parameter of a Keep-Alive field.
  fileprivate func keepAliveTimeout() -> TimeAmount? {
    for field in fields where field.role == .hopByHop && name(field).lowercased() == "keep-alive" {
      for part in value(field).split(separator: ",") {
        let pair = part.split(separator: "=", maxSplits: 1).map { $0.trimmingOptionalWhitespace() }
        if pair.count == 2, pair[0].lowercased() == "timeout", let seconds = Int64(pair[1]), seconds >= 0 {
          return .seconds(min(seconds, 3600))
        }
      }
    }
    return nil
  }
}
