// SPDX-License-Identifier: Apache-2.0

import GRDBSQLite
import HoldfastTestKit
import Testing

/// Plain SQLite on the power-loss disk: the disk must neither accuse an innocent nor acquit a guilty one.
@Suite struct PowerLossTests {
  /// What a workload does with the database, and what it left.
  private struct Workload {
    var journalMode: String
    var synchronous: String
    var commits = 30
  }

  /// Commits numbered transactions, noting each once SQLite has said that it is durable: inserts of all
  /// sizes, updates, deletes, with a cache so small that pages spill before the commit.
  private func log(of workload: Workload, seed: UInt64) throws -> DiskLog {
    var random = SplitMix64(seed: seed)
    let disk = PowerLossDisk(seed: random.next())
    let connection = try DiskConnection("/a.db", on: disk)
    try connection.run("PRAGMA page_size = 1024")
    #expect(try connection.run("PRAGMA journal_mode = \(workload.journalMode)") == [workload.journalMode])
    try connection.run("PRAGMA synchronous = \(workload.synchronous)")
    try connection.run("PRAGMA cache_size = 8")
    try connection.run("PRAGMA wal_autocheckpoint = 0")
    try connection.run("CREATE TABLE t(n INTEGER PRIMARY KEY, a TEXT NOT NULL, b BLOB)")
    try connection.run("CREATE INDEX i ON t(a)")
    for number in 1...workload.commits {
      try connection.run("BEGIN IMMEDIATE")
      let size = Int.random(in: 0...(random.chance(0.2) ? 20_000 : 500), using: &random)
      try connection.run("INSERT INTO t VALUES (\(number), '\(random.next())', zeroblob(\(size)))")
      if random.chance(0.5) {
        try connection.run("UPDATE t SET a = '\(random.next()) \(random.next())' WHERE n % 3 = \(number % 3)")
      }
      if random.chance(0.3) { try connection.run("UPDATE t SET b = NULL WHERE n < \(number / 2)") }
      try connection.run("COMMIT")
      disk.note(UInt64(number))
      if workload.journalMode == "wal", random.chance(0.2) {
        let kind = ["PASSIVE", "FULL", "RESTART", "TRUNCATE"].randomElement(using: &random)!
        try connection.run("PRAGMA wal_checkpoint(\(kind))")
      }
    }
    return disk.log
  }

  /// What a power cut did to the promises.
  private struct Verdict: Equatable {
    var cuts = 0
    var damaged = 0
    /// Cuts that lost a transaction that was acknowledged, and the most that one cut lost.
    var losing = 0
    var mostLost = 0
    /// The first cut that broke something, to replay.
    var first: PowerCut?
  }

  private func verdict(of log: DiskLog, seed: UInt64, times: Int) throws -> Verdict {
    var verdict = Verdict()
    let other = PowerLossDisk(seed: seed)
    verdict.cuts = try log.forEachPowerCut(seed: seed, times: times) { image, notes, cut in
      other.load(image)
      let promised = Int(notes.last ?? 0)
      var isWhole = true
      var found = 0
      do {
        let connection = try DiskConnection("/a.db", on: other)
        isWhole = try connection.run("PRAGMA integrity_check") == ["ok"]
        let there = try connection.run("SELECT count(*) FROM sqlite_master WHERE name = 't'") == ["1"]
        if isWhole, there {
          found = Int(try connection.run("SELECT coalesce(max(n), 0) FROM t")[0])!
          isWhole = try connection.run("SELECT count(*) FROM t") == ["\(found)"]
        }
      } catch is DiskConnection.Failure {
        isWhole = false
      }
      if !isWhole { verdict.damaged += 1 }
      if found < promised {
        verdict.losing += 1
        verdict.mostLost = max(verdict.mostLost, promised - found)
      }
      if verdict.first == nil, !isWhole || found < promised { verdict.first = cut }
    }
    return verdict
  }

  @Test(arguments: [("wal", "FULL"), ("delete", "EXTRA"), ("truncate", "FULL"), ("persist", "FULL")])
  func everyAcknowledgedCommitSurvivesAPowerCut_B11(journalMode: String, synchronous: String) throws {
    for seed in 1...2 as ClosedRange<UInt64> {
      let workload = Workload(journalMode: journalMode, synchronous: synchronous)
      let verdict = try verdict(of: log(of: workload, seed: seed), seed: seed, times: 1)
      #expect(verdict.cuts > 500)
      #expect(verdict.damaged == 0 && verdict.losing == 0, "seed \(seed): \(verdict)")
    }
  }

  /// SQLite's documentation of `synchronous`: in DELETE mode a commit is the journal's removal, and only
  /// EXTRA syncs the directory after it. The last commit can come undone; nothing is damaged.
  @Test func deleteModeWithoutExtraMayUndoTheLastCommitAndNoMore_B11() throws {
    let log = try log(of: Workload(journalMode: "delete", synchronous: "FULL"), seed: 3)
    let verdict = try verdict(of: log, seed: 3, times: 3)
    #expect(verdict.damaged == 0, "\(verdict)")
    #expect(verdict.losing > 0 && verdict.mostLost == 1, "\(verdict)")
  }

