// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine
import HoldfastTestKit

/// What a peer can be asked to do. Each stands at the gate `start` first.
enum Scenario: String, CaseIterable {
  /// Appends numbers to a spool that nobody drains here; each is journalled once `append` has returned.
  case append
  /// The same, with a drain into the database.
  case appendAndDrain
  /// Drains what others left, until killed.
  case drain
  /// Stands at the gate `applied` inside each transaction of a drain, after its rows were inserted.
  case drainToGate
  /// Writes numbers through a state file, each in a transaction of its own; journalled once acknowledged.
  case write
  /// Writes numbers from several tasks through a state file, under a ``DiskRecorder`` that notes each
  /// acknowledgement; checkpoints now and then. The journal is the recorder's log.
  case writeRecorded
  /// Fills a spool while the system gives it no room for another segment.
  case fillWithoutRoom
  /// Forks without exec; tells what the child's use of the inherited spool came to, then goes on using it.
  case forkWithSpool
}

struct MissingSetting: Error {
  let name: String
}

extension Scenario {
  func run(_ settings: PeerSettings, _ link: PeerLink) async throws {
    switch self {
    case .append:
      let spool = try Spool.open(settings.spoolConfiguration)
      await link.reach("start")
      try await append(to: spool, settings)
      await spool.close()
    case .appendAndDrain:
      let file = try await settings.open()
      let spool = try Spool.open(settings.spoolConfiguration)
      await link.reach("start")
      spool.startDraining(into: file, apply: insert)
      try await append(to: spool, settings)
      await spool.close()
      await file.close()
    case .drain, .drainToGate:
      let file = try await settings.open()
      let spool = try Spool.open(settings.spoolConfiguration)
      let stops = self == .drainToGate
      await link.reach("start")
      spool.startDraining(into: file) { db, records in
        try insert(db, records)
        if stops { link.reachBlocking("applied") }
      }
      await link.reach("finish")
      await spool.close()
      await file.close()
    case .write:
      let file = try await settings.open()
      let journal = try AcknowledgementJournal(path: settings.required(settings.journal, "journal"))
      await link.reach("start")
      for number in settings.numbers {
        try await file.write { try insert(number, $0) }
        journal.acknowledge(number)
      }
      await file.close()
    case .fillWithoutRoom:
      try await HoldfastTestPeer.fillWithoutRoom(settings, link)
    case .writeRecorded:
      try await writeRecorded(settings, link)
    case .forkWithSpool:
      let spool = try Spool.open(settings.spoolConfiguration)
      try spool.append(number: settings.first)
      await link.reach("start")
      link.tell(try outcomeInChild(of: spool))
      try spool.append(number: settings.first + 1)
      await spool.close()
    }
  }

  private func writeRecorded(_ settings: PeerSettings, _ link: PeerLink) async throws {
    let log = try settings.required(settings.journal, "journal")
    DiskRecorder.shared.install()
    let file = try await settings.open()
    await link.reach("start")
    try await withThrowingTaskGroup { group in
      for task in 0..<4 as Range<UInt64> {
        group.addTask {
          for number in settings.numbers where number % 4 == task {
            try await file.write { try insert(number, $0) }
            DiskRecorder.shared.note(number)
            if number % 37 == 0 { _ = try await file.checkpoint() }
          }
        }
      }
      try await group.waitForAll()
    }
    await file.close()
    try DiskRecorder.shared.log.write(to: log)
  }

  /// On a thread of its own: it runs without a pause, and the cooperative pool is not for that.
  private func append(to spool: Spool, _ settings: PeerSettings) async throws {
    try await withCheckedThrowingContinuation { continuation in
      Thread.detachNewThread { [self] in
        continuation.resume(with: Result { try appendHere(to: spool, settings) })
      }
    }
  }

  private func appendHere(to spool: Spool, _ settings: PeerSettings) throws {
    // A kill needs no sync, and without one the kill comes at every moment of an append.
    let journal = try AcknowledgementJournal(
      path: settings.required(settings.journal, "journal"), synced: false)
    for number in settings.numbers {
      do {
        try spool.append(number: number)
        journal.acknowledge(number)
      } catch {
        guard error.code == .refused else { throw error }
        // Full: what was refused was never acknowledged. The drain makes room.
        sched_yield()
      }
    }
  }
}

