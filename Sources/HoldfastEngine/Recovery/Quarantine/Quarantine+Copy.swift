// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

extension Quarantine {
  /// Copies of one database that are kept; of more, the oldest goes.
  static let keptCopies = 3

  /// What a directory's name ends in until its copies are whole.
  private static let incomplete = ".copying"

  /// Keeps a copy of the database at `path` and its sidecars, before it is repaired where it is. Blocks.
  ///
  /// The -shm is not copied: SQLite makes it anew. A copy of the very same bytes is not made twice, and of
  /// different ones the newest ``keptCopies`` stay (row C09); sets that were moved aside are never removed.
  ///
  /// - Parameters:
  ///   - path: the canonical path of a database that is there.
  ///   - held: its guard, with which the caller keeps everybody out.
  /// - Throws: ``StoreError``: why the files could not be copied; nothing but what was begun is left then,
  ///   and the next copy removes that.
  static func keepCopy(
    ofSet path: String, into directory: String? = nil, verdict: FileVerdict, reason: String, held: FileGuard
  ) throws -> QuarantineEntry {
    let parent = directory ?? Self.directory(besideDatabaseAt: path)
    try QuarantineFiles.makeDirectory(parent)
    clearIncomplete(of: path, in: parent)
    let time = UnixTime.now()
    let staging = parent + "/" + entryName(of: path, at: time) + incomplete
    try QuarantineFiles.makeDirectory(staging)
    let home = QuarantineFiles.parent(of: path)
    do {
      let files = try QuarantineFiles.names(of: path).compactMap { name -> QuarantineManifest.File? in
        let file = home + "/" + name
        guard !name.hasSuffix("-shm"), QuarantineFiles.exists(file) else { return nil }
        return try QuarantineFiles.copy(file, through: file == path ? held : nil, into: staging)
      }
      if let same = copies(of: path, in: parent).last(where: { $0.manifest.files == files }) {
        QuarantineFiles.removeCopies(files.map(\.name), in: staging)
        return same
      }
      var manifest = QuarantineManifest(
        path: path, name: path.fileName, verdict: verdict, reason: reason, time: time.description,
        pid: getpid(), files: files)
      manifest.state = .copied
      try QuarantineFiles.write(manifest, into: staging)
      let final = String(staging.dropLast(incomplete.count))
      try QuarantineFiles.rename(staging, to: final)
      try QuarantineFiles.synchronize(parent)
      removeOldCopies(of: path, in: parent)
      return QuarantineEntry(directory: final, manifest: manifest)
    } catch {
      QuarantineFiles.removeCopies(QuarantineFiles.names(of: path), in: staging)
      throw error
    }
  }

  /// The copies of the database at `path`, the oldest first.
  static func copies(of path: String, in directory: String? = nil) -> [QuarantineEntry] {
    entries(of: path, in: directory).filter { $0.manifest.state == .copied }
  }

  private static func removeOldCopies(of path: String, in parent: String) {
    for entry in copies(of: path, in: parent).dropLast(keptCopies) {
      QuarantineFiles.removeCopies(QuarantineFiles.names(of: path), in: entry.directory)
    }
  }

  private static func clearIncomplete(of path: String, in parent: String) {
    for name in QuarantineFiles.list(parent)
    where name.hasSuffix(incomplete) && isEntry(name.dropLast(incomplete.count), of: path.fileName) {
      QuarantineFiles.removeCopies(QuarantineFiles.names(of: path), in: parent + "/" + name)
    }
  }
}
