// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import GRDB
import HoldfastEngine
import Synchronization

/// Appends to a spool while another process holds its database, beside an in-memory queue of the same bound.
struct Accepting {
  /// How many threads append at once.
  let threads: Int
  /// Each append's time in nanoseconds, with one reading of the clock in it.
  typealias Times = [UInt32]

  static let records = 180_000
  static let payload = [UInt8](repeating: 0x2a, count: 300)
  static let capacity = 64 << 20

  func queue() async -> Times {
    let queue = Mutex<(records: [[UInt8]], bytes: Int)>(([], 0))
    return await measure {
      queue.withLock { queue in
        guard queue.bytes + Self.payload.count <= Self.capacity else { return }
        queue.records.append(Array(Self.payload))
        queue.bytes += Self.payload.count
      }
    }
  }

  func spool(in directory: String) async throws -> (times: Times, landed: Double) {
    let home = directory + "/spool-\(threads)"
    try FileManager.default.createDirectory(atPath: home, withIntermediateDirectories: true)
    var migrator = DatabaseMigrator()
    migrator.registerMigration("row") { db in
      try db.execute(sql: "CREATE TABLE row(id INTEGER PRIMARY KEY, content BLOB NOT NULL) STRICT")
    }
    let file = try await StateFile.open(home + "/a.db", migrations: migrator)
    let holder = try Holding.start(home + "/a.db")
    let spool = try Spool.open(.init(directory: home + "/spool", stream: "bench", capacity: Self.capacity))
    spool.startDraining(into: file) { db, records in
      let insert = try db.cachedStatement(sql: "INSERT INTO row(content) VALUES (?)")
      for record in records { try insert.execute(arguments: [Data(record.payload)]) }
    }
    let times = await measure {
      do { try spool.append(Self.payload) } catch { fatalError("\(error)") }
    }
    kill(holder.processIdentifier, SIGKILL)
    holder.waitUntilExit()
    let start = ContinuousClock.now
    try await spool.flush()
    let landing = start.duration(to: .now) / .seconds(1)
    let count = try await file.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM row") ?? 0 }
    precondition(count == times.count, "\(times.count) were accepted, \(count) have landed")
    await spool.close()
    await file.close()
    return (times, Double(count) / landing)
  }

  private func measure(_ append: @escaping @Sendable () -> Void) async -> Times {
    let share = Self.records / threads
    return await withTaskGroup(of: Times.self) { group in
      for _ in 0..<threads {
        group.addTask {
          await withCheckedContinuation { continuation in
            Thread.detachNewThread {
              var times = Times()
              times.reserveCapacity(share)
              for _ in 0..<share {
                let start = Self.nanoseconds()
                append()
                times.append(UInt32(clamping: Self.nanoseconds() - start))
              }
              continuation.resume(returning: times)
            }
          }
        }
      }
      return await group.reduce(into: Times()) { $0 += $1 }
    }
  }

  private static func nanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }
}

/// Another process that holds the database until it is killed.
struct Holding: AsyncParsableCommand {
  static let configuration = CommandConfiguration(commandName: "hold", shouldDisplay: false)

  @Argument var path: String

  func run() async throws {
    let queue = try DatabaseQueue(path: path)
    try await queue.writeWithoutTransaction { db in
      try db.execute(sql: "BEGIN EXCLUSIVE")
      print("held")
      fflush(nil)
      while true { pause() }
    }
  }

  static func start(_ path: String) throws -> Process {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: CommandLine.arguments[0])
    process.arguments = ["hold", path]
    let output = Pipe()
    process.standardOutput = output
    try process.run()
    _ = output.fileHandleForReading.availableData
    return process
  }
}
