// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastEngine
import HoldfastMailbox

/// `holdfast backup`: every database and every mailbox of the home.
struct BackupCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "backup",
    abstract: "Copy the databases and mailboxes, beside their writers, into files that were checked.",
    discussion: """
      Examples:
        holdfast backup                     into ~/.holdfast/backups
        holdfast backup --to /media/disk
        holdfast backup --compress          a gzip file each
        holdfast backup --keep-hourly 24 --keep-daily 7 --keep-weekly 8

      Each backup is one SQLite file with a description beside it (NAME.json), which
      has its SHA-256. It gets its name only when its integrity and its rows were found
      right. While another run makes backups in the same place, this one exits 75. Backups
      are removed only where a --keep option says which ones stay, and never the
      newest.
      """)

  @Option(name: .long, help: ArgumentHelp("Where backups go (default: <home>/backups).", valueName: "dir"))
  var to: String?

  @Option(
    name: .long,
    help: ArgumentHelp("Keep the newest of so many hours, and remove others.", valueName: "count"))
  var keepHourly: Int?

  @Option(
    name: .long, help: ArgumentHelp("Keep the newest of so many days, and remove others.", valueName: "count")
  )
  var keepDaily: Int?

  @Option(
    name: .long,
    help: ArgumentHelp("Keep the newest of so many weeks, and remove others.", valueName: "count"))
  var keepWeekly: Int?

  @Flag(name: .long, help: "Compress them (gzip); needs room for both forms meanwhile.")
  var compress = false

  @OptionGroup var common: CommonOptions

  func validate() throws {
    for count in [keepHourly, keepDaily, keepWeekly].compactMap(\.self) where count < 0 {
      throw ValidationError("A count of backups to keep is 0 or more, not \(count).")
    }
  }

  func run() async throws {
    let home = common.resolvedHome
    let databases = home.databases
    let mailboxes = try MailboxDirectory.all(home: home.path)
    guard !databases.isEmpty || !mailboxes.isEmpty else {
      throw Failure(ExitStatus.noInput, "There is no database in \(home.path) to back up.")
    }
    let directory = Home.absolute(to ?? home.backups)
    guard let turn = try BackupTurn.take(in: directory) else {
      throw Failure(
        ExitStatus.tryAgain,
        "Another run makes backups in \(directory) right now, so this one did nothing; try again after it.")
    }
    defer { turn.end() }
    var made: [CheckedFile] = []
    var failures: [Failure] = []
    for database in databases {
      // One that cannot be copied is no reason to leave the others without a backup.
      do {
        let report = try await Backup.create(
          of: database, to: directory, options: .init(isCompressed: compress))
        made.append(CheckedFile(report.manifest))
        if let retention {
          for name in Backup.rotate(directory, database: report.manifest.database, retention: retention)
          where !common.json {
            Console.print("removed  \(name)")
          }
        }
      } catch {
        guard let failure = Failure(error) else { throw error }
        failures.append(failure)
      }
    }
    await copy(mailboxes, into: directory, &made, &failures)
    try CheckedFiles(files: made, path: directory).print(asJSON: common.json, what: "saved")
    try Failure.throwWorst(of: failures)
  }

  private func copy(
    _ mailboxes: [MailboxAddress], into directory: String, _ made: inout [CheckedFile],
    _ failures: inout [Failure]
  ) async {
    let home = common.resolvedHome.path
    var configuration = MailboxConfiguration()
    configuration.maximumOpen = 1
    let store = SQLiteMailboxStore(home: home, configuration: configuration)
    let backup = MailboxBackup(home: home, directory: directory)
    for address in mailboxes {
      do {
        for report in try await backup.create(
          of: address, from: store, options: .init(isCompressed: compress))
        {
          made.append(CheckedFile(report.manifest, of: address))
        }
        guard let retention else { continue }
        for name in backup.rotate(address, retention: retention) where !common.json {
          Console.print("removed  \(name)")
        }
      } catch {
        var failure = Failure(error) ?? Failure(ExitStatus.software, "\(error)")
        failure.message = "\(address): \(failure.message)"
        failures.append(failure)
      }
    }
    await store.close()
  }

  private var retention: BackupRetention? {
    guard keepHourly != nil || keepDaily != nil || keepWeekly != nil else { return nil }
    return BackupRetention(hourly: keepHourly ?? 0, daily: keepDaily ?? 0, weekly: keepWeekly ?? 0)
  }
}

/// `holdfast verify`: backups, or any other databases.
struct VerifyCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Check backups: their integrity, and their rows against what was saved.",
    discussion: """
      Examples:
        holdfast verify                    every backup of the home
        holdfast verify ~/.holdfast/backups/usage-20261121T100000.123Z.db
        holdfast verify --json other.db    any SQLite file; it is only read

      The exit code is 65 when one is damaged or was changed, 66 when there is none.
      """)

  @Argument(help: "The files; all backups of the home when there are none.")
  var files: [String] = []

  @OptionGroup var common: CommonOptions

  func run() async throws {
    let home = common.resolvedHome
    let paths =
      files.isEmpty
      ? Backup.paths(in: home.backups) + MailboxBackup(home: home.path, directory: home.backups).paths
      : files.map { Home.absolute($0) }
    guard !paths.isEmpty else {
      throw Failure(
        ExitStatus.noInput, "There is no backup in \(home.backups); make one with `holdfast backup`.")
    }
    var checked: [CheckedFile] = []
    var failures: [Failure] = []
    for path in paths {
      let name = files.isEmpty ? String(path.dropFirst(home.backups.count + 1)) : path
      do {
        guard Home.exists(path) else { throw Failure(ExitStatus.noInput, "There is no file \(path).") }
        let contents = try await Backup.verify(path)
        checked.append(CheckedFile(name, contents, try Backup.manifest(of: path)))
      } catch {
        guard let failure = Failure(error) else { throw error }
        failures.append(failure)
        checked.append(CheckedFile(name: name, bytes: nil, rows: nil, integrity: failure.message))
      }
    }
    try CheckedFiles(files: checked, path: files.isEmpty ? home.backups : nil)
      .print(asJSON: common.json, what: "sound")
    try Failure.throwWorst(of: failures)
  }
}
