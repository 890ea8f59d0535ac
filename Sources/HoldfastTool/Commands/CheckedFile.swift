// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastGateway
import HoldfastMailbox

/// A file as `--json` has it.
struct CheckedFile: Encodable {
  var name: String
  /// The database's size. Left out with `rows` for a file that is not sound.
  var bytes: Int64?
  /// The size of a compressed backup's file; left out for any other.
  var compressedBytes: Int64?
  /// Rows by table.
  var rows: [String: Int64]?
  /// `ok`, or what is wrong.
  var integrity: String
  /// Where the files are that a restore of a mailbox found.
  var quarantine: String?

  enum CodingKeys: String, CodingKey {
    case name, bytes, rows, integrity, quarantine
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

  init(_ manifest: BackupManifest, of address: MailboxAddress) {
    self.init(MailboxBackup.name(of: address) + "/" + manifest.name, manifest.contents, manifest)
  }

  init(_ manifest: BackupManifest) { self.init(manifest.name, manifest.contents, manifest) }
}

/// What all three commands print.
struct CheckedFiles: Encodable {
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
  static func throwWorst(of failures: [Failure]) throws {
    guard var last = failures.last else { return }
    for failure in failures.dropLast() { Console.printError(failure.message) }
    if failures.contains(where: { $0.code == ExitStatus.dataError }) { last.code = ExitStatus.dataError }
    throw last
  }
}
