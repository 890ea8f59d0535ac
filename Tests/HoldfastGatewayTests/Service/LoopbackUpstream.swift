// SPDX-License-Identifier: Apache-2.0

import HoldfastCatalog
import HoldfastGateway
import HoldfastUsage
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import Synchronization

/// An upstream on a real socket that answers each request when its script says so.
final class LoopbackUpstream: Sendable {
  /// What the upstream does once a request's head has come in.
  typealias Script = @Sendable (any Channel) async throws -> Void

  private let server: any Channel
  let asked = Mutex(0)

  private init(server: any Channel) { self.server = server }

  var port: Int { server.localAddress?.port ?? 0 }

  static func start(_ script: @escaping Script) async throws -> LoopbackUpstream {
    let shared = Shared(script: script)
    let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(ScriptRunner(shared))
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    let upstream = LoopbackUpstream(server: server)
    shared.set(upstream)
    return upstream
  }

  func stop() { server.close(promise: nil) }

  /// A Messages answer with usage.
  static func answer(_ model: String) -> String {
    let body = #"{"id":"msg_1","model":"\#(model)","usage":{"input_tokens":3,"output_tokens":4}}"#
    return
      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
  }

  fileprivate final class Shared: Sendable {
    private let upstream = Mutex<LoopbackUpstream?>(nil)
    let script: Script

    init(script: @escaping Script) { self.script = script }

    func set(_ value: LoopbackUpstream) { upstream.withLock { $0 = value } }
    func count() { upstream.withLock { $0 }?.asked.withLock { $0 += 1 } }
  }
}

/// Runs the script once for each request.
private final class ScriptRunner: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let shared: LoopbackUpstream.Shared
  private var seen = ""

  init(_ shared: LoopbackUpstream.Shared) { self.shared = shared }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    seen += String(buffer: unwrapInboundIn(data))
    while let end = seen.firstRange(of: "\r\n\r\n{}") {
      seen = String(seen[end.upperBound...])
      shared.count()
      let channel = context.channel
      let script = shared.script
      Task { try await script(channel) }
    }
  }
}

/// A client's connection on a real socket.
final class LoopbackClient: Sendable {
  private let channel: any Channel
  private let received = Mutex("")

  static func connect(_ port: Int) async throws -> LoopbackClient {
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .connect(host: "127.0.0.1", port: port).get()
    let client = LoopbackClient(channel)
    try await channel.eventLoop.submit {
      try channel.pipeline.syncOperations.addHandler(Collector(client))
    }.get()
    return client
  }

  private init(_ channel: any Channel) { self.channel = channel }

  var text: String { received.withLock { $0 } }

  func send(_ text: String) async throws { try await channel.writeAndFlush(ByteBuffer(string: text)) }

  func close() async throws { try await channel.close() }

  private final class Collector: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let client: LoopbackClient

    init(_ client: LoopbackClient) { self.client = client }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      let text = String(buffer: unwrapInboundIn(data))
      client.received.withLock { $0 += text }
    }
  }
}

/// A gateway on a free port, running as the tool runs it.
final class RunningGateway: Sendable {
  private let group: ServiceGroup
  private let task: Task<Void, any Error>
  let port: Int

  static func start(
    home: String, upstream: Int, ledger: any UsageLedger, drain: Duration = .seconds(30)
  ) async throws -> RunningGateway {
    var configuration = GatewayConfiguration(home: home)
    configuration.port = 0
    configuration.drainTimeout = drain
    guard let url = BaseURL("http://127.0.0.1:\(upstream)") else { throw ChannelError.unknownLocalAddress }
    configuration.providers = configuration.providers.filter { $0.name != "anthropic" && !$0.baseURL.usesTLS }
    configuration.providers.append(Provider(name: "anthropic", kind: .anthropic, baseURL: url))
    configuration.providers.append(Provider(name: "openai", kind: .openAI, baseURL: url))
    let (ports, port) = AsyncStream.makeStream(of: Int.self)
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let gateway = Gateway(configuration: configuration, ledger: ledger, logger: logger) { _, found in
      port.yield(found)
    }
    let group = ServiceGroup(
      configuration: .init(
        services: [.init(service: gateway, successTerminationBehavior: .gracefullyShutdownGroup)],
        logger: logger))
    let task = Task {
      defer { port.finish() }
      try await group.run()
    }
    var iterator = ports.makeAsyncIterator()
    guard let found = await iterator.next() else {
      try await task.value
      throw ChannelError.eof
    }
    return RunningGateway(group: group, task: task, port: found)
  }

  private init(group: ServiceGroup, task: Task<Void, any Error>, port: Int) {
    self.group = group
    self.task = task
    self.port = port
  }

  /// What SIGTERM does.
  func beginStopping() async { await group.triggerGracefulShutdown() }

  /// Waits for the end.
  func ended() async throws { try await task.value }

  func stop() async throws {
    await beginStopping()
    try await ended()
  }
}
