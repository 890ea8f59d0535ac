// SPDX-License-Identifier: Apache-2.0

import NIOCore
import NIOEmbedded

@testable import HoldfastGateway

/// Upstreams made of embedded channels: the test reads what was sent to them and plays their side byte by byte.
final class ScriptedConnector: UpstreamConnector, @unchecked Sendable {
  // One embedded event loop and one thread per test: nothing here is shared.
  let loop: EmbeddedEventLoop
  var channels: [EmbeddedChannel] = []
  /// The upstream of each channel.
  var names: [String] = []
  /// Upstreams that cannot be reached.
  var unreachable: [String: any Error] = [:]
  /// Connects that wait for ``release()``.
  var isHeld = false
  var failure: (any Error)?
  private var held: [(upstream: String, channel: EventLoopPromise<any Channel>)] = []

  init(loop: EmbeddedEventLoop) { self.loop = loop }

  func connect(to upstream: Upstream, on eventLoop: any EventLoop) -> EventLoopFuture<any Channel> {
    if let failure = failure ?? unreachable[upstream.name] { return eventLoop.makeFailedFuture(failure) }
    let promise = eventLoop.makePromise(of: (any Channel).self)
    held.append((upstream.name, promise))
    if !isHeld { release() }
    return promise.futureResult
  }

  /// Lets the held connects succeed.
  func release() {
    for (name, promise) in held {
      let channel = EmbeddedChannel(loop: loop)
      do {
        channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 1), promise: nil)
        channels.append(channel)
        names.append(name)
        promise.succeed(channel)
      } catch {
        promise.fail(error)
      }
    }
    held = []
  }
}

/// Records what an exchange shows it.
final class RecordingTap: ExchangeTap {
  var request = ByteBuffer()
  var response = ByteBuffer()
  var heads: [Int] = []
  var ends: [ExchangeEnd] = []

  func requestBody(_ bytes: ByteBuffer) { request.writeImmutableBuffer(bytes) }
  func responseHead(_ head: ResponseHead) { heads.append(head.status) }
  func responseBody(_ bytes: ByteBuffer) { response.writeImmutableBuffer(bytes) }
  func ended(_ end: ExchangeEnd) { ends.append(end) }
}

/// Sends everything to one upstream, but for `/local`.
final class FixedDirector: ProxyDirector, @unchecked Sendable {
  let upstream = Upstream(name: "fake", host: "upstream.test", port: 8080, usesTLS: false)
  var taps: [RecordingTap] = []
  var shape = ClientShape.openAI
  var refusal: ProxyFault?
  /// Makes a request one whose upstream is to be chosen.
  var choosing: ((RelayPlan) -> OpenRoute)?
  /// Changes each plan before it is taken.
  var altering: ((inout RelayPlan) -> Void)?

  func disposition(of head: RequestHead) -> Disposition {
    if let refusal { return .refuse(refusal, shape) }
    if head.targetText.hasPrefix("/local") { return .local }
    let tap = RecordingTap()
    taps.append(tap)
    var plan = RelayPlan(
      hop: RelayHop(upstream: upstream, targetPrefix: "", targetTail: head.target), shape: shape, tap: tap)
    altering?(&plan)
    if let choosing { return .choose(choosing(plan)) }
    return .relay(plan)
  }
}

/// One client connection on an embedded event loop, with scripted upstreams behind it.
final class RelayBench {
  let loop = EmbeddedEventLoop()
  let connector: ScriptedConnector
  let director = FixedDirector()
  let proxy: ProxyLoop
  let client: EmbeddedChannel
  let settings: ProxySettings

  init(settings: ProxySettings = ProxySettings(), admission: ConnectionBudget.Admission = .welcome) throws {
    self.settings = settings
    connector = ScriptedConnector(loop: loop)
    proxy = ProxyLoop(eventLoop: loop, director: director, connector: connector, settings: settings)
    client = try Self.connect(to: proxy, on: loop, admission)
  }

  private static func connect(
    to proxy: ProxyLoop, on loop: EmbeddedEventLoop, _ admission: ConnectionBudget.Admission
  ) throws -> EmbeddedChannel {
    let channel = EmbeddedChannel(loop: loop)
    try channel.pipeline.syncOperations.addHandler(ClientConnection(loop: proxy, admission: admission))
    channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 2), promise: nil)
    return channel
  }

  /// Another client's connection to the same gateway.
  func anotherClient() throws -> EmbeddedChannel { try Self.connect(to: proxy, on: loop, .welcome) }

  /// The tap of the last exchange.
  var tap: RecordingTap { director.taps[director.taps.count - 1] }

  /// The upstream's connections, oldest first.
  func upstream(_ index: Int = 0) -> EmbeddedChannel { connector.channels[index] }

  func clientSends(_ text: String) throws { try clientSends(Array(text.utf8)) }

  func clientSends(_ bytes: [UInt8]) throws {
    try client.writeInbound(ByteBuffer(bytes: bytes))
    loop.run()
  }

  /// The place of the last connection made to the upstream called `name`.
  func connection(to name: String) throws -> Int {
    guard let index = connector.names.lastIndex(of: name) else { throw ChannelError.unknownLocalAddress }
    return index
  }

  func upstreamSends(_ text: String, on index: Int = 0) throws {
    try upstreamSends(Array(text.utf8), on: index)
  }

  func upstreamSends(_ bytes: [UInt8], on index: Int = 0) throws {
    try upstream(index).writeInbound(ByteBuffer(bytes: bytes))
    loop.run()
  }

  /// Everything the client was sent since the last look.
  func clientReceived() throws -> String { String(decoding: try Self.drain(client), as: UTF8.self) }

  /// Everything the upstream was sent since the last look.
  func upstreamReceived(_ index: Int = 0) throws -> String {
    String(decoding: try Self.drain(upstream(index)), as: UTF8.self)
  }

  static func drain(_ channel: EmbeddedChannel) throws -> [UInt8] {
    var out: [UInt8] = []
    while let buffer = try channel.readOutbound(as: ByteBuffer.self) {
      out += Array(buffer.readableBytesView)
    }
    return out
  }
}

/// What a response said, with its framing taken off.
struct ReadResponse: Equatable {
  var head: String
  var body: [UInt8]
  var isWhole: Bool

  init(_ text: String, toHEAD: Bool = false) throws { try self.init(Array(text.utf8), toHEAD: toHEAD) }

  init(_ bytes: [UInt8], toHEAD: Bool = false) throws {
    var input = ByteBuffer(bytes: bytes)
    var parser = HeadParser()
    guard let head = try parser.response(from: &input, toHEAD: toHEAD) else {
      self.head = ""
      body = []
      isWhole = false
      return
    }
    self.head = String(buffer: head.fields.bytes)
    var reader = BodyReader(head.framing)
    var body: [UInt8] = []
    var isWhole = false
    steps: while true {
      switch try reader.next(from: &input) {
      case .payload(let piece): body += Array(piece.readableBytesView)
      case .end:
        isWhole = true
        break steps
      case .needsMore: break steps
      }
    }
    self.body = body
    self.isWhole = isWhole
  }

  var text: String { String(decoding: body, as: UTF8.self) }
}
