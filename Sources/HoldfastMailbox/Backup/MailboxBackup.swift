// SPDX-License-Identifier: Apache-2.0

import GRDB
public import HoldfastEngine

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Backups of a home's mailboxes: `DIRECTORY/mailboxes/AGENT/SESSION/`, with `inbound-TIME.db`, `outbound-TIME.db` and,
/// where there are any, `attachments-TIME.db`, each a ``Backup`` with its manifest.
///
/// A worker may be at work meanwhile and is not disturbed: its file is only looked at. The host's file is copied first, so
/// what the worker's has beyond it is drained again after a restore, as after any crash of a host.
public struct MailboxBackup: Sendable {
  /// What one run made of one mailbox.
  public struct Copy: Sendable, Hashable {
    /// Whose it is.
    public var address: MailboxAddress
    /// The host's file.
    public var inbound: BackupManifest
    /// The worker's, of a moment not before.
    public var outbound: BackupManifest
    /// The attachments; nil when there were none.
    public var attachments: BackupManifest?
  }

  private static let folder = "mailboxes"
  private static let inbound = "inbound.db"
  private static let outbound = "outbound.db"
  private static let attachments = "attachments.db"
  /// Where attachments are put into one file before that is copied.
  private static let making = ".making"

  private let home: String
  private let directory: String

  /// The backups of a home's mailboxes in a directory of backups; nothing is looked at.
  public init(home: String, directory: String) { (self.home, self.directory) = (home, directory) }

  /// What a mailbox's backups are called, seen from the directory: `mailboxes/AGENT/SESSION`.
  public static func name(of address: MailboxAddress) -> String { folder + "/" + address.description }

  private func place(of address: MailboxAddress) -> String { directory + "/" + Self.name(of: address) }

  // MARK: Making

  /// Copies a mailbox; the caller has the ``BackupTurn`` of the directory.
  ///
  /// - Parameter store: of the same home.
  /// - Returns: what was made, two or three files.
  /// - Throws: as ``Backup/create(of:to:options:)``; `transient` while the worker's file cannot be read, because its
  ///   worker died in the middle of something and no host has recovered it yet; ``MailboxError``.
  public func create(
    of address: MailboxAddress, from store: SQLiteMailboxStore, options: BackupOptions = .init()
  ) async throws -> [BackupReport] {
    let place = try makePlace(of: address)
    return try await store.with(address) { mailbox in
      // Open from here on, so that no other handle's close takes the copy's locks along (row B01).
      try await mailbox.read { _ in }
      let files = mailbox.directory
      var made = [try await Backup.create(of: files.inbound, to: place, options: options)]
      made.append(
        try await mailbox.besideLookers {
          var foreign = options
          foreign.isForeign = true
          return try await Backup.create(of: files.outbound, to: place, options: foreign)
        })
      // Last: what the copied messages name is there.
      if let attachments = try await archive(files, in: place, options) { made.append(attachments) }
      return made
    }
  }

  private func archive(
    _ files: MailboxDirectory, in place: String, _ options: BackupOptions
  ) async throws -> BackupReport? {
    let making = place + "/" + Self.making
    let path = making + "/" + Self.attachments
    // What a killed run left.
    try? FileManager.default.removeItem(atPath: making)
    let isAny = try await BlockingThread.run(named: "hf-backup") {
      let attachments = MailboxAttachments(files)
      let names = try attachments.names()
      guard !names.isEmpty else { return false }
      try Self.make(making)
      try AttachmentArchive.write(names, of: attachments, to: path)
      return true
    }
    guard isAny else { return nil }
    defer { try? FileManager.default.removeItem(atPath: making) }
    return try await Backup.create(of: path, to: place, options: options)
  }

  private func makePlace(of address: MailboxAddress) throws -> String {
    let all = directory + "/" + Self.folder
    for path in [all, all + "/" + address.agent, place(of: address)] { try Self.make(path) }
    return place(of: address)
  }

