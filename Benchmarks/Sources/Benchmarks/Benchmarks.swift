// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation

/// Every speed claim beside its baseline, measured in the same run on the same disk, as ratios with the raw
/// figures.
@main
struct Benchmarks: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "benchmarks",
    abstract: "Measure the engine beside plain SQLite and GRDB.",
    subcommands: [Run.self, Worker.self, Holding.self],
    defaultSubcommand: Run.self)
}

/// Runs benches and prints the table.
struct Run: AsyncParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Run the benches and print the table.")

  @Argument(help: "Which: contended, held, group, solo, spool, search, report (default: all).")
  var benches: [Bench] = Bench.allCases

  @Option(help: "How long each side of each bench runs.")
  var seconds = 5.0

  @Option(help: "Where the databases are made; it decides what a durable commit costs.")
  var directory = FileManager.default.currentDirectoryPath

  @Option(help: "Messages that the search bench searches.")
  var messages = 1_000_000

  @Option(help: "Rows of the largest ledger that the report bench asks.")
  var rows = 10_000_000

  func run() async throws {
    let scratch = URL(fileURLWithPath: directory).appendingPathComponent(".bench-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: scratch, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: scratch) }
    print("durability FULL on both sides, \(seconds) s each, in \(directory)\n")
    for bench in benches {
      for line in try await bench.lines(in: scratch.path, seconds: seconds, messages: messages, rows: rows) {
        print(line)
      }
    }
  }
}

/// One row of the design's table of speed targets.
enum Bench: String, CaseIterable, ExpressibleByArgument {
  case contended, held, group, solo, spool, search, report

  func lines(in directory: String, seconds: Double, messages: Int, rows: Int) async throws -> [String] {
    switch self {
    case .contended:
      let plain = try await Crowd(side: .plain, callers: 1).turns(in: directory, seconds: seconds)
      let one = try await Crowd(side: .engine, callers: 1).turns(in: directory, seconds: seconds)
      let eight = try await Crowd(side: .engine, callers: 8).turns(in: directory, seconds: seconds)
      return Report.crowd(
        "contended: 16 processes, 1 row a transaction", plain, [("1 caller", one), ("8 callers", eight)])
    case .held:
      let plain = try await Crowd(side: .plain, callers: 1, hold: 1000).turns(in: directory, seconds: seconds)
      let ours = try await Crowd(side: .engine, callers: 1, hold: 1000).turns(in: directory, seconds: seconds)
      return Report.crowd("held: the same with 1 ms inside each transaction", plain, [("1 caller", ours)])
    case .group, .solo:
      let callers = self == .group ? 64 : 1
      let pool = try await OneProcess(side: .pool, callers: callers).turns(in: directory, seconds: seconds)
      let ours = try await OneProcess(side: .engine, callers: callers).turns(in: directory, seconds: seconds)
      return Report.process(
        "\(rawValue): \(callers) task\(callers == 1 ? "" : "s") in one process", pool, ours)
    case .spool:
      var lines = [
        "spool: appends of 300 bytes while another process holds the database", Report.appendHeading,
      ]
      for threads in [1, 4] {
        let accepting = Accepting(threads: threads)
        lines.append(Report.appends("in-memory queue, \(threads)", await accepting.queue()))
        let (times, landed) = try await accepting.spool(in: directory)
        lines.append(Report.appends("Holdfast, \(threads)", times))
        lines.append("  landed afterwards, every one once: \(Int(landed)) rows/s")
      }
      return lines + [""]
    case .search:
      let home = directory + "/search"
      return Report.search(messages, try await Searching(messages: messages).result(in: home))
    case .report:
      let sizes = [1000, 100_000, 10_000_000].filter { $0 < rows } + [rows]
      return Report.reports(sizes, try await Reporting(sizes: sizes).result(in: directory))
    }
  }
}
