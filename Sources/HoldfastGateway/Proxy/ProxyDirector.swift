// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// One upstream server; its identity is the key under which its connections are pooled.
final class Upstream: Sendable {
  /// The provider's name, as in the configuration and in usage rows.
  let name: String
  let host: String
  let port: Int
  let usesTLS: Bool
  /// The value of the Host field.
  let authority: String

  init(name: String, host: String, port: Int, usesTLS: Bool) {
    self.name = name
    self.host = host
    self.port = port
    self.usesTLS = usesTLS
    let literal = host.contains(":") ? "[\(host)]" : host
    authority = port == (usesTLS ? 443 : 80) ? literal : "\(literal):\(port)"
  }
}

/// The API a client speaks, which decides how an error of the gateway's own is worded for it.
enum ClientShape: Sendable {
  case anthropic
  case openAI
}

/// Where one request goes, and what is changed on the way.
struct RelayPlan {
  var upstream: Upstream
  /// Put before ``targetTail``; no trailing slash.
  var targetPrefix: String
  /// The part of the client's target that is kept, byte for byte, query included.
  var targetTail: Range<Int>
  /// Fields that are not sent on, beside the hop-by-hop ones.
  var dropped: [FieldName] = []
  /// A field that is added: the environment's key, when the client sent none.
  var added: (name: String, value: String)?
  var shape: ClientShape
  /// Sees the exchange's copy; nil when nothing is recorded of it.
  var tap: (any ExchangeTap)?
}

/// What is done with a request.
enum Disposition {
  case relay(RelayPlan)
  /// The API and the pages answer it.
  case local
  /// Answered here, and the connection closed.
  case refuse(ProxyFault, ClientShape)
}

/// Decides what is done with each request. Called on event loops: never blocks.
protocol ProxyDirector: Sendable {
  func disposition(of head: RequestHead) -> Disposition
}
