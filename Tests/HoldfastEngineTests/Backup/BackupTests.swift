// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastTestKit
import Synchronization
import Testing

@testable import HoldfastEngine

@Suite(.serialized) struct BackupTests {
  private let directory: TemporaryDirectory
  private var database: String { directory.file("pairs.db") }
  private var backups: String { directory.file("backups") }

  init() throws { directory = try TemporaryDirectory() }

  /// Two tables that every commit leaves with the same number of rows.
  private func pairs(mode: String, rows: Int = 400) throws -> ForeignConnection {
    let foreign = try ForeignConnection(database, busyTimeout: 60_000)
    try foreign.run(
      """
      PRAGMA journal_mode = \(mode); PRAGMA synchronous = OFF;
      CREATE TABLE left(id INTEGER PRIMARY KEY, text TEXT); CREATE TABLE right(id INTEGER PRIMARY KEY, text TEXT);
      """)
    try addPairs(to: foreign, rows)
    return foreign
  }

  private func names(_ path: String) -> [String] { BackupDirectory.names(in: path) }

  @Test(arguments: ["WAL", "DELETE"])
  func aBackupBesideACommittingProgramHoldsOneMoment_C18(mode: String) async throws {
    let foreign = try pairs(mode: mode)
    let loop = WritingLoop()
    let writer = Task {
      try await BlockingThread.run(named: "writer") {
        repeat {
          try addPairs(to: foreign)
          loop.commits.add(1, ordering: .relaxed)
        } while !loop.isDone.load(ordering: .relaxed)
      }
    }
    #expect(await eventually { loop.commits.load(ordering: .relaxed) > 0 })
    let made: Result<BackupReport, any Error>
    do {
      made = .success(
        try await Backup.create(of: database, to: backups, options: .init(stepBytes: 16_384)))
    } catch {
      made = .failure(error)
    }
    loop.isDone.store(true, ordering: .relaxed)
    try await writer.value
    let report = try made.get()
    // One more commit may come before the lock that keeps others from committing.
    #expect(report.restarts <= BackupSource.patientRestarts + 1)
    if mode == "WAL" { #expect(report.restarts == 0) }
    #expect(report.manifest.rows["left"] == report.manifest.rows["right"])
    #expect(report.manifest.rows["left", default: 0] > 400)
    #expect(names(backups) == [report.manifest.name, report.manifest.name + ".json"])
    let bytes = try [UInt8](contentsOf: report.path)
    #expect(Int64(bytes.count) == report.manifest.bytes)
    #expect(Array(bytes[18...19]) == [1, 1], "one file, without a -wal")
    #expect(try FileManager.default.attributesOfItem(atPath: report.path)[.posixPermissions] as? Int == 0o600)
    #expect(try await Backup.verify(report.path).rows == report.manifest.rows)
    #expect(Backup.list(in: backups).map(\.name) == [report.manifest.name])
  }

  @Test func commitsInRollbackModeBeginTheCopyAnewAFewTimesOnly_C18() throws {
    let foreign = try pairs(mode: "DELETE")
    let source = try DatabaseQueue(path: database)
    let destination = try DatabaseQueue(path: directory.file("copy.db"))
    try source.inDatabase { from in
      try destination.inDatabase { to in
        var commits = 0
        let copy = try BackupCopy(from: from, to: to, stepBytes: 65_536) {
          guard commits < 20 else { return }
          commits += 1
          try addPairs(to: foreign)
        }
        #expect(try copy.run(restartingAtMost: 8) == nil)
        #expect(copy.restarts == 8)
        commits = 20
        let rows = try copy.run(restartingAtMost: .max)
        #expect(rows?["left"] == rows?["right"])
        #expect(copy.restarts <= 9)
      }
    }
    try destination.close()
    #expect(try ForeignConnection(directory.file("copy.db")).text("PRAGMA integrity_check") == "ok")
  }

  @Test func aStateFileIsBackedUpWhileItIsOpenHere_C18() async throws {
    var migrator = DatabaseMigrator()
    migrator.registerMigration("note") { try $0.execute(sql: "CREATE TABLE note(text TEXT)") }
    let file = try await StateFile.open(
      database, configuration: .init(durability: .processDeathOnly), migrations: migrator)
    try await file.write { try $0.execute(sql: "INSERT INTO note VALUES ('kept')") }
    let report = try await Backup.create(of: database, to: backups)
    #expect(report.manifest.rows["note"] == 1)
    // The engine's own locks are still there: nobody gets the file exclusively.
    try await file.write { try $0.execute(sql: "INSERT INTO note VALUES ('more')") }
    #expect(try await file.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM note") } == 2)
    await #expect { try await Backup.restore(from: report.path, to: database) } throws: {
      ($0 as? StoreError)?.code == .refused
    }
    await file.close()
    let restored = try await Backup.restore(from: report.path, to: database)
    #expect(restored.contents.rows["note"] == 1)
    let again = try await StateFile.open(database, migrations: migrator)
    #expect(try await again.read { try String.fetchAll($0, sql: "SELECT text FROM note") } == ["kept"])
    try await again.write { try $0.execute(sql: "INSERT INTO note VALUES ('after')") }
    await again.close()
  }

