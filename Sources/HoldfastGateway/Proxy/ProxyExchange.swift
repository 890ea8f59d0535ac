// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import NIOCore
import NIOPosix
import NIOSSL

/// One proxied request: bytes go across as they come, and whatever ends it is told exactly once.
///
/// Both connections live on one event loop, so nothing here is locked and nothing hops. Each read on one side
/// becomes one write on the other; the tap gets its copy after the write, but for the last piece of a response, which
/// leaves once the exchange is recorded. What waits is bounded: a peer that cannot take
/// more stops the reads of the other.
final class ProxyExchange {
  private let loop: ProxyLoop
  private let head: RequestHead
  private let plan: RelayPlan
  private let startedAt = UnixTime.now()
  private let start = NIODeadline.now()
  /// Nil once the exchange is over.
  private var client: ClientConnection?
  private var upstream: UpstreamConnection?

  private var toUpstream: MessageWriter
  private var toClient: MessageWriter
  private var requestCopies: [ByteBuffer] = []
  private var responseCopies: [ByteBuffer] = []
  private var untoldHead: ResponseHead?

  /// Whether the whole request has been handed to the upstream's channel.
  private(set) var requestIsSent = false
  /// Whether the whole request has been read from the client.
  private(set) var isRequestRead = false
  private var hasRepeated = false
  private var status: Int?
  private var sendsChunks = false
  private var endsWithConnection = false
  private var firstByteAt: NIODeadline?
  private var requestBytes = 0
  private var responseBytes = 0

  init(
    client: ClientConnection, loop: ProxyLoop, head: RequestHead, plan: RelayPlan,
    allocator: ByteBufferAllocator
  ) {
    self.client = client
    self.loop = loop
    self.head = head
    self.plan = plan
    toUpstream = MessageWriter(allocator: allocator)
    toClient = MessageWriter(allocator: allocator)
  }

  // MARK: The request

  /// Finds the upstream's connection. The request's bytes follow with the next ``flushRequest()``.
  func begin() {
    toUpstream.append(
      HeadRewriting.upstreamHead(head, plan: plan, allocator: loop.allocator))
    if let resting = loop.pool.take(plan.upstream) {
      attach(resting)
    } else {
      connect()
    }
  }

  /// Whether more of the request's body can be taken just now.
  var takesRequestBody: Bool {
    if let upstream { return upstream.isWritable }
    return toUpstream.byteCount < loop.settings.pendingRequestBytes
  }

  /// Whether the client can take more of the response just now.
  var clientTakesMore: Bool { client?.isWritable ?? true }

  func requestPayload(_ bytes: ByteBuffer) {
    requestBytes += bytes.readableBytes
    toUpstream.append(payload: bytes, chunked: head.framing == .chunked)
    if plan.tap != nil { requestCopies.append(bytes) }
  }

  func requestEnded() {
    isRequestRead = true
    toUpstream.appendEnd(chunked: head.framing == .chunked)
    flushRequest()
  }

  /// Sends what has been read of the request, then shows the tap its copy.
  func flushRequest() {
    if let upstream {
      // Before the flush: the answer may come within it.
      requestIsSent = isRequestRead
      if !toUpstream.isEmpty {
        for bytes in toUpstream.take() { upstream.write(bytes) }
        upstream.flush()
        touch()
      }
    }
    showRequest()
  }

  /// Gives the tap its copy of the request.
  private func showRequest() {
    guard !requestCopies.isEmpty, let tap = plan.tap else { return }
    for bytes in requestCopies { tap.requestBody(bytes) }
    requestCopies.removeAll(keepingCapacity: true)
  }

  private func attach(_ connection: UpstreamConnection) {
    upstream = connection
    connection.begin(self, toHEAD: head.isHEAD)
    touch()
  }

  private func connect() {
    touch()
    loop.pool.connect(plan.upstream).assumeIsolated().whenComplete { result in
      switch result {
      case .success(let connection):
        guard self.client != nil else {
          // The client left meanwhile; the connection is as good as any for the next one.
          self.loop.pool.rest(connection)
          return
        }
        self.attach(connection)
        self.flushRequest()
        self.client?.resumeReads()
      case .failure(let error):
        self.fail(UpstreamFaults.connecting(to: self.plan.upstream, error))
      }
    }
  }

  // MARK: The response

  /// A 1xx response: passed on as it is, to clients that can know it.
  func upstreamInterim(_ interim: ResponseHead) {
    guard let client, status == nil, head.isHTTP11 else { return }
    client.write(
      HeadRewriting.clientHead(interim, chunked: false, closing: false, allocator: loop.allocator))
    client.flush()
    touch()
  }

  func upstreamHead(_ response: ResponseHead) {
    guard let client else { return }
    status = response.status
    let hasLength =
      response.framing == .none || { if case .length = response.framing { true } else { false } }()
    sendsChunks = !hasLength && head.isHTTP11
    endsWithConnection = !hasLength && !head.isHTTP11
    let closing = client.decideClosing(head.keepsAlive && !endsWithConnection)
    toClient.append(
      HeadRewriting.clientHead(response, chunked: sendsChunks, closing: closing, allocator: loop.allocator))
    untoldHead = response
  }

