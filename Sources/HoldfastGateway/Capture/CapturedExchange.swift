// SPDX-License-Identifier: Apache-2.0

import HoldfastUsage

/// The copy of one request and its answer, on its way into a session.
struct CapturedExchange: Sendable {
  var session: String
  var kind: WireKind
  var request: [UInt8]
  var response: [UInt8]
  var requestCoding: ContentDecoder.Coding
  var responseCoding: ContentDecoder.Coding
  var isStream: Bool
  /// Whether the whole answer was relayed.
  var isComplete: Bool
  var row: UsageRow

  /// Bytes held.
  var size: Int { request.count + response.count }
}
