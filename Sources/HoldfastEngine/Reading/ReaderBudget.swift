// SPDX-License-Identifier: Apache-2.0

import GRDB
import Synchronization

/// How many reading connections the process may have, over all its files (row B08).
///
/// A connection costs three descriptors in WAL mode; an outage of 5.5 hours began with 750 of them.
enum ReaderBudget {
  static let limit = 64
  private static let taken = Atomic<Int>(0)

  /// Takes one if there is one left.
  static func take() -> Bool {
    if taken.add(1, ordering: .relaxed).newValue <= limit { return true }
    giveBack()
    return false
  }

  static func giveBack() { taken.subtract(1, ordering: .relaxed) }
}

/// What the readers need of the writer when they cannot help themselves.
protocol ReadFallback: Sendable {
  /// Runs a read on the writer's connection. Blocks.
  func read(by deadline: ContinuousClock.Instant, _ body: @escaping (Database) throws -> Void) throws
  /// Has the file looked at, and opened anew if the path stands for another one. Blocks.
  func settle(by deadline: ContinuousClock.Instant) throws
}
