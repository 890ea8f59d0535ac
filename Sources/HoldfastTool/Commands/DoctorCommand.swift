// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastCatalog
import HoldfastEngine
import HoldfastGateway
import HoldfastSessions
import HoldfastUsage

/// `holdfast doctor`: what is the matter with any SQLite file.
struct DoctorCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Examine any SQLite file: verdict, who holds it, what was found, what to do.",
    discussion: """
      Examples:
        holdfast doctor ~/.holdfast/usage.db
        holdfast doctor ~/.holdfast             every database of a home
        holdfast doctor --deep places.sqlite    every page, row and reference
        holdfast doctor --json *.db | jq -r '.path + " " + .verdict'
        holdfast doctor --repair ~/.holdfast/usage.db

      Of a directory every database in it is examined, mailboxes below a home too; of a
      file that was set aside, the set in quarantine. Without --repair nothing is written
      to a file or beside it. Exits 0 when every file is healthy or fresh, 65 when one is
      damaged in any way, 75 when one is busy, 77 when one may not be read, 66 when one is
      not there; the worst of several.
      """)

  @Argument(help: ArgumentHelp("Databases of any program, or directories.", valueName: "path"))
  var paths: [String]

  @Flag(help: "Look at everything, however large a file is, count rows and follow references.")
  var deep = false

  @OptionGroup var repairing: RepairOptions
  @OptionGroup var common: CommonOptions

  func run() async throws {
    var worst = Int32(0)
    let answers = try LineReader.input("-", maximumBytes: 1 << 20)
    for path in paths {
      do {
        for subject in try await Process.onThread({ try Doctor.subjects(of: path) }) {
          worst = Self.worse(worst, try await handle(subject, answers: answers))
        }
      } catch let error as StoreError {
        worst = Self.worse(worst, Self.report(error))
      }
    }
    if worst != 0 { Process.leave(worst) }
  }

  /// Examines a file, repairs it where that is wanted, prints what was found and returns its exit code.
  private func handle(_ subject: DoctorSubject, answers: LineReader) async throws -> Int32 {
    do {
      if repairing.repair {
        let outcome = try await RepairDialogue(
          subject: subject, options: options(for: subject), isJSON: common.json, isAgreed: repairing.yes,
          answers: answers
        ).run(describe: Self.text)
        return outcome.code ?? Self.code(of: outcome.diagnosis)
      }
      let diagnosis = try await Doctor.examine(subject, options: options(for: subject))
      Console.endProgress()
      Console.print(common.json ? try JSONLine.text(diagnosis) : Self.text(diagnosis))
      return Self.code(of: diagnosis)
    } catch let error as StoreError {
      Console.endProgress()
      // The files that are left are examined all the same.
      return Self.report(error)
    }
  }

  private func options(for subject: DoctorSubject) -> Doctor.Options {
    var options = Doctor.Options(
      isDeep: deep,
      knownMigrations: [
        UsageSchema.identifiers, SessionSchema.identifiers, SearchIndexSchema.identifiers,
        StateSchema.identifiers,
      ])
    if deep {
      let bar = ProgressBar(subject.path)
      options.progress = { bar.show($0, $1) }
    }
    return options
  }

  private static func report(_ error: StoreError) -> Int32 {
    Console.printError(error.message)
    return error.code == .cannotOpen ? ExitStatus.noInput : Failure(error)?.code ?? ExitStatus.software
  }

  private static func code(of diagnosis: Diagnosis) -> Int32 {
    switch diagnosis.verdict {
    case .healthy, .fresh: 0
    case .busy: ExitStatus.tryAgain
    case .unreadable:
      diagnosis.findings.contains { $0.code == "permission" } ? ExitStatus.permission : ExitStatus.dataError
    default: ExitStatus.dataError
    }
  }

  /// Damage before what could not be looked at, before what passes.
  private static func worse(_ left: Int32, _ right: Int32) -> Int32 {
    let order = [0, ExitStatus.tryAgain, ExitStatus.noInput, ExitStatus.permission]
    func rank(_ code: Int32) -> Int { order.firstIndex(of: code) ?? order.count }
    return rank(right) > rank(left) ? right : left
  }

  private static func text(_ diagnosis: Diagnosis) -> String {
    let color: Console.Color =
      switch diagnosis.verdict {
      case .healthy, .fresh: .green
      case .busy: .yellow
      default: .red
      }
    var lines = ["\(diagnosis.path): \(Console.colored(diagnosis.verdict.rawValue, color))"]
    for user in diagnosis.holders {
      lines.append("  held by pid \(user.pid) (\(user.command)): \(user.locks.joined(separator: ", "))")
    }
    for finding in diagnosis.findings {
      lines.append("  \(finding.severity.rawValue): \(finding.message) \(finding.remedy)")
    }
    for table in diagnosis.tables ?? [] {
      lines.append("  \(table.name): \(table.rows.map { Amount.count($0) + " rows" } ?? "not counted")")
    }
    return lines.joined(separator: "\n")
  }
}
