// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastEngine
import HoldfastGateway
import HoldfastUsage
import Logging
import ServiceLifecycle
import UnixSignals

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

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

  @Flag(name: .long, help: "Stay, and take what is written from now on, until it is stopped.")
  var watch = false

  @OptionGroup var common: CommonOptions

  func validate() throws {
    if watch, dryRun {
      throw ValidationError("--watch takes what comes, --dry-run takes nothing: choose one.")
    }
  }

  func run() async throws {
    if watch { return try await stay() }
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
      let rates = try await common.rates(orWithoutPublished: true)
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

  // MARK: Staying

  private func stay() async throws {
    var formats: [UsageLogFormat] = []
    var paths: [String] = []
    for source in sources {
      if let format = UsageLogFormat(name: source) {
        formats.append(format)
      } else {
        let path = Home.absolute(source)
        guard Home.exists(path) else { throw LineReader.error(path, ENOENT) }
        paths.append(path)
      }
    }
    if sources.isEmpty { formats = UsageLogFormat.allCases }
    let home = common.resolvedHome
    try home.make()
    let ledger = try await SQLiteUsageLedger.open(
      home: home.path, for: .reporting, rates: try await common.rates(orWithoutPublished: true))
    let service = LogWatchService(
      ledger: ledger, watch: UsageLogWatch(formats, paths: paths, environment: Process.environment),
      isJSON: common.json)
    let group = ServiceGroupConfiguration(
      services: [.init(service: service, successTerminationBehavior: .gracefullyShutdownGroup)],
      gracefulShutdownSignals: [.sigterm, .sigint], logger: Log.quiet)
    do {
      try await ServiceGroup(configuration: group).run()
    } catch {
      await ledger.close(within: .seconds(1))
      throw error
    }
    await ledger.close(within: .seconds(1))
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

/// `holdfast usage import --watch`: a line for what came of each look that something came of.
private struct LogWatchService: Service {
  let ledger: SQLiteUsageLedger
  let watch: UsageLogWatch
  let isJSON: Bool

  func run() async throws {
    let (ledger, watch, isJSON) = (ledger, watch, isJSON)
    await cancelWhenGracefulShutdown {
      try? await watch.run(into: ledger) { report in
        for fault in report.faults {
          Console.printError(fault.file + (fault.line.map { ":\($0)" } ?? "") + ": " + fault.reason)
        }
        let text = isJSON ? try? JSONLine.text(report) : UsageImport.sentence(report, isLooking: false)
        // Whoever started it may not read this; what is written is taken all the same.
        if let text { _ = Console.tryPrint(text) }
      } onError: { error in
        Console.printError("\(error); it is tried again.")
      }
    }
  }
}
