// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// Until when the next bytes of a request's body are waited for (row G07).
///
/// A client has `allowance` from the head on. Every byte earns it a little more, never beyond `allowance` from now: who
/// sends at the least rate or faster is never cut off, who sends a byte now and then is, as soon as who sends nothing.
/// Time in which the gateway itself would not read is the client's: see ``restart(at:)``.
struct BodyPace: Sendable {
  private let allowance: TimeAmount
  private let perByte: Int64
  private(set) var due: NIODeadline

  /// - Parameters:
  ///   - allowance: how long a body may rest.
  ///   - leastRate: bytes a second, at least 1.
  init(allowance: TimeAmount, leastRate: Int, now: NIODeadline) {
    self.allowance = allowance
    perByte = 1_000_000_000 / Int64(max(leastRate, 1))
    due = now + allowance
  }

  /// So many bytes have come.
  mutating func received(_ count: Int, at now: NIODeadline) {
    let earned = min(Int64(count), allowance.nanoseconds / max(perByte, 1) + 1) * perByte
    due = min(due + .nanoseconds(earned), now + allowance)
  }

  /// The body was not read for a while, for no fault of the client's.
  mutating func restart(at now: NIODeadline) { due = now + allowance }
}
