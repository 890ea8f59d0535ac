// SPDX-License-Identifier: Apache-2.0

import NIOCore
import NIOPosix

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Asks a running daemon over its own port.
public enum DaemonClient {
  /// The daemon's status report.
  ///
  /// - Parameters:
  ///   - daemon: as its lock file describes it.
  ///   - token: the gateway's token, where one is configured.
  ///   - timeout: how long to wait for the answer.
  /// - Returns: nil when it does not answer, or not with a report.
  public static func status(
    of daemon: DaemonDescription, token: GatewayToken?, timeout: Duration = .seconds(3)
  ) async -> StatusReport? {
    guard let port = daemon.port else { return nil }
    let host =
      switch daemon.host {
      case "0.0.0.0", nil: "127.0.0.1"
      case "::": "::1"
      case .some(let host): host
      }
    let literal = host.contains(":") ? "[\(host)]" : host
    let credential = token.map { "X-Holdfast-Token: \($0.text)\r\n" } ?? ""
    let request =
      "GET /api/status HTTP/1.1\r\nHost: \(literal):\(port)\r\n\(credential)Connection: close\r\n\r\n"
    guard let body = try? await ask(host, port, request, .seconds(timeout.components.seconds)) else {
      return nil
    }
    return try? JSONDecoder().decode(StatusReport.self, from: Data(body))
  }

  private static func ask(
    _ host: String, _ port: Int, _ request: String, _ timeout: TimeAmount
  ) async throws -> [UInt8] {
    let loop = MultiThreadedEventLoopGroup.singleton.any()
    let answer = loop.makePromise(of: [UInt8].self)
    let deadline = loop.scheduleTask(in: timeout) { answer.fail(ChannelError.connectTimeout(timeout)) }
    ClientBootstrap(group: loop).connectTimeout(timeout)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(AnswerReader(answer))
        }
      }
      .connect(host: host, port: port)
      .whenComplete { result in
        switch result {
        case .success(let channel):
          channel.writeAndFlush(ByteBuffer(string: request), promise: nil)
          answer.futureResult.whenComplete { _ in
            deadline.cancel()
            channel.close(promise: nil)
          }
        case .failure(let error):
          deadline.cancel()
          answer.fail(error)
        }
      }
    return try await answer.futureResult.get()
  }
}

/// Collects the body of one answer with status 200.
private final class AnswerReader: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private static let maximumBytes = 1 << 20
  private let answer: EventLoopPromise<[UInt8]>
  private var input = ByteBuffer()
  private var parser = HeadParser()
  private var reader: BodyReader?
  private var body: [UInt8] = []

  init(_ answer: EventLoopPromise<[UInt8]>) { self.answer = answer }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    var bytes = unwrapInboundIn(data)
    input.writeBuffer(&bytes)
    do {
      if reader == nil {
        guard let head = try parser.response(from: &input, toHEAD: false) else { return }
        guard head.status == 200 else { return answer.fail(ChannelError.inappropriateOperationForState) }
        reader = BodyReader(head.framing)
      }
      while reader != nil {
        switch try reader!.next(from: &input) {
        case .payload(let piece):
          body += Array(piece.readableBytesView)
          if body.count > Self.maximumBytes {
            return answer.fail(ChannelError.inappropriateOperationForState)
          }
        case .end: return answer.succeed(body)
        case .needsMore: return
        }
      }
    } catch {
      answer.fail(error)
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    answer.fail(ChannelError.eof)
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { answer.fail(error) }
}