extension PeerSettings {
  /// The numbers to write: so many, or all there are.
  var numbers: Range<UInt64> { first..<(count.map { first + $0 } ?? .max) }

  var spoolConfiguration: Spool.Configuration {
    get throws {
      Spool.Configuration(
        directory: try required(spool, "spool"), stream: "numbers", capacity: segments * segmentBytes,
        segmentBytes: segmentBytes,
        linger: .milliseconds(1), adoptionInterval: .milliseconds(20))
    }
  }

  func required(_ value: String?, _ name: String) throws -> String {
    guard let value else { throw MissingSetting(name: name) }
    return value
  }

  func open() async throws -> StateFile {
    var migrator = DatabaseMigrator()
    migrator.registerMigration("numbers") { db in
      try db.execute(
        sql: "CREATE TABLE number(id INTEGER PRIMARY KEY, value INTEGER NOT NULL CHECK(value <> 13)) STRICT")
    }
    var configuration = StateFileConfiguration(durability: isRelaxed ? .processDeathOnly : .power)
    if let checkpointPages { configuration.checkpointPages = checkpointPages }
    configuration.mountTable = filesystem.map { "1 0 0:1 / / rw - \($0) none rw" }
    return try await StateFile.open(
      try required(database, "database"), configuration: configuration, migrations: migrator)
  }
}

extension Spool {
  func append(number: UInt64) throws(StoreError) {
    try append(Array(String(number).utf8))
  }
}

@Sendable func insert(_ db: Database, _ records: [SpoolRecord]) throws {
  for record in records {
    guard let number = UInt64(String(decoding: record.payload, as: UTF8.self)) else {
      throw MissingSetting(name: "number")
    }
    try insert(number, db)
  }
}

func insert(_ number: UInt64, _ db: Database) throws {
  let statement = try db.cachedStatement(sql: "INSERT INTO number(value) VALUES (?)")
  try statement.execute(arguments: [Int64(number)])
}

/// Forks, tries the spool in the child, and says what came of it.
func outcomeInChild(of spool: Spool) throws -> String {
  let child = forkProcess()
  if child == 0 {
    do {
      try spool.append(number: 0)
      _exit(1)
    } catch {
      _exit(error.code == .wrongProcess ? 0 : 2)
    }
  }
  var status: Int32 = 0
  unsafe waitpid(child, &status, 0)
  return status == 0 ? "refused" : "status \(status)"
}

/// fork(2), which Darwin's overlay declares unavailable to Swift.
func forkProcess() -> pid_t {
  typealias Fork = @convention(c) () -> pid_t
  guard let symbol = unsafe dlsym(dlopen(nil, RTLD_NOW), "fork") else { return -1 }
  return unsafe unsafeBitCast(symbol, to: Fork.self)()
}

/// Fills a spool until the system gives it no more room, then with room again; tells how each went.
func fillWithoutRoom(_ settings: PeerSettings, _ link: PeerLink) async throws {
  let spool = try Spool.open(settings.spoolConfiguration)
  let journal = try AcknowledgementJournal(
    path: settings.required(settings.journal, "journal"), synced: false)
  await link.reach("start")
  // A file size limit refuses blocks as a full disk does, and needs no disk to be filled.
  signal(SIGXFSZ, SIG_IGN)
  #if os(Linux)
    let resource = __rlimit_resource_t(RLIMIT_FSIZE.rawValue)
  #else
    let resource = RLIMIT_FSIZE
  #endif
  var old = rlimit()
  unsafe getrlimit(resource, &old)
  var limit = rlimit(rlim_cur: 4096, rlim_max: old.rlim_max)
  unsafe setrlimit(resource, &limit)
  var number = settings.first
  var refusal: StoreError?
  while refusal == nil {
    do {
      try spool.append(number: number)
      number += 1
    } catch {
      refusal = error
    }
  }
  unsafe setrlimit(resource, &old)
  for kept in settings.first..<number { journal.acknowledge(kept) }
  link.tell("\(refusal?.code.description ?? "") \(spool.status().refused)")
  // A full disk is asked again after a moment, so the first appends may still be refused.
  while true {
    do {
      try spool.append(number: number)
      break
    } catch {
      sched_yield()
    }
  }
  journal.acknowledge(number)
  link.tell("accepted")
  await spool.close()
}
