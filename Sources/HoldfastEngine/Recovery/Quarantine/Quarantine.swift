// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Sets a damaged database aside together with everything that could save it (rows C05, C06).
///
/// The database, its -wal, -shm and -journal go into `quarantine/<name>-<stamp>-<hex>/` beside it, as they
/// are: renamed, never copied or written to. The directory has the suffix `.moving` until all of them are
/// there. Sidecars go first and the database last, so that whoever comes in between finds a database that is
/// still refused, and never one without its -wal; whoever next has the turn completes the move.
package enum Quarantine {
  /// A point at which a move can be interrupted; tests stop it there.
  enum Step: Hashable, Sendable {
    case madeDirectory
    case madeStaging
    case noted
    case moved(String)
    case sealed
    case named
  }

  /// What a directory's name ends in until everything is in it.
  private static let unfinished = ".moving"

  /// Where the sets of the database at `path` are put: `quarantine` beside it.
  package static func directory(besideDatabaseAt path: String) -> String {
    QuarantineFiles.parent(of: path) + "/quarantine"
  }

  /// Sets the database at `path` and its sidecars aside. Blocks: every file is read once for its SHA-256.
  ///
  /// - Parameters:
  ///   - path: the database's canonical path; it may itself be missing.
  ///   - directory: where to; on the same filesystem. ``directory(besideDatabaseAt:)`` by default.
  ///   - lane: the file's lane, of which the caller has the turn.
  ///   - held: the database's guard, when the caller keeps everybody out with it already and goes on to.
  ///   - step: called behind each step; what it throws ends the move there.
  /// - Throws: ``StoreError``: `transient` with the holders while another program has the file open, and then
  ///   nothing was touched; otherwise why the files could not be moved. What was begun is completed by
  ///   ``finish(of:in:lane:step:)``.
  static func move(
    setOf path: String, into directory: String? = nil, verdict: FileVerdict, reason: String,
    lane: WriteLane, held: FileGuard? = nil, step: (Step) throws -> Void = { _ in }
  ) throws -> QuarantineEntry {
    let exclusion = try held ?? exclude(path, lane: lane)
    defer { if held == nil { exclusion?.admitOthers() } }
    let parent = directory ?? Self.directory(besideDatabaseAt: path)
    let time = UnixTime.now()
    let files = try QuarantineFiles.names(of: path).compactMap { name -> QuarantineManifest.File? in
      let file = QuarantineFiles.parent(of: path) + "/" + name
      guard QuarantineFiles.exists(file) else { return nil }
      return try QuarantineFiles.describe(file, through: file == path ? exclusion : nil)
    }
    let manifest = QuarantineManifest(
      path: path, name: path.fileName, verdict: verdict, reason: reason, time: time.description,
      pid: getpid(), files: files)
    try QuarantineFiles.makeDirectory(parent)
    try step(.madeDirectory)
    let staging = parent + "/" + entryName(of: path, at: time) + unfinished
    try QuarantineFiles.makeDirectory(staging)
    try step(.madeStaging)
    try QuarantineFiles.write(manifest, into: staging)
    try step(.noted)
    // They were read a moment ago and nobody could write to them since.
    return try carryOut(manifest, in: staging, path: path, verifying: false, step: step)
  }

  /// Completes moves of the database at `path` that were interrupted. Blocks; the caller has the turn.
  ///
  /// A file is moved only if it is still the one that was to be: a database that somebody has put back in
  /// the meantime stays.
  /// - Throws: as ``move(setOf:into:verdict:reason:lane:step:)``.
  @discardableResult
  static func finish(
    of path: String, in directory: String? = nil, lane: WriteLane, step: (Step) throws -> Void = { _ in }
  ) throws -> [QuarantineEntry] {
    let parent = directory ?? Self.directory(besideDatabaseAt: path)
    let begun = QuarantineFiles.list(parent).filter {
      $0.hasSuffix(unfinished) && isEntry($0.dropLast(unfinished.count), of: path.fileName)
    }
    guard !begun.isEmpty else { return [] }
    let exclusion = try exclude(path, lane: lane)
    defer { exclusion?.admitOthers() }
    return try begun.sorted().compactMap { name in
      let staging = parent + "/" + name
      guard let manifest = QuarantineFiles.manifest(in: staging) else {
        // Without its manifest nothing was moved yet.
        QuarantineFiles.removeEmpty(staging)
        return nil
      }
      return try carryOut(manifest, in: staging, path: path, verifying: true, step: step)
    }
  }

  /// Whether a move of the database at `path` was begun and not completed.
  package static func hasBegun(of path: String, in directory: String? = nil) -> Bool {
    QuarantineFiles.list(directory ?? Self.directory(besideDatabaseAt: path)).contains {
      $0.hasSuffix(unfinished) && isEntry($0.dropLast(unfinished.count), of: path.fileName)
    }
  }

  /// The sets of the database at `path` that were set aside, the oldest first.
  package static func entries(of path: String, in directory: String? = nil) -> [QuarantineEntry] {
    let parent = directory ?? Self.directory(besideDatabaseAt: path)
    return QuarantineFiles.list(parent).sorted().compactMap { name in
      guard isEntry(name[...], of: path.fileName),
        let manifest = QuarantineFiles.manifest(in: parent + "/" + name)
      else { return nil }
      return QuarantineEntry(directory: parent + "/" + name, manifest: manifest)
    }
  }

  /// Notes that what was set aside has been dealt with; the files stay.
  /// - Throws: ``StoreError`` when the manifest cannot be written.
  @discardableResult
  package static func resolve(_ entry: QuarantineEntry) throws(StoreError) -> QuarantineEntry {
    var entry = entry
    entry.manifest.state = .resolved
    try QuarantineFiles.write(entry.manifest, into: entry.directory)
    return entry
  }

  private static func carryOut(
    _ manifest: QuarantineManifest, in staging: String, path: String, verifying: Bool,
    step: (Step) throws -> Void
  ) throws -> QuarantineEntry {
    var manifest = manifest
    let home = QuarantineFiles.parent(of: path)
    let own = QuarantineFiles.names(of: path)
    var here: [QuarantineManifest.File] = []
    for file in manifest.files {
      // A manifest is a file anybody may have edited: it names no file outside the set.
      guard own.contains(file.name) else { continue }
      if !QuarantineFiles.exists(staging + "/" + file.name) {
        let source = home + "/" + file.name
        if verifying, (try? QuarantineFiles.describe(source, through: nil)) != file {
          manifest.leftBehind.append(file.name)
          continue
        }
        try QuarantineFiles.rename(source, to: staging + "/" + file.name)
        // Before the next: after a power loss, too, the database is the last to go.
        try QuarantineFiles.synchronize(staging)
        try QuarantineFiles.synchronize(home)
        try step(.moved(file.name))
      }
      here.append(file)
    }
    manifest.files = here
    manifest.state = .complete
    try QuarantineFiles.write(manifest, into: staging)
    try step(.sealed)
    let directory = String(staging.dropLast(unfinished.count))
    try QuarantineFiles.rename(staging, to: directory)
    try QuarantineFiles.synchronize(QuarantineFiles.parent(of: directory))
    try step(.named)
    return QuarantineEntry(directory: directory, manifest: manifest)
  }

  /// Keeps every other program from the files until they are admitted again; nil when there is no database.
  private static func exclude(_ path: String, lane: WriteLane) throws(StoreError) -> FileGuard? {
    let fileGuard = FileIdentity(path: path) == nil ? nil : try FileGuard(databasePath: path, creates: false)
    // Every connection in WAL mode, and every transaction in any other, is in the way of this lock. Without
    // a database there is none; then our own processes still show in the lane.
    let isAlone = try fileGuard?.excludeOthers() ?? true
    guard isAlone, !lane.othersAreAlive else {
      // Not this process, which has the turn.
      var seen: Set<LockHolder> = []
      let holders = LockTable.locks(ofDatabaseAt: path).map(\.holder)
        .filter { $0.pid != getpid() && seen.insert($0).inserted }
      throw StoreError(
        .transient, "Another program has \(path.fileName) open, so its files were left where they are.",
        path: path, holders: holders)
    }
    return fileGuard
  }

  /// As in `usage.db-20261121T100000123Z-9f3a01cc`.
  static func entryName(of path: String, at time: UnixTime) -> String {
    let stamp = time.description.filter { $0 != "-" && $0 != ":" && $0 != "." }
    let number = String(UInt32.random(in: 0...UInt32.max), radix: 16)
    return "\(path.fileName)-\(stamp)-\(String(repeating: "0", count: 8 - number.count))\(number)"
  }

  /// Whether a directory is called as those of the database with this name are.
  static func isEntry(_ directory: Substring, of name: String) -> Bool {
    guard directory.hasPrefix(name + "-") else { return false }
    let parts = directory.dropFirst(name.count + 1).split(separator: "-", omittingEmptySubsequences: false)
    return parts.count == 2 && parts[0].count == 19 && parts[0].hasSuffix("Z") && parts[1].count == 8
      && parts[1].allSatisfy(\.isHexDigit)
  }
}
