// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine
import HoldfastTestKit

/// What a peer can be asked to do with a state file. Each stands at the gate `start` first unless it says
/// otherwise.
enum EngineScenario: String, CaseIterable {
  /// Writes rows in a closed loop until the table has `count` of them, whoever wrote them; its own are
  /// marked with `first`. With `isPlain` through SQLite's busy handler instead of the lane.
  case turns
  /// Writes one row, `first`, and stands at the gate `inside` in the middle of its transaction; tells
  /// `written` when it was acknowledged.
  case holdTurn
  /// Opens each of `files` at the gate `file`, writes a row into it, and closes it again.
  case openFresh
  /// Commits in a rollback-journal file through plain SQLite, again and again without a pause.
  case commitFast
  /// Changes the row 'old' of the table `note` in a rollback-journal file and adds `count` large rows, with a
  /// cache that holds two pages; stands at the gate `inside` before the commit; tells `written` after it.
  case spill
  /// Mints numbers, claims jobs and appends at the gate `round`, for each of `count` rounds.
  case race
  /// Forks without exec; tells what the child's use of the inherited handle came to, then goes on using it.
  case forkWithFile
  /// Reads and writes `files` with 200 tasks at once under `ulimit -n 64`; tells how many descriptors it
  /// had before, during and after, and how often it failed.
  case fewDescriptors
  /// Opens, uses and closes the database over and over; tells how many threads and descriptors were left.
  case openAndClose
  /// Brings the database to the second version of ``RebuildingMigrations``; stands at the gate `statement`
  /// before each statement of it and once after the last.
  case migrate
  /// Puts `count` damaged files before the doctor, the engine and the repair, from `first` on; tells a line
  /// about each.
  case doctorTrials
  /// Repairs the database as `doctor --repair --yes` does; stands at the gate `step` behind each step.
  case repair
  /// As ``FaultRounds``: every call to the system fails once.
  case faultEveryCall
  /// As ``FullDisk``: the disk fills up and gets room again.
  case fillDisk
  /// Opens, reads and writes with the rights of `user`, each time the gate `open` is opened.
  case useWithoutRights
  /// Writes `count` rows of a megabyte, one a transaction; tells `written`; stands at the gate `inside` in the
  /// middle of the next one.
  case fillWAL

  func run(_ settings: PeerSettings, _ link: PeerLink) async throws {
    switch self {
    case .turns: try await takeTurns(settings, link)
    case .holdTurn:
      let file = try await settings.open()
      await link.reach("start")
      try await file.write { db in
        link.reachBlocking("inside")
        try insert(settings.first, db)
      }
      link.tell("written")
      await file.close()
    case .openFresh: try await openFresh(settings, link)
    case .commitFast:
      let connection = try ForeignConnection(
        settings.required(settings.database, "database"), busyTimeout: 60_000)
      await link.reach("start")
      for number in settings.numbers {
        try connection.run("INSERT INTO number(value) VALUES (\(number))")
      }
    case .spill:
      let connection = try ForeignConnection(settings.required(settings.database, "database"))
      await link.reach("start")
      try connection.run("PRAGMA cache_size = 2; BEGIN IMMEDIATE; UPDATE note SET text = 'new' WHERE id = 1")
      for _ in settings.numbers { try connection.run("INSERT INTO note(text) VALUES (hex(zeroblob(2000)))") }
      await link.reach("inside")
      try connection.run("COMMIT")
      link.tell("written")
    case .race: try await race(settings, link)
    case .forkWithFile:
      let file = try await settings.open()
      try await file.write { try insert(settings.first, $0) }
      await link.reach("start")
      link.tell(await outcomesInChild(of: file).joined(separator: " "))
      try await file.write { try insert(settings.first + 1, $0) }
      let count = try await file.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM number") }
      link.tell("\(count ?? -1)")
      await file.close()
    case .fewDescriptors: try await useManyFiles(settings, link)
    case .openAndClose: try await openAndClose(settings, link)
    case .faultEveryCall: try await FaultRounds(settings, link).run()
    case .fillDisk: try await FullDisk(settings, link).run()
    case .fillWAL:
      let file = try await settings.open()
      await link.reach("start")
      for number in settings.numbers {
        try await file.write { db in
          try insert(number, db)
          try db.execute(
            sql: "CREATE TABLE IF NOT EXISTS filler(text BLOB); INSERT INTO filler VALUES (zeroblob(1000000))"
          )
        }
      }
      link.tell("written")
      try await file.write { db in
        try insert(0, db)
        link.reachBlocking("inside")
      }
    case .useWithoutRights: try await HoldfastTestPeer.useWithoutRights(settings, link)
    case .migrate:
      let file = try await StateFile.open(
        settings.required(settings.database, "database"),
        migrations: RebuildingMigrations.new { _ in link.reachBlocking("statement") })
      await file.close()
    case .doctorTrials:
      await link.reach("start")
      for seed in settings.numbers { link.tell("\(try await DoctorTrial.run(seed: seed))") }
    case .repair:
      await link.reach("start")
      for subject in try Doctor.subjects(of: settings.required(settings.database, "database")) {
        let plan = try await DoctorRepair.examine(subject).plan
        _ = try await DoctorRepair.carryOut(plan, progress: { _, _ in }) { step in
          link.tell("\(step)")
          link.reachBlocking("step")
        }
      }
    }
  }
}

