// SPDX-License-Identifier: Apache-2.0

/// A database damaged in a way that follows from its number alone.
public struct MutatedFile: Sendable {
  /// The number it was drawn from.
  public let seed: UInt64
  /// What was done to it, in order.
  public let kinds: [Mutation]
  /// The damaged files.
  public let set: FileSet

  /// Builds a sample and damages it. Every kind of damage comes up in turn, now and then with another on top.
  public init(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    let (made, donorPlace) = (try TemporaryDirectory(), try TemporaryDirectory())
    var set = try SampleDatabase(using: &random).build(in: made.path)
    let donor = try SampleDatabase(using: &random).build(in: donorPlace.path)
    let all = Mutation.allCases
    var kinds = [all[Int(seed % UInt64(all.count))]]
    if random.chance(0.3) { kinds.append(all.randomElement(using: &random)!) }
    for kind in kinds { kind.apply(to: &set, donor: donor, using: &random) }
    self.seed = seed
    self.kinds = kinds
    self.set = set
  }
}
