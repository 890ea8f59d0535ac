// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

/// The whole engine, recorded write by write in a process of its own, and the power cut after each of them.
@Suite struct PowerCutTests {
  private let directory: TemporaryDirectory

  init() throws {
    directory = try TemporaryDirectory()
  }

  private var database: String { directory.file("numbers.db") }

  /// What a process that wrote these numbers did to its disk.
  private func record(count: UInt64, isRelaxed: Bool = false) async throws -> DiskLog {
    var settings = PeerSettings(
      database: database, journal: directory.file("log"), first: 100, count: count)
    settings.isRelaxed = isRelaxed
    let process = try PeerProcess.start(
      PeerProcess.builtExecutable(named: "HoldfastTestPeer"),
      arguments: settings.arguments(for: "writeRecorded"))
    try await process.pass("start")
    #expect(await process.end() == .exited(0))
    return try DiskLog(contentsOf: directory.file("log"))
  }

  /// What plain SQLite finds on a disk after the power came back; nil where it is damaged, or where a commit
  /// is missing and a later one is there (row ids are given out in the order of the commits, and none is ever
  /// removed).
  private func numbers(on disk: PowerLossDisk) -> [UInt64]? {
    do {
      let connection = try ForeignConnection(database, vfs: disk.vfsName)
      guard try connection.text("PRAGMA integrity_check") == "ok" else { return nil }
      let there = try connection.text("SELECT count(*) FROM sqlite_master WHERE name = 'number'")
      guard there == "1" else { return [] }
      guard try connection.text("SELECT count(*) = coalesce(max(id), 0) FROM number") == "1" else {
        return nil
      }
      let list = try connection.text("SELECT group_concat(value) FROM number") ?? ""
      return list.split(separator: ",").compactMap { UInt64($0) }
    } catch {
      return nil
    }
  }

  @Test func everyAcknowledgedWriteSurvivesAPowerCut_B11() async throws {
    let log = try await record(count: 300)
    let disk = PowerLossDisk(seed: 1)
    let times = 10_000 / log.events.count + 1
    let cuts = log.forEachPowerCut(seed: 11, times: times) { image, notes, cut in
      disk.load(image)
      guard let found = numbers(on: disk) else {
        Issue.record("damaged, or with a hole, at \(cut)")
        return
      }
      let check = AcknowledgementCheck(acknowledged: notes, found: found)
      if !check.holds { Issue.record("\(cut): \(check)") }
    }
    #expect(cuts >= 10_000)
    #expect(log.events.count { if case .note = $0 { true } else { false } } == 300)
  }

  @Test func relaxedDurabilityIsNeverDamagedAndLosesOnlyATail_B11() async throws {
    let log = try await record(count: 300, isRelaxed: true)
    let disk = PowerLossDisk(seed: 2)
    var lost = 0
    log.forEachPowerCut(seed: 12, times: 2) { image, notes, cut in
      disk.load(image)
      guard let found = numbers(on: disk) else {
        Issue.record("damaged, or with a hole, at \(cut)")
        return
      }
      let check = AcknowledgementCheck(acknowledged: notes, found: found)
      if !check.doubled.isEmpty { Issue.record("\(cut): \(check)") }
      lost += check.lost.count
    }
    // Otherwise this test would not know a disk that keeps everything from one that does not.
    #expect(lost > 0)
  }

  /// The engine itself opens what a power cut left, without anybody's help.
  @Test func theEngineOpensWhatAPowerCutLeft_B11_C19() async throws {
    let log = try await record(count: 60)
    var images: [(DiskState, [UInt64])] = []
    log.forEachPowerCut(seed: 13, every: 5) { image, notes, _ in images.append((image, notes)) }
    for (index, (image, notes)) in images.enumerated() where image.contents[database] != nil {
      let place = try TemporaryDirectory()
      for (name, bytes) in image.contents where name.hasPrefix(database) {
        try bytes.write(to: place.file("numbers.db" + name.dropFirst(database.count)))
      }
      let file = try await StateFile.open(place.file("numbers.db"), migrations: Self.migrator)
      let found = try await file.write { db in
        try db.execute(sql: "INSERT INTO number(value) VALUES (1)")
        return try Int64.fetchAll(db, sql: "SELECT value FROM number").map(UInt64.init)
      }
      let check = AcknowledgementCheck(acknowledged: notes, found: found)
      #expect(check.holds, "image \(index): \(check)")
      await file.close()
    }
  }

  private static let migrator: DatabaseMigrator = {
    var migrator = DatabaseMigrator()
    migrator.registerMigration("numbers") { db in
      try db.execute(
        sql: "CREATE TABLE number(id INTEGER PRIMARY KEY, value INTEGER NOT NULL CHECK(value <> 13)) STRICT")
    }
    return migrator
  }()
}