extension EngineScenario {
  private func takeTurns(_ settings: PeerSettings, _ link: PeerLink) async throws {
    let path = try settings.required(settings.database, "database")
    let total = Int64(settings.count ?? 1)
    guard settings.isPlain else {
      let file = try await settings.open()
      await link.reach("start")
      while try await file.write(settings.takeTurn) < total {}
      await file.close()
      return
    }
    let connection = try ForeignConnection(path, busyTimeout: 60_000)
    try connection.run("PRAGMA synchronous = FULL")
    await link.reach("start")
    var last: Int64 = 0
    while last < total {
      try connection.run("BEGIN IMMEDIATE")
      try connection.run("INSERT INTO number(value) VALUES (\(settings.first))")
      last = try Int64(connection.text("SELECT last_insert_rowid()") ?? "") ?? 0
      try connection.run("COMMIT")
    }
  }

  private func openFresh(_ settings: PeerSettings, _ link: PeerLink) async throws {
    await link.reach("start")
    for path in settings.files {
      await link.reach("file")
      do {
        let file = try await StateFile.open(path, migrations: numbersOnce)
        try await file.write { try insert(settings.first, $0) }
        await file.close()
      } catch {
        link.tell("\(error)")
      }
    }
  }

  private func race(_ settings: PeerSettings, _ link: PeerLink) async throws {
    let file = try await StateFile.open(settings.required(settings.database, "database"))
    await link.reach("start")
    for round in settings.numbers {
      await link.reach("round")
      let claimed = try await file.write { db in
        // The number is minted by the statement that stores it; no rule of the schema helps.
        try db.execute(
          sql: """
            INSERT INTO minted(number, round) VALUES ((SELECT coalesce(max(number), 0) + 1 FROM minted), ?)
            """, arguments: [Int64(round)])
        try db.execute(
          sql: "UPDATE job SET owner = ? WHERE round = ? AND owner IS NULL",
          arguments: [Int64(getpid()), Int64(round)])
        return db.changesCount
      }
      link.tell("\(claimed)")
    }
    await file.close()
  }

  private func useManyFiles(_ settings: PeerSettings, _ link: PeerLink) async throws {
    await link.reach("start")
    let before = openDescriptors()
    try limitDescriptors(to: 64)
    var files: [StateFile] = []
    for path in settings.files { files.append(try await StateFile.open(path, migrations: numbersOnce)) }
    var failures: [String] = []
    var most = 0
    for round in 0..<4 {
      let failed = await withTaskGroup(of: String?.self) { [files] group in
        for task in 0..<200 {
          group.addTask {
            let file = files[task % files.count]
            do {
              if task / files.count % 2 == 0 {
                try await file.write { try insert(UInt64(1000 + round * 200 + task), $0) }
              } else {
                _ = try await file.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM number") }
              }
              return nil
            } catch {
              return "\(error)"
            }
          }
        }
        var failed: [String] = []
        for await failure in group { if let failure { failed.append(failure) } }
        return failed
      }
      failures += failed
      most = max(most, openDescriptors())
    }
    link.tell(failures.first ?? "ok")
    link.tell("\(most)")
    await link.reach("raise")
    try limitDescriptors(to: 256)
    link.tell(try await ownReader(of: files[0]) ? "own reader" : "no reader")
    for file in files { await file.close() }
    link.tell("\(openDescriptors() - before)")
  }

  /// Whether a read has a connection of its own: then it goes on while a writer of this process stands still.
  private func ownReader(of file: StateFile) async throws -> Bool {
    let inside = DispatchSemaphore(value: 0)
    let go = DispatchSemaphore(value: 0)
    let writing = Task {
      try await file.write { _ in
        inside.signal()
        go.wait()
      }
    }
    await withCheckedContinuation { continuation in
      Thread.detachNewThread {
        inside.wait()
        continuation.resume()
      }
    }
    let count = try? await file.read(within: .seconds(20)) {
      try Int.fetchOne($0, sql: "SELECT count(*) FROM number")
    }
    go.signal()
    try await writing.value
    return count != nil
  }

  private func openAndClose(_ settings: PeerSettings, _ link: PeerLink) async throws {
    await link.reach("start")
    for round in settings.numbers {
      let file = try await settings.open()
      var changes = try await file.changes().makeAsyncIterator()
      try await file.write { try insert(round + 100, $0) }
      _ = try await file.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM number") }
      _ = await changes.next()
      _ = try await file.checkpoint()
      await file.close()
      link.tell("\(openDescriptors())")
    }
    // A thread that has nothing left to do may still be on its way out.
    let served = ["hf-deadlines", "hf-watch", "hf-watch"]
    _ = await eventually(within: .seconds(30)) { engineThreads() == served }
    link.tell(engineThreads().joined(separator: " "))
  }
}

extension PeerSettings {
  /// One turn of a closed loop; returns how many there were so far, of all processes.
  fileprivate var takeTurn: @Sendable (Database) throws -> Int64 {
    { [first] db in
      try insert(first, db)
      return db.lastInsertedRowID
    }
  }
}

/// A schema with a row in it that nothing but running once keeps single.
let numbersOnce: DatabaseMigrator = {
  var migrator = DatabaseMigrator()
  migrator.registerMigration("numbers") { db in
    try db.execute(sql: "CREATE TABLE number(id INTEGER PRIMARY KEY, value INTEGER NOT NULL) STRICT")
    try db.execute(sql: "CREATE TABLE made(by INTEGER NOT NULL) STRICT")
  }
  migrator.registerMigration("made") { db in
    try db.execute(sql: "INSERT INTO made(by) VALUES (?)", arguments: [Int64(getpid())])
  }
  return migrator
}()
