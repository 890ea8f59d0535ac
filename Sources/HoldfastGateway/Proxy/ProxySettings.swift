// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// The bounds of the data path.
struct ProxySettings: Sendable {
  /// To reach an upstream, its TLS handshake included.
  var connectTimeout: TimeAmount = .seconds(10)
  /// Without a byte in either direction of a running exchange. Models stay silent for minutes while they read a
  /// long prompt, so this is never below 300 s by default.
  var idleTimeout: TimeAmount = .seconds(600)
  /// For a request head to come in whole once its first byte has.
  var headTimeout: TimeAmount = .seconds(30)
  /// For a request's body while the client is waited for, and the least rate in bytes a second that earns it more
  /// (see ``BodyPace``).
  var bodyTimeout: TimeAmount = .seconds(60)
  var leastBodyRate = 1024
  /// Between the requests of one client connection.
  var keepAliveTimeout: TimeAmount = .seconds(620)
  /// For the rest of a request that has been answered already.
  var drainTimeout: TimeAmount = .seconds(30)
  /// For a client to close after the last response.
  var lingerTimeout: TimeAmount = .seconds(5)
  /// For a client to take more of an answer of the API's.
  var unreadTimeout: TimeAmount = .seconds(120)
  /// Clients of an event loop that may leave an answer unread for longer than ``lingerTimeout`` at the same time; each
  /// of them holds what is above the high mark. Beyond it those that have not read for the longest are let go.
  var unreadConnections = 512
  /// How long an unused connection to a plain upstream is kept: below the 5 s after which common local servers close.
  var plainPoolTimeout: TimeAmount = .seconds(4)
  /// The same over TLS, where a new connection is dear and servers keep theirs for minutes.
  var tlsPoolTimeout: TimeAmount = .seconds(55)
  /// Unused connections kept per upstream and event loop.
  var pooledPerUpstream = 256
  /// Bytes of a request held while its upstream is being reached.
  var pendingRequestBytes = 256 * 1024
  /// Bytes of a request's body held until its model is known, and then for as long as it may be sent elsewhere.
  /// A larger body is still relayed, but not chosen for nor repeated once it has outgrown this.
  var heldRequestBytes = 8 * 1024 * 1024
  /// The same for all requests of an event loop together.
  var heldBytesPerLoop = 256 * 1024 * 1024
  /// Largest body that is relayed.
  var requestBytes = 2 << 30
  /// Largest body of a request for the API, none of whose routes takes much of one.
  var localRequestBytes = 1 << 20
  /// Largest head of a request for the API, whose own parser takes no more.
  var localHeadBytes = 64 * 1024
  /// Bytes of unfinished heads and of requests ahead of their turn that an event loop's connections hold together.
  /// Beyond it only heads up to ``smallHeadBytes`` are waited for.
  var inputBytesPerLoop = 64 * 1024 * 1024
  var smallHeadBytes = 16 * 1024
  /// Bytes a client may send ahead of its turn.
  var pipelinedBytes = 64 * 1024
  /// The rest of a request that was answered early is read and dropped up to here, then the connection is closed.
  var drainedBytes = 64 * 1024 * 1024
  /// Above the high mark a peer's reads stop; below the low mark they go on.
  var writeMarks = ChannelOptions.Types.WriteBufferWaterMark(low: 64 * 1024, high: 256 * 1024)
  var requestHead = HeadParser.Limits()
  var responseHead = HeadParser.Limits(headBytes: 256 * 1024, fieldCount: 512)
}
