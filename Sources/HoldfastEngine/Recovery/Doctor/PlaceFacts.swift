// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// What was seen of the place a database is in, beside its own files.
struct PlaceFacts: Hashable, Sendable {
  /// A backup of the database.
  struct Seen: Hashable, Sendable {
    var path: String
    var time: UnixTime
  }

  /// The user this process acts as.
  var user: UInt32
  /// Whether other users can go through every directory above the database.
  var isReachableByOthers = true
  /// What was set aside from the same path and not dealt with since, the oldest first.
  var quarantined: [QuarantineEntry] = []
  /// Its backups in `backups` beside it, the oldest first.
  var backups: [Seen] = []

  /// Facts of an empty place.
  init(user: UInt32) { self.user = user }
}

extension PlaceFacts {
  /// Looks around a database's canonical path. Blocks.
  init(around path: String) {
    self.init(user: UInt32(geteuid()))
    var directory = QuarantineFiles.parent(of: path)
    let backups = directory + "/backups"
    while !directory.isEmpty {
      if let mode = FileFacts.Entry(path: directory)?.mode, mode & 0o001 == 0 { isReachableByOthers = false }
      directory = QuarantineFiles.parent(of: directory)
    }
    quarantined = Doctor.unresolved(of: path)
    self.backups = Backup.list(in: backups).filter { $0.database == path.fileName && $0.source == path }
      .map { Seen(path: backups + "/" + $0.name, time: $0.time) }.sorted { $0.time < $1.time }
  }

  /// What can be said without the database's contents. Pure.
  func findings(_ facts: FileFacts, _ users: FileUsers) -> [Diagnosis.Finding] {
    permissions(facts) + filesystem(facts) + log(facts, users) + quarantine(facts)
  }

  private func permissions(_ facts: FileFacts) -> [Diagnosis.Finding] {
    guard let database = facts.database, database.kind == .regular else { return [] }
    let name = facts.path.fileName
    var found: [Diagnosis.Finding] = []
    if database.mode & 0o002 != 0, isReachableByOthers {
      found.append(
        .init(
          "world-writable", .warning, "Every user of this machine may change or destroy \(name).",
          remedy: "chmod 600 it and its sidecars."))
    } else if database.mode & 0o004 != 0, isReachableByOthers {
      found.append(
        .init(
          "world-readable", .warning, "Every user of this machine may read \(name).",
          remedy: "chmod 600 it and its sidecars, if what is in it is private."))
    }
    let sidecars = [("-wal", facts.wal), ("-shm", facts.sharedMemory), ("-journal", facts.journal)]
    for case (let suffix, let entry?) in sidecars where entry.owner != database.owner {
      found.append(
        .init(
          "other-owner", .warning,
          """
          \(name)\(suffix) belongs to user \(entry.owner) and \(name) to user \(database.owner), so programs of one may \
          fail where those of the other work.
          """, remedy: "chown \(database.owner) it while nobody has the database open."))
    }
    // What somebody else's is not to be written by this user anyway.
    guard database.owner == user else { return found }
    for case (let suffix, let entry?) in [("", facts.database)] + sidecars where !entry.isWritable {
      found.append(
        .init(
          "not-writable", .warning,
          "\(name)\(suffix) may not be written by this user (mode \(String(entry.mode, radix: 8))).",
          remedy: "chmod u+w it, if it is to be written."))
    }
    if !facts.directoryIsWritable {
      found.append(
        .init(
          "directory-not-writable", .warning,
          """
          The directory of \(name) may not be written by this user, so SQLite can neither write the database nor recover \
          it: both need files beside it.
          """, remedy: "chmod u+w the directory, if the database is to be written."))
    }
    return found
  }

  private func filesystem(_ facts: FileFacts) -> [Diagnosis.Finding] {
    guard let filesystem = facts.filesystem, !filesystem.isCoherent else { return [] }
    if DatabaseFields(facts.header)?.journal == "WAL" {
      return [
        .init(
          "wal-on-shared-filesystem", .warning,
          """
          The file is in WAL mode on \(filesystem.type), on which WAL is not known to work: several machines or \
          containers that use it see old data or damage it.
          """, remedy: "Move it to a local disk, or have its program use a rollback journal.")
      ]
    }
    return [
      .init(
        "shared-filesystem", .info,
        "The file is on \(filesystem.type), whose locks are not known to hold between machines or containers.",
        remedy: "Let programs on one machine only use it, or move it to a local disk.")
    ]
  }

  /// Beyond this a -wal is slow to read and slow to recover; the engine's own is cut to a quarter.
  private static let largeLog: Int64 = 64 << 20

  private func log(_ facts: FileFacts, _ users: FileUsers) -> [Diagnosis.Finding] {
    let bytes = facts.wal?.size ?? 0
    guard bytes > Self.largeLog else { return [] }
    let readers = users.processes.filter { $0.locks.contains { $0.hasPrefix("a read transaction") } }
    let names = readers.map { "pid \($0.pid) (\($0.command))" }.joined(separator: ", ")
    return [
      .init(
        "huge-wal", .warning,
        "The -wal has grown to \(bytes) bytes. "
          + (names.isEmpty
            ? """
            Nobody reads now, so a long read pinned it before, or its program runs no checkpoints; opening the database \
            after a crash takes that much longer.
            """ : "It cannot start over while these read: \(names)."),
        remedy: names.isEmpty
          ? "Have its program run a checkpoint." : "End those reads, then have its program run a checkpoint.")
    ]
  }

  private func quarantine(_ facts: FileFacts) -> [Diagnosis.Finding] {
    guard let newest = quarantined.last else { return [] }
    let more = quarantined.count > 1 ? " and \(quarantined.count - 1) before it" : ""
    return [
      .init(
        "quarantined", .warning,
        """
        A set of \(facts.path.fileName) was set aside on \(newest.manifest.time)\(more) and not dealt with since; what \
        is in it may be missing here: \(newest.manifest.reason)
        """, remedy: "Run `holdfast doctor \(newest.directory)`.")
    ]
  }

  /// Where a loss could be made good. Pure.
  var backupFinding: Diagnosis.Finding? {
    guard let newest = backups.last else { return nil }
    let count = backups.count == 1 ? "A backup" : "\(backups.count) backups"
    return .init(
      "backups", .info, "\(count) of it can be put back; the newest is of \(newest.time): \(newest.path).",
      remedy: "Run `holdfast restore \(newest.path)`; what was written since would be missing.")
  }
}
