// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastEngine
import HoldfastGateway
import HoldfastUsage

/// `holdfast usage import`.
struct UsageImport: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "import",
    abstract: "Take in what programs' logs tell of their requests; again, only what is new.",
    discussion: """
      Examples:
        holdfast usage import                      every program that is found
        holdfast usage import claude-code codex
        holdfast usage import --dry-run --json
        holdfast usage import ~/backup/.codex/sessions old.jsonl
        holdfast usage import --watch              stay, and take what is written

      Reads the logs of Claude Code, Codex, OpenCode, Gemini CLI and Cline (Roo Code and
      Kilo Code too) where they keep them, or what is at a path: whose a file is is told by
      what is in it. A request that the gateway recorded as well is one row with it.

      Nothing of the source is changed, and its program may be at work. What cannot be read,
      or tells numbers that cannot be true, is told with its file and line, the rest is
      taken, and the exit code is 65.
      """)

  @Argument(
    help: ArgumentHelp(
      "Programs (claude-code, codex, opencode, gemini, cline), files or directories; none for every program.",
      valueName: "what"))
  var sources: [String] = []

  @Flag(name: .long, help: "Only say what would be new.")
  var dryRun = false

  @OptionGroup var common: CommonOptions

  func run() async throws {
    let found = try await Process.onThread { try find() }
    let home = common.resolvedHome
    var refused = 0
    if dryRun, !Home.exists(home.path + "/usage.db") {
      for format in UsageLogFormat.allCases {
        guard let places = found[format] else { continue }
        let faults = FaultPrinter()
        refused += try tell(await UsageLogPlace.preview(places, of: format, onFault: faults.say), faults)
      }
    } else {
      try home.make()
      let rates = try home.configuration().rates()
      let ledger = try await SQLiteUsageLedger.open(home: home.path, for: .reporting, rates: rates)
      do {
        for format in UsageLogFormat.allCases {
          guard let places = found[format] else { continue }
          let faults = FaultPrinter()
          let report = try await ledger.importLogs(
            places, of: format, dryRun: dryRun, onFault: faults.say
          ) { report in
            let rows = report.rowsNew + report.rowsMerged + report.rowsUnchanged
            Console.progress("\(report.source): \(Amount.count(rows)) requests")
          }
          refused += try tell(report, faults)
        }
      } catch {
        await ledger.close(within: .seconds(1))
        throw error
      }
      await ledger.close(within: .seconds(1))
    }
    if refused > 0 { Process.leave(ExitStatus.dataError) }
  }

  private func tell(_ report: UsageImportReport, _ faults: FaultPrinter) throws -> Int {
    Console.endProgress()
    faults.finish(report.refused)
    Console.print(common.json ? try JSONLine.text(report) : Self.sentence(report, isLooking: dryRun))
    return report.refused
  }

  // MARK: Finding

  /// What is to be read, by program; a program that was named is there without a file, too.
  private func find() throws -> [UsageLogFormat: [UsageLogPlace]] {
    let environment = Process.environment
    var found: [UsageLogFormat: [UsageLogPlace]] = [:]
    guard !sources.isEmpty else {
      for format in UsageLogFormat.allCases {
        let places = UsageLogPlace.usual(format, environment: environment)
        if !places.isEmpty { found[format] = places }
      }
      guard !found.isEmpty else {
        throw Failure(
          ExitStatus.noInput,
          "None of the programs has logs where it keeps them; name a file or a directory.")
      }
      return found
    }
    for source in sources {
      if let format = UsageLogFormat(name: source) {
        let places = UsageLogPlace.usual(format, environment: environment)
        guard !places.isEmpty else {
          throw Failure(
            ExitStatus.noInput,
            "\(format.source) has no logs where it keeps them; name a file or a directory.")
        }
        found[format, default: []] += places
      } else {
        let places = try UsageLogPlace.all(at: Home.absolute(source))
        guard !places.isEmpty else {
          throw Failure(ExitStatus.noInput, "There are no logs of a program that is known in \(source).")
        }
        for place in places { found[place.format, default: []].append(place) }
      }
    }
    return found.mapValues(UsageLogPlace.inOrder)
  }

  static func sentence(_ report: UsageImportReport, isLooking: Bool) -> String {
    var parts = [
      "\(report.source): \(Amount.count(report.rowsNew)) requests \(isLooking ? "would be" : "were") new",
      "\(Amount.count(report.rowsMerged)) \(isLooking ? "would be" : "were") completed",
      "\(Amount.count(report.rowsUnchanged)) were there",
      "in \(Amount.count(report.files)) files",
    ]
    if report.rowsExpired > 0 {
      parts.append("\(Amount.count(report.rowsExpired)) are older than rows are kept")
    }
    if report.incomplete > 0 { parts.append("\(Amount.count(report.incomplete)) are being written") }
    if report.refused > 0 { parts.append("\(Amount.count(report.refused)) were refused") }
    return parts.joined(separator: ", ")
  }
}

/// Tells on standard error what was refused, up to a bound.
final class FaultPrinter {
  private var told = 0

  func say(_ fault: UsageLogFault) {
    told += 1
    guard told <= UsageImportReport.mostFaults else { return }
    Console.endProgress()
    Console.printError(fault.file + (fault.line.map { ":\($0)" } ?? "") + ": " + fault.reason)
  }

  func finish(_ refused: Int) {
    guard refused > UsageImportReport.mostFaults else { return }
    Console.printError("\(Amount.count(refused - UsageImportReport.mostFaults)) more were refused.")
  }
}