  @Test func aDamagedSourceLeavesNoBackup_C18() async throws {
    do { _ = try pairs(mode: "DELETE") }
    let file = try #require(FileHandle(forUpdatingAtPath: database))
    try file.seek(toOffset: 40 * 4096)
    try file.write(contentsOf: Data(repeating: 0xa5, count: 3 * 4096))
    try file.close()
    await #expect { try await Backup.create(of: database, to: backups) } throws: {
      ($0 as? StoreError)?.code == .damaged
    }
    #expect(names(backups) == [])
    await #expect { try await Backup.verify(database) } throws: { ($0 as? StoreError)?.code == .damaged }
  }

  @Test func whatIsNoDatabaseIsNeitherBackedUpNorTouched_C18() async throws {
    try Data("not a database".utf8).write(to: URL(filePath: database))
    await #expect { try await Backup.create(of: database, to: backups) } throws: {
      ($0 as? StoreError)?.code == .notADatabase
    }
    #expect(names(directory.path) == ["pairs.db"])
  }

  @Test func aBackupThatWasChangedIsNotVerified_C18() async throws {
    do { _ = try pairs(mode: "WAL") }
    let report = try await Backup.create(of: database, to: backups)
    try ForeignConnection(report.path).run("DELETE FROM left WHERE id = 7")
    await #expect { try await Backup.verify(report.path) } throws: {
      ($0 as? StoreError)?.code == .damaged && "\($0)".contains("399 rows of left")
    }
  }

  @Test func aByteThatChangedInAPlaceThatNothingReadsIsNoticed_C18() async throws {
    let foreign = try pairs(mode: "WAL")
    // Pages that no table has: no integrity check looks at what is in them.
    try foreign.run("DELETE FROM left")
    let report = try await Backup.create(of: database, to: backups)
    #expect(report.manifest.sha256?.count == 64)
    #expect(try await Backup.verify(report.path).rows == report.manifest.rows)
    let bytes = try [UInt8](contentsOf: report.path)
    var refused = 0
    for place in stride(from: 200, to: bytes.count, by: bytes.count / 40) {
      var changed = bytes
      changed[place] ^= 0x10
      try Data(changed).write(to: URL(filePath: report.path))
      await #expect { try await Backup.verify(report.path) } throws: { ($0 as? StoreError)?.code == .damaged }
      refused += 1
    }
    #expect(refused >= 40)
    await #expect { try await Backup.restore(from: report.path, to: directory.file("back.db")) } throws: {
      ($0 as? StoreError)?.code == .damaged
    }
    #expect(!FileManager.default.fileExists(atPath: directory.file("back.db")))
    try Data(bytes).write(to: URL(filePath: report.path))
    #expect(try await Backup.verify(report.path).rows == report.manifest.rows)
  }

  @Test(arguments: ["WAL", "DELETE"])
  func aCompressedBackupIsVerifiedAndRestored_C18(mode: String) async throws {
    do { _ = try pairs(mode: mode) }
    let plain = try await Backup.create(of: database, to: backups)
    let report = try await Backup.create(of: database, to: backups, options: .init(isCompressed: true))
    #expect(report.path.hasSuffix(".db.gz") && report.manifest.compression == "gzip")
    #expect(report.manifest.fileBytes == Int64(try [UInt8](contentsOf: report.path).count))
    #expect(report.manifest.fileBytes < report.manifest.bytes)
    #expect(report.manifest.rows == plain.manifest.rows && report.manifest.bytes == plain.manifest.bytes)
    #expect(try await Backup.verify(report.path).rows == plain.manifest.rows)
    #expect(Backup.list(in: backups).map(\.name) == [plain.manifest.name, report.manifest.name])
    #expect(Backup.paths(in: backups).count == 2)
    let restored = try await Backup.restore(from: report.path, to: directory.file("back.db"))
    #expect(restored.contents.rows == plain.manifest.rows)
    #expect(try [UInt8](contentsOf: directory.file("back.db")) == [UInt8](contentsOf: plain.path))
    // Nothing is left of the way there, and other programs can read it.
    #expect(names(backups).count == 4)
    #expect(!names(directory.path).contains { $0.hasSuffix(".partial") })
    let gunzip = Process()
    gunzip.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    gunzip.arguments = ["gzip", "--test", report.path]
    try gunzip.run()
    gunzip.waitUntilExit()
    #expect(gunzip.terminationStatus == 0)
  }

  @Test func aCompressedBackupThatWasChangedCutOrExtendedIsRefused_C18() async throws {
    do { _ = try pairs(mode: "WAL") }
    let report = try await Backup.create(of: database, to: backups, options: .init(isCompressed: true))
    let bytes = try [UInt8](contentsOf: report.path)
    var forms = [bytes.dropLast(1), bytes.prefix(bytes.count / 2), bytes[...] + [0], bytes[...] + bytes]
    for place in stride(from: 2, to: bytes.count, by: bytes.count / 20) {
      var changed = bytes[...]
      changed[place] ^= 0x10
      forms.append(changed)
    }
    for hasManifest in [true, false] {
      for form in forms where hasManifest || form.count != bytes.count {
        try Data(form).write(to: URL(filePath: report.path))
        await #expect { try await Backup.verify(report.path) } throws: {
          ($0 as? StoreError)?.code == .damaged
        }
        await #expect { try await Backup.restore(from: report.path, to: directory.file("back.db")) } throws: {
          ($0 as? StoreError)?.code == .damaged
        }
      }
      try Data(bytes).write(to: URL(filePath: report.path))
      _ = try await Backup.verify(report.path)
      if hasManifest { try FileManager.default.removeItem(atPath: report.path + ".json") }
    }
    #expect(!names(directory.path).contains { $0.hasPrefix("back.") || $0.hasSuffix(".partial") })
    #expect(names(backups) == [report.manifest.name])
    // A gzip file of something else.
    let other = directory.file("other.db.gz")
    let text = directory.file("text")
    try Data("not a database".utf8).write(to: URL(filePath: text))
    let gzip = Process()
    gzip.executableURL = URL(fileURLWithPath: "/bin/sh")
    gzip.arguments = ["-c", "gzip -c '\(text)' > '\(other)'"]
    try gzip.run()
    gzip.waitUntilExit()
    await #expect { try await Backup.verify(other) } throws: { ($0 as? StoreError)?.code == .notADatabase }
  }

  @Test func aManifestOfBeforeTheHashIsStillOne_C18() async throws {
    do { _ = try pairs(mode: "WAL") }
    let report = try await Backup.create(of: database, to: backups)
    let path = report.path + ".json"
    let old = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
      .filter { !$0.contains("sha256") }.joined(separator: "\n")
    try Data(old.utf8).write(to: URL(filePath: path))
    #expect(try Backup.manifest(of: report.path)?.sha256 == nil)
    #expect(try await Backup.verify(report.path).rows == report.manifest.rows)
    #expect(Backup.list(in: backups).count == 1)
  }

  @Test func oneRunAtATimeIntoADirectory_C18() async throws {
    let first = try #require(try BackupTurn.take(in: backups))
    #expect(try BackupTurn.take(in: backups) == nil)
    first.end()
    #expect(try BackupTurn.take(in: backups) != nil)
    #expect(names(backups) == [], "nothing is left of it")
  }

  @Test func whatAKilledBackupLeftIsRemovedByTheNextAndALiveOneIsNot_C18() async throws {
    do { _ = try pairs(mode: "WAL") }
    let place = try BackupDirectory.make(backups)
    for name in [
      ".pairs-dead.db.partial", "pairs-dead.db.json", "pairs-dead.db.json.partial", ".pairs-live.db.partial",
    ] {
      try Data("partial".utf8).write(to: URL(filePath: place + "/" + name))
    }
    let live = try LockFile(path: place + "/.pairs-live.db.partial", creates: false)
    #expect(try live.tryLock(.exclusive, at: 1 << 62))
    let report = try await Backup.create(of: database, to: backups)
    #expect(
      names(backups) == [".pairs-live.db.partial", report.manifest.name, report.manifest.name + ".json"])
    live.close()
  }

  @Test func aRestoreRefusesWhileAnotherProcessHasTheFileAndNamesIt_C18() async throws {
    let test = try PeerTest()
    let seed = try await test.open()
    try await seed.write(insertNumber(1))
    let report = try await Backup.create(of: test.database, to: backups)
    try await seed.write(insertNumber(2))
    await seed.close()
    let peer = try test.start(.write, first: 3, count: 1)
    try await peer.arrival(at: "start")
    let before = try [UInt8](contentsOf: test.database)
    await #expect { try await Backup.restore(from: report.path, to: test.database) } throws: { error in
      guard let error = error as? StoreError else { return false }
      return error.code == .refused && error.holders.contains { $0.pid == peer.pid }
    }
    #expect(try [UInt8](contentsOf: test.database) == before)
    peer.open("start")
    _ = await peer.end()
    #expect(try test.numbersInFile() == [1, 2, 3])

    let restored = try await Backup.restore(from: report.path, to: test.database)
    #expect(try test.numbersInFile() == [1])
    let kept = try #require(restored.quarantine)
    #expect(
      try test.numbersInFile(kept + "/numbers.db") == [1, 2, 3], "the old set is whole, its -wal included")
    #expect(!names(test.directory.path).contains { $0.hasSuffix(".partial") })
  }

  @Test func rotationRemovesABackupWithItsManifest_C18() async throws {
    do { _ = try pairs(mode: "WAL") }
    let first = try await Backup.create(of: database, to: backups)
    let second = try await Backup.create(of: database, to: backups)
    let removed = Backup.rotate(
      backups, database: "pairs.db", retention: .init(hourly: 0, daily: 0, weekly: 0),
      now: second.manifest.time)
    #expect(removed == [first.manifest.name])
    #expect(names(backups) == [second.manifest.name, second.manifest.name + ".json"])
  }
}

/// What a test and its writing thread share.
private final class WritingLoop: Sendable {
  let isDone = Atomic<Bool>(false)
  let commits = Atomic<Int>(0)
}

private func addPairs(to foreign: ForeignConnection, _ count: Int = 1) throws {
  for table in ["left", "right"] {
    try foreign.run(
      """
      \(table == "left" ? "BEGIN IMMEDIATE;" : "")
      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < \(count))
      INSERT INTO \(table)(text) SELECT hex(randomblob(1000)) FROM n;
      \(table == "right" ? "COMMIT" : "")
      """)
  }
}
