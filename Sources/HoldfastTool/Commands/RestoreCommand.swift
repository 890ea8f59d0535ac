// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastEngine
import HoldfastMailbox

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
        holdfast restore mailboxes/writer/session-1        a mailbox, from its newest copy
        holdfast restore mailboxes/writer/session-1/inbound-20261121T100000.123Z.db
        holdfast restore mailboxes                         every mailbox

      The backup is checked first. While any process has the database open nothing is
      done, the exit code is 75 and the processes are named. What was there goes, whole,
      into the directory quarantine beside the database. A mailbox is put back whole:
      both of its files and its attachments.
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
    if !from.hasPrefix("/"), !from.hasPrefix("."), !from.hasPrefix("~"), !Home.exists(source) {
      source = home.backups + "/" + from
    }
    guard Home.exists(source) else { throw Failure(ExitStatus.noInput, "There is no backup \(source).") }
    if to == nil, let mailboxes = MailboxCopies(source) { return try await restore(mailboxes, home) }
    let report = try await Backup.restore(from: source, to: try target(of: source))
    let file = CheckedFile(
      name: String(report.path.split(separator: "/").last ?? ""), bytes: report.contents.bytes,
      rows: report.contents.rows, integrity: "ok")
    try CheckedFiles(files: [file], path: report.path, quarantine: report.quarantine)
      .print(asJSON: common.json, what: "restored")
  }

  private func restore(_ wanted: MailboxCopies, _ home: Home) async throws {
    let backup = MailboxBackup(home: home.path, directory: wanted.directory)
    try home.make()
    var restored: [CheckedFile] = []
    var failures: [Failure] = []
    for address in wanted.address.map({ [$0] }) ?? backup.addresses {
      do {
        let copies = backup.copies(of: address)
        guard let copy = wanted.file.map({ file in copies.first { $0.inbound.name == file } }) ?? copies.last
        else {
          throw Failure(
            ExitStatus.noInput,
            wanted.file == nil
              ? "There is no whole backup of \(address)."
              : "A mailbox is put back whole: name its directory or an inbound-….db that has its outbound-….db."
          )
        }
        for report in try await backup.restore(copy) {
          let name = MailboxBackup.name(of: address) + "/" + (report.path.split(separator: "/").last ?? "")
          restored.append(
            CheckedFile(
              name: name, bytes: report.contents.bytes, rows: report.contents.rows, integrity: "ok",
              quarantine: report.quarantine))
        }
      } catch {
        // One that is in use is no reason to leave the others as they are.
        guard let failure = Failure(error) else { throw error }
        failures.append(failure)
      }
    }
    if !restored.isEmpty || failures.isEmpty {
      try CheckedFiles(files: restored, path: home.path).print(asJSON: common.json, what: "restored")
    }
    try Failure.throwWorst(of: failures)
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

/// Which backups of mailboxes a path is about: those of all, of one, or one of them.
private struct MailboxCopies {
  /// What `mailboxes` is in.
  var directory: String
  var address: MailboxAddress?
  /// An `inbound-TIME.db`.
  var file: String?

  /// - Returns: nil for a path of something else.
  init?(_ path: String) {
    let parts = path.split(separator: "/", omittingEmptySubsequences: true).map(String.init)
    let name = "mailboxes"
    func isDatabase(_ part: String) -> Bool { part.hasSuffix(".db") || part.hasSuffix(".db.gz") }
    if parts.last == name {
      directory = "/" + parts.dropLast().joined(separator: "/")
    } else if parts.count > 3, parts[parts.count - 4] == name, isDatabase(parts[parts.count - 1]),
      let found = try? MailboxAddress(agent: parts[parts.count - 3], session: parts[parts.count - 2])
    {
      directory = "/" + parts.dropLast(4).joined(separator: "/")
      (address, file) = (found, parts[parts.count - 1])
    } else if parts.count > 2, parts[parts.count - 3] == name,
      let found = try? MailboxAddress(agent: parts[parts.count - 2], session: parts[parts.count - 1])
    {
      directory = "/" + parts.dropLast(3).joined(separator: "/")
      address = found
    } else {
      return nil
    }
  }
}
