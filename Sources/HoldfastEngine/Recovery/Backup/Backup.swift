// SPDX-License-Identifier: Apache-2.0

/// Backups of SQLite files: made beside writers, checked before they get their name, put back in one step.
///
/// ```swift
/// let made = try await Backup.create(of: "/home/me/.holdfast/usage.db", to: "/home/me/.holdfast/backups")
/// try await Backup.verify(made.path)
/// try await Backup.restore(from: made.path, to: "/home/me/.holdfast/usage.db")
/// ```
///
/// A backup is one file in rollback-journal mode, whatever mode its source has, so that it is whole by itself: no
/// -wal belongs to it. Compressed, that file is inside a gzip file. Beside it lies `NAME.json`, its
/// ``BackupManifest``, with the SHA-256 of the file. Both have mode 0600.
public enum Backup {
  /// Copies the database at `path`, as it is at one moment, into `directory`.
  ///
  /// - A source in WAL mode is read in one read transaction: writers go on, and the copy is never begun anew. In
  ///   rollback-journal mode the copy goes in steps between which others may commit; each such commit begins the
  ///   copy anew, and after 8 of them others wait until it is done.
  /// - The copy has a name that begins with a dot until its integrity and its rows by table, which must be those
  ///   of the moment copied, were checked and it is on the disk. A process killed before that leaves such a file,
  ///   which the next backup into the directory removes.
  ///
  /// - Parameters:
  ///   - path: the database; one of the engine's or any other SQLite file. It is only read.
  ///   - directory: made, with mode 0700, when its parent is there.
  /// - Returns: what was made; its name is that of the database with the moment in UTC.
  /// - Throws: ``StoreError``: `damaged` or `notADatabase` when the source is, so that a damaged file never drives
  ///   out a sound backup; `diskFull` before anything is copied where there is no room; `deadline` with the
  ///   holders; `permission`, `cannotOpen`, `io`.
  public static func create(
    of path: String, to directory: String, options: BackupOptions = .init()
  ) async throws -> BackupReport {
    try await BackupSource.using(path, patience: options.patience, isForeign: options.isForeign) { source in
      let directory = try BackupDirectory.make(directory)
      BackupTemporary.clearDead(in: directory)
      // Compressed, a backup may still be as large as its content, in whole numbers.
      try FreeSpace.require(
        options.isCompressed ? source.bytes * 2 : source.bytes, in: directory, sparing: options.sparesDisk)
      let (temporary, time) = try BackupTemporary.reserve(forBackupOf: source.path, in: directory)
      do {
        let found = try source.copy(into: temporary, options: options)
        var manifest = BackupManifest(
          name: temporary.finalName, database: source.path.fileName, source: source.path, time: time,
          contents: found.contents, sha256: found.sha256)
        guard options.isCompressed else {
          try temporary.publish(manifest)
          return BackupReport(path: temporary.finalPath, restarts: found.restarts, manifest: manifest)
        }
        let compressed = try temporary.reserveCompressed()
        do {
          try compressed.fill(from: temporary, &manifest)
          try compressed.publish(manifest)
        } catch {
          compressed.discard()
          throw error
        }
        temporary.discard()
        return BackupReport(path: compressed.finalPath, restarts: found.restarts, manifest: manifest)
      } catch {
        temporary.discard()
        throw error
      }
    }
  }

  /// Checks a backup, or any other SQLite file: its integrity, and its rows and its SHA-256 against its manifest if it
  /// has one.
  ///
  /// What is in a compressed one is written into a file beside it for that time, or into the system's place for
  /// temporary files where its directory cannot be written to.
  ///
  /// - Throws: ``StoreError``: `damaged` with what was found first; as ``create(of:to:options:)`` otherwise.
  @discardableResult
  public static func verify(_ path: String, patience: Duration = .seconds(60)) async throws -> BackupContents
  {
    if GzipFile.isOne(path) {
      return try await BlockingThread.run(named: "hf-backup") {
        try CompressedBackup(path).examine(patience: patience)
      }
    }
    return try await BackupSource.using(path, patience: patience) { source in
      try source.examineAsBackup()
    }
  }

