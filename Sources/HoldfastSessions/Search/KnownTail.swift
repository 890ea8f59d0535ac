// SPDX-License-Identifier: Apache-2.0

/// What was read of a feed behind an index, kept for the next question: of a busy store only what came since is read
/// then. A pure value.
struct KnownTail: Sendable, Equatable {
  /// Which store it is of.
  let identity: String
  /// The position it follows.
  private(set) var start: SearchPosition
  /// The position it reaches to.
  private(set) var end: SearchPosition
  private(set) var steps: [SearchChanges.Step]

  /// Steps it may have; one that would have more is not kept.
  static let mostSteps = 5000

  init(_ changes: SearchChanges, after start: SearchPosition, of identity: String) {
    (self.identity, self.start, end, steps) = (identity, start, changes.end, changes.steps)
  }

  /// Takes in what came after its end.
  mutating func extend(by changes: SearchChanges) {
    steps += changes.steps
    end = changes.end
  }

  /// Lets go of what an index has by now.
  ///
  /// - Returns: false when it cannot tell what came after `cursor`; it is of no use then.
  mutating func drop(through cursor: SearchPosition) -> Bool {
    guard cursor != start else { return steps.count <= Self.mostSteps }
    // Messages come in the order of their numbers; what happened to old ones has none of them.
    guard start.changes == end.changes, cursor.changes == start.changes, start.isWithin(cursor),
      cursor.isWithin(end)
    else { return false }
    steps.removeAll { $0.id <= cursor.messages }
    start = cursor
    return steps.count <= Self.mostSteps
  }
}
