// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastEngine
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import HoldfastGateway
@testable import HoldfastMailbox

/// An HTTP server on a real socket that takes each request whole and answers as its script says.
private final class WebhookServer: Sendable {
  enum Answer: Sendable {
    case bytes(String)
    /// Hangs up without a word.
    case reset
    /// Never says anything.
    case silence
  }

  let requests = Mutex<[String]>([])
  private let script: @Sendable (String) -> Answer
  private let channel = Mutex<(any Channel)?>(nil)

  private init(_ script: @escaping @Sendable (String) -> Answer) { self.script = script }

  static func start(_ script: @escaping @Sendable (String) -> Answer) async throws -> WebhookServer {
    let server = WebhookServer(script)
    let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(Taker(server))
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    server.channel.withLock { $0 = channel }
    return server
  }

  static func answer(_ status: Int, _ fields: String = "", body: String = "") -> Answer {
    .bytes("HTTP/1.1 \(status) X\r\n\(fields)Content-Length: \(body.utf8.count)\r\n\r\n\(body)")
  }

  var port: Int { channel.withLock { $0?.localAddress?.port } ?? 0 }
  var url: String { "http://127.0.0.1:\(port)/hook" }
  func stop() { channel.withLock { $0 }?.close(promise: nil) }

  private final class Taker: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let server: WebhookServer
    private var seen = ""

    init(_ server: WebhookServer) { self.server = server }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      seen += String(buffer: unwrapInboundIn(data))
      guard let end = seen.firstRange(of: "\r\n\r\n") else { return }
      let length = seen.firstMatch(of: /(?i)content-length: (\d+)/).flatMap { Int($0.1) } ?? 0
      guard seen[end.upperBound...].utf8.count >= length else { return }
      let request = seen
      seen = ""
      server.requests.withLock { $0.append(request) }
      switch server.script(request) {
      case .bytes(let text): context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: text)), promise: nil)
      case .reset: context.close(promise: nil)
      case .silence: break
      }
    }
  }
}

@Suite("Webhook adapter")
struct WebhookAdapterTests {
  private func delivery(_ id: String = "one") throws -> Delivery {
    Delivery(
      mailbox: try MailboxAddress("a/b"),
      message: OutboundMessage(
        id: id, seq: 1, kind: "reply", content: try MailboxContent(json: #"{"n":1}"#),
        time: .init(milliseconds: 0), idempotencyKey: id),
      attempt: 1)
  }

  /// What an attempt comes to with a server that answers so, and what the server got.
  private func outcome(
    timeLimit: Duration = .seconds(600), headers: [String: String] = [:],
    _ script: @escaping @Sendable (String) -> WebhookServer.Answer
  ) async throws -> (DeliveryOutcome, [String]) {
    let server = try await WebhookServer.start(script)
    let client = WebhookClient()
    var webhook = DeliveryConfiguration.Webhook(url: server.url)
    webhook.headers = headers
    let outcome = await client.adapter(webhook, timeLimit: timeLimit).deliver(try delivery())
    await client.close()
    server.stop()
    return (outcome, server.requests.withLock { $0 })
  }

  @Test("a message is posted as JSON with its key and the headers of the configuration")
  func posts_E04() async throws {
    let (outcome, requests) = try await outcome(headers: ["Authorization": "Bearer secret"]) { _ in
      WebhookServer.answer(204)
    }
    #expect(outcome == .delivered)
    let request = try #require(requests.first)
    #expect(requests.count == 1 && request.hasPrefix("POST /hook HTTP/1.1\r\n"))
    let head = request.lowercased()
    #expect(
      head.contains("idempotency-key: a/b/one\r\n") && head.contains("content-type: application/json\r\n"))
    #expect(head.contains("authorization: bearer secret\r\n"))
    let body = try #require(request.firstRange(of: "\r\n\r\n").map { request[$0.upperBound...] })
    #expect(body.contains(#""content":{"n":1}"#) && body.contains(#""idempotency_key":"a/b/one""#))
  }