  /// Puts a backup in the place of the database at `path`, and what was there into a directory of its own.
  ///
  /// The new file is copied, checked and synced first. Then, with the turn to write and every lock of SQLite on the
  /// old file, the old set (database, -wal, -shm, -journal) is linked into
  /// `quarantine/NAME-TIME-before-restore/` beside the database, its names at `path` are taken away, the database's
  /// first, and the new file gets its name.
  ///
  /// What a crash leaves:
  /// - before the database's name is taken away: the old set, untouched, and a file with a dot that the next restore
  ///   removes;
  /// - between that and the new name: no database at `path` (maybe an old -wal or -journal), and the whole old set in
  ///   the quarantine directory; the same call again finishes the restore. Never a database beside sidecars that are
  ///   not its own: the old one goes before them and the new one comes after;
  /// - after: the new one, whole.
  ///
  /// - Parameters:
  ///   - source: a backup or any other SQLite file; it is checked and left as it is.
  ///   - path: where it goes; its directory must exist. There need be no database.
  /// - Throws: ``StoreError``: `refused` with the holders while any process, this one too, has the old database or a
  ///   sidecar open; the old set is as it was then. `damaged` or `notADatabase` when the source is; `diskFull`,
  ///   `permission`, `cannotOpen`, `io`.
  public static func restore(
    from source: String, to path: String, options: BackupOptions = .init()
  ) async throws -> RestoreReport {
    let target = try CanonicalPath.of(path)
    if GzipFile.isOne(source) {
      return try await BlockingThread.run(named: "hf-backup") {
        try Restoration(source: .compressed(CompressedBackup(source)), target: target, options: options).run()
      }
    }
    return try await BackupSource.using(source, patience: options.patience) { source in
      try Restoration(source: .database(source), target: target, options: options).run()
    }
  }

  /// The backups in a directory that have a manifest and its size, the oldest first.
  public static func list(in directory: String) -> [BackupManifest] {
    BackupDirectory.names(in: directory).compactMap { name in
      guard name.hasSuffix(BackupManifest.suffix) else { return nil }
      let backup = directory + "/" + name.dropLast(BackupManifest.suffix.count)
      guard let manifest = try? BackupManifest.read(besideBackupAt: backup),
        manifest.name == backup.fileName, fileSize(backup) == manifest.fileBytes
      else { return nil }
      return manifest
    }.sorted { ($0.time, $0.name) < ($1.time, $1.name) }
  }

  /// The paths of all files in a directory that pass for backups by their name, with a manifest or without.
  public static func paths(in directory: String) -> [String] {
    BackupDirectory.names(in: directory).filter {
      ($0.hasSuffix(".db") || $0.hasSuffix(".db" + GzipFile.suffix)) && !$0.hasPrefix(".")
    }
    .map { directory + "/" + $0 }
  }

  /// The manifest beside a backup; nil when there is none.
  ///
  /// - Throws: ``StoreError`` with code `damaged` when there is one that cannot be read as one.
  public static func manifest(of path: String) throws(StoreError) -> BackupManifest? {
    try BackupManifest.read(besideBackupAt: path)
  }

  /// Removes the backups of one database that `retention` does not keep.
  ///
  /// - Parameter database: the database's name, as in `usage.db`.
  /// - Returns: the names of those removed.
  public static func rotate(
    _ directory: String, database: String, retention: BackupRetention, now: UnixTime = .now()
  ) -> [String] {
    // A manifest is written only for what was found whole.
    let candidates = list(in: directory).filter { $0.database == database }.map {
      BackupRetention.Candidate(name: $0.name, time: $0.time, isVerified: true)
    }
    let expired = retention.expired(of: candidates, now: now)
    for name in expired {
      BackupDirectory.remove(directory + "/" + name)
      BackupDirectory.remove(directory + "/" + name + BackupManifest.suffix)
    }
    return expired
  }
}

/// How a backup is made or put back.
public struct BackupOptions: Hashable, Sendable {
  /// How long a lock of somebody else is waited for, each time.
  public var patience: Duration
  /// How much is copied before it is sent to the disk and, in rollback-journal mode, before others get a turn; in bytes.
  public var stepBytes: Int
  /// Whether the backup is compressed (gzip). Needs room for both forms while it is made.
  public var isCompressed: Bool
  /// Whether nothing is made that would leave less than a twentieth of the disk free: for backups nobody asked for
  /// just now.
  public var sparesDisk: Bool
  /// Whether the source is another program's that may be at work on it, a worker's say: it is looked at as a
  /// ``ForeignReader`` does, and no handle of the engine's is opened on it. The caller keeps others of this process from
  /// opening or closing state files at the path meanwhile (row B01).
  package var isForeign = false

  /// The defaults: 60 s, 1 MiB, and not compressed.
  public init(
    patience: Duration = .seconds(60), stepBytes: Int = 1 << 20, isCompressed: Bool = false,
    sparesDisk: Bool = false
  ) {
    self.patience = patience
    self.stepBytes = max(1, stepBytes)
    self.isCompressed = isCompressed
    self.sparesDisk = sparesDisk
  }
}
