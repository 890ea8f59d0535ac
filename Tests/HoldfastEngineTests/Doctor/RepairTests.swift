// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

/// Damaged files of other programs, from the doctor's plan to a sound file.
@Suite(.serialized) struct RepairTests {
  private let directory: TemporaryDirectory
  private var path: String { directory.file("given.db") }

  init() throws { directory = try TemporaryDirectory() }

  /// 400 notes with an index, in a journal mode; with `inWAL` half of them are in the -wal of a killed writer.
  private func make(_ mode: String = "delete", inWAL: Bool = false) throws {
    let made = try TemporaryDirectory()
    let peer = try ForeignConnection(made.file("given.db"))
    try peer.run(
      """
      PRAGMA journal_mode = \(mode); PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = OFF;
      CREATE TABLE note(id INTEGER PRIMARY KEY, text TEXT); CREATE INDEX note_text ON note(text);
      \(Self.rows(1...200))
      """)
    if inWAL { _ = try peer.text("PRAGMA wal_checkpoint(TRUNCATE)") }
    try peer.run(Self.rows(201...400))
    if mode == "wal", !inWAL { _ = try peer.text("PRAGMA wal_checkpoint(TRUNCATE)") }
    var set = FileSet(at: made.file("given.db"))
    if !inWAL { set.files[.wal] = nil }
    set.files[.sharedMemory] = nil
    try set.write(to: path)
    unsafe chmod(path, 0o640)
  }

  private static func rows(_ numbers: ClosedRange<Int>) -> String {
    """
    WITH RECURSIVE n(i) AS (SELECT \(numbers.lowerBound) UNION ALL SELECT i + 1 FROM n WHERE i < \(numbers.upperBound))
    INSERT INTO note SELECT i, printf('text %06d %.*c', i, 400, 'x') FROM n;
    """
  }

  private func overwrite(_ range: Range<Int>, with byte: UInt8) throws {
    var bytes = try [UInt8](contentsOf: path)
    for at in range { bytes[at] = byte }
    try bytes.write(to: path)
  }

  /// The third leaf of a tree.
  private func leaf(of name: String) throws -> Int {
    let text = try ForeignConnection(path).text(
      "SELECT pageno FROM dbstat WHERE name = '\(name)' AND pagetype = 'leaf' LIMIT 1 OFFSET 2")
    return try #require(text.flatMap { Int($0) })
  }

  private func plan() async throws -> RepairPlan {
    let subject = try #require(try Doctor.subjects(of: path).first)
    return try await DoctorRepair.examine(subject).plan
  }

  private func count(_ sql: String = "SELECT count(*) FROM note") throws -> Int? {
    try ForeignConnection(path).text(sql).flatMap { Int($0) }
  }

  private func integrity() throws -> String? { try ForeignConnection(path).text("PRAGMA integrity_check") }

  private func kept() -> [QuarantineEntry] { Quarantine.entries(of: path) }

  private func names() throws -> Set<String> {
    Set(try FileManager.default.contentsOfDirectory(atPath: directory.path))
  }

  @Test(arguments: [100, 4096])
  func aFirstPageOverwrittenBesideAWALComesBackWithEveryRow_C06(overwritten: Int) async throws {
    try make("wal", inWAL: true)
    try overwrite(0..<overwritten, with: 0xa5)
    let before = FileSet(at: path)
    #expect(before.files[.wal]!.count > 200_000)
    let plan = try await plan()
    #expect(plan.verdict == .notADatabase && plan.action == .rebuild)
    #expect(FileSet(at: path) == before)
    let report = try await DoctorRepair.carryOut(plan)
    #expect(report.isHealthy)
    #expect(report.tables.map(\.name) == ["note"] && report.tables.first?.recovered == 400)
    #expect(try count() == 400)
    #expect(try integrity() == "ok")
    // As it was: its mode, its journal mode, and nothing beside it that was not there.
    #expect(FileFacts.Entry(path: path)?.mode == 0o640)
    #expect(try ForeignConnection(path).text("PRAGMA journal_mode") == "wal")
    #expect(try names().subtracting(["given.db-shm", "given.db-wal"]) == ["given.db", "quarantine"])
    let entry = try #require(kept().first)
    #expect(entry.manifest.state == .resolved && entry.directory == report.quarantine)
    #expect(FileSet(at: entry.directory + "/given.db") == before)
  }

