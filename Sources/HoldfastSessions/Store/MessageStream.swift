// SPDX-License-Identifier: Apache-2.0

/// A message that is written while it is still being said; made by ``SessionStore/appendStreaming(_:to:)``.
///
/// Its pieces reach the store together, so that a model's hundreds of deltas cost a few commits; the end is durable
/// when ``finish(_:)`` returns. While the store cannot be written the pieces wait in memory. When this process dies,
/// what was written stays, marked as `streaming`.
public protocol MessageStream: Sendable {
  /// What the store calls the message.
  var uid: String { get }

  /// Its place in the session.
  var seq: Int64 { get }

  /// Takes another piece of the text; does not wait for the store. Ignored once the message is finished.
  func add(_ piece: String) async

  /// Writes what is left and ends the message; it is durable when this returns.
  ///
  /// - Parameter end: what is known at the end: finish reason, counts, cost, tool calls. Its content, when it is
  ///   not empty, replaces what was gathered; what it does not say stays as it was at the beginning.
  /// - Throws: the store's error when it could not be written; the stream can be finished again then.
  ///   ``SessionError`` `notFound` when the message is gone, or was ended already.
  @discardableResult
  func finish(_ end: NewMessage?) async throws -> MessageAcknowledgement
}

extension MessageStream {
  /// Writes what is left and ends the message.
  @discardableResult
  public func finish() async throws -> MessageAcknowledgement { try await finish(nil) }
}
