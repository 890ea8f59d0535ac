// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastGateway
import HoldfastTestKit

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// `holdfast torture --backup`: how long writers wait while a backup is made.
struct BackupLoadOptions: ParsableArguments {
  @Flag(
    name: .long,
    help: "Instead: make a backup of a large database beside writers, and say how long they waited.")
  var backup = false

  @Option(
    name: .long, help: ArgumentHelp("With --backup: the database's size (default: 1024).", valueName: "count")
  )
  var megabytes: Int?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "With --backup: rows a second, of all processes together (default: 2000).", valueName: "count"))
  var rate: Int?

  @Option(
    name: .long,
    help: ArgumentHelp("With --backup: fail when a write waits longer.", valueName: "milliseconds"))
  var limit: Int?

  @Flag(name: .long, help: "With --backup: a compressed one.")
  var compress = false

  func validate() throws {
    guard backup || megabytes == nil && rate == nil && limit == nil && !compress else {
      throw ValidationError("--megabytes, --rate, --limit and --compress go with --backup.")
    }
    guard (1...1_000_000).contains(megabytes ?? 1) else {
      throw ValidationError("--megabytes takes 1 to 1000000.")
    }
    guard (1...1_000_000).contains(rate ?? 1) else { throw ValidationError("--rate takes 1 to 1000000.") }
    guard limit ?? 1 > 0 else { throw ValidationError("--limit takes a number from 1 up.") }
  }

  /// - Parameter seconds: how long the load runs before the backup and after it.
  func run(processes: Int, seconds: Int, asJSON: Bool) async throws {
    let directory = try TemporaryDirectory()
    var configuration = BackupLoad.Configuration(
      bytes: Int64(megabytes ?? 1024) << 20, rate: Double(rate ?? 2000), writers: processes,
      control: .seconds(seconds), after: .seconds(seconds), directory: directory.path,
      program: [Process.executable, BackupLoadPeerCommand.name])
    configuration.isCompressed = compress
    let report = try await BackupLoad(configuration) { if !asJSON { Console.progress($0) } }.run()
    withExtendedLifetime(directory) {}
    Console.endProgress()
    Console.print(asJSON ? try JSONLine.text(report) : Self.text(report))
    guard report.holds else {
      throw Failure(ExitStatus.dataError, "A promise was broken: \(Self.faults(report)); please report it.")
    }
    if let limit, report.longestWait >= Double(limit) {
      throw Failure(
        ExitStatus.tryAgain,
        """
        A write waited \(Self.milliseconds(report.longestWait)) beside the backup, and \
        \(Self.milliseconds(report.control.longest)) without one, where \(limit) ms are allowed: if the disk or the \
        processors have other work, try again without it.
        """)
    }
  }

  private static func faults(_ report: BackupLoadReport) -> String {
    var faults = report.errors
    if report.lost > 0 { faults.append("\(report.lost) rows are lost") }
    if report.doubled > 0 { faults.append("\(report.doubled) rows are there twice") }
    if report.restored != "ok" { faults.append("the copy: \(report.restored)") }
    return faults.joined(separator: "; ")
  }

  private static func milliseconds(_ value: Double) -> String { "\((value * 10).rounded() / 10) ms" }

  private static func text(_ report: BackupLoadReport) -> String {
    var table = Table([
      .init(title: "writes called"), .init(title: "count", isNumber: true),
      .init(title: "p50", isNumber: true),
      .init(title: "p99", isNumber: true), .init(title: "longest", isNumber: true),
    ])
    for (name, waits) in [
      ("without a backup", report.control), ("while it was made", report.during),
      ("afterwards", report.after),
    ] {
      table.add([
        name, Amount.count(waits.writes), milliseconds(waits.median), milliseconds(waits.p99),
        milliseconds(waits.longest),
      ])
    }
    let seconds = (report.backupSeconds * 10).rounded() / 10
    return
      (table.lines + [
        "backup of \(Amount.bytes(report.databaseBytes)) in \(seconds) s: \(Amount.bytes(report.backupBytes))",
        "largest -wal: \(Amount.bytes(report.controlWALBytes)) before, \(Amount.bytes(report.peakWALBytes)) in all, "
          + "\(Amount.bytes(report.finalWALBytes)) in the end",
        "slowest: "
          + report.slowest.prefix(5).map {
            "\(milliseconds($0.milliseconds)) at \(($0.at * 10).rounded() / 10) s"
          }
          .joined(separator: ", "),
        "restored copy: \(report.restored); \(report.lost) rows lost, \(report.doubled) doubled",
      ] + report.errors).joined(separator: "\n")
  }
}

/// One process of such a run; the tool starts itself so.
struct BackupLoadPeerCommand: AsyncParsableCommand {
  static let name = "backup-load-peer"
  static let configuration = CommandConfiguration(commandName: name, shouldDisplay: false)

  @Argument var settings: String

  func run() async throws {
    guard let peer = try? JSONDecoder().decode(BackupLoadPeer.self, from: Data(settings.utf8)) else {
      throw ValidationError("backup-load-peer is started by `holdfast torture --backup` only.")
    }
    try await peer.run(PeerLink())
  }
}
