// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine
import HoldfastTestKit

/// A store whose every call to the system fails once, one after the other.
///
/// What the peer finds wrong it tells as `wrong …`; each round ends with `NAME calls N failed N`.
struct FaultRounds {
  private let settings: PeerSettings
  private let link: PeerLink
  private let path: String

  init(_ settings: PeerSettings, _ link: PeerLink) throws {
    self.settings = settings
    self.link = link
    path = try settings.required(settings.database, "database")
  }

  func run() async throws {
    DiskFaults.shared.install()
    await link.reach("start")
    try await faultOpenings()
    try await faultFirstOpenings()
    for step in [Step.write, .largeWrite, .read, .checkpoint] { try await fault(step) }
  }

  private enum Step: String {
    case write
    /// More than one transaction's cache, so that it spills into the -wal before its commit.
    case largeWrite
    case read, checkpoint
  }

  // MARK: Opening

  private func faultOpenings() async throws {
    try await eachCall("open") { name, call in
      let other = try await store(name)
      let failure = await attempt(call) { await (try other.open()).close() }
      let struck = DiskFaults.shared.disarm()
      try await check(other, "\(name), \(struck ?? "none") failed")
      return (struck, failure)
    }
  }

  private func faultFirstOpenings() async throws {
    try await eachCall("first") { name, call in
      let other = settings(at: name)
      let failure = await attempt(call) { await (try other.open()).close() }
      let struck = DiskFaults.shared.disarm()
      try await check(other, "\(name), \(struck ?? "none") failed")
      return (struck, failure)
    }
  }

  /// Every attempt has a file of its own: in one that grows, opening takes ever more calls.
  private func settings(at name: String) -> PeerSettings {
    var other = settings
    other.database = path + "-" + name.replacing(" ", with: "-")
    return other
  }

  /// A file with rows in the database and in its -wal.
  private func store(_ name: String) async throws -> PeerSettings {
    let other = settings(at: name)
    let file = try await other.open()
    for round in 0..<2 {
      try await file.write { try insert(other.first, $0) }
      if round == 0 { _ = try await file.checkpoint() }
    }
    await file.close()
    return other
  }

  // MARK: With the file open

  private func fault(_ step: Step) async throws {
    try await eachCall(step.rawValue) { name, call in
      let other = try await store(name)
      let file = try await other.open()
      _ = try await file.read(count)
      let before = try await file.write { db in
        try insert(settings.first, db)
        return try count(db)
      }
      let failure = await attempt(call) {
        switch step {
        case .write: try await file.write { try insert(settings.first, $0) }
        case .largeWrite:
          try await file.write { db in
            try db.execute(sql: "PRAGMA cache_size = 5")
            for _ in 0..<1500 { try insert(settings.first, db) }
          }
        case .read: _ = try await file.read(count)
        case .checkpoint: _ = try await file.checkpoint()
        }
      }
      let struck = DiskFaults.shared.disarm()
      let rows = step == .largeWrite ? 1500 : step == .write ? 1 : 0
      // With the handle that met the fault, and with nothing done about it.
      let after = try await file.write { db in
        try insert(settings.first, db)
        return try count(db) - 1
      }
      let outcome = (failure as? StoreError)?.outcome
      let isRight =
        switch (failure, outcome) {
        case (nil, _): after == before + rows
        case (_, .notApplied): after == before
        case (_, .applied): after == before + rows
        default: after == before || after == before + rows
        }
      if !isRight {
        let said = failure.map { "\($0)" } ?? "no error"
        link.tell("wrong \(name), \(struck ?? "none") failed: \(before) rows became \(after), \(said)")
      }
      await file.close()
      try await check(other, "\(name), \(struck ?? "none") failed")
      return (struck, failure)
    }
  }

  // MARK: Each

  /// Runs `body` with the first call failing, the second, and so on, until there are no more.
  private func eachCall(
    _ name: String, _ body: (String, Int) async throws -> (struck: String?, failure: (any Error)?)
  ) async throws {
    var failures = 0
    for call in 0..<5000 {
      let (struck, failure) = try await body("\(name) \(call)", call)
      if let failure {
        failures += 1
        if let error = failure as? StoreError, error.path != nil, error.code != .damaged {
          if struck == nil { link.tell("wrong \(name) \(call): failed by itself: \(error)") }
        } else {
          link.tell("wrong \(name) \(call), \(struck ?? "none") failed: \(failure)")
        }
      }
      if struck == nil {
        link.tell("\(name) calls \(call) failed \(failures)")
        return
      }
    }
    link.tell("wrong \(name): there is no end of calls")
  }

  private func attempt(_ call: Int, _ body: () async throws -> Void) async -> (any Error)? {
    DiskFaults.shared.arm(after: call)
    do {
      try await body()
      return nil
    } catch {
      return error
    }
  }

  /// Another opening finds the file sound, in WAL mode and writable, whatever failed before.
  private func check(_ other: PeerSettings, _ what: String) async throws {
    let file = try await other.open()
    try await file.write { [settings] in try insert(settings.first, $0) }
    let mode = try await file.read { try String.fetchOne($0, sql: "PRAGMA journal_mode") }
    let isIntact = try await file.read { try String.fetchOne($0, sql: "PRAGMA integrity_check") }
    await file.close()
    let path = try other.required(other.database, "database")
    let header = try Data(contentsOf: URL(fileURLWithPath: path))[18...19]
    if mode != "wal" || Array(header) != [2, 2] || isIntact != "ok" {
      link.tell("wrong \(what): mode \(mode ?? "none"), header \(Array(header)), \(isIntact ?? "none")")
    }
  }
}

@Sendable private func count(_ db: Database) throws -> Int {
  try Int.fetchOne(db, sql: "SELECT count(*) FROM number") ?? -1
}
