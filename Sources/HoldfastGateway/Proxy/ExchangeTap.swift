// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import NIOCore

/// What ended an exchange.
enum ExchangeOutcome: Equatable, Sendable {
  /// The whole response was relayed.
  case complete
  /// The client went away first; the upstream's request was cancelled.
  case clientLeft
  /// No response came: the client was answered with a fault of the gateway's own.
  case failed(ProxyFault.Code)
  /// The upstream's connection ended, or its bytes stopped making sense, inside the response.
  case upstreamDied
  /// Nothing moved for the idle bound, inside the response.
  case stalled
  /// The gateway was told to stop and the bound for running streams had passed.
  case shutDown
}

/// How one exchange went, told once, at its end.
struct ExchangeEnd: Sendable {
  var outcome: ExchangeOutcome
  /// The status the client was sent, or nil when it was sent none.
  var status: Int?
  /// When the request's head had come in.
  var startedAt: UnixTime
  /// From then to the end.
  var duration: Duration
  /// From then to the first byte of the response's body, when there was one.
  var firstByte: Duration?
  var requestBytes: Int
  var responseBytes: Int
  /// Where it went and why, when that was chosen.
  var route: RouteTrace?
}

/// Sees a copy of what passes through one exchange, after it has been passed on; only the last piece of a response
/// waits until ``ended(_:)`` has returned, so that nobody has a whole answer that was not recorded.
///
/// Called on the exchange's event loop: never blocks, never throws, cannot change or delay a byte. The calls come in
/// the order of the interface; ``ended(_:)`` comes exactly once, last, whatever ends the exchange.
protocol ExchangeTap: AnyObject {
  /// The request goes to this provider, which was chosen for it; again when it goes to another.
  func sent(to provider: String)
  /// A piece of the request's body.
  func requestBody(_ bytes: ByteBuffer)
  /// The final response head.
  func responseHead(_ head: ResponseHead)
  /// A piece of the response's body, without its transfer framing; its content coding still on.
  func responseBody(_ bytes: ByteBuffer)
  /// The exchange is over.
  func ended(_ end: ExchangeEnd)
}

extension ExchangeTap {
  func sent(to provider: String) {}
}
