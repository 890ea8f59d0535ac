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

/// One place a request may be sent to, and what is changed on the way there.
struct RelayHop {
  var upstream: Upstream
  /// Put before ``targetTail``; no trailing slash.
  var targetPrefix: String
  /// The part of the client's target that is kept, byte for byte, query included.
  var targetTail: Range<Int>
  /// Fields that are not sent on, beside the hop-by-hop ones.
  var dropped: [FieldName] = []
  /// A field that is added: the environment's key, when the client sent none.
  var added: (name: String, value: String)?
  /// What the provider lists the model as, where this place was chosen for it.
  var model: String?
}

/// Where one request goes.
struct RelayPlan {
  /// Where it is sent first.
  var hop: RelayHop
  /// Where it is sent next, one after the other, for as long as it fails before the first byte of an answer and
  /// cannot have been worked on (see ``TryResult/maySendElsewhere``).
  var alternatives: [RelayHop] = []
  var shape: ClientShape
  /// What is told of the choice, in the response and in the usage row; nil when there was nothing to choose.
  var decision: RouteDecision?
  /// Sees the exchange's copy; nil when nothing is recorded of it.
  var tap: (any ExchangeTap)?
  /// What it is answered with instead of being sent anywhere, once its body is read.
  var refusal: ProxyFault?
  /// Asked once the model is known, before the last of the body is sent on; nil when it goes whatever its model is.
  var admission: (any RequestAdmission)?
}

/// Says whether a request may go, by what its body names. Called on event loops: never blocks.
protocol RequestAdmission: Sendable {
  /// - Parameter provider: where it goes.
  /// - Returns: what it is answered with instead; nil when it may go.
  func fault(model: String, provider: String) -> ProxyFault?
}

/// What is done with a request.
enum Disposition {
  case relay(RelayPlan)
  /// Relayed to where the model in its body is to be had.
  case choose(OpenRoute)
  /// The API and the pages answer it.
  case local
  /// Answered here, and the connection closed.
  case refuse(ProxyFault, ClientShape)
}

/// Decides what is done with each request. Called on event loops: never blocks.
protocol ProxyDirector: Sendable {
  func disposition(of head: RequestHead) -> Disposition
}
