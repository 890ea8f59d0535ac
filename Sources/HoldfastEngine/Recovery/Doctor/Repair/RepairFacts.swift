// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// What a repair depends on besides the diagnosis: a plain value a test can make by hand.
package struct RepairFacts: Hashable, Sendable {
  /// Whether anything that looks like a database's contents is in the files.
  package var hasContent = true
  /// Whether an earlier setting aside of these files was interrupted.
  package var hasBegunMove = false
  /// Whether a repair that was killed left its directory.
  package var hasLeftovers = false
  /// Whether there is a file at the path where the repaired one belongs.
  package var isTaken = true
  /// Why this user could not put a new file in the old one's place; nil when nothing is in the way.
  package var obstacle: String?
  /// Where the old files go.
  package var quarantineDirectory: String
  /// Where backups are looked for.
  package var backupDirectory: String
  /// The names of backups of the database, the oldest first.
  package var backups: [String] = []
  /// The files as they were, by which a change between plan and repair is seen.
  var stamps: [FileStamp?] = []

  /// Facts of a database of which nothing special is known.
  package init(path: String) {
    let parent = QuarantineFiles.parent(of: path)
    quarantineDirectory = parent + "/quarantine"
    backupDirectory = parent + "/backups"
  }

  /// Looks at the files. Blocks; changes nothing and drops no lock (row B01).
  static func gather(_ subject: DoctorSubject) -> RepairFacts {
    let path = subject.path
    var facts = RepairFacts(path: path)
    facts.stamps = FileStamp.ofSet(path)
    facts.hasBegunMove = Quarantine.hasBegun(of: path)
    facts.hasLeftovers = !RepairTemporary.left(for: path).isEmpty
    facts.isTaken = QuarantineFiles.exists(path)
    facts.obstacle = obstacle(path)
    let name = path.fileName
    let stem = name.hasSuffix(".db") ? String(name.dropLast(3)) : name
    facts.backups = QuarantineFiles.list(facts.backupDirectory).sorted().filter {
      $0.hasPrefix(stem + "-") && ($0.hasSuffix(".db") || $0.hasSuffix(".db.gz"))
    }
    facts.hasContent = RepairSource(subject).hasContent
    return facts
  }

  private static func obstacle(_ path: String) -> String? {
    let parent = QuarantineFiles.parent(of: path)
    guard unsafe access(parent.isEmpty ? "/" : parent, W_OK | X_OK) == 0 else {
      return "No file can be made in \(parent), so nothing was changed: give this user write access to it."
    }
    var info = stat()
    guard unsafe lstat(path, &info) == 0 else { return nil }
    guard geteuid() == 0 || info.st_uid == geteuid() else {
      return """
        \(path.fileName) belongs to user \(info.st_uid), and a new file would not, so nothing was changed: run this \
        as that user.
        """
    }
    return nil
  }
}

/// A file at one moment: what shows whether it is still the same and nobody has written to it.
struct FileStamp: Hashable, Sendable {
  var identity: FileIdentity
  var entry: FileFacts.Entry

  init?(_ path: String) {
    guard let identity = FileIdentity(path: path), let entry = FileFacts.Entry(path: path) else { return nil }
    self.identity = identity
    self.entry = entry
  }

  /// The database, its -wal and its -journal; nil for each that is not there.
  static func ofSet(_ path: String) -> [FileStamp?] { ["", "-wal", "-journal"].map { FileStamp(path + $0) } }
}

/// Reads what a database is repaired from: the files at its path, or a set that was put aside.
struct RepairSource: Sendable {
  let files: DoctorSubject.Files

  init(_ subject: DoctorSubject) { files = subject.files }

  var hasDatabase: Bool { fileSize(files.database) != nil }

  /// The committed state of the files.
  ///
  /// - Parameters:
  ///   - descriptor: of the database, kept open by the caller.
  ///   - standIn: an empty file, for a database that is gone while its -wal is not.
  func image(through descriptor: Int32? = nil, standIn: String? = nil) throws(StoreError) -> FileImage {
    let base = hasDatabase ? files.database : standIn ?? files.database
    return try FileImage(
      path: base, wal: files.wal, journal: files.journal, through: hasDatabase ? descriptor : nil)
  }

  /// Whether there is a page with at least one whole row or entry; stops at the first.
  var hasContent: Bool {
    guard hasDatabase else { return (WALSummary(walAt: files.wal)?.committedFrames ?? 0) > 0 }
    guard let image = try? image() else { return false }
    for number in stride(from: UInt32(1), through: image.pageCount, by: 1) {
      // Up to the page's very end: how much of it is not SQLite's is a byte of the header, and may be wrong.
      guard let bytes = try? image.page(number),
        let page = BTreePage(bytes, number: number, usableSize: image.pageSize)
      else { continue }
      if (0..<min(page.cellCount, 8)).contains(where: { page.cell($0) != nil }) { return true }
    }
    return false
  }
}
