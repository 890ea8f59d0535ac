// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

@Suite struct PageMapTests {
  private static func database(_ shape: ImageShape) throws -> (ImageFixture, [UInt8]) {
    let fixture = try ImageFixture(shape)
    defer { fixture.keep() }
    return (fixture, try ImageFixture.recovered(try fixture.killed()))
  }

  @Test func everyPageOfASoundDatabaseHasAnOwner() throws {
    let (_, bytes) = try Self.database(ImageShape(pageSize: 512, autoVacuum: "incremental", seed: 5))
    let map = PageMap(BytesPageSource(bytes, pageSize: 512))
    #expect(map.problems == [])
    #expect(map.objects.map(\.name) == ["plain", "plain_name", "keyed"])
    #expect(map.owner(of: 1) == .schema)
    #expect(map.owner(of: 2) == .pointerMap)
    #expect(map.unreachablePages == [])
    let plain = try #require(map.objects.first)
    #expect(map.pageTotal(of: .table(name: plain.name, root: plain.root)) > 1)
  }

  @Test(arguments: ["plain", "plain_name"])
  func damageIsToldByTheObjectItIsIn(name: String) throws {
    var (fixture, bytes) = try Self.database(ImageShape(pageSize: 512, journalMode: "delete", seed: 6))
    defer { fixture.keep() }
    let sound = PageMap(BytesPageSource(bytes, pageSize: 512))
    let page = try #require(
      (2...sound.pageCount).first {
        switch sound.owner(of: $0) {
        case .table(name, let root): root != $0
        case .index(name, _, let root): root != $0
        default: false
        }
      })
    for index in 0..<512 { bytes[Int(page - 1) * 512 + index] = 0x77 }
    let path = fixture.directory.file("broken")
    try bytes.write(to: path)
    let image = try FileImage(path: path)
    let map = PageMap(image)
    let expected: PageProblem.Kind = name == "plain" ? .table : .index
    #expect(map.problems.first { $0.page == page }?.kind == expected)
    let report = try ImageVFS.open(image).inDatabase { try IntegrityCheck(map).run(on: $0) }
    #expect(!report.isSound)
    #expect(report.findings.contains { $0.kind == expected })
    if expected == .index {
      #expect(report.findings.filter { $0.kind != .index && $0.kind != .freelist } == [])
    }
  }

  @Test func cancellationStopsTheCheck() throws {
    let (fixture, bytes) = try Self.database(ImageShape(journalMode: "delete"))
    defer { fixture.keep() }
    let path = fixture.directory.file("sound")
    try bytes.write(to: path)
    let image = try FileImage(path: path)
    let check = IntegrityCheck(PageMap(image))
    let queue = try ImageVFS.open(image)
    #expect(throws: CancellationError.self) {
      try queue.read { try check.run(on: $0, isCancelled: { true }) }
    }
    // The connection is as good as before.
    #expect(try queue.read { try check.run(on: $0) }.isSound)
  }

  /// No bytes make the code trap or loop; that it returns is the assertion.
  @Test(arguments: 0..<8)
  func noMutationTrapsOrHangs(seed: Int) throws {
    var random = SplitMix64(seed: UInt64(seed) &+ 99)
    let shape = ImageShape(
      pageSize: 512, journalMode: seed % 2 == 0 ? "wal" : "delete",
      autoVacuum: seed % 4 < 2 ? "none" : "full",
      seed: UInt64(seed))
    let fixture = try ImageFixture(shape)
    defer { fixture.keep() }
    let copy = try fixture.killed(transactions: 4)
    let parts = try ["", "-wal", "-journal"].map { suffix in
      fileSize(copy + suffix) == nil ? [] : try [UInt8](contentsOf: copy + suffix)
    }
    let target = fixture.directory.file("mutant")
    for round in 0..<60 {
      for (suffix, part) in zip(["", "-wal", "-journal"], parts) where !part.isEmpty {
        try Self.mutated(part, &random).write(to: target + suffix)
      }
      let image = try ImageFixture.image(target)
      let map = PageMap(image)
      for number in 1...max(1, min(map.pageCount, 40)) { _ = try image.page(number) }
      guard round % 3 == 0, let queue = try? ImageVFS.open(image) else { continue }
      _ = try? queue.inDatabase { try IntegrityCheck(map).run(on: $0) }
    }
  }

  private static func mutated(_ bytes: [UInt8], _ random: inout SplitMix64) -> [UInt8] {
    var bytes = bytes
    for _ in 0..<Int.random(in: 0...12, using: &random) where !bytes.isEmpty {
      // Headers and pointers are where structure is.
      let at =
        random.chance(0.5)
        ? min(bytes.count - 1, Int.random(in: 0..<130, using: &random))
        : Int.random(in: 0..<bytes.count, using: &random)
      switch Int.random(in: 0..<5, using: &random) {
      case 0: bytes[at] = UInt8.random(in: .min ... .max, using: &random)
      case 1: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      case 2: for index in at..<min(bytes.count, at + 64) { bytes[index] = random.chance(0.5) ? 0 : 0xff }
      case 3:
        let from = Int.random(in: 0..<bytes.count, using: &random)
        let length = min(512, bytes.count - max(at, from))
        bytes.replaceSubrange(at..<(at + length), with: Array(bytes[from..<(from + length)]))
      default: if random.chance(0.15) { bytes = Array(bytes[..<at]) }
      }
    }
    return bytes
  }
}
