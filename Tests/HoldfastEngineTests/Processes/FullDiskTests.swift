// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

/// A disk, or a database, without room.
@Suite(.serialized) struct FullDiskTests {
  enum Kind: CaseIterable {
    /// The -wal grows until it has no room.
    case wal
    /// The database has no room for what is to be folded back, and then the -wal has none.
    case checkpoint
    /// The same disk with a rollback journal.
    case rollback
  }

  #if os(Linux)
    /// A small filesystem of the peer's own, in a mount namespace that ends with it.
    private static let mount = """
      mount -t tmpfs -o size=7m,mode=0700 tmpfs "$0" || exit 77; exec "$@"
      """

    @Test(arguments: Kind.allCases)
    func aFullDiskIsToldAndWritingGoesOnWithRoomAgain_C10(kind: Kind) async throws {
      guard FileManager.default.isExecutableFile(atPath: "/usr/bin/unshare") else {
        print("not tried: there is no /usr/bin/unshare to mount a small filesystem with")
        return
      }
      let test = try PeerTest()
      let directory = test.directory.file("small")
      try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
      var settings = PeerSettings(
        database: directory + "/numbers.db", spool: test.directory.file("spool"), first: 1)
      settings.checkpointPages = kind == .checkpoint ? 50 : kind == .wal ? 100_000 : nil
      settings.filesystem = kind == .rollback ? "virtiofs" : nil
      let unshare = getuid() == 0 ? ["--mount"] : ["--mount", "--map-root-user"]
      let peer = try PeerProcess.start(
        "/usr/bin/unshare",
        arguments: unshare + ["sh", "-c", Self.mount, directory, test.peer]
          + settings.arguments(for: EngineScenarioName.fillDisk.rawValue))
      do {
        try await peer.pass("start")
      } catch {
        print(
          "not tried: no filesystem can be mounted here (\(await peer.end())); it needs root or user namespaces"
        )
        return
      }
      var last: String?
      while let word = await peer.word() {
        if word.hasPrefix("wrong") { Issue.record("\(word)") }
        last = word
      }
      #expect(await peer.end() == .exited(0))
      let parts = (last ?? "").split(separator: " ")
      #expect(parts.count == 4 && parts[0] == "rows" && parts[2] == "refused", "\(last ?? "nothing")")
      #expect(parts.dropFirst().first.flatMap { Int($0) } ?? 0 > 50)
      print("a full disk, \(kind): \(last ?? "nothing")")
    }
  #endif

  /// SQLite's own limit ends in the same error as the disk's, inside a statement or a commit.
  @Test func aDatabaseAtItsPageLimitRefusesAndGoesOnWhenItIsRaised_C10() async throws {
    let test = try PeerTest()
    let file = try await test.open()
    try await file.write { db in
      try db.execute(sql: "CREATE TABLE filler(text BLOB); PRAGMA max_page_count = 30")
    }
    var written = 0
    var refusal: StoreError?
    while refusal == nil {
      do {
        try await file.write { [written] db in
          try insertNumber(written)(db)
          try db.execute(sql: "INSERT INTO filler VALUES (zeroblob(10000))")
        }
        written += 1
        if written > 1000 { break }
      } catch {
        refusal = error as? StoreError
      }
    }
    #expect(refusal?.code == .diskFull, "\(refusal.map { "\($0)" } ?? "none")")
    #expect(refusal?.outcome == .notApplied)
    #expect(written > 2)
    // Those who share a transaction with one that is too large are not touched.
    let before = written
    await withTaskGroup(of: Bool.self) { group in
      for number in 0..<10 {
        group.addTask {
          do {
            try await file.write { db in
              try insertNumber(1000 + number)(db)
              if number % 2 == 0 { try db.execute(sql: "INSERT INTO filler VALUES (zeroblob(100000))") }
            }
            return true
          } catch {
            return (error as? StoreError)?.code != .diskFull
          }
        }
      }
      for await isWritten in group where isWritten { written += 1 }
    }
    #expect(written == before + 5)
    #expect(try await file.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM number") } == written)
    try await file.write { try $0.execute(sql: "PRAGMA max_page_count = 100000") }
    try await file.write { db in
      try insertNumber(2000)(db)
      try db.execute(sql: "INSERT INTO filler VALUES (zeroblob(100000))")
    }
    await file.close()
    #expect(try test.numbersInFile().count == written + 1)
    #expect(try test.integrity() == "ok")
  }

  /// A -shm that cannot grow comes after the frames were written: the disk is full, and the outcome not known.
  @Test func theSharedMemoryWithoutRoomIsAFullDiskToo_C10() {
    let error = StoreError(
      DatabaseError(resultCode: ResultCode(rawValue: 4874)), path: "/a.db", doing: "Writing to",
      outcome: .unknown)
    #expect(error.code == .diskFull)
    #expect(error.outcome == .unknown)
    var batch = BatchMachine<Int>()
    _ = batch.admit(1)
    #expect(batch.commitFailed(ResultClass(extendedCode: 4874)).outcome == .unknown)
  }
}