  @Test func aDatabaseThatIsGoneComesBackFromItsWAL_C05() async throws {
    try make("wal", inWAL: false)
    let made = FileSet(at: path)
    let peer = try ForeignConnection(path)
    try peer.run("PRAGMA wal_autocheckpoint = 0; UPDATE note SET text = 'changed'; VACUUM")
    var set = FileSet(at: path)
    set.files[.database] = []
    let place = try TemporaryDirectory()
    try set.write(to: place.file("orphan.db"))
    let subject = try #require(try Doctor.subjects(of: place.file("orphan.db")).first)
    let plan = try await DoctorRepair.examine(subject).plan
    #expect(plan.verdict == .walOrphan)
    #expect(try await DoctorRepair.carryOut(plan).isHealthy)
    let found = try ForeignConnection(place.file("orphan.db")).text(
      "SELECT count(*) FROM note WHERE text = 'changed'")
    #expect(found == "400")
    #expect(made.files[.wal] == nil)
  }

  @Test func aDamagedIndexIsBuiltAnewWhereItIs_C07() async throws {
    try make()
    let page = try leaf(of: "note_text")
    try overwrite(page * 4096 - 100..<page * 4096 - 60, with: UInt8(ascii: "y"))
    let before = FileSet(at: path)
    let identity = FileIdentity(path: path)
    let plan = try await plan()
    #expect(plan.verdict == .indexDamaged && plan.action == .reindex)
    let report = try await DoctorRepair.carryOut(plan)
    #expect(report.isHealthy)
    #expect(report.actions.contains { $0.contains("note_text") })
    #expect(FileIdentity(path: path) == identity)
    #expect(try count() == 400)
    #expect(try count("SELECT count(*) FROM note INDEXED BY note_text WHERE text > 'text'") == 400)
    let entry = try #require(kept().first)
    #expect(entry.manifest.state == .copied)
    #expect(FileSet(at: entry.directory + "/given.db") == before)
  }

  /// SQLite cannot drop a tree it cannot walk.
  @Test func anIndexWhosePagesMakeNoSenseCostsNoRow_C07() async throws {
    try make()
    let page = try leaf(of: "note_text")
    try overwrite((page - 1) * 4096..<(page - 1) * 4096 + 200, with: 0xff)
    let before = FileSet(at: path)
    let scan = try ForeignScan(of: before)
    #expect(scan.total == 400)
    let plan = try await plan()
    #expect(plan.verdict == .indexDamaged)
    #expect(try await DoctorRepair.carryOut(plan).isHealthy)
    let after = try ForeignScan(of: FileSet(at: path), checks: true)
    #expect(after.integrity == "ok" && scan.replaced(in: after) == 0 && after.total == 400)
    #expect(try count("SELECT count(*) FROM note INDEXED BY note_text WHERE text > 'text'") == 400)
    #expect(kept().contains { FileSet(at: $0.directory + "/given.db") == before })
  }

  @Test func aDamagedTableIsSalvagedAndNeverReindexed_C07() async throws {
    try make()
    let page = try leaf(of: "note")
    try overwrite((page - 1) * 4096..<(page - 1) * 4096 + 200, with: 0xff)
    let scan = try ForeignScan(of: FileSet(at: path))
    let plan = try await plan()
    #expect(plan.verdict == .damaged && plan.action == .rebuild)
    let report = try await DoctorRepair.carryOut(plan)
    #expect(report.isHealthy)
    let after = try ForeignScan(of: FileSet(at: path), checks: true)
    #expect(after.integrity == "ok")
    #expect(scan.replaced(in: after) == 0)
    // What lies behind the damage comes back too, which a plain scan does not reach.
    #expect(after.total > scan.total && after.total >= 380)
    #expect(report.tables.first { $0.name == "note" }.map { $0.recovered >= $0.scanned } == true)
  }

