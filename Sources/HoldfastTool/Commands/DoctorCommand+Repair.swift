// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastEngine
import HoldfastGateway

/// `--repair` and `--yes` of `holdfast doctor`.
struct RepairOptions: ParsableArguments {
  @Flag(
    name: .long,
    help: "Repair what is damaged: shows what it will do, asks, keeps the old files, and checks the result.")
  var repair = false

  @Flag(name: .long, help: "Repair without asking.")
  var yes = false

  func validate() throws {
    if yes, !repair { throw ValidationError("--yes is for --repair, which was not given.") }
  }
}

/// One file being repaired by a person at a terminal, or by a script with `--yes`.
struct RepairDialogue {
  let subject: DoctorSubject
  /// How the file is examined at first.
  let options: Doctor.Options
  let isJSON: Bool
  /// Whether to go on without asking.
  let isAgreed: Bool
  /// Where the answers come from; one for all files, since it reads ahead.
  let answers: LineReader

  /// What is printed with `--json`: the diagnosis behind the repair, and what was done.
  struct Output: Encodable {
    struct Repair: Encodable {
      /// Whether anything was changed.
      var done: Bool
      /// Why not.
      var refused: String?
      var report: RepairReport?

      private enum CodingKeys: String, CodingKey { case done, refused }

      func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(done, forKey: .done)
        try container.encodeIfPresent(refused, forKey: .refused)
        try report?.encode(to: encoder)
      }
    }

    var diagnosis: Diagnosis
    var repair: Repair

    private enum CodingKeys: String, CodingKey { case repair }

    func encode(to encoder: any Encoder) throws {
      try diagnosis.encode(to: encoder)
      var container = encoder.container(keyedBy: CodingKeys.self)
      try container.encode(repair, forKey: .repair)
    }
  }

  /// How it went: the exit code of a file that was not repaired, nil when the diagnosis says the rest.
  struct Outcome {
    var diagnosis: Diagnosis
    var code: Int32?
  }

  /// Shows the plan, asks, repairs, and says what came of it.
  ///
  /// - Parameter describe: a diagnosis as text.
  func run(describe: (Diagnosis) -> String) async throws -> Outcome {
    let (examined, plan) = try await DoctorRepair.examine(subject, options: options)
    Console.endProgress()
    if !isJSON { Console.print(describe(examined)) }
    switch plan.action {
    case .nothing:
      finish(.init(done: false), examined, "Nothing to repair.")
      return Outcome(diagnosis: examined)
    case .refuse: break
    default:
      show(plan)
      guard try isAgreed || agrees() else {
        finish(.init(done: false, refused: "Not confirmed."), examined, "Nothing was changed.")
        return Outcome(diagnosis: examined, code: ExitStatus.dataError)
      }
    }
    do {
      let report = try await DoctorRepair.carryOut(plan) { share, what in
        Console.progress("\(what): \(Int(share * 100)) %")
      }
      Console.endProgress()
      let after = report.diagnosis ?? examined
      finish(.init(done: true, report: report), after, text(report) + "\n" + describe(after))
      return Outcome(diagnosis: after)
    } catch let error as StoreError {
      Console.endProgress()
      if isJSON { finish(.init(done: false, refused: error.message), examined, "") }
      Console.printError(error.description)
      return Outcome(diagnosis: examined, code: Failure(error)?.code ?? ExitStatus.software)
    }
  }

  /// On standard error where standard output is for JSON.
  private func show(_ plan: RepairPlan) {
    let lines = ["To repair \(subject.path):"] + plan.steps.enumerated().map { "  \($0 + 1). \($1)" }
    for line in lines { isJSON ? Console.printError(line) : Console.print(line) }
  }

  /// The end of standard input is a no.
  private func agrees() throws -> Bool {
    if isJSON { Console.printError("Repair? [y/N]") } else { Console.print("Repair? [y/N]") }
    var bytes: [UInt8] = []
    guard let line = try answers.next(into: &bytes), line != .tooLong else { return false }
    let word = String(decoding: bytes, as: UTF8.self).lowercased()
    return word == "y" || word == "yes"
  }

  private func finish(_ repair: Output.Repair, _ diagnosis: Diagnosis, _ text: String) {
    guard isJSON else { return Console.print(text) }
    if let line = try? JSONLine.text(Output(diagnosis: diagnosis, repair: repair)) { Console.print(line) }
  }

  private func text(_ report: RepairReport) -> String {
    var lines = report.actions
    for table in report.tables where table.recovered != table.scanned || table.lostAndFound > 0 {
      lines.append(
        "  \(table.name): \(table.recovered) rows (\(table.scanned) could be read before, "
          + "\(table.lostAndFound) are in lost_and_found)")
    }
    if report.unclaimed > 0 {
      lines.append("  lost_and_found: \(report.unclaimed) rows whose table is not known")
    }
    lines += report.problems.map { "  note: \($0)" }
    return lines.joined(separator: "\n")
  }
}
