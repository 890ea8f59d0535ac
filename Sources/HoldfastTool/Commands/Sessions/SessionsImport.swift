// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastEngine
import HoldfastGateway
import HoldfastSessions

/// `holdfast sessions import`.
struct SessionsImport: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "import",
    abstract: "Take in exported sessions and other programs' transcripts; again, only what is new.",
    discussion: """
      Examples:
        holdfast sessions import sessions.jsonl
        zcat two.jsonl.gz | holdfast sessions import -
        holdfast sessions import --from claude-code
        holdfast sessions import --from all --dry-run
        holdfast sessions import ~/.codex/sessions ~/work/site/.crush/crush.db

      Reads what `sessions export` wrote, Claude Code's and Codex's JSON Lines, the databases
      of Hermes (state.db), Crush (crush.db) and OpenCode, and OpenCode's files. Whose a file
      is is told by what is in it. A directory is searched with all below it; without a
      path, --from looks where the program keeps its transcripts.

      Nothing of the source is changed, and its program may be at work. What cannot be read
      is told with its file and line, the rest is taken, and the exit code is 65.
      """)

  @Argument(
    help: ArgumentHelp("Files or directories, or - for an export on standard input.", valueName: "path"))
  var paths: [String] = []

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Whose they are: claude-code, codex, hermes, crush, opencode, holdfast for an export, or all.",
      valueName: "name"))
  var from: String?

  @Flag(name: .long, help: "Only say what would be new.")
  var dryRun = false

  @OptionGroup var common: CommonOptions

  /// What --from names.
  private enum Origin: Equatable {
    case anything
    case everything
    case export
    case program(TranscriptFormat)
  }

  private var origin: Origin? {
    switch from {
    case nil: .anything
    case "all": .everything
    case "holdfast": .export
    case let name?: TranscriptFormat(rawValue: name).map(Origin.program)
    }
  }

  func validate() throws {
    guard let origin else {
      let names = TranscriptFormat.allCases.map(\.rawValue).joined(separator: ", ")
      throw ValidationError("--from is one of \(names), holdfast and all, not \(from ?? "").")
    }
    if paths.isEmpty, origin == .anything || origin == .export {
      throw ValidationError("Name a file or directory, or a program with --from.")
    }
    if !paths.isEmpty, origin == .everything {
      throw ValidationError("--from all looks where programs keep their transcripts and takes no path.")
    }
    if paths.contains("-"), paths.count > 1 || origin != .anything && origin != .export {
      throw ValidationError("Standard input is read for an export only, and alone.")
    }
  }

  func run() async throws {
    let found = try await Process.onThread { try find() }
    var refused = 0
    if !found.exports.isEmpty {
      guard !dryRun else {
        throw Failure(ExitStatus.usage, "--dry-run is for other programs' transcripts, not for an export.")
      }
      refused += try await importExports(found.exports)
    }
    for format in TranscriptFormat.allCases {
      let places = found.places.filter { $0.format == format }
      if !places.isEmpty { refused += try await importTranscripts(places, of: format) }
    }
    if refused > 0 { Process.leave(ExitStatus.dataError) }
  }

  // MARK: Finding

  private struct Found: Sendable {
    var exports: [String] = []
    var places: [TranscriptPlace] = []
  }

  private func find() throws -> Found {
    var found = Found()
    switch origin {
    case .everything?:
      for format in TranscriptFormat.allCases { found.places += try usual(format) }
      if found.places.isEmpty {
        throw Failure(
          ExitStatus.noInput, "None of the programs has transcripts where it keeps them; name a path.")
      }
    case .program(let format)? where paths.isEmpty:
      found.places = try usual(format)
      if found.places.isEmpty {
        throw Failure(
          ExitStatus.noInput, "\(format.rawValue) has no transcripts where it keeps them; name a path.")
      }
    case .program(let format)?:
      for path in paths { found.places += try places(at: path, format) }
    case .export?: found.exports = paths
    case .anything?, nil:
      for path in paths {
        if path == "-" || TranscriptPlace.isExport(Home.absolute(path)) {
          found.exports.append(path)
        } else {
          found.places += try places(at: path, nil)
        }
      }
    }
    return found
  }

  private func usual(_ format: TranscriptFormat) throws -> [TranscriptPlace] {
    let roots = TranscriptPlace.usual(
      format, environment: Process.environment, directory: Home.absolute(""))
    return try roots.flatMap { try TranscriptPlace.all(at: $0, format) }
  }

  private func places(at path: String, _ format: TranscriptFormat?) throws -> [TranscriptPlace] {
    let places = try TranscriptPlace.all(at: Home.absolute(path), format)
    guard !places.isEmpty else {
      throw Failure(
        ExitStatus.noInput, "There are no transcripts\(format.map { " of \($0.rawValue)" } ?? "") in \(path)."
      )
    }
    return places
  }

  // MARK: Other programs' transcripts

  private func importTranscripts(_ places: [TranscriptPlace], of format: TranscriptFormat) async throws -> Int
  {
    let isLooking = dryRun
    var told = 0
    let say: (TranscriptFault) -> Void = { fault in
      told += 1
      guard told <= TranscriptImportReport.mostFaults else { return }
      Console.endProgress()
      Console.printError(fault.file + (fault.line.map { ":\($0)" } ?? "") + ": " + fault.reason)
    }
    let report: TranscriptImportReport
    if isLooking, !Home.exists(common.resolvedHome.path + "/sessions.db") {
      report = try await TranscriptPlace.preview(places, of: format, onFault: say)
    } else {
      report = try await common.withSessionFiles(making: !isLooking) { store in
        try await store.importTranscripts(places, of: format, dryRun: isLooking, onFault: say) { report in
          Console.progress(
            "\(format.rawValue): \(Amount.count(report.messages + report.messagesKnown)) messages")
        }
      }
    }
    Console.endProgress()
    if report.refused > TranscriptImportReport.mostFaults {
      Console.printError(
        "\(Amount.count(report.refused - TranscriptImportReport.mostFaults)) more could not be read.")
    }
    Console.print(common.json ? try JSONLine.text(report) : Self.sentence(report, isLooking))
    return report.refused
  }

  private static func sentence(_ report: TranscriptImportReport, _ isLooking: Bool) -> String {
    var parts = [
      """
      \(report.source): \(Amount.count(report.sessions)) sessions and \(Amount.count(report.messages)) messages \
      \(isLooking ? "would be" : "were") new
      """,
      "\(Amount.count(report.sessionsKnown)) and \(Amount.count(report.messagesKnown)) were there",
    ]
    if report.messagesUpdated > 0 {
      parts.append("\(Amount.count(report.messagesUpdated)) messages have changed")
    }
    parts.append("\(Amount.count(report.skipped)) lines are no messages")
    if report.incomplete > 0 { parts.append("\(Amount.count(report.incomplete)) are being written") }
    parts.append("\(Amount.count(report.refused)) could not be read")
    return parts.joined(separator: ", ")
  }

  // MARK: Exports

  private struct Imported: Encodable {
    var sessions = 0
    var messages = 0
    var refused = 0
  }

  private func importExports(_ files: [String]) async throws -> Int {
    let inputs = try files.map { try LineReader.input($0, maximumBytes: LineReader.usualMaximum) }
    let imported = try await common.withSessions(making: true) { store in
      var imported = Imported()
      for input in inputs { try await Self.read(input, into: store, &imported) }
      return imported
    }
    Console.print(
      common.json
        ? try JSONLine.text(imported)
        : """
        \(Amount.count(imported.sessions)) sessions and \(Amount.count(imported.messages)) messages were new, \
        \(Amount.count(imported.refused)) lines refused
        """)
    return imported.refused
  }

  private static func read(
    _ input: LineReader, into store: any SessionStore, _ imported: inout Imported
  ) async throws {
    var session: String?
    // The next piece is read while this one is written.
    func read() -> Task<[JSONInput.Item<SessionTransferLine>], any Error> {
      Task {
        try await Process.onThread { try JSONInput.read(input, as: SessionTransferLine.self, most: 256) }
      }
    }
    var next = read()
    while true {
      let items = try await next.value
      guard !items.isEmpty else { return }
      next = read()
      var lines: [SessionTransferLine] = []
      for item in items {
        switch item.value {
        case .success(let line): lines.append(line)
        case .failure(let error):
          imported.refused += 1
          Console.printError("line \(item.line): \(error.message)")
        }
      }
      let taken = try await store.take(lines, into: session)
      imported.sessions += taken.sessions
      imported.messages += taken.messages
      session = taken.last
    }
  }
}