  @Test func whatHoldsNothingIsLeftAsItIs_C05() async throws {
    try make()
    let size = try [UInt8](contentsOf: path).count
    for bytes in [[UInt8](repeating: 0, count: size), Array("GIF89a, a picture".utf8)] {
      try bytes.write(to: path)
      let names = try names()
      await #expect { try await DoctorRepair.carryOut(plan()) } throws: {
        ($0 as? StoreError)?.code == .damaged && ($0 as? StoreError)?.message.contains("backup") == true
      }
      #expect(try [UInt8](contentsOf: path) == bytes)
      #expect(try self.names() == names)
    }
  }

  @Test func aFileThatChangedSinceItWasExaminedIsNotTouched_C02() async throws {
    try make()
    let page = try leaf(of: "note")
    try overwrite((page - 1) * 4096..<(page - 1) * 4096 + 200, with: 0xff)
    let plan = try await plan()
    try overwrite(0..<1, with: UInt8(ascii: "S"))
    let before = FileSet(at: path)
    await #expect { try await DoctorRepair.carryOut(plan) } throws: {
      ($0 as? StoreError)?.code == .transient
    }
    #expect(FileSet(at: path) == before)
    #expect(try names() == ["given.db"])
  }

  @Test func theSameCopyIsKeptOnceAndOfDifferentOnesThree_C09() async throws {
    try make()
    let page = try leaf(of: "note_text")
    let sound = try [UInt8](contentsOf: path)
    for damage in [1, 1, 2, 3, 4, 5] as [UInt8] {
      try sound.write(to: path)
      try overwrite((page - 1) * 4096 + 1000..<(page - 1) * 4096 + 1200, with: damage)
      #expect(try await DoctorRepair.carryOut(plan()).isHealthy)
    }
    let kept = try kept().map {
      try [UInt8](contentsOf: $0.directory + "/given.db")[(page - 1) * 4096 + 1000]
    }
    #expect(kept == [3, 4, 5])
  }

  @Test func anotherDatabaseAtThePathIsNotReplacedByASetThatWasPutAside_C06() async throws {
    try make("wal", inWAL: true)
    try overwrite(0..<4096, with: 0)
    _ = try await DoctorRepair.carryOut(plan())
    let entry = try #require(kept().first)
    let before = try [UInt8](contentsOf: path)
    let subject = try #require(try Doctor.subjects(of: entry.directory).first)
    let plan = try await DoctorRepair.examine(subject).plan
    await #expect { try await DoctorRepair.carryOut(plan) } throws: {
      ($0 as? StoreError)?.message.contains("was not put there") == true
    }
    #expect(try [UInt8](contentsOf: path) == before)
  }

  /// A sidecar that came to lie at an empty path would be applied to the new database.
  @Test func straySidecarsDoNotGetIntoTheRepairedDatabase_C06() async throws {
    try make("wal", inWAL: true)
    try overwrite(0..<4096, with: 0)
    let lane = try WriteLane(databasePath: path)
    try lane.enter()
    let entry = try Quarantine.move(setOf: path, verdict: .notADatabase, reason: "A test.", lane: lane)
    lane.leave()
    let stray = try [UInt8](contentsOf: entry.directory + "/given.db-wal")
    try stray.write(to: path + "-journal")
    let report = try await DoctorRepair.carryOut(plan())
    #expect(report.isHealthy && report.quarantine == entry.directory)
    #expect(try count() == 400)
    #expect(!FileManager.default.fileExists(atPath: path + "-journal"))
    #expect(kept().map(\.manifest.state) == [.resolved, .resolved])
  }
}
