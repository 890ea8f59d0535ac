// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine

/// What one process of a torture run does, until it is killed.
///
/// A program that runs ``Torture`` starts itself again for each peer, with these settings as JSON, and calls
/// ``run(_:)``.
public struct TorturePeer: Codable, Sendable {
  enum Role: String, Codable {
    /// Writes, reads, spools, checkpoints and reopens through the engine.
    case worker
    /// Writes and holds locks through plain SQLite, as any other program would.
    case foreigner
    /// Runs the engine on a disk that loses power.
    case powerCuts
  }

  var role: Role
  var directory: String
  var slot: UInt64
  /// How many peers had this slot before.
  var incarnation: UInt64
  var seed: UInt64
  /// For a peer that cuts the power: how often.
  var powerCuts = 0
  /// The type of filesystem the engine is to take the directory's for; nil for what it is.
  var filesystem: String?

  var database: String { directory + "/torture.db" }
  var spoolDirectory: String { directory + "/spool" }
  var journal: String { "\(directory)/slot-\(slot).acknowledged" }
  var spoolJournal: String { "\(directory)/slot-\(slot).spooled" }

  /// How the engine opens the database.
  var stateFile: StateFileConfiguration {
    var configuration = StateFileConfiguration()
    configuration.mountTable = filesystem.map { "1 0 0:1 / / rw - \($0) none rw" }
    return configuration
  }

  /// The numbers this peer writes are its own, whoever had the slot before.
  func number(_ count: UInt64) -> UInt64 { slot << 48 | incarnation << 24 | count }

  /// The schema of a torture run: what was written, and in which way.
  static let migrations: DatabaseMigrator = {
    var migrator = DatabaseMigrator()
    migrator.registerMigration("torture") { db in
      try db.execute(
        sql: """
          CREATE TABLE written(id INTEGER PRIMARY KEY, number INTEGER NOT NULL, text TEXT NOT NULL) STRICT;
          CREATE TABLE spooled(id INTEGER PRIMARY KEY, number INTEGER NOT NULL) STRICT;
          CREATE TABLE foreigner(id INTEGER PRIMARY KEY, number INTEGER NOT NULL) STRICT;
          """)
    }
    return migrator
  }()

  /// The spool of a run; small segments, so that they are made, finished and adopted all the time.
  var spoolConfiguration: Spool.Configuration {
    Spool.Configuration(
      directory: spoolDirectory, stream: "torture", capacity: 1 << 20, segmentBytes: 64 << 10,
      linger: .milliseconds(1), adoptionInterval: .milliseconds(50))
  }

  /// Runs the peer's part; returns only if its parent is gone.
  public func run(_ link: PeerLink) async throws {
    switch role {
    case .worker: try await TortureWorker(self, link).run()
    case .foreigner: try TortureForeigner(self, link).run()
    case .powerCuts: try await TorturePowerCuts(self, link).run()
    }
  }

  /// How records of the spool land; the same in every worker and in the check.
  static let land: @Sendable (Database, [SpoolRecord]) throws -> Void = { db, records in
    for record in records {
      let number = Int64(String(decoding: record.payload, as: UTF8.self))
      try db.cachedStatement(sql: "INSERT INTO spooled(number) VALUES (?)").execute(arguments: [number])
    }
  }
}