  @Test func relaxedDurabilityLosesOnlyATailAndDamagesNothing_B11() throws {
    let log = try log(of: Workload(journalMode: "wal", synchronous: "NORMAL"), seed: 4)
    let verdict = try verdict(of: log, seed: 4, times: 3)
    #expect(verdict.damaged == 0, "\(verdict)")
    #expect(verdict.losing > 0, "\(verdict)")
  }

  /// A disk whose syncs do nothing, and programs that do not ask for any: both must be caught.
  @Test(arguments: ["wal", "delete"])
  func theDiskBitesWhoeverDoesNotSync_B11(journalMode: String) throws {
    let honest = try log(of: Workload(journalMode: journalMode, synchronous: "FULL"), seed: 5)
    let lying = DiskLog(
      start: honest.start,
      events: honest.events.filter { event in
        if case .sync = event { false } else { true }
      })
    let verdictOfLies = try verdict(of: lying, seed: 5, times: 1)
    #expect(verdictOfLies.losing > 0 && verdictOfLies.damaged > 0, "\(verdictOfLies)")

    let careless = try log(of: Workload(journalMode: journalMode, synchronous: "OFF"), seed: 5)
    let verdictOfCarelessness = try verdict(of: careless, seed: 5, times: 1)
    #expect(verdictOfCarelessness.losing > 0 && verdictOfCarelessness.damaged > 0, "\(verdictOfCarelessness)")
  }

  @Test func aSeedReplaysEverything() throws {
    let workload = Workload(journalMode: "wal", synchronous: "FULL", commits: 8)
    let log = try log(of: workload, seed: 6)
    #expect(shape(of: try self.log(of: workload, seed: 6)) == shape(of: log))
    #expect(shape(of: try self.log(of: workload, seed: 7)) != shape(of: log))
    var images: [PowerCut: [String: [UInt8]]] = [:]
    log.forEachPowerCut(seed: 6) { image, _, cut in images[cut] = image.contents }
    log.forEachPowerCut(seed: 6) { image, _, cut in #expect(images[cut] == image.contents) }
    let cut = try #require(images.keys.max { $0.event < $1.event })
    #expect(log.image(after: cut).contents == images[cut])
  }

  /// The events without their bytes, some of which are drawn by SQLite itself.
  private func shape(of log: DiskLog) -> [DiskEvent] {
    log.events.map { event in
      if case .write(let file, let offset, let bytes) = event {
        .write(file, offset: offset, bytes: [UInt8](repeating: 0, count: bytes.count))
      } else {
        event
      }
    }
  }

  @Test func severalConnectionsShareADatabaseAndItsLocks() throws {
    let disk = PowerLossDisk(seed: 8)
    let writer = try DiskConnection("/a.db", on: disk)
    #expect(try writer.run("PRAGMA journal_mode = wal") == ["wal"])
    try writer.run("CREATE TABLE t(n INTEGER)")
    let reader = try DiskConnection("/a.db", on: disk)
    try reader.run("BEGIN")
    #expect(try reader.run("SELECT count(*) FROM t") == ["0"])
    try writer.run("INSERT INTO t VALUES (1)")
    // The reader keeps its snapshot; the second writer is kept out while the first has the lock.
    #expect(try reader.run("SELECT count(*) FROM t") == ["0"])
    try reader.run("COMMIT")
    try writer.run("BEGIN IMMEDIATE")
    #expect(throws: DiskConnection.Failure(code: SQLITE_BUSY)) { try reader.run("BEGIN IMMEDIATE") }
    try writer.run("INSERT INTO t VALUES (2)")
    try writer.run("COMMIT")
    #expect(try reader.run("SELECT count(*) FROM t") == ["2"])
    #expect(try reader.run("PRAGMA wal_checkpoint(TRUNCATE)") == ["0"])
  }

  @Test func nothingWorksWhileThePowerIsOffAndTheRestIsThereAfterwards() throws {
    let disk = PowerLossDisk(seed: 9)
    let before = try DiskConnection("/a.db", on: disk)
    try before.run("PRAGMA journal_mode = wal")
    try before.run("PRAGMA synchronous = FULL")
    try before.run("CREATE TABLE t(n INTEGER)")
    try before.run("INSERT INTO t VALUES (1)")
    disk.cutPower(after: 1)
    #expect(throws: DiskConnection.Failure.self) { try before.run("INSERT INTO t VALUES (2)") }
    #expect(disk.isOff)
    #expect(throws: DiskConnection.Failure.self) {
      try DiskConnection("/a.db", on: disk).run("SELECT * FROM t")
    }
    disk.restart(seed: 9)
    #expect(throws: DiskConnection.Failure.self) { try before.run("INSERT INTO t VALUES (3)") }
    let after = try DiskConnection("/a.db", on: disk)
    #expect(try after.run("PRAGMA integrity_check") == ["ok"])
    #expect(try after.run("SELECT n FROM t WHERE n <> 2") == ["1"])
  }
}
