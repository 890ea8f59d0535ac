// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// One restore; see ``Backup/restore(from:to:options:)`` for what a crash leaves at each point.
struct Restoration {
  /// What is put back.
  enum Source {
    case database(BackupSource)
    case compressed(CompressedBackup)
  }

  let source: Source
  /// Canonical.
  let target: String
  let options: BackupOptions

  /// PENDING_BYTE of SQLite's `os.h`, and the bytes from there to the end of the SHARED range.
  private static let lockBytes: (start: Int64, length: Int64) = (0x4000_0000, 512)
  /// The database first: a name that is taken away must never leave it with fewer sidecars than it had.
  private static let set = ["", "-wal", "-shm", "-journal"]

  private var directory: String { String(target.dropLast(target.fileName.utf8.count + 1)) }

  /// Blocks.
  func run() throws -> RestoreReport {
    try requireUnheld()
    try FreeSpace.require(source.bytes, in: directory)
    let temporary = try BackupTemporary.reserve(for: target)
    do {
      let contents = try source.fill(temporary, options: options)
      let lane = try WriteLane(databasePath: target)
      defer { lane.file.close() }
      try lane.enter(by: .now + options.patience)
      defer { lane.leave() }
      let quarantine = try replace(with: temporary)
      return RestoreReport(path: target, contents: contents, quarantine: quarantine)
    } catch {
      temporary.discard()
      throw error
    }
  }

  /// With the turn: nobody of ours opens or writes meanwhile.
  private func replace(with temporary: BackupTemporary) throws -> String? {
    try requireUnheld(hasTurn: true)
    var lock: LockFile?
    defer { lock?.close() }
    if let identity = FileIdentity(path: target) {
      // Not through SQLite, which would recover, checkpoint or refuse what is to be kept as it is. The lock is of
      // the open file, so neither this process's nor anybody else's connections can get around it.
      let file = try LockFile(path: target, creates: false)
      lock = file
      guard FileIdentity(descriptor: file.descriptor) == identity,
        try file.tryLock(.exclusive, at: Self.lockBytes.start, length: Self.lockBytes.length)
      else { throw refusal(holders: FileUsers.of(target).holders(hasTurn: true)) }
    }
    let quarantine = try keepOldSet()
    if quarantine != nil {
      BackupDirectory.remove(target)
      try BackupDirectory.sync(directory)
      for suffix in Self.set.dropFirst() { BackupDirectory.remove(target + suffix) }
      try BackupDirectory.sync(directory)
    }
    guard try temporary.putInPlaceIfAbsent() else {
      throw StoreError(
        .replaced,
        """
        Another program made a new \(target.fileName) while the old one was set aside\
        \(quarantine.map { " to \($0)" } ?? ""); the backup was not put in its place: stop that program and try again.
        """, path: target, holders: FileUsers.of(target).holders(hasTurn: true))
    }
    return quarantine
  }

  /// Links all that is at the target into a directory of its own, which is on the disk when this returns.
  /// - Returns: the directory; nil when there is nothing.
  private func keepOldSet() throws -> String? {
    let present = Self.set.filter { FileIdentity(path: target + $0) != nil }
    guard !present.isEmpty else { return nil }
    let quarantine = try BackupDirectory.make(directory + "/quarantine")
    var time = UnixTime.now()
    var place = ""
    while true {
      place = "\(quarantine)/\(target.fileName)-\(time.stamp)-before-restore"
      if unsafe mkdir(place, 0o700) == 0 { break }
      guard errno == EEXIST else { throw StoreError.writing(place, errno: errno) }
      time.nanoseconds += 1_000_000
    }
    for suffix in present {
      let link = place + "/" + target.fileName + suffix
      guard Self.link(target + suffix, link) == 0 else { throw StoreError.writing(link, errno: errno) }
    }
    for changed in [place, quarantine, directory] { try BackupDirectory.sync(changed) }
    return place
  }

  private static func link(_ from: String, _ to: String) -> Int32 {
    #if canImport(Glibc)
      unsafe Glibc.link(from, to)
    #elseif canImport(Musl)
      unsafe Musl.link(from, to)
    #else
      unsafe Darwin.link(from, to)
    #endif
  }

  private func requireUnheld(hasTurn: Bool = false) throws(StoreError) {
    let holders = FileUsers.of(target).holders(hasTurn: hasTurn)
    guard holders.isEmpty else { throw refusal(holders: holders) }
  }

  private func refusal(holders: [LockHolder]) -> StoreError {
    StoreError(
      .refused,
      "\(target.fileName) was not restored, for it is in use; nothing was changed: stop who has it and try again.",
      path: target, holders: holders)
  }
}

extension Restoration.Source {
  /// The size of the database in it, in bytes; 0 where that is not known.
  fileprivate var bytes: Int64 {
    switch self {
    case .database(let source): source.bytes
    case .compressed(let backup): backup.manifest?.bytes ?? 0
    }
  }

  /// Fills the temporary with the database, checks it, and the backup against its manifest.
  fileprivate func fill(_ temporary: BackupTemporary, options: BackupOptions) throws -> BackupContents {
    switch self {
    case .database(let source):
      if try BackupManifest.read(besideBackupAt: source.path) != nil { _ = try source.examineAsBackup() }
      return try source.copy(into: temporary, options: options, isRestore: true).contents
    case .compressed(let backup):
      return try backup.expand(into: temporary, patience: options.patience)
    }
  }
}
