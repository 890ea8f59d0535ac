// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import GRDB
import HoldfastEngine

/// Many processes, many tasks in each, one SQLite file: who got how many turns, who waited how long, what was lost.
///
/// `swift run -c release swarm --processes 8 --tasks 16 --seconds 5`
@main
struct Swarm: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "swarm",
    abstract: "Write one SQLite file from many processes and tasks, and count what arrived.")

  @Option(help: "How many processes write.")
  var processes = 8

  @Option(help: "How many tasks write in each.")
  var tasks = 8

  @Option(help: "For how long.")
  var seconds = 5.0

  @Option(help: "The database; it is made if need be, and kept.")
  var file = "swarm.db"

  fileprivate static let ready = "ready\n"

  /// Set in the processes that write.
  @Option(help: .hidden)
  var worker: Int?

  func run() async throws {
    // Whoever comes first makes the table; the others find it made.
    var migrations = DatabaseMigrator()
    migrations.registerMigration("note") { db in
      try db.create(table: "note") { table in
        table.autoIncrementedPrimaryKey("id")
        table.column("worker", .integer).notNull()
        table.column("text", .text).notNull()
      }
    }
    let state = try await StateFile.open(file, migrations: migrations)
    if let worker {
      try await write(to: state, as: worker)
    } else {
      try await watch(state)
    }
    await state.close()
  }

  // MARK: A process that writes

  /// Writes from all tasks until the time is over, then says how often and how long the longest wait was.
  private func write(to state: StateFile, as worker: Int) async throws {
    // Everybody begins at once, when the watching process lets go.
    try FileHandle.standardOutput.write(contentsOf: Data(Self.ready.utf8))
    await onThread { _ = FileHandle.standardInput.readDataToEndOfFile() }
    let end = ContinuousClock.now + .seconds(seconds)
    let counts = try await withThrowingTaskGroup(of: Turns.self) { group in
      for task in 0..<tasks {
        group.addTask {
          var turns = Turns()
          while ContinuousClock.now < end {
            let begun = ContinuousClock.now
            try await state.write { db in
              try db.execute(
                sql: "INSERT INTO note(worker, text) VALUES (?, ?)", arguments: [worker, "from task \(task)"])
            }
            // The write is on disk now: what is counted here must be found later.
            turns.add(begun.duration(to: .now))
          }
          return turns
        }
      }
      return try await group.reduce(into: Turns()) { $0.add($1) }
    }
    print("\(counts.number) \(counts.longest.milliseconds)")
  }

  // MARK: The process that watches

  private func watch(_ state: StateFile) async throws {
    let before = try await rows(in: state)
    let workers = try (0..<processes).map { try Worker(starting: self, as: $0) }
    let claimed = await onThread {
      for worker in workers { worker.waitUntilReady() }
      for worker in workers { worker.go() }
      return workers.map { $0.turns() }
    }
    let after = try await rows(in: state)

    var total = 0
    var lost = 0
    print("process  writes  longest wait")
    for (worker, turns) in claimed.enumerated() {
      guard let turns else { throw ValidationError("process \(worker) failed") }
      total += turns.number
      lost += turns.number - (after[worker, default: 0] - before[worker, default: 0])
      print("\(padded(worker, 7))\(padded(turns.number, 8))\(padded(turns.longest.milliseconds, 11)) ms")
    }
    print("\(total) writes acknowledged, \(lost) lost")
    if lost != 0 { throw ExitCode(65) }
  }

  private func rows(in state: StateFile) async throws -> [Int: Int] {
    try await state.read { db in
      let rows = try Row.fetchAll(db, sql: "SELECT worker, count(*) FROM note GROUP BY worker")
      return Dictionary(uniqueKeysWithValues: rows.map { ($0[0], $0[1]) })
    }
  }

  private func padded(_ number: Int, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - "\(number)".count)) + "\(number)"
  }
}

/// A process that writes, as the watching one sees it.
private final class Worker: Sendable {
  private let process = Process()
  private let input = Pipe()
  private let output = Pipe()

  init(starting swarm: Swarm, as number: Int) throws {
    process.executableURL = Bundle.main.executableURL
    process.arguments = [
      "--worker", "\(number)", "--tasks", "\(swarm.tasks)", "--seconds", "\(swarm.seconds)", "--file",
      swarm.file,
    ]
    process.standardInput = input
    process.standardOutput = output
    try process.run()
  }

  func waitUntilReady() {
    _ = try? output.fileHandleForReading.read(upToCount: Swarm.ready.utf8.count)
  }

  func go() { try? input.fileHandleForWriting.close() }

  /// What it printed at its end; nil when it failed.
  func turns() -> Turns? {
    let printed = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return Turns(printed: String(decoding: printed, as: UTF8.self))
  }
}

/// Runs what blocks on a thread of its own: Swift's cooperative threads must never wait.
private func onThread<T: Sendable>(_ body: @escaping @Sendable () -> T) async -> T {
  await withCheckedContinuation { continuation in
    Thread.detachNewThread { continuation.resume(returning: body()) }
  }
}

/// How often somebody wrote, and the longest time one write took.
private struct Turns: Sendable {
  var number = 0
  var longest = Duration.zero

  init() {}

  /// What a worker printed; nil when it printed something else.
  init?(printed text: String) {
    let parts = text.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
    guard parts.count == 2 else { return nil }
    number = parts[0]
    longest = .milliseconds(parts[1])
  }

  mutating func add(_ turn: Duration) {
    number += 1
    longest = max(longest, turn)
  }

  mutating func add(_ other: Turns) {
    number += other.number
    longest = max(longest, other.longest)
  }
}

extension Duration {
  fileprivate var milliseconds: Int {
    Int(components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000)
  }
}
