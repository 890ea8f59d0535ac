// SPDX-License-Identifier: Apache-2.0

import NIOCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A client's connection: reads its requests one after the other and gives each to the relay or to the API.
///
/// It stands first in the pipeline and works on bytes, so what is relayed is never taken apart; requests for the
/// API go on, as they came, to Hummingbird's handlers behind it.
final class ClientConnection: ChannelDuplexHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private enum Phase {
    /// Between requests, or inside a head.
    case head
    case relaying(ProxyExchange)
    /// The API behind is answering.
    case local(isAnswered: Bool)
    /// Answered before its body was read: the rest is read and dropped.
    case draining
    /// The last response is out: what still comes is dropped until the client closes.
    case lingering
    case closed
  }

  private let loop: ProxyLoop
  private var context: ChannelHandlerContext?
  private var phase = Phase.head
  private var input = ByteBuffer()
  private var parser: HeadParser
  private var body: BodyReader?
  private var drained = 0
  private var closesAfterResponse = false
  private var isQuiescing = false
  private var isStepping = false
  private var heldRead = false
  private var hasForwarded = false
  private var isInReadCycle = false
  /// When the sweep gives this connection up; what that means depends on the phase.
  var deadline: NIODeadline
  /// Since when the client has left so much unread that no more is written to it.
  private(set) var unwritableSince: NIODeadline?
  private let admission: ConnectionBudget.Admission
  /// While a request's body is still to come.
  private var pace: BodyPace?
  private var bodyBytes = 0
  /// Whether the API has begun its answer.
  private var hasLocalBegun = false
  /// What of ``ProxyLoop/inputBytes`` is this connection's.
  private var countedInput = 0

  init(loop: ProxyLoop, admission: ConnectionBudget.Admission = .welcome) {
    self.loop = loop
    self.admission = admission
    parser = HeadParser(limits: loop.settings.requestHead)
    deadline =
      loop.eventLoop.now
      + (admission == .welcome ? loop.settings.keepAliveTimeout : loop.settings.lingerTimeout)
  }

  // MARK: For the exchange

  /// Whether the client takes more bytes just now.
  var isWritable: Bool { context?.channel.isWritable ?? false }

  func write(_ bytes: ByteBuffer) { context?.write(wrapOutboundOut(bytes), promise: nil) }

  func flush() { context?.flush() }

  /// Settles, before a response's head goes out, whether it is the connection's last.
  func decideClosing(_ mayStay: Bool) -> Bool {
    closesAfterResponse = !mayStay || isQuiescing
    return closesAfterResponse
  }

  /// The response is out.
  func exchangeEnded() {
    guard case .relaying = phase else { return }
    finishRequest()
    resumeReads()
  }

  /// Ends the connection inside a response, after what was already written.
  ///
  /// - Parameter resetting: the response's end was to be the connection's end, so only a reset tells the client.
  func abort(resetting: Bool) {
    guard let context else { return }
    phase = .closed
    if resetting {
      _ = (context.channel as? any SocketOptionProvider)?.setSoLinger(linger(l_onoff: 1, l_linger: 0))
    }
    // A slow client first gets what was relayed for it, within the linger bound.
    deadline = loop.eventLoop.now + loop.settings.lingerTimeout
    let written = context.eventLoop.makePromise(of: Void.self)
    let channel = context.channel
    written.futureResult.whenComplete { _ in channel.close(promise: nil) }
    context.writeAndFlush(wrapOutboundOut(ByteBuffer()), promise: written)
  }

  /// Lets reads go on that were held back.
  func resumeReads() {
    step()
    guard heldRead, mayRead, let context else { return }
    heldRead = false
    pace?.restart(at: loop.eventLoop.now)
    context.read()
  }

  // MARK: For the API behind

  /// The API's response begins.
  func localResponseBegan() { hasLocalBegun = true }

  /// The API's response is written; it is flushed by the end of this tick.
  func localResponseEnded() {
    guard case .local = phase, let context else { return }
    context.eventLoop.assumeIsolated().execute {
      guard case .local = self.phase else { return }
      self.phase = .local(isAnswered: true)
      if self.body?.isAtEnd != false { self.finishRequest() }
      self.resumeReads()
    }
  }

  // MARK: For the loop

  /// Whether something that was waited for has not come in time.
  func isDue(at now: NIODeadline) -> Bool { deadline <= now || (pace.map { $0.due <= now } ?? false) }

  /// A deadline has passed.
  func timedOut() {
    let now = loop.eventLoop.now
    if let pace, pace.due <= now, deadline > now { return bodyTimedOut(now) }
    switch phase {
    case .relaying(let exchange): exchange.timedOut()
    case .head where parser.hasBegun && admission == .welcome && isWritable:
      refuse(.lateHead, ClientShape(ofHead: input), toHEAD: false)
    case .head, .draining, .lingering, .closed: context?.close(promise: nil)
    case .local:
      // The client takes nothing of the answer.
      if unwritableSince != nil { context?.close(promise: nil) } else { deadline = .distantFuture }
    }
  }

  /// The client sends nothing more of its body, or next to nothing.
  private func bodyTimedOut(_ now: NIODeadline) {
    switch phase {
    case .relaying(let exchange) where !exchange.takesRequestBody:
      // It is the upstream that takes nothing, which has a bound of its own.
      pace?.restart(at: now)
    case .relaying(let exchange):
      pace = nil
      // An answer that came early goes on; the rest of the request is not waited for after it.
      if !exchange.isAnswered { exchange.requestRefused(.lateBody) }
    case .local: refuseLocal(.lateBody)
    case .head, .draining, .lingering, .closed: pace = nil
    }
  }

  /// Ends a request for the API whose body cannot be passed on.
  private func refuseLocal(_ fault: ProxyFault) {
    pace = nil
    // An answer that has begun cannot be taken back.
    if hasLocalBegun { context?.close(promise: nil) } else { refuse(fault, .openAI, toHEAD: false) }
  }

  /// Too many clients leave their answers unread, and this one has for the longest.
  func letGo() {
    switch phase {
    case .relaying(let exchange): exchange.timedOut()
    default: context?.close(promise: nil)
    }
  }

  /// The gateway stops and cannot wait longer.
  func shutDown() {
    isQuiescing = true
    switch phase {
    case .relaying(let exchange): exchange.shutDown()
    default: break
    }
    // What was just answered leaves first.
    if let context {
      let channel = context.channel
      let written = context.eventLoop.makePromise(of: Void.self)
      written.futureResult.whenComplete { _ in channel.close(promise: nil) }
      context.writeAndFlush(wrapOutboundOut(ByteBuffer()), promise: written)
    }
  }

  // MARK: Channel

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    loop.add(self)
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    loop.remove(self)
    loop.inputBytes -= countedInput
    countedInput = 0
    self.context = nil
  }

  func channelActive(context: ChannelHandlerContext) {
    context.fireChannelActive()
    if admission == .dropped {
      phase = .closed
      _ = (context.channel as? any SocketOptionProvider)?.setSoLinger(linger(l_onoff: 1, l_linger: 0))
      context.close(promise: nil)
    }
  }

  func read(context: ChannelHandlerContext) {
    if mayRead { context.read() } else { heldRead = true }
  }

  /// Whether the client's next bytes are wanted: not while the upstream cannot take the body, nor far ahead of turn.
  private var mayRead: Bool {
    switch phase {
    case .relaying(let exchange) where body?.isAtEnd == false: exchange.takesRequestBody
    case .relaying,
      .local(isAnswered: false) where body?.isAtEnd == true:
      input.readableBytes < loop.settings.pipelinedBytes
        && (loop.inputBytes < loop.settings.inputBytesPerLoop || input.readableBytes == 0)
    // Who does not read answers gets no further ones.
    case .head: isWritable
    default: true
    }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    var bytes = unwrapInboundIn(data)
    isInReadCycle = true
    switch phase {
    case .lingering, .closed: return
    default: break
    }
    pace?.received(bytes.readableBytes, at: loop.eventLoop.now)
    if input.readableBytes == 0 { input = bytes } else { input.writeBuffer(&bytes) }
    step()
    countInput()
  }

  /// Keeps the loop's count of what has come in and is not taken yet.
  private func countInput() {
    loop.inputBytes += input.readableBytes - countedInput
    countedInput = input.readableBytes
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    isInReadCycle = false
    if case .relaying(let exchange) = phase { exchange.flushRequest() }
    if input.readableBytes == 0 { input = ByteBuffer() }
    completeForwarding()
  }

  /// Tells the handlers behind that what they were given is all for now.
  private func completeForwarding() {
    guard hasForwarded, !isInReadCycle else { return }
    hasForwarded = false
    context?.fireChannelReadComplete()
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    let now = loop.eventLoop.now
    unwritableSince = context.channel.isWritable ? nil : now
    switch phase {
    case .relaying(let exchange): if context.channel.isWritable { exchange.resumeResponse() }
    case .local: deadline = context.channel.isWritable ? .distantFuture : now + loop.settings.unreadTimeout
    case .head: resumeReads()
    case .draining, .lingering, .closed: break
    }
    context.fireChannelWritabilityChanged()
  }

  func channelInactive(context: ChannelHandlerContext) {
    if case .relaying(let exchange) = phase {
      phase = .closed
      exchange.clientLeft()
    }
    phase = .closed
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    if case .local = phase {
      context.fireErrorCaught(error)
    } else {
      context.close(promise: nil)
    }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    switch event {
    case ChannelEvent.inputClosed:
      inputClosed(context)
    case is ChannelShouldQuiesceEvent:
      isQuiescing = true
      switch phase {
      case .relaying: break
      case .draining, .lingering, .closed: context.close(promise: nil)
      case .head where parser.hasBegun: break
      case .head, .local: context.fireUserInboundEventTriggered(event)
      }
    default:
      context.fireUserInboundEventTriggered(event)
    }
  }

  /// The client will send no more. A client that closes and one that only half-closes look the same; like other
  /// proxies this one takes it for leaving, because the other mistake would pay for answers nobody reads.
  private func inputClosed(_ context: ChannelHandlerContext) {
    switch phase {
    case .relaying(let exchange):
      phase = .closed
      exchange.clientLeft()
      context.close(promise: nil)
    case .draining, .lingering, .closed:
      context.close(promise: nil)
    case .head, .local:
      context.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
    }
  }

  // MARK: Requests

  /// Goes on with the input as far as it leads.
  private func step() {
    // What a step brings about may come back here; the outer call then goes on.
    guard !isStepping else { return }
    isStepping = true
    defer { isStepping = false }
    while advance() {}
    countInput()
    // A request that had waited for its turn comes up outside any read.
    completeForwarding()
    if !isInReadCycle, case .relaying(let exchange) = phase { exchange.flushRequest() }
  }

  /// One step; false when there is nothing to do until something happens.
  private func advance() -> Bool {
    do {
      switch phase {
      case .head: return try readHead()
      case .relaying(let exchange): return try readBody(for: exchange)
      case .local(let isAnswered): return try passBody(isAnswered: isAnswered)
      case .draining: return try dropBody()
      case .lingering, .closed: return false
      }
    } catch let fault as MessageFault {
      readFailed(fault)
      return false
    } catch {
      return false
    }
  }

  private func readHead() throws -> Bool {
    guard isWritable else { return false }
    let hadBegun = parser.hasBegun
    let start = input
    let head: RequestHead
    do {
      guard let whole = try parser.request(from: &input) else {
        if !hadBegun, parser.hasBegun, admission == .welcome {
          deadline = loop.eventLoop.now + loop.settings.headTimeout
        }
        try boundHead()
        return false
      }
      head = whole
    } catch {
      refuse(ProxyFault(error), ClientShape(ofHead: start), toHEAD: false)
      return false
    }
    guard admission == .welcome else {
      refuse(.tooManyConnections, ClientShape(ofHead: head.fields.bytes), toHEAD: head.isHEAD)
      return false
    }
    body = BodyReader(head.framing)
    bodyBytes = 0
    pace = body!.isAtEnd ? nil : loop.pace()
    closesAfterResponse = !head.keepsAlive
    if case .length(let length) = head.framing, length > loop.settings.requestBytes {
      refuse(
        .largeBody(loop.settings.requestBytes), ClientShape(ofHead: head.fields.bytes), toHEAD: head.isHEAD)
      return true
    }
    switch loop.director.disposition(of: head) {
    case .relay(let plan):
      let exchange = ProxyExchange(
        client: self, loop: loop, head: head, plan: plan, allocator: loop.allocator)
      phase = .relaying(exchange)
      exchange.begin()
    case .choose(let open):
      let exchange = ProxyExchange(
        client: self, loop: loop, head: head, plan: open.fallback, allocator: loop.allocator)
      phase = .relaying(exchange)
      exchange.begin(choosing: open)
    case .local:
      if let fault = localFault(head) {
        refuse(fault, .openAI, toHEAD: head.isHEAD)
        return true
      }
      phase = .local(isAnswered: false)
      hasLocalBegun = false
      deadline = .distantFuture
      forward(HeadRewriting.localHead(head, allocator: loop.allocator))
    case .refuse(let fault, let shape):
      refuse(fault, shape, toHEAD: head.isHEAD)
    }
    return true
  }

  /// Holds no large heads of many connections at a time.
  private func boundHead() throws(MessageFault) {
    let others = loop.inputBytes - countedInput
    guard input.readableBytes > loop.settings.smallHeadBytes,
      others + input.readableBytes > loop.settings.inputBytesPerLoop
    else { return }
    throw MessageFault(status: 431, message: "too many large headers come in at a time; send it again")
  }

  /// Why a request cannot be given to the API.
  private func localFault(_ head: RequestHead) -> ProxyFault? {
    if head.fields.bytes.readableBytes > loop.settings.localHeadBytes {
      return ProxyFault(
        MessageFault(status: 431, message: "the message's headers are larger than this gateway takes"))
    }
    if case .length(let length) = head.framing, length > loop.settings.localRequestBytes {
      return .largeBody(loop.settings.localRequestBytes)
    }
    return nil
  }

  /// Counts a piece of the body.
  ///
  /// - Returns: false when that was more than is taken.
  private func countBody(_ count: Int, bound: Int) -> Bool {
    bodyBytes += count
    return bodyBytes <= bound
  }

  private func readBody(for exchange: ProxyExchange) throws -> Bool {
    guard body != nil, !exchange.isRequestRead else { return false }
    guard exchange.takesRequestBody || body!.isAtEnd else { return false }
    switch try body!.next(from: &input) {
    case .payload(let piece):
      guard countBody(piece.readableBytes, bound: loop.settings.requestBytes) else {
        pace = nil
        exchange.requestRefused(.largeBody(loop.settings.requestBytes))
        return false
      }
      exchange.requestPayload(piece)
    case .end:
      pace = nil
      exchange.requestEnded()
    case .needsMore: return false
    }
    return true
  }

  private func passBody(isAnswered: Bool) throws -> Bool {
    guard body != nil else { return false }
    if body!.isAtEnd {
      if isAnswered { finishRequest() }
      return isAnswered
    }
    // The bytes go on with their framing: the API's own parser stands behind.
    var raw = input
    while case .payload(let piece) = try body!.next(from: &input) {
      guard countBody(piece.readableBytes, bound: loop.settings.localRequestBytes) else {
        refuseLocal(.largeBody(loop.settings.localRequestBytes))
        return false
      }
    }
    if body!.isAtEnd { pace = nil }
    let count = raw.readableBytes - input.readableBytes
    guard count > 0, let piece = raw.readSlice(length: count) else { return false }
    forward(piece)
    return true
  }

  private func dropBody() throws -> Bool {
    guard body != nil else { return false }
    switch try body!.next(from: &input) {
    case .payload(let piece):
      drained += piece.readableBytes
      if drained > loop.settings.drainedBytes {
        awaitClose()
        return false
      }
      return true
    case .end:
      afterRequest()
      return true
    case .needsMore:
      return false
    }
  }

  private func forward(_ bytes: ByteBuffer) {
    hasForwarded = true
    context?.fireChannelRead(wrapInboundOut(bytes))
  }

  /// The response is out; the request may not have come in whole yet.
  private func finishRequest() {
    pace = nil
    if body?.isAtEnd == false {
      phase = .draining
      drained = 0
      deadline = loop.eventLoop.now + loop.settings.drainTimeout
      if closesAfterResponse { awaitClose() }
    } else {
      afterRequest()
    }
  }

  private func afterRequest() {
    body = nil
    if closesAfterResponse {
      awaitClose()
    } else {
      phase = .head
      deadline = loop.eventLoop.now + loop.settings.keepAliveTimeout
      if isQuiescing { context?.close(promise: nil) }
    }
  }

  private func refuse(_ fault: ProxyFault, _ shape: ClientShape, toHEAD: Bool) {
    pace = nil
    write(fault.response(shape: shape, closing: true, toHEAD: toHEAD, allocator: loop.allocator))
    flush()
    awaitClose()
  }

  private func readFailed(_ fault: MessageFault) {
    switch phase {
    case .head: refuse(ProxyFault(fault), ClientShape(ofHead: input), toHEAD: false)
    case .relaying(let exchange): exchange.requestMalformed(fault)
    case .local where !hasLocalBegun: refuse(ProxyFault(fault), .openAI, toHEAD: false)
    case .local, .draining, .lingering, .closed: context?.close(promise: nil)
    }
  }

  /// Ends our side and waits for the client to end its own: closing at once would reset the connection while
  /// the client still sends, and take the response with it (RFC 9112 §9.6).
  private func awaitClose() {
    guard let context else { return }
    phase = .lingering
    input = ByteBuffer()
    deadline = loop.eventLoop.now + loop.settings.lingerTimeout
    context.close(mode: .output, promise: nil)
    if heldRead {
      heldRead = false
      context.read()
    }
  }
}
