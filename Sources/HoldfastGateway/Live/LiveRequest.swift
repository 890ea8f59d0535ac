// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastUsage
import NIOCore
import Synchronization

/// A request in flight, for those who look at the gateway just now.
///
/// Its event loop writes and anybody may read: single words, each true by itself, in no order among each other. So a
/// piece of an answer costs a few plain stores, whoever looks.
final class LiveRequest: Sendable {
  /// What is known of a request from its head and its body.
  struct Facts: Sendable {
    var provider: String
    var endpoint: WireKind
    var model: String?
    var source: String?
    var session: String?
    var project: String?
  }

  let number: UInt64
  let startedAt: UnixTime
  let start: NIODeadline
  /// Whether it stands in the registry; beyond the registry's bound requests are counted only.
  let isListed: Bool

  private let hasHead = Atomic(false)
  private let bytes = Atomic(0)
  private let pieces = Atomic(0)
  /// Below zero while the answer has not said.
  private let outputTokens = Atomic<Int64>(-1)
  /// Nanoseconds from the start; below zero while there is none.
  private let firstToken = Atomic<Int64>(-1)

  init(number: UInt64, startedAt: UnixTime, start: NIODeadline, isListed: Bool) {
    self.number = number
    self.startedAt = startedAt
    self.start = start
    self.isListed = isListed
  }

  /// The answer has begun.
  func noteHead() { hasHead.store(true, ordering: .relaxed) }

  /// More of the answer's body has come.
  func noteBody(_ count: Int) {
    // Only one thread ever adds.
    bytes.store(bytes.load(ordering: .relaxed) &+ count, ordering: .relaxed)
  }

  /// So much of the model's output has come by.
  func noteOutput(pieces: Int, tokens: Int64?) {
    self.pieces.store(pieces, ordering: .relaxed)
    if let tokens { outputTokens.store(tokens, ordering: .relaxed) }
  }

  func noteFirstToken(at time: NIODeadline) {
    firstToken.store((time - start).nanoseconds, ordering: .relaxed)
  }

  /// How far it is.
  struct Progress: Sendable, Hashable {
    var hasHead: Bool
    var bytes: Int
    var pieces: Int
    var outputTokens: Int64?
    var firstTokenMilliseconds: Int64?
  }

  var progress: Progress {
    let tokens = outputTokens.load(ordering: .relaxed)
    let first = firstToken.load(ordering: .relaxed)
    return Progress(
      hasHead: hasHead.load(ordering: .relaxed), bytes: bytes.load(ordering: .relaxed),
      pieces: pieces.load(ordering: .relaxed), outputTokens: tokens < 0 ? nil : tokens,
      firstTokenMilliseconds: first < 0 ? nil : first / 1_000_000)
  }
}