  @Test(
    "what may pass and what does not",
    arguments: [200, 202, 400, 401, 404, 408, 409, 410, 413, 422, 425, 429, 500, 503, 599])
  func statuses_E05(status: Int) async throws {
    let (outcome, _) = try await outcome { _ in WebhookServer.answer(status, body: "why\nnot") }
    let reason = "HTTP \(status): why not"
    switch status {
    case 200, 202: #expect(outcome == .delivered)
    case 408, 425, 429, 500...: #expect(outcome == .transient(reason: reason))
    default: #expect(outcome == .permanent(reason: reason))
    }
  }

  @Test("Retry-After is heeded, in seconds and as a date; nonsense is not")
  func retryAfter_E05() async throws {
    let (outcome, _) = try await outcome { _ in WebhookServer.answer(429, "Retry-After: 17\r\n") }
    #expect(outcome == .transient(reason: "HTTP 429", retryAfter: .seconds(17)))
    let now = Date(timeIntervalSince1970: 784_111_777)
    #expect(WebhookAdapter.pause("Sun, 06 Nov 1994 08:50:37 GMT", now: now) == .seconds(60))
    #expect(WebhookAdapter.pause("Sun, 06 Nov 1994 08:40:37 GMT", now: now) == .zero)
    #expect(WebhookAdapter.pause("-1", now: now) == nil && WebhookAdapter.pause("soon", now: now) == nil)
    #expect(WebhookAdapter.pause("99999999999999", now: now) == .seconds(1 << 31))
  }

  @Test("a connection that is refused or reset, and an answer that does not come, may pass")
  func network_E05() async throws {
    let (reset, _) = try await outcome { _ in .reset }
    let (silence, _) = try await outcome(timeLimit: .milliseconds(300)) { _ in .silence }
    let server = try await WebhookServer.start { _ in .silence }
    let url = server.url
    server.stop()
    let client = WebhookClient()
    // Nobody listens there any more.
    let refused = await client.adapter(.init(url: url), timeLimit: .seconds(600)).deliver(try delivery())
    await client.close()
    for outcome in [reset, silence, refused] {
      guard case .transient(let reason, nil) = outcome else {
        Issue.record("\(outcome)")
        continue
      }
      #expect(reason.hasPrefix("no answer from http://127.0.0.1:"))
    }
  }

  @Test("an answer without end holds nobody up, and what was accepted is delivered")
  func endlessAnswer_E05() async throws {
    let (outcome, _) = try await outcome(timeLimit: .milliseconds(300)) { _ in
      .bytes("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nand so on")
    }
    #expect(outcome == .delivered)
    let long = String(repeating: "x", count: 200_000)
    let (refused, _) = try await self.outcome { _ in WebhookServer.answer(400, body: long) }
    #expect(refused == .permanent(reason: "HTTP 400: " + String(repeating: "x", count: 300)))
  }

  @Test("a redirection is followed within the same server only, and with its method only")
  func redirections_E05() async throws {
    let (followed, requests) = try await outcome { request in
      request.hasPrefix("POST /hook ")
        ? WebhookServer.answer(307, "Location: /new\r\n") : WebhookServer.answer(200)
    }
    #expect(followed == .delivered && requests.count == 2)
    #expect(requests[1].hasPrefix("POST /new ") && requests[1].contains(#""content":{"n":1}"#))
    let other = try await WebhookServer.start { _ in WebhookServer.answer(200) }
    let url = other.url
    let (away, _) = try await outcome(headers: ["Authorization": "s"]) { _ in
      WebhookServer.answer(308, "Location: \(url)\r\n")
    }
    #expect(
      away == .permanent(reason: "HTTP 308 leads to another server (\(url)), where the message is not sent"))
    #expect(other.requests.withLock { $0 } == [])
    other.stop()
    let (changed, _) = try await outcome { _ in WebhookServer.answer(302, "Location: /new\r\n") }
    #expect(changed == .permanent(reason: "HTTP 302"))
    let (round, rounds) = try await outcome { _ in WebhookServer.answer(307, "Location: /hook\r\n") }
    guard case .permanent = round else { Issue.record("\(round)"); return }
    #expect(rounds.count == 4)
  }

  @Test("any key can be sent in a header and stays another's than any other")
  func keys_E04() {
    #expect(WebhookAdapter.fieldValue("a/b/order-42") == "a/b/order-42")
    #expect(WebhookAdapter.fieldValue("é\r\n x%") == "%C3%A9%0D%0A%20x%25")
  }
}
