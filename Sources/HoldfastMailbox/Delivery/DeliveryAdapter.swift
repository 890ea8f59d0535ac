// SPDX-License-Identifier: Apache-2.0

import Foundation

/// What came of an attempt to deliver.
public enum DeliveryOutcome: Sendable, Hashable {
  /// The receiver has it.
  case delivered
  /// It failed for a reason that may pass: a time-out, a connection that was reset, a server that is busy (row E05).
  ///
  /// - Parameter retryAfter: how long the receiver asked to be left alone.
  case transient(reason: String, retryAfter: Duration? = nil)
  /// It failed for a reason that trying again does not change: it becomes a dead letter at once.
  case permanent(reason: String)
}

/// Carries messages of one or more kinds to where they go.
///
/// It is called for one message of a kind and mailbox at a time, and for several mailboxes at once. It may be called
/// again for a message it has delivered, when the host died before that was written down: then with the same
/// ``Delivery/idempotencyKey``.
public protocol DeliveryAdapter: Sendable {
  /// What it is called in logs, as in `command`.
  var name: String { get }
  /// No attempt takes longer; the adapter itself sees to that.
  var timeLimit: Duration { get }
  /// Carries a message, once. It does not throw: whatever goes wrong, it says whether it may pass.
  func deliver(_ delivery: Delivery) async -> DeliveryOutcome
}

extension Delivery {
  /// The JSON an adapter sends.
  package func json() throws -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return Array(try encoder.encode(self))
  }
}
