// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

@Suite struct DoctorFuzzTests {
  /// Files damaged in every way there is: each gets a verdict, and neither it nor its directory changes.
  @Test func noDamagedFileIsChangedByLookingAtIt_C09() async throws {
    let first = UInt64(ProcessInfo.processInfo.environment["HOLDFAST_FUZZ_SEED"] ?? "") ?? 1
    let count = UInt64(ProcessInfo.processInfo.environment["HOLDFAST_FUZZ_FILES"] ?? "") ?? 200
    var verdicts: [FileVerdict: Int] = [:]
    for seed in first..<(first + count) {
      var random = SplitMix64(seed: seed)
      let (made, given) = (try TemporaryDirectory(), try TemporaryDirectory())
      let donorPlace = try TemporaryDirectory()
      var set = try SampleDatabase(using: &random).build(in: made.path)
      let donor = try SampleDatabase(using: &random).build(in: donorPlace.path)
      // Every kind comes up in turn, now and then with a second one on top.
      let kinds = Mutation.allCases
      kinds[Int(seed) % kinds.count].apply(to: &set, donor: donor, using: &random)
      if random.chance(0.3) {
        kinds.randomElement(using: &random)!.apply(to: &set, donor: donor, using: &random)
      }
      let path = given.file("given.db")
      try set.write(to: path)
      let before = try Self.names(in: given.path)
      do {
        let diagnosis = try await Doctor.examine(path)
        verdicts[diagnosis.verdict, default: 0] += 1
        #expect(diagnosis.holders.isEmpty, "seed \(seed)")
      } catch let error as StoreError {
        #expect(error.code == .cannotOpen && set.files[.database] == nil, "seed \(seed): \(error)")
      }
      #expect(FileSet(at: path) == set, "seed \(seed)")
      #expect(try Self.names(in: given.path) == before, "seed \(seed)")
    }
    print("examined \(count) damaged files from seed \(first): \(verdicts)")
    #expect(verdicts.count > 4)
  }

  /// The names in a directory with the time each was last changed.
  private static func names(in directory: String) throws -> [String: Date] {
    var found: [String: Date] = [:]
    for name in try FileManager.default.contentsOfDirectory(atPath: directory) {
      let attributes = try FileManager.default.attributesOfItem(atPath: directory + "/" + name)
      found[name] = attributes[.modificationDate] as? Date
    }
    return found
  }
}
