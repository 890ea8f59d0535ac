// SPDX-License-Identifier: Apache-2.0

/// One database to be examined: where it belongs, and the files that are looked at.
package struct DoctorSubject: Hashable, Sendable {
  /// The names of a set. The -shm is not among them: nothing but SQLite opens it.
  package struct Files: Hashable, Sendable {
    package var database: String
    package var wal: String
    package var journal: String

    /// The set SQLite keeps under one name.
    package init(ofDatabaseAt path: String) {
      database = path
      wal = path + "-wal"
      journal = path + "-journal"
    }
  }

  /// The database's canonical path: where it is, or where it was before it was set aside.
  package var path: String
  /// What is looked at: the set at ``path``, or the one in quarantine.
  package var files: Files
  /// The unresolved quarantine entry that ``files`` are in; nil for files at their own place.
  package var quarantine: QuarantineEntry?

  /// The database at a canonical path, there or not.
  package init(path: String) {
    self.path = path
    files = Files(ofDatabaseAt: path)
  }

  /// A set that was set aside.
  package init(_ entry: QuarantineEntry) {
    // Below the directory of its database by convention; the manifest's path may be that of a home since moved.
    let parent = QuarantineFiles.parent(of: entry.directory)
    path =
      parent.fileName == "quarantine"
      ? QuarantineFiles.parent(of: parent) + "/" + entry.manifest.name : entry.manifest.path
    files = Files(ofDatabaseAt: entry.directory + "/" + entry.manifest.name)
    quarantine = entry
  }
}

extension Doctor {
  /// What a path stands for. Blocks; changes nothing and drops no lock (row B01).
  ///
  /// - A file: itself. Where there is none but it was set aside and nobody has dealt with that since: the set
  ///   in quarantine, the newest of several.
  /// - A directory, such as a home: every database in it, that is what is called `*.db` or begins like one, a
  ///   -wal whose database is gone, and what was set aside; and the files of a mailbox tree below it.
  /// - A directory in quarantine: the set in it.
  ///
  /// - Throws: ``StoreError`` with code `cannotOpen` for a directory without any database, or a path whose
  ///   directory does not exist.
  package static func subjects(of spelledPath: String) throws -> [DoctorSubject] {
    let path = try CanonicalPath.of(spelledPath)
    guard FileFacts.Entry(path: path)?.kind == .directory else { return [subject(at: path)] }
    if let manifest = QuarantineFiles.manifest(in: path), isPlain(manifest.name) {
      return [DoctorSubject(QuarantineEntry(directory: path, manifest: manifest))]
    }
    let found = databases(in: path) + mailboxes(below: path).flatMap { databases(in: $0) }
    guard !found.isEmpty else {
      throw StoreError(
        .cannotOpen, "There is no SQLite database in the directory \(path): name another, or a file.",
        path: path)
    }
    return found.map { subject(at: $0) }
  }

  /// The set at a path, or the newest that was set aside from there.
  private static func subject(at path: String) -> DoctorSubject {
    guard FileFacts.Entry(path: path) == nil, let entry = unresolved(of: path).last else {
      return DoctorSubject(path: path)
    }
    return DoctorSubject(entry)
  }

  /// The sets that were set aside from a path and not dealt with since, the oldest first.
  static func unresolved(of path: String) -> [QuarantineEntry] {
    Quarantine.entries(of: path).filter {
      $0.manifest.state == .complete && $0.manifest.name == path.fileName
    }
  }

  /// Whether a manifest, which anybody may have edited, names a file of its own directory.
  private static func isPlain(_ name: String) -> Bool {
    name == name.fileName && name != "." && name != ".."
  }

  /// The canonical paths of a directory's databases, those gone or set aside among them.
  private static func databases(in directory: String) -> [String] {
    var found: Set<String> = []
    let prefix = directory == "/" ? "/" : directory + "/"
    for name in QuarantineFiles.list(directory) where isDatabase(prefix + name, name: name) {
      // A link and what it names are one database.
      if let path = try? CanonicalPath.of(prefix + databaseName(name)) { found.insert(path) }
    }
    for name in QuarantineFiles.list(prefix + "quarantine") {
      if let manifest = QuarantineFiles.manifest(in: prefix + "quarantine/" + name),
        isPlain(manifest.name), !unresolved(of: prefix + manifest.name).isEmpty
      {
        found.insert(prefix + manifest.name)
      }
    }
    return found.sorted()
  }

  private static let sidecars = ["-wal", "-shm", "-journal"]

  /// The name of the database a -wal belongs to; of anything else its own.
  private static func databaseName(_ name: String) -> String {
    name.hasSuffix("-wal") ? String(name.dropLast(4)) : name
  }

  private static func isDatabase(_ path: String, name: String) -> Bool {
    // What a link leads to counts.
    guard let identity = FileIdentity(path: path) else { return false }
    if name.hasSuffix("-wal") {
      return FileFacts.Entry(path: databaseName(path)) == nil && (fileSize(path) ?? 0) > 0
        && isRegular(path)
    }
    guard !sidecars.contains(where: name.hasSuffix), !name.hasSuffix("-lane"), isRegular(path) else {
      return false
    }
    if name.hasSuffix(".db") { return true }
    guard let file = try? ImageFile(path), file.identity == identity else { return false }
    return (try? file.bytes(at: 0, count: 16)) == PageLayout.magic
  }

  private static func isRegular(_ path: String) -> Bool {
    guard let resolved = try? CanonicalPath.of(path) else { return false }
    return FileFacts.Entry(path: resolved)?.kind == .regular
  }

  /// The directories `mailboxes/<agent>/<session>` of a home.
  private static func mailboxes(below home: String) -> [String] {
    let root = home + "/mailboxes"
    return QuarantineFiles.list(root).sorted().flatMap { agent in
      QuarantineFiles.list(root + "/" + agent).sorted().map { "\(root)/\(agent)/\($0)" }
    }.filter { FileFacts.Entry(path: $0)?.kind == .directory }
  }
}
