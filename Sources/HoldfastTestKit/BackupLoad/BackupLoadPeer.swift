// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine

/// What one process does in a ``BackupLoad``.
///
/// A program that runs one starts itself again for each peer, with these settings as JSON, and calls ``run(_:)``.
public struct BackupLoadPeer: Codable, Sendable {
  enum Role: String, Codable {
    /// Writes rows at a steady rate through the engine and notes how long each waited.
    case writer
    /// Makes one backup.
    case backup
  }

  var role: Role
  var directory: String
  /// A number of its own, so that its rows are.
  var slot: UInt64
  /// Rows a second.
  var rate: Double
  var isCompressed = false

  var database: String { directory + "/load.db" }
  var backups: String { directory + "/backups" }
  /// Where a writer's waits are found when it has ended.
  var waits: String { "\(directory)/slot-\(slot).waits" }
  /// The numbers that were acknowledged, in the order of their acknowledgement.
  var journal: String { "\(directory)/slot-\(slot).acknowledged" }

  /// A writer's table: wide rows, an index in the order of time, and one in no order, whose pages are all over the
  /// file.
  static let migrations: DatabaseMigrator = {
    var migrator = DatabaseMigrator()
    migrator.registerMigration("load") { db in
      try db.execute(
        sql: """
          CREATE TABLE message(
            id INTEGER PRIMARY KEY, number INTEGER NOT NULL, session INTEGER NOT NULL, uid BLOB NOT NULL,
            text TEXT NOT NULL) STRICT;
          CREATE UNIQUE INDEX message_uid ON message(uid);
          CREATE INDEX message_session ON message(session, id);
          """)
    }
    return migrator
  }()

  /// Characters of a row's text.
  static let textLength = 960

  /// Runs the peer's part.
  public func run(_ link: PeerLink) async throws {
    switch role {
    case .writer: try await write(link)
    case .backup:
      await link.reach("start")
      let report = try await Backup.create(
        of: database, to: backups, options: .init(isCompressed: isCompressed))
      link.tell(report.path)
    }
  }

  private func write(_ link: PeerLink) async throws {
    let file = try await StateFile.open(database, migrations: Self.migrations)
    let journal = try AcknowledgementJournal(path: journal, synced: false)
    let noted = Monitor(Noted())
    let text = String(repeating: "x", count: Self.textLength)
    await link.reach("start")
    let stop = Task { await link.reach("stop") }
    let isStopping = Monitor(false)
    Task {
      await stop.value
      isStopping.withLock { $0 = true }
    }
    let began = MonotonicTime.now
    await withDiscardingTaskGroup { group in
      var called: UInt64 = 0
      while !isStopping.withLock({ $0 }) {
        // Every write is called when its time has come, however long earlier ones wait: a stall is felt by all that
        // were called meanwhile.
        let due = UInt64(Double(MonotonicTime.now - began) / 1e9 * rate) + 1
        while called < due {
          called += 1
          let number = slot << 40 | called
          let call = MonotonicTime.now
          group.addTask {
            do {
              try await file.write { db in
                try db.cachedStatement(
                  sql: "INSERT INTO message(number, session, uid, text) VALUES (?, ?, randomblob(16), ?)"
                ).execute(arguments: [Int64(number), Int64(number % 997), text])
              }
              let end = MonotonicTime.now
              journal.acknowledge(number)
              let isFirst = noted.withLock { noted in
                noted.waits += [call, end]
                return noted.waits.count == 2
              }
              if isFirst { link.tell("writing") }
            } catch {
              link.tell("error \(error)")
            }
          }
        }
        try? await Task.sleep(for: .milliseconds(1))
      }
    }
    let waits = noted.withLock { $0.waits }
    try unsafe waits.withUnsafeBytes { try unsafe Data($0).write(to: URL(filePath: self.waits)) }
    await file.close()
    link.tell("done")
  }

  private struct Noted {
    /// When each write was called and when it was acknowledged, in turn.
    var waits: [UInt64] = []
  }
}

/// The clock all processes of one machine share.
enum MonotonicTime {
  /// Nanoseconds since some moment before this system started.
  static var now: UInt64 {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }
}
