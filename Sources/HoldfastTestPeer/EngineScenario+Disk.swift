// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine
import HoldfastTestKit

/// A store on a disk that fills up and gets room again, all through one handle.
///
/// What the peer finds wrong it tells as `wrong …`, and in the end `rows N refused N`.
struct FullDisk {
  /// What takes up the room that is given back later, made before the store.
  private static let ballast = 4 << 20

  private let settings: PeerSettings
  private let link: PeerLink
  private let path: String

  init(_ settings: PeerSettings, _ link: PeerLink) throws {
    self.settings = settings
    self.link = link
    path = try settings.required(settings.database, "database")
  }

  func run() async throws {
    await link.reach("start")
    let ballast = path + ".ballast"
    try Data(count: Self.ballast).write(to: URL(fileURLWithPath: ballast))
    let file = try await settings.open()
    let spool = try Spool.open(settings.spoolConfiguration)
    var acknowledged = try await fill(file)
    try await refuseAll(file, acknowledged)
    if settings.checkpointPages != nil, settings.filesystem == nil { try await refuseCheckpoint(file) }
    let (accepted, refused) = try await spoolMeanwhile(file, spool)

    // Room again; nothing is opened anew or started again.
    try FileManager.default.removeItem(atPath: ballast)
    try await file.write { try insert(2, $0) }
    acknowledged += 1
    try await spool.flush(within: .seconds(60))
    if let error = spool.status().lastError { wrong("the spool still says \(error)") }
    if spool.status().rejected > 0 { wrong("a record was blamed for the full disk") }
    try await expect(rows: acknowledged + accepted, in: file, "with room again")
    _ = try await file.checkpoint()
    await spool.close()
    await file.close()
    let again = try await settings.open()
    try await expect(rows: acknowledged + accepted, in: again, "opened again")
    await again.close()
    link.tell("rows \(acknowledged + accepted) refused \(refused)")
  }

  private func wrong(_ what: String) { link.tell("wrong \(what)") }

  /// Writes until there is no room, then ever smaller rows until there is none for the smallest.
  private func fill(_ file: StateFile) async throws -> Int {
    var written = 0
    for size in [50_000, 5_000, 10] {
      while true {
        do {
          try await file.write { db in
            try insert(1, db)
            try db.execute(
              sql: "CREATE TABLE IF NOT EXISTS filler(text BLOB); INSERT INTO filler VALUES (zeroblob(?))",
              arguments: [size])
          }
          written += 1
        } catch let error as StoreError {
          judge(error)
          break
        }
      }
    }
    return written
  }

  private func judge(_ error: StoreError) {
    if error.code != .diskFull || error.outcome != .notApplied {
      wrong("\(error.code), \(error.outcome): \(error)")
    }
    if !error.message.contains("free some space") { wrong("the remedy is not in: \(error)") }
  }

  /// Many at once, who would share a transaction: each is refused, and reading goes on.
  private func refuseAll(_ file: StateFile, _ acknowledged: Int) async throws {
    await withTaskGroup(of: StoreError?.self) { group in
      for _ in 0..<20 {
        group.addTask {
          do {
            try await file.write { db in
              try insert(1, db)
              try db.execute(sql: "INSERT INTO filler VALUES (zeroblob(50000))")
            }
            return nil
          } catch {
            return error as? StoreError
          }
        }
      }
      for await error in group {
        if let error { judge(error) } else { wrong("a large row found room on a full disk") }
      }
    }
    try await expect(rows: acknowledged, in: file, "on the full disk")
  }

  private func refuseCheckpoint(_ file: StateFile) async throws {
    do {
      _ = try await file.checkpoint()
      wrong("a checkpoint found room on a full disk")
    } catch let error as StoreError {
      judge(error)
    }
  }

  /// What is accepted while the database takes nothing; the spool is on a disk with room, and bounded.
  private func spoolMeanwhile(_ file: StateFile, _ spool: Spool) async throws -> (accepted: Int, refused: Int)
  {
    spool.startDraining(into: file) { db, records in
      for _ in records { try insert(3, db) }
      // No batch is small enough to slip into what is left.
      try db.execute(
        sql: "INSERT INTO filler VALUES (zeroblob(50001)); DELETE FROM filler WHERE length(text) = 50001")
    }
    var accepted = 0
    var refused = 0
    let record = [UInt8](repeating: 0x31, count: 1000)
    while refused < 10 {
      do {
        try spool.append(record)
        accepted += 1
      } catch {
        if error.code != .refused || !error.message.contains("spool") { wrong("\(error.code): \(error)") }
        refused += 1
      }
    }
    let status = spool.status()
    if Int(status.refused) != refused { wrong("the spool counts \(status.refused) refusals of \(refused)") }
    if status.bytes > status.capacity { wrong("the spool holds \(status.bytes) bytes of \(status.capacity)") }
    if !(await eventually { spool.status().lastError?.code == .diskFull }) {
      wrong(
        "the spool does not say why nothing lands: \(spool.status().lastError.map { "\($0)" } ?? "nothing")")
    }
    return (accepted, refused)
  }

  private func expect(rows: Int, in file: StateFile, _ when: String) async throws {
    let (found, verdict) = try await file.read { db in
      try (
        Int.fetchOne(db, sql: "SELECT count(*) FROM number"),
        String.fetchOne(db, sql: "PRAGMA integrity_check")
      )
    }
    if found != rows || verdict != "ok" {
      wrong("\(when): \(found ?? -1) rows instead of \(rows), \(verdict ?? "none")")
    }
  }
}

/// A user without rights opens, reads and writes a store.
///
/// Tells `opened` or the error's code and message, one line.
func useWithoutRights(_ settings: PeerSettings, _ link: PeerLink) async throws {
  await link.reach("start")
  guard settings.user == 0 || dropRights(to: settings.user) else {
    link.tell("no-rights-to-drop")
    return
  }
  while true {
    await link.reach("open")
    do {
      let file = try await settings.open()
      do {
        _ = try await file.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM number") }
        try await file.write { try insert(settings.first, $0) }
      } catch {
        // One that is merely dropped closes later, and until then the next would share its read-only -shm.
        await file.close()
        throw error
      }
      await file.close()
      link.tell("opened")
    } catch let error as StoreError {
      link.tell("\(error.code) \(error.path ?? "-") \(error.message)")
    } catch {
      link.tell("untyped \(error)")
    }
  }
}

private func dropRights(to user: UInt32) -> Bool {
  setgroups(0, nil) == 0 && setgid(user) == 0 && setuid(user) == 0 && geteuid() == user
}
