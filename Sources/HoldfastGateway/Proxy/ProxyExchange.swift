// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastUsage
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
  private var plan: RelayPlan
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
  /// Until the upstream is chosen: by what, and what is known of the body so far.
  private var choice: (open: OpenRoute, body: RequestPeek)?
  /// The body as far as it has been read, for as long as it may be sent anywhere else.
  private var held: HeldBody?
  /// What the request is answered with once its body is read, of which nothing more goes anywhere.
  private var refusal: ProxyFault?
  /// What is known of a body that passes while its model may yet refuse it.
  private var passing = RequestPeek()
  private var tries: [RouteTrace.Try] = []
  /// Whether any of the request was handed to the present upstream.
  private var hasSent = false
  /// Whether what came of the present upstream is among the tries.
  private var isTraced = false
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
    if let refusal = plan.refusal {
      askForBody()
      return refuse(refusal)
    }
    toUpstream.append(
      HeadRewriting.upstreamHead(head, hop: plan.hop, allocator: loop.allocator))
    if let resting = loop.pool.take(plan.hop.upstream) {
      attach(resting)
    } else {
      connect()
    }
  }

  /// Reads of the body until the upstream can be chosen, then begins.
  func begin(choosing open: OpenRoute) {
    choice = (open, RequestPeek(maximumBytes: loop.settings.heldRequestBytes))
    held = HeldBody()
    touch()
    askForBody()
  }

  /// RFC 9110 §10.1.1: a client that expects to be told sends no body before, and no upstream can tell it.
  private func askForBody() {
    guard head.fields.contains(.expect), head.isHTTP11, head.framing != .none, let client else { return }
    client.write(ByteBuffer(string: "HTTP/1.1 100 Continue\r\n\r\n"))
    client.flush()
  }

  /// Whether more of the request's body can be taken just now.
  var takesRequestBody: Bool {
    // Bounded: what outgrows the bound is no longer waited with.
    if choice != nil || refusal != nil { return true }
    if let upstream { return upstream.isWritable }
    return toUpstream.byteCount < loop.settings.pendingRequestBytes
  }

  /// Whether the client can take more of the response just now.
  var clientTakesMore: Bool { client?.isWritable ?? true }

  func requestPayload(_ bytes: ByteBuffer) {
    requestBytes += bytes.readableBytes
    if plan.tap != nil { requestCopies.append(bytes) }
    if let refusal { return drop(for: refusal) }
    if choice == nil, let fault = fault(after: bytes) { return refuse(fault) }
    let fits = held == nil || hold(bytes)
    if let open = choice?.open {
      choice?.body.consume(bytes.readableBytesUInt8Span)
      if !fits || (choice?.body.model != nil && !open.needsWholeBody) { choose() }
    } else {
      toUpstream.append(payload: bytes, chunked: head.framing == .chunked)
    }
    if !fits { letGo() }
  }

  func requestEnded() {
    isRequestRead = true
    if let refusal { return fail(refusal) }
    if choice != nil { return choose() }
    toUpstream.appendEnd(chunked: head.framing == .chunked)
    flushRequest()
  }

  /// Sends what has been read of the request, then shows the tap its copy.
  func flushRequest() {
    if let upstream {
      // Before the flush: the answer may come within it.
      requestIsSent = isRequestRead
      if !toUpstream.isEmpty {
        hasSent = true
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
    let upstream = plan.hop.upstream
    loop.pool.connect(upstream).assumeIsolated().whenComplete { result in
      switch result {
      case .success(let connection):
        guard self.client != nil, self.refusal == nil else {
          // The client left meanwhile, or its request was refused; the connection is as good as any for the next one.
          self.loop.pool.rest(connection)
          return
        }
        self.attach(connection)
        self.flushRequest()
        self.client?.resumeReads()
      case .failure(let error as ProxyFault):
        if self.refusal != nil { return }
        // It is the gateway that has no room: no other place would change that, and no provider failed.
        self.fail(error)
      case .failure(let error):
        if self.refusal != nil { return }
        if self.sendElsewhere(after: .unreachable) { return }
        self.trace(.unreachable)
        self.fail(UpstreamFaults.connecting(to: upstream, error))
      }
    }
  }

  // MARK: Refusals

  /// Of what is not sent on, so much is read for the client's sake, who would otherwise not see the answer.
  private static let mostDropped = 64 << 20

  /// Has the request answered with a fault once its body is read.
  private func refuse(_ fault: ProxyFault) {
    upstream?.cancel()
    upstream = nil
    choice = nil
    letGo()
    refusal = fault
    plan.admission = nil
    // Nobody's answer: what was tried is not told.
    plan.decision = nil
    touch()
    if isRequestRead { return fail(fault) }
    client?.resumeReads()
  }

  private func drop(for fault: ProxyFault) {
    touch()
    if requestBytes > Self.mostDropped { fail(fault) }
  }

  /// Looks through a piece of a body that is not held, before it is sent on.
  ///
  /// - Returns: why the request is refused: its last piece was not sent, so nobody has it whole.
  private func fault(after bytes: ByteBuffer) -> ProxyFault? {
    guard let admission = plan.admission, status == nil else { return nil }
    passing.consume(bytes.readableBytesUInt8Span)
    guard let model = passing.model else { return nil }
    plan.admission = nil
    return admission.fault(model: model, provider: plan.hop.upstream.name)
  }

  /// Takes out of a plan where the request may not go.
  ///
  /// - Returns: why it may go nowhere.
  private static func admit(_ plan: inout RelayPlan, _ body: RequestPeek) -> ProxyFault? {
    guard let admission = plan.admission else { return nil }
    plan.admission = nil
    var fault: ProxyFault?
    let hops = ([plan.hop] + plan.alternatives).filter { hop in
      let names = Set([body.model, hop.model].compactMap(\.self))
      // A model nobody names may still fall under its provider's budget.
      let found = (names.isEmpty ? [""] : names).lazy.compactMap {
        admission.fault(model: $0, provider: hop.upstream.name)
      }.first
      if let found, fault == nil { fault = found }
      return found == nil
    }
    guard let first = hops.first else { return fault }
    plan.hop = first
    plan.alternatives = Array(hops.dropFirst())
    return nil
  }

  // MARK: The choice

  /// Takes the plan for what is known of the body, and begins with it.
  private func choose() {
    guard let choice else { return }
    self.choice = nil
    var plan = choice.open.plan(choice.body)
    (plan.shape, plan.tap) = (self.plan.shape, self.plan.tap)
    if let fault = Self.admit(&plan, choice.body) {
      self.plan.decision = nil
      return refuse(fault)
    }
    if head.fields.contains(.expect) {
      // Answered here.
      plan.hop.dropped.append(.expect)
      for index in plan.alternatives.indices { plan.alternatives[index].dropped.append(.expect) }
    }
    self.plan = plan
    send()
  }

  /// Begins with the plan's present place: sends all that was read of the request so far.
  private func send() {
    toUpstream = MessageWriter(allocator: loop.allocator)
    (hasSent, requestIsSent, isTraced) = (false, false, false)
    toUpstream.append(HeadRewriting.upstreamHead(head, hop: plan.hop, allocator: loop.allocator))
    for piece in held?.pieces ?? [] {
      toUpstream.append(payload: piece, chunked: head.framing == .chunked)
    }
    if isRequestRead { toUpstream.appendEnd(chunked: head.framing == .chunked) }
    if plan.alternatives.isEmpty { letGo() }
    plan.tap?.sent(to: plan.hop.upstream.name)
    if let resting = loop.pool.take(plan.hop.upstream) {
      attach(resting)
      flushRequest()
    } else {
      connect()
    }
  }

  /// Sends the request to the next place of the plan, where there is one and nothing can be done twice.
  ///
  /// - Returns: whether it did; otherwise what came of the present place is the client's.
  private func sendElsewhere(after result: TryResult) -> Bool {
    guard result.maySendElsewhere, status == nil, client != nil, held != nil,
      let next = plan.alternatives.first
    else { return false }
    trace(result)
    upstream?.cancel()
    upstream = nil
    plan.alternatives.removeFirst()
    plan.hop = next
    send()
    client?.resumeReads()
    return true
  }

  /// Keeps a piece of the body.
  ///
  /// - Returns: false when this was more than may be kept.
  private func hold(_ bytes: ByteBuffer) -> Bool {
    held?.append(bytes, allocator: loop.allocator)
    loop.heldBytes += bytes.readableBytes
    return (held?.byteCount ?? 0) <= loop.settings.heldRequestBytes
      && loop.heldBytes <= loop.settings.heldBytesPerLoop
  }

  /// The request will not be sent anywhere else.
  private func letGo() {
    guard let held, choice == nil || client == nil else { return }
    loop.heldBytes -= held.byteCount
    self.held = nil
    plan.alternatives = []
  }

  /// Notes what came of the present place.
  private func trace(_ result: TryResult) {
    guard let decision = plan.decision else { return }
    list(result.word)
    tell(decision, result)
  }

  private func list(_ word: String) {
    tries.append(RouteTrace.Try(provider: plan.hop.upstream.name, result: word))
    isTraced = true
  }

  private func tell(_ decision: RouteDecision, _ result: TryResult) {
    guard let model = plan.hop.model else { return }
    decision.watch?.tried(plan.hop.upstream.name, model: model, result)
  }

  private var route: RouteTrace? { plan.decision.map { RouteTrace(tries: tries, reason: $0.reason) } }

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
    if plan.decision != nil {
      let result = TryResult(response)
      if sendElsewhere(after: result) { return }
      if case .failed = result {
        trace(result)
      } else {
        // Whether it is a success is known at its end.
        list(result.word)
      }
      letGo()
    }
    status = response.status
    let hasLength =
      response.framing == .none || { if case .length = response.framing { true } else { false } }()
    sendsChunks = !hasLength && head.isHTTP11
    endsWithConnection = !hasLength && !head.isHTTP11
    let closing = client.decideClosing(head.keepsAlive && !endsWithConnection)
    toClient.append(
      HeadRewriting.clientHead(
        response, chunked: sendsChunks, closing: closing, route: route, allocator: loop.allocator))
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
    if let decision = plan.decision, let status, status < 400 { tell(decision, .answered(status: status)) }
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
        HeadRewriting.upstreamHead(head, hop: plan.hop, allocator: loop.allocator))
      connect()
      return
    }
    let result: TryResult = hasSent ? .broken : .unreachable
    if sendElsewhere(after: result) { return }
    trace(result)
    fail(UpstreamFaults.closed(plan.hop.upstream, error))
  }

  /// The upstream's bytes are no response.
  func upstreamMalformed(_ fault: MessageFault) {
    upstream = nil
    guard client != nil else { return }
    guard status == nil else { return breakOff(.upstreamDied) }
    trace(.broken)
    fail(UpstreamFaults.malformed(plan.hop.upstream, fault))
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

  /// The request's body does not come, or is more than is relayed: nothing more is read of it.
  func requestRefused(_ fault: ProxyFault) {
    guard client != nil else { return }
    upstream?.cancel()
    upstream = nil
    // One that is refused anyway is told why.
    if status == nil { fail(refusal ?? fault) } else { breakOff(.clientLeft) }
  }

  /// Whether an answer has begun.
  var isAnswered: Bool { status != nil }

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
    if let refusal {
      fail(refusal)
    } else if choice != nil {
      fail(.lateBody)
    } else if status == nil {
      trace(.broken)
      fail(UpstreamFaults.silent(plan.hop.upstream, loop.settings.idleTimeout))
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
      fault.response(
        shape: plan.shape, closing: closing, toHEAD: head.isHEAD, route: tries.isEmpty ? nil : route,
        allocator: loop.allocator))
    client.flush()
    client.exchangeEnded()
  }

  /// Ends a response that cannot be completed: the client must not take it for whole.
  private func breakOff(_ outcome: ExchangeOutcome) {
    guard let client else { return }
    flushResponse()
    if let decision = plan.decision, outcome == .upstreamDied || outcome == .stalled {
      tell(decision, .broken)
    }
    finish(outcome)
    client.abort(resetting: endsWithConnection)
  }

  private func finish(_ outcome: ExchangeOutcome) {
    client = nil
    letGo()
    showRequest()
    showResponse()
    // It was given up before anything was known of the present place.
    if plan.decision != nil, !isTraced { list("cancelled") }
    let end = NIODeadline.now()
    plan.tap?.ended(
      ExchangeEnd(
        outcome: outcome, status: status, startedAt: startedAt, duration: (end - start).duration,
        firstByte: firstByteAt.map { ($0 - start).duration },
        requestBytes: requestBytes, responseBytes: responseBytes, route: route))
  }

  private func touch() {
    client?.deadline = loop.eventLoop.now + loop.settings.idleTimeout
  }
}

extension TryResult {
  /// What a response's head says.
  fileprivate init(_ response: ResponseHead) {
    if response.status < 400 {
      self = .answered(status: response.status)
    } else {
      // The form with a date is not worth a clock here: such a provider cools down by the usual steps.
      let seconds = response.fields.first(.retryAfter).flatMap { Int($0) }
      self = .failed(status: response.status, retryAfter: seconds.flatMap { $0 >= 0 ? $0 : nil })
    }
  }
}

extension TimeAmount {
  var duration: Duration { .nanoseconds(nanoseconds) }
}