  private static func make(_ path: String) throws {
    if MailboxDirectory.Entry(path) == .directory { return }
    do {
      try FileManager.default.createDirectory(
        atPath: path, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
    } catch {
      throw StoreError(
        .cannotOpen, "\(path) cannot be made; look at what is in its place.", path: path, underlying: error)
    }
  }

  /// Removes the copies of a mailbox that `retention` does not keep; never the newest.
  ///
  /// - Returns: the names of the files removed, seen from the directory.
  public func rotate(
    _ address: MailboxAddress, retention: BackupRetention, now: UnixTime = .now()
  ) -> [String] {
    [Self.inbound, Self.outbound, Self.attachments].flatMap { file in
      Backup.rotate(place(of: address), database: file, retention: retention, now: now)
        .map { Self.name(of: address) + "/" + $0 }
    }
  }

  // MARK: What there is

  /// The mailboxes that have backups, in order.
  public var addresses: [MailboxAddress] {
    let all = directory + "/" + Self.folder
    return Self.names(in: all).flatMap { agent in
      Self.names(in: all + "/" + agent).compactMap { try? MailboxAddress(agent: agent, session: $0) }
    }.sorted()
  }

  private static func names(in directory: String) -> [String] {
    (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
  }

  /// The paths of all files that pass for backups of mailboxes.
  public var paths: [String] { addresses.flatMap { Backup.paths(in: place(of: $0)) } }

  /// When the newest copy of a mailbox that is whole was begun; nil when there is none.
  public func newest(of address: MailboxAddress, now: UnixTime) -> UnixTime? {
    copies(of: address).last { $0.inbound.time <= now }?.inbound.time
  }

  /// The copies of a mailbox that are whole, the oldest first.
  public func copies(of address: MailboxAddress) -> [Copy] {
    let all = Backup.list(in: place(of: address))
    let begun = all.filter { $0.database == Self.inbound }
    return begun.enumerated().compactMap { index, inbound in
      // Those of one run lie between its beginning and the next one's.
      let end = index + 1 < begun.count ? begun[index + 1].time : UnixTime(nanoseconds: .max)
      func of(_ file: String) -> BackupManifest? {
        all.first { $0.database == file && $0.time >= inbound.time && $0.time < end }
      }
      guard let outbound = of(Self.outbound) else { return nil }
      return Copy(address: address, inbound: inbound, outbound: outbound, attachments: of(Self.attachments))
    }
  }

  // MARK: Putting back

  /// Puts a copy of a mailbox back, and what was there into `quarantine` in the mailbox.
  ///
  /// All is checked first. What a crash leaves is a mailbox with files of both moments, which the same call again
  /// finishes; until then its host's file is the older one, which is safe.
  ///
  /// - Throws: `StoreError` `refused` with the holders while a host, a worker or anybody else uses the mailbox; as
  ///   ``Backup/restore(from:to:options:)``.
  public func restore(_ copy: Copy, options: BackupOptions = .init()) async throws -> [RestoreReport] {
    let place = place(of: copy.address)
    let files = MailboxDirectory(home: home, address: copy.address)
    for part in [copy.inbound, copy.outbound] + (copy.attachments.map { [$0] } ?? []) {
      try await Backup.verify(place + "/" + part.name, patience: options.patience)
    }
    try StoreFile.makeHome(home)
    try files.make()
    let host = try HostLock(mailbox: files.path, address: copy.address)
    let worker = try WorkerLock(mailbox: files.path)
    guard !worker.isHeld else {
      throw StoreError(
        .refused,
        "\(copy.address) was not restored, for its worker lives; nothing was changed: stop it first.",
        path: files.outbound)
    }
    var restored = [
      try await Backup.restore(from: place + "/" + copy.inbound.name, to: files.inbound, options: options),
      try await Backup.restore(from: place + "/" + copy.outbound.name, to: files.outbound, options: options),
    ]
    if let attachments = copy.attachments {
      restored.append(try await restoreAttachments(place + "/" + attachments.name, files, options))
    }
    try await settle(copy.address)
    withExtendedLifetime((host, worker)) {}
    return restored
  }

  private func restoreAttachments(
    _ backup: String, _ files: MailboxDirectory, _ options: BackupOptions
  ) async throws -> RestoreReport {
    let making = files.path + "/.attachments-restored"
    try? FileManager.default.removeItem(atPath: making)
    try Self.make(making)
    defer { try? FileManager.default.removeItem(atPath: making) }
    let archive = making + "/" + Self.attachments
    var report = try await Backup.restore(from: backup, to: archive, options: options)
    report.path = files.attachments
    report.quarantine = try await BlockingThread.run(named: "hf-backup") {
      let fresh = making + "/files"
      try Self.make(fresh)
      try AttachmentArchive.read(archive, into: MailboxAttachments(root: fresh))
      let quarantine = files.path + "/quarantine"
      try Self.make(quarantine)
      let old = "\(quarantine)/attachments-\(UnixTime.now().nanoseconds)-before-restore"
      try FileManager.default.moveItem(atPath: files.attachments, toPath: old)
      try FileManager.default.moveItem(atPath: fresh, toPath: files.attachments)
      return old
    }
    return report
  }

  /// Tries of messages the host does not know, having got them after its file was copied: when they are sent again, they
  /// are to be worked on like any other.
  private static func forgetUnknown(_ mailbox: Mailbox) async throws {
    let tried = try await mailbox.look { db in
      try String.fetchAll(db, sql: "SELECT DISTINCT message FROM processing")
    }
    let unknown = try await mailbox.read { db in
      let statement = try db.cachedStatement(sql: "SELECT EXISTS (SELECT 1 FROM messages_in WHERE id = ?)")
      return try tried.filter { try Bool.fetchOne(statement, arguments: [$0]) == false }
    }
    guard !unknown.isEmpty else { return }
    var candidates = MailboxPruning.Candidates()
    candidates.inbound = unknown
    try await SQLiteMailboxStore.removeOutbound(candidates, mailbox)
  }

  /// The files are of different moments, the worker's the later one: no worker's number is given again, and whoever was
  /// at work then is gone.
  private func settle(_ address: MailboxAddress) async throws {
    let store = SQLiteMailboxStore(home: home)
    let result: Result<Void, any Error>
    do {
      try await store.with(address, making: true) { mailbox in
        let last = try await mailbox.look { db in
          try Int64.fetchOne(db, sql: "SELECT coalesce(max(incarnation), 0) FROM processing") ?? 0
        }
        try await Self.forgetUnknown(mailbox)
        try await mailbox.write { db in
          try db.execute(
            sql: """
              UPDATE worker SET incarnation = max(incarnation, ?), state = 'stopped', pid = NULL, process_start = NULL,
                boot = NULL, container = NULL, next_start = NULL
              """, arguments: [last])
        }
      }
      result = .success(())
    } catch {
      result = .failure(error)
    }
    await store.close()
    try result.get()
  }
}
