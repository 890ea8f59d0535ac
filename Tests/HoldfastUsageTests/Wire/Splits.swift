// SPDX-License-Identifier: Apache-2.0

import HoldfastUsage

/// A generator that one seed replays (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var word = state
    word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
    word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
    return word ^ word >> 31
  }
}

/// Ways of cutting a stream.
enum Splits {
  /// Reads `bytes` in the pieces that `cuts` make.
  static func read(
    _ bytes: [UInt8], kind: WireKind, streaming: Bool = true, cuts: [Int] = []
  ) -> WireUsage {
    var extractor = UsageExtractor(kind: kind, streaming: streaming)
    var start = 0
    for cut in cuts + [bytes.count] {
      extractor.consume(Array(bytes[start..<cut]))
      start = cut
    }
    return extractor.finish()
  }

  /// Every way of cutting `count` bytes in two, then one byte at a time, then a hundred random ways.
  static func all(of count: Int, seed: UInt64) -> [[Int]] {
    var generator = SeededGenerator(seed: seed)
    var ways = (1..<count).map { [$0] }
    ways.append(Array(1..<count))
    for _ in 0..<100 {
      let pieces = Int.random(in: 2...40, using: &generator)
      ways.append((0..<pieces).map { _ in Int.random(in: 0...count, using: &generator) }.sorted())
    }
    return ways
  }
}