  func upstreamPayload(_ bytes: ByteBuffer) {
    if firstByteAt == nil { firstByteAt = .now() }
    responseBytes += bytes.readableBytes
    toClient.append(payload: bytes, chunked: sendsChunks)
    if plan.tap != nil { responseCopies.append(bytes) }
  }

  func upstreamReadComplete() {
    flushResponse()
    touch()
  }

  func upstreamEnded() {
    upstream = nil
    guard let client else { return }
    toClient.appendEnd(chunked: sendsChunks)
    // Recorded first: what a client has in whole is safe from a kill at that very moment.
    finish(.complete)
    for bytes in toClient.take() { client.write(bytes) }
    client.flush()
    client.exchangeEnded()
  }

  /// The upstream's connection is gone before the response was whole.
  func upstreamClosed(_ error: (any Error)?) {
    let wasReused = upstream?.isReused ?? false
    upstream = nil
    guard client != nil else { return }
    guard status == nil else { return breakOff(.upstreamDied) }
    if wasReused, !hasRepeated, requestIsSent, head.mayBeRepeated {
      // A resting connection that closed under a request without effects: asked once more on a new one.
      hasRepeated = true
      toUpstream.append(
        HeadRewriting.upstreamHead(head, plan: plan, allocator: loop.allocator))
      connect()
      return
    }
    fail(UpstreamFaults.closed(plan.upstream, error))
  }

  /// The upstream's bytes are no response.
  func upstreamMalformed(_ fault: MessageFault) {
    upstream = nil
    guard client != nil else { return }
    guard status == nil else { return breakOff(.upstreamDied) }
    fail(UpstreamFaults.malformed(plan.upstream, fault))
  }

  /// The upstream takes bytes again.
  func upstreamTakesMore() { client?.resumeReads() }

  /// The client takes bytes again.
  func resumeResponse() { upstream?.resumeReads() }

  private func flushResponse() {
    if let client, !toClient.isEmpty {
      for bytes in toClient.take() { client.write(bytes) }
      client.flush()
    }
    showResponse()
  }

  /// Gives the tap its copy of the response.
  private func showResponse() {
    guard let tap = plan.tap else { return }
    if let response = untoldHead {
      untoldHead = nil
      tap.responseHead(response)
    }
    if !responseCopies.isEmpty {
      for bytes in responseCopies { tap.responseBody(bytes) }
      responseCopies.removeAll(keepingCapacity: true)
    }
  }

  // MARK: Ends

  /// The request's body stopped making sense: the upstream must not take it for whole either.
  func requestMalformed(_ fault: MessageFault) {
    guard client != nil else { return }
    upstream?.cancel()
    upstream = nil
    if status == nil { fail(ProxyFault(fault)) } else { breakOff(.clientLeft) }
  }

  /// The client went away.
  func clientLeft() {
    guard client != nil else { return }
    upstream?.cancel()
    upstream = nil
    finish(.clientLeft)
  }

  /// Nothing moved for the idle bound.
  func timedOut() {
    guard client != nil else { return }
    upstream?.cancel()
    upstream = nil
    if status == nil {
      fail(UpstreamFaults.silent(plan.upstream, loop.settings.idleTimeout))
    } else {
      breakOff(.stalled)
    }
  }

  /// The gateway stops and cannot wait longer.
  func shutDown() {
    guard client != nil else { return }
    upstream?.cancel()
    upstream = nil
    if status == nil {
      fail(ProxyFault(.shuttingDown, "Holdfast is shutting down; send the request again."), as: .shutDown)
    } else {
      breakOff(.shutDown)
    }
  }

  private func fail(_ fault: ProxyFault, as outcome: ExchangeOutcome? = nil) {
    guard let client else { return }
    status = fault.status
    finish(outcome ?? .failed(fault.code))
    let closing = client.decideClosing(head.keepsAlive && isRequestRead)
    client.write(
      fault.response(shape: plan.shape, closing: closing, toHEAD: head.isHEAD, allocator: loop.allocator))
    client.flush()
    client.exchangeEnded()
  }

  /// Ends a response that cannot be completed: the client must not take it for whole.
  private func breakOff(_ outcome: ExchangeOutcome) {
    guard let client else { return }
    flushResponse()
    finish(outcome)
    client.abort(resetting: endsWithConnection)
  }

  private func finish(_ outcome: ExchangeOutcome) {
    client = nil
    showRequest()
    showResponse()
    let end = NIODeadline.now()
    plan.tap?.ended(
      ExchangeEnd(
        outcome: outcome, status: status, startedAt: startedAt, duration: (end - start).duration,
        firstByte: firstByteAt.map { ($0 - start).duration },
        requestBytes: requestBytes, responseBytes: responseBytes))
  }

  private func touch() {
    client?.deadline = loop.eventLoop.now + loop.settings.idleTimeout
  }
}

extension TimeAmount {
  var duration: Duration { .nanoseconds(nanoseconds) }
}
