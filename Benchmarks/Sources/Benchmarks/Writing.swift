// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import GRDB
import HoldfastEngine

/// Who writes.
enum Side: String, Codable, ExpressibleByArgument {
  /// `StateFile.write`.
  case engine
  /// SQLite as it is usually set up for many processes: WAL, BEGIN IMMEDIATE, busy_timeout 30 s.
  case plain
  /// GRDB's `DatabasePool.write`.
  case pool
}

private let createTable = "CREATE TABLE IF NOT EXISTS note(id INTEGER PRIMARY KEY, text TEXT NOT NULL)"
private let text = String(repeating: "x", count: 200)

private func insert(_ db: Database, hold: UInt32) throws {
  try db.cachedStatement(sql: "INSERT INTO note(text) VALUES (?)").execute(arguments: [text])
  if hold > 0 { usleep(hold) }
}

/// A baseline that syncs less would be faster for nothing.
private func requireFull(_ db: Database) throws {
  let synchronous = try Int.fetchOne(db, sql: "PRAGMA synchronous")
  guard synchronous == 2 else { throw ValidationError("the baseline is not at synchronous FULL") }
}

/// Writes one row a transaction from so many tasks until the time is over.
///
/// - Parameters:
///   - hold: microseconds spent inside each transaction.
///   - ready: called when the file is open; what it waits for begins the time.
func write(
  _ side: Side, to file: String, callers: Int, hold: UInt32, seconds: Double, ready: () async throws -> Void
) async throws -> [Turns] {
  switch side {
  case .engine:
    let state = try await StateFile.open(file)
    try await state.write { db in try db.execute(sql: createTable) }
    try await ready()
    let turns = try await loop(callers, seconds) {
      try await state.write { db in try insert(db, hold: hold) }
    }
    await state.close()
    return turns
  case .plain:
    var configuration = Configuration()
    configuration.busyMode = .timeout(30)
    let queue = try DatabaseQueue(path: file, configuration: configuration)
    try await queue.writeWithoutTransaction { db in
      _ = try String.fetchOne(db, sql: "PRAGMA journal_mode = WAL")
      try db.execute(sql: "PRAGMA synchronous = FULL")
      try requireFull(db)
      try db.execute(sql: createTable)
    }
    try await ready()
    // On one thread, without a hop between two transactions: the baseline at its best.
    return try await queue.writeWithoutTransaction { db in
      var turns = Turns()
      let end = ContinuousClock.now + .seconds(seconds)
      while ContinuousClock.now < end {
        let begun = ContinuousClock.now
        try db.inTransaction(.immediate) {
          try insert(db, hold: hold)
          return .commit
        }
        turns.add(begun.duration(to: .now))
      }
      return [turns]
    }
  case .pool:
    var configuration = Configuration()
    configuration.busyMode = .timeout(30)
    let pool = try DatabasePool(path: file, configuration: configuration)
    try await pool.writeWithoutTransaction { db in
      // GRDB sets NORMAL when it puts a pool in WAL mode.
      try db.execute(sql: "PRAGMA synchronous = FULL")
      try requireFull(db)
      try db.execute(sql: createTable)
    }
    try await ready()
    return try await loop(callers, seconds) {
      try await pool.write { db in try insert(db, hold: hold) }
    }
  }
}

private func loop(
  _ callers: Int, _ seconds: Double, _ write: @escaping @Sendable () async throws -> Void
) async throws -> [Turns] {
  let end = ContinuousClock.now + .seconds(seconds)
  return try await withThrowingTaskGroup(of: Turns.self) { group in
    for _ in 0..<callers {
      group.addTask {
        var turns = Turns()
        while ContinuousClock.now < end {
          let begun = ContinuousClock.now
          try await write()
          turns.add(begun.duration(to: .now))
        }
        return turns
      }
    }
    return try await group.reduce(into: []) { $0.append($1) }
  }
}

/// Many tasks in this process.
struct OneProcess {
  var side: Side
  var callers: Int

  func turns(in directory: String, seconds: Double) async throws -> RunResult {
    let file = "\(directory)/\(side.rawValue)-\(UUID().uuidString).db"
    let turns = try await write(side, to: file, callers: callers, hold: 0, seconds: seconds) {}
    return RunResult(writers: turns, seconds: seconds)
  }
}
