// SPDX-License-Identifier: Apache-2.0

import HoldfastTestKit
import Testing

@testable import HoldfastEngine

/// Who got how many turns, counted in turns and not in time: that holds on a busy machine too.
struct TurnCount: CustomStringConvertible {
  /// Turns of each writer.
  let counts: [Int]
  /// The most turns others had between two of one writer's, the start and the end included.
  let longestWait: Int

  /// - Parameters:
  ///   - order: who wrote each row, in the order of the commits.
  ///   - writers: who wanted to write, from the first commit on. nil counts those who did, from when all of
  ///     them had been served once: processes do not start in the same moment.
  init(order: [Int], writers: [Int]? = nil) {
    var appeared: Set<Int> = []
    let everybody = Set(order).count
    let start = order.firstIndex { writer in
      appeared.insert(writer)
      return appeared.count == everybody
    }
    let counted = writers == nil ? order[(start ?? order.endIndex)...] : order[...]
    var counts: [Int: Int] = [:]
    for writer in writers ?? [] { counts[writer] = 0 }
    var last = counts
    var longest = 0
    for (place, writer) in counted.enumerated() {
      counts[writer, default: 0] += 1
      longest = max(longest, place - (last[writer] ?? 0))
      last[writer] = place
    }
    for place in last.values { longest = max(longest, counted.count - place) }
    self.counts = counts.values.sorted()
    longestWait = longest
  }

  /// Jain's index: 1 when all are even, 1/n when one has everything.
  var jain: Double {
    let sum = Double(counts.reduce(0, +))
    return sum * sum / Double(max(1, counts.count * counts.map { $0 * $0 }.reduce(0, +)))
  }

  /// The fewest against the most.
  var evenness: Double { Double(counts.first ?? 0) / Double(max(1, counts.last ?? 0)) }

  var description: String {
    let ratio = Double(Int(evenness * 1000)) / 1000
    return "\(counts.first ?? 0)…\(counts.last ?? 0) turns each (\(ratio)), longest wait \(longestWait) turns"
  }
}

@Suite(.serialized) struct FairnessTests {
  private func run(_ test: PeerTest, writers: Int, turns: Int, plain: Bool) async throws -> TurnCount {
    if plain {
      // The baseline's file is made as the engine would, but for the lane.
      let file = try await test.open()
      await file.close()
    }
    let group = try test.start(writers, of: .turns, count: UInt64(writers * turns)) { $0.isPlain = plain }
    try await group.pass("start")
    for ending in await group.end() { #expect(ending == .exited(0)) }
    // A convoy may serve the last of them when the run is all but over.
    return TurnCount(order: try test.numbersInFile(), writers: plain ? Array(101..<(101 + writers)) : nil)
  }

  /// Every writer gets its turn in every round; beside it the same with SQLite's busy handler, in which the
  /// one that has just committed is the one that finds the lock free.
  @Test func sixteenProcessesGetTheirTurnsEvenly_A02() async throws {
    let ours = try await run(PeerTest(), writers: 16, turns: isSoak ? 300 : 60, plain: false)
    let theirs = try await run(PeerTest(), writers: 16, turns: isSoak ? 300 : 60, plain: true)
    print("16 processes, the lane: \(ours); SQLite's busy handler: \(theirs)")
    #expect(ours.counts.count == 16)
    // The queue is 16 long; whoever the system does not let run before its turn would come misses a round,
    // which happens where all tests run at once. The strict figures are for a machine with nothing else to do.
    #expect(ours.jain >= 0.99, "\(ours)")
    #expect(ours.evenness >= (isSoak ? 0.95 : 0.75), "\(ours)")
    #expect(ours.longestWait <= 16 * 8, "\(ours)")
    if isSoak { #expect(ours.longestWait * 100 <= theirs.longestWait, "\(ours), \(theirs)") }
    #expect(theirs.evenness < ours.evenness, "the baseline shows no convoy: \(theirs)")
  }

  @Test func turnsAreCountedFromWhenAllAreThere() {
    let count = TurnCount(order: [1, 1, 1, 2, 1, 2, 2, 2])
    #expect(count.counts == [1, 4])
    #expect(count.longestWait == 4)
    let convoy = TurnCount(order: [1, 1, 1, 2], writers: [1, 2, 3])
    #expect(convoy.counts == [0, 1, 3])
    #expect(convoy.longestWait == 4)
    #expect(TurnCount(order: [1, 2, 1, 2], writers: [1, 2]).jain == 1)
    #expect(convoy.jain < 0.6)
  }
}
