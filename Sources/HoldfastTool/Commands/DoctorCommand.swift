// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastEngine
import HoldfastGateway

/// `holdfast doctor`: what is the matter with any SQLite file.
struct DoctorCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Examine any SQLite file: verdict, who holds it, what was found, what to do.",
    discussion: """
      Examples:
        holdfast doctor ~/.holdfast/usage.db
        holdfast doctor --json *.db | jq -r '.path + " " + .verdict'

      Nothing is written to a file or beside it. Exits 0 when every file is healthy or
      fresh, 65 when one is damaged in any way, 75 when one is busy, 77 when one may
      not be read, 66 when one is not there; the worst of several.
      """)

  @Argument(help: ArgumentHelp("Databases of any program.", valueName: "path"))
  var paths: [String]

  @OptionGroup var common: CommonOptions

  func run() async throws {
    var worst = Int32(0)
    for path in paths {
      let code: Int32
      do {
        let diagnosis = try await Doctor.examine(path)
        Console.print(common.json ? try JSONLine.text(diagnosis) : Self.text(diagnosis))
        code = Self.code(of: diagnosis)
      } catch let error as StoreError {
        Console.printError(error.message)
        code = error.code == .cannotOpen ? ExitStatus.noInput : Failure(error)?.code ?? ExitStatus.software
      }
      worst = Self.worse(worst, code)
    }
    if worst != 0 { Process.leave(worst) }
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
    return lines.joined(separator: "\n")
  }
}
