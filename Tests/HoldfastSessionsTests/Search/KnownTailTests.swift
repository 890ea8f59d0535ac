// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import HoldfastSessions

@Suite struct KnownTailTests {
  private func at(_ messages: Int64, _ changes: Int64 = 0) -> SearchPosition {
    SearchPosition(messages: messages, changes: changes)
  }

  /// What is left of a tail once the index has a position; nil when it is of no use then.
  private func left(_ tail: KnownTail, _ cursor: SearchPosition) -> KnownTail? {
    var tail = tail
    return tail.drop(through: cursor) ? tail : nil
  }

  private func steps(_ ids: ClosedRange<Int64>) -> [SearchChanges.Step] {
    ids.map { .init(id: $0, document: nil) }
  }

  @Test func itGrowsAtItsEndAndShrinksWhereTheIndexFollows() {
    var tail = KnownTail(SearchChanges(steps: steps(11...13), end: at(13)), after: at(10), of: "a")
    tail.extend(by: SearchChanges(steps: steps(14...15), end: at(16)))
    #expect(left(tail, at(10))?.steps.map(\.id) == [11, 12, 13, 14, 15])
    let shorter = left(tail, at(14))
    #expect(shorter?.steps.map(\.id) == [15])
    #expect(shorter?.start == at(14) && shorter?.end == at(16))
    #expect(left(tail, at(16))?.steps.isEmpty == true)
  }

  @Test func itIsOfNoUseToAnIndexItDoesNotMeet() {
    let tail = KnownTail(SearchChanges(steps: steps(11...13), end: at(13)), after: at(10), of: "a")
    // One that is behind it, one that is ahead, one that has followed a change it knows nothing of.
    for cursor in [at(9), at(14), at(12, 1)] { #expect(left(tail, cursor) == nil) }
  }

  @Test func changesToOldMessagesKeepItWhole() {
    // Message 3 was edited: its number says nothing of when.
    let edited = SearchChanges(steps: steps(11...12) + steps(3...3), end: at(12, 1))
    let tail = KnownTail(edited, after: at(10), of: "a")
    #expect(left(tail, at(10))?.steps.map(\.id) == [11, 12, 3])
    #expect(left(tail, at(11)) == nil)
    #expect(left(tail, at(12, 1)) == nil)
  }

  @Test func itIsBounded() {
    let most = Int64(KnownTail.mostSteps)
    var tail = KnownTail(SearchChanges(steps: steps(1...most), end: at(most)), after: at(0), of: "a")
    #expect(left(tail, at(0)) != nil)
    tail.extend(by: SearchChanges(steps: steps(most + 1...most + 1), end: at(most + 1)))
    #expect(left(tail, at(0)) == nil)
  }
}
