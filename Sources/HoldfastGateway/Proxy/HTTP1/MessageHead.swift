// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// How the end of a message's body is known (RFC 9112 §6).
enum BodyFraming: Equatable, Sendable {
  case none
  case length(Int)
  case chunked
  /// A response that ends with its connection.
  case untilClose
}

/// One parsed request head, over the bytes it came in.
struct RequestHead: Sendable {
  var fields: HeadFields
  let method: Range<Int>
  let target: Range<Int>
  /// False for HTTP/1.0.
  let isHTTP11: Bool
  let framing: BodyFraming
  /// Whether the client's connection may carry another request after this one.
  let keepsAlive: Bool
  let isHEAD: Bool

  /// The request target as text: path and query.
  var targetText: String { fields.text(target) }

  /// The method as text.
  var methodText: String { fields.text(method) }

  /// Whether repeating the request on a new connection cannot do its work twice (RFC 9110 §9.2.2), with no
  /// body that would have to be kept for it.
  var mayBeRepeated: Bool {
    framing == .none && ["GET", "HEAD", "OPTIONS"].contains(methodText)
  }
}

/// One parsed response head, over the bytes it came in.
struct ResponseHead: Sendable {
  var fields: HeadFields
  let status: Int
  /// From the status code to the end of the reason phrase, as it came.
  let statusAndReason: Range<Int>
  let framing: BodyFraming
  /// Whether the upstream's connection may be used again after this response.
  let keepsAlive: Bool

  /// An interim response (RFC 9110 §15.2): the final one is still to come.
  var isInformational: Bool { (100..<200).contains(status) }
}

/// Why a peer's bytes are no message this gateway takes.
struct MessageFault: Error, Equatable, Sendable {
  /// The status that answers it on the client's side.
  let status: Int
  /// One sentence.
  let message: String

  static func malformed(_ message: String) -> MessageFault { MessageFault(status: 400, message: message) }
}
