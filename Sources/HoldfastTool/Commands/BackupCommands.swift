// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastEngine
import HoldfastGateway

/// `holdfast backup`: every database of the home.
struct BackupCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "backup",
    abstract: "Copy the databases, beside their writers, into files that were checked.",
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
    guard !databases.isEmpty else {
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
    try CheckedFiles(files: made, path: directory).print(asJSON: common.json, what: "saved")
    try Failure.throwWorst(of: failures)
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
      ? Backup.paths(in: home.backups) : files.map { Home.absolute($0) }
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

/// `holdfast restore`: puts a backup in its database's place.
struct RestoreCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "restore",
    abstract: "Put a backup in the place of its database, and the old files aside.",
    discussion: """
      Examples:
        holdfast restore usage-20261121T100000.123Z.db     one of the home's backups
        holdfast restore /media/disk/usage-20261121T100000.123Z.db
        holdfast restore other.db --to /tmp/copy/usage.db

      The backup is checked first. While any process has the database open nothing is
      done, the exit code is 75 and the processes are named. What was there goes, whole,
      into the directory quarantine beside the database.
      """)

  @Argument(help: "The backup: a path, or a name in <home>/backups.")
  var from: String

  @Option(
    name: .long,
    help: ArgumentHelp("The database (default: the home's one of that name).", valueName: "file"))
  var to: String?

  @OptionGroup var common: CommonOptions

  func run() async throws {
    let home = common.resolvedHome
    var source = Home.absolute(from)
    if !from.contains("/"), !Home.exists(source) { source = home.backups + "/" + from }
    guard Home.exists(source) else { throw Failure(ExitStatus.noInput, "There is no backup \(source).") }
    let report = try await Backup.restore(from: source, to: try target(of: source))
    let file = CheckedFile(
      name: String(report.path.split(separator: "/").last ?? ""), bytes: report.contents.bytes,
      rows: report.contents.rows, integrity: "ok")
    try CheckedFiles(files: [file], path: report.path, quarantine: report.quarantine)
      .print(asJSON: common.json, what: "restored")
  }

  private func target(of source: String) throws -> String {
    if let to { return Home.absolute(to) }
    guard let manifest = try Backup.manifest(of: source) else {
      throw Failure(
        ExitStatus.usage, "\(source) has no description beside it, so name the database with --to FILE.")
    }
    // A manifest is a file anybody may have written: it names no other directory.
    guard !manifest.database.contains("/"), manifest.database.hasSuffix(".db") else {
      throw Failure(
        ExitStatus.dataError, "The description beside \(source) names no database; use --to FILE.")
    }
    try common.resolvedHome.make()
    return common.resolvedHome.path + "/" + manifest.database
  }
}

/// A file as `--json` has it.
private struct CheckedFile: Encodable {
  var name: String
  /// The database's size. Left out with `rows` for a file that is not sound.
  var bytes: Int64?
  /// The size of a compressed backup's file; left out for any other.
  var compressedBytes: Int64?
  /// Rows by table.
  var rows: [String: Int64]?
  /// `ok`, or what is wrong.
  var integrity: String

  enum CodingKeys: String, CodingKey {
    case name, bytes, rows, integrity
    case compressedBytes = "compressed_bytes"
  }
}

extension CheckedFile {
  init(_ name: String, _ contents: BackupContents, _ manifest: BackupManifest?) {
    self.init(
      name: name, bytes: contents.bytes,
      compressedBytes: manifest.flatMap { $0.compression == nil ? nil : $0.fileBytes }, rows: contents.rows,
      integrity: "ok")
  }

  init(_ manifest: BackupManifest) { self.init(manifest.name, manifest.contents, manifest) }
}

/// What all three commands print.
private struct CheckedFiles: Encodable {
  var files: [CheckedFile]
  /// Where they are; left out where each file's name says it.
  var path: String?
  /// Where the files are that a restore found.
  var quarantine: String?

  func print(asJSON: Bool, what: String) throws {
    if asJSON {
      Console.print(try JSONLine.text(self))
      return
    }
    for file in files {
      guard let bytes = file.bytes, let rows = file.rows else {
        Console.print("\(Console.colored("damaged", .red))  \(file.name)")
        continue
      }
      let total = rows.values.reduce(0, +)
      let size =
        file.compressedBytes.map { "\(Amount.bytes($0)) of \(Amount.bytes(bytes))" } ?? Amount.bytes(bytes)
      Console.print("\(Console.colored(what, .green))  \(file.name)  \(size), \(Amount.count(total)) rows")
    }
    if let path { Console.print(Console.dim("in \(path)")) }
    if let quarantine { Console.print("The old files are in \(quarantine).") }
  }
}

extension Failure {
  /// Says all but the last on standard error and throws that with the gravest code: damage before all else.
  fileprivate static func throwWorst(of failures: [Failure]) throws {
    guard var last = failures.last else { return }
    for failure in failures.dropLast() { Console.printError(failure.message) }
    if failures.contains(where: { $0.code == ExitStatus.dataError }) { last.code = ExitStatus.dataError }
    throw last
  }
}
