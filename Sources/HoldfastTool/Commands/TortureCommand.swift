// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastGateway
import HoldfastTestKit

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// `holdfast torture`: prove the promises on this machine.
struct TortureCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "torture",
    abstract: "Kill, stop and unplug writers, and count what was acknowledged.",
    discussion: """
      Examples:
        holdfast torture
        holdfast torture --processes 8 --kills 2000
        holdfast torture --power-cuts 10000 --seed 7
        holdfast torture --seconds 600 --json
        holdfast torture --backup --limit 100

      Processes write one file at once, through the engine and through plain SQLite,
      while they are killed and stopped at random moments. Power cuts are simulated
      on a disk in memory that drops, reorders and tears what was not synced. In the
      end every acknowledged write must be there, once. Exits 65 when one is not,
      with the seed that replays the run's decisions.

      With --backup processes write at a steady rate, each row a write of its own, first
      without a backup, then beside one, then while what it held back is folded in. The
      backup is restored and must have every row that was acknowledged before it began.
      Needs three times the database's size under TMPDIR. Exits 75 when a write waited
      longer than --limit.
      """)

  @Option(name: .long, help: ArgumentHelp("Processes that write at once.", valueName: "count"))
  var processes = 8

  @Option(
    name: .long,
    help: ArgumentHelp(
      "How many of them to kill (default: 200, or as many as fit into --seconds).", valueName: "count"))
  var kills: Int?

  @Option(name: .long, help: ArgumentHelp("How many times the power fails.", valueName: "count"))
  var powerCuts: Int?

  @Option(name: .long, help: ArgumentHelp("End the killing after so long.", valueName: "seconds"))
  var seconds: Int?

  @Option(name: .long, help: ArgumentHelp("Replay the decisions of an earlier run.", valueName: "number"))
  var seed: UInt64?

  @OptionGroup var load: BackupLoadOptions

  @OptionGroup var common: CommonOptions

  func validate() throws {
    guard (1...256).contains(processes) else { throw ValidationError("--processes takes 1 to 256.") }
    guard kills ?? 0 >= 0 else { throw ValidationError("--kills takes a number from 0 up.") }
    guard powerCuts ?? 0 >= 0 else { throw ValidationError("--power-cuts takes a number from 0 up.") }
    guard seconds ?? 1 >= 1 else { throw ValidationError("--seconds takes a number from 1 up.") }
    guard !load.backup || kills == nil && powerCuts == nil && seed == nil else {
      throw ValidationError("--kills, --power-cuts and --seed do not go with --backup.")
    }
  }

  func run() async throws {
    if load.backup {
      try await load.run(processes: min(processes, 64), seconds: seconds ?? 15, asJSON: common.json)
      return
    }
    let directory = try TemporaryDirectory()
    // Asked for power cuts only, nobody is killed; asked for nothing, a little of both.
    let isPlain = kills == nil && powerCuts == nil && seconds == nil
    let kills = kills ?? (seconds != nil ? .max : isPlain ? 200 : 0)
    let torture = Torture(
      .init(
        processes: processes, kills: kills, powerCuts: powerCuts ?? (isPlain ? 1000 : 0),
        limit: seconds.map { .seconds($0) }, seed: seed ?? .random(in: 1...UInt64(UInt32.max)),
        directory: directory.path, program: [Process.executable, TorturePeerCommand.name])
    ) { [json = common.json] report in
      if !json { Console.progress(Self.line(report)) }
    }
    let report = try await torture.run()
    Console.endProgress()
    Console.print(common.json ? try JSONLine.text(report) : Self.verdict(report))
    guard report.holds else {
      throw Failure(
        ExitStatus.dataError,
        "A promise was broken; `--seed \(report.seed)` replays the run's decisions, please report it.")
    }
  }

  private static func line(_ report: TortureReport) -> String {
    "\(report.kills) kills, \(report.powerCuts) power cuts, \(report.acknowledged) acknowledged, "
      + "\(report.recoveries) recoveries, \(report.errors.count) errors"
  }

  private static func verdict(_ report: TortureReport) -> String {
    func milliseconds(_ value: Double) -> String { "\((value * 10).rounded() / 10) ms" }
    func good(_ text: String, _ holds: Bool) -> String { Console.colored(text, holds ? .green : .red) }
    var table = Table([.init(title: "what"), .init(title: "found", isNumber: true)])
    table.add(["acknowledged", Amount.count(report.acknowledged)])
    table.add(["lost", Amount.count(report.lost)])
    table.add(["doubled", Amount.count(report.doubled)])
    table.add(["lock errors seen by callers", Amount.count(report.lockErrors)])
    table.add(["integrity", report.integrity])
    table.add(["longest wait", milliseconds(report.longestWaitMilliseconds)])
    table.add(["longest opening after a kill", milliseconds(report.longestOpenMilliseconds)])
    table.add(["fairness (Jain)", "\((report.fairness * 1000).rounded() / 1000)"])
    table.add(["kills", Amount.count(report.kills)])
    table.add(["stops", Amount.count(report.stops)])
    table.add(["power cuts", Amount.count(report.powerCuts)])
    table.add(["recoveries", Amount.count(report.recoveries)])
    table.add(["rows of foreign writers", Amount.count(report.foreignRows)])
    table.add(["seed", "\(report.seed)"])
    let verdict = report.holds ? "every promise was kept" : "a promise was broken"
    return (table.lines + report.errors + [good(verdict, report.holds)]).joined(separator: "\n")
  }
}

/// One process of a torture run; the tool starts itself so.
struct TorturePeerCommand: AsyncParsableCommand {
  static let name = "torture-peer"
  static let configuration = CommandConfiguration(commandName: name, shouldDisplay: false)

  @Argument var settings: String

  func run() async throws {
    guard let peer = try? JSONDecoder().decode(TorturePeer.self, from: Data(settings.utf8)) else {
      throw ValidationError("torture-peer is started by `holdfast torture` only.")
    }
    try await peer.run(PeerLink())
  }
}
