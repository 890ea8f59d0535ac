// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

/// Setting a set of files aside, and what an interruption leaves.
@Suite struct QuarantineTests {
  private struct Stopped: Error {}

  /// A directory with a set of files whose contents are known.
  private struct Place {
    let directory: TemporaryDirectory
    let lane: WriteLane
    static let contents: [String: [UInt8]] = [
      "a.db": [UInt8](repeating: 0, count: 5000), "a.db-wal": Array("abc".utf8),
      "a.db-shm": [UInt8](repeating: 3, count: 70_000), "a.db-journal": [],
    ]

    init() throws {
      directory = try TemporaryDirectory()
      lane = try WriteLane(databasePath: directory.file("a.db"))
      for (name, bytes) in Self.contents { try bytes.write(to: directory.file(name)) }
      try lane.enter()
    }

    var path: String { directory.file("a.db") }

    /// Moves and stops behind the step of this number.
    func move(stoppingAt number: Int? = nil) throws -> QuarantineEntry {
      var steps = 0
      return try Quarantine.move(setOf: path, verdict: .zeroed, reason: "a.db is empty.", lane: lane) { _ in
        if steps == number { throw Stopped() }
        steps += 1
      }
    }

    func finish(stoppingAt number: Int? = nil) throws -> [QuarantineEntry] {
      var steps = 0
      return try Quarantine.finish(of: path, lane: lane) { _ in
        if steps == number { throw Stopped() }
        steps += 1
      }
    }

    /// Every file of the set wherever it is now, by its path below the directory.
    func files() throws -> [String: [UInt8]] {
      var found: [String: [UInt8]] = [:]
      for name in try FileManager.default.subpathsOfDirectory(atPath: directory.path)
      where Self.contents[name.fileName] != nil {
        found[name] = try [UInt8](contentsOf: directory.file(name))
      }
      return found
    }
  }

  @Test func aSetIsSetAsideWholeWithItsManifest_C05() throws {
    let place = try Place()
    let entry = try place.move()
    let names = try FileManager.default.contentsOfDirectory(atPath: entry.directory)
    #expect(Set(names) == Set(Place.contents.keys).union(["manifest.json"]))
    #expect(entry.manifest.files.last?.name == "a.db")
    for file in entry.manifest.files { #expect(file.bytes == Int64(Place.contents[file.name]!.count)) }
    // FIPS 180-2, appendix B.1.
    #expect(
      entry.manifest.files.first { $0.name == "a.db-wal" }?.sha256
        == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    #expect(Quarantine.entries(of: place.path) == [entry])
    #expect(Quarantine.entries(of: place.directory.file("a")).isEmpty)
    let modes = try [entry.directory, entry.directory + "/manifest.json"].map {
      try FileManager.default.attributesOfItem(atPath: $0)[.posixPermissions] as? Int
    }
    #expect(modes == [0o700, 0o600])
    let resolved = try Quarantine.resolve(entry)
    #expect(resolved.manifest.state == .resolved)
    #expect(Quarantine.entries(of: place.path) == [resolved])
  }

  /// The move is stopped behind each of its steps, and so is each attempt to complete it.
  @Test func anInterruptedMoveIsCompletedAndNothingIsLost_C05_C06() throws {
    var first = 0
    var isInterrupted = true
    while isInterrupted {
      var second = 0
      var isCompleted = false
      while !isCompleted {
        let place = try Place()
        isInterrupted = (try? place.move(stoppingAt: first)) == nil
        try check(place, "stopped at \(first)")
        isCompleted = (try? place.finish(stoppingAt: second)) != nil
        try check(place, "stopped at \(first), then at \(second)")
        _ = try place.finish()
        try check(place, "stopped at \(first), then at \(second), then completed")
        let entries = Quarantine.entries(of: place.path)
        #expect(
          try FileManager.default.subpathsOfDirectory(atPath: place.directory.path)
            .allSatisfy { !$0.hasSuffix(".moving") && !$0.hasSuffix(".new") })
        // Behind the second step nothing is noted yet: the set stays, to be judged anew.
        let isNoted = first >= 2
        #expect(entries.map(\.manifest.state) == (isNoted ? [.complete] : []))
        #expect(entries.allSatisfy { $0.manifest.files.count == 4 && $0.manifest.leftBehind.isEmpty })
        #expect(FileManager.default.fileExists(atPath: place.path) != isNoted)
        second += 1
      }
      first += 1
    }
    // Directory, staging, manifest, four files, seal, name: and one run that nothing stopped.
    #expect(first == 10)
  }

  /// Every file is somewhere exactly once with its bytes, and the database is never without its sidecars.
  private func check(_ place: Place, _ when: String) throws {
    let files = try place.files()
    #expect(files.count == Place.contents.count, "\(when)")
    for (name, bytes) in files { #expect(Place.contents[name.fileName] == bytes, "\(when): \(name)") }
    if files["a.db"] == nil {
      #expect(!files.keys.contains { !$0.hasPrefix("quarantine/") }, "\(when)")
    }
  }

  @Test func aDatabasePutBackBeforeTheMoveIsCompletedStays_C05() throws {
    let place = try Place()
    // Behind the -wal's move.
    #expect(throws: Stopped.self) { _ = try place.move(stoppingAt: 3) }
    let restored = Array("a backup".utf8)
    try restored.write(to: place.path)
    let entry = try #require(try place.finish().first)
    #expect(try [UInt8](contentsOf: place.path) == restored)
    #expect(entry.manifest.leftBehind == ["a.db"])
    #expect(entry.manifest.files.map(\.name) == ["a.db-wal", "a.db-shm", "a.db-journal"])
  }

  @Test func aLinkWhereTheQuarantineBelongsIsRefused_C05() throws {
    let place = try Place()
    let elsewhere = try TemporaryDirectory()
    try FileManager.default.createSymbolicLink(
      atPath: place.directory.file("quarantine"), withDestinationPath: elsewhere.path)
    #expect { try place.move() } throws: { ($0 as? StoreError)?.code == .permission }
    #expect(try Set(place.files().keys) == Set(Place.contents.keys))
  }
}
