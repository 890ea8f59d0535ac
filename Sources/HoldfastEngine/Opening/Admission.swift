// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Decides, with the turn and before SQLite sees anything, whether what is at a path may be opened.
///
/// SQLite takes an empty file for a new database, reads one that was cut short as far as it goes, and given one
/// whose first page is gone it says "not a database" and deletes the -wal that could have saved it (rows C05, C06).
/// The lane's file knows whether a store was here: then such a file is a loss, its whole set is put aside and the
/// opening refused, unless it can be made again. Where no store was, it is somebody's file and is not touched.
struct Admission {
  /// The database's canonical path.
  let path: String
  /// Its lane, of which the caller has the turn.
  let lane: WriteLane
  /// Whether what is gone or damaged is simply begun anew.
  let isDisposable: Bool

  /// The guard of a file that may be opened, newly made if there was none and there may be.
  ///
  /// - Parameter earlier: the guard of what this process had open here; kept if it is the same file, since
  ///   closing it would drop the locks of every connection. Nothing is made or moved then: others of this
  ///   process still use the files.
  /// - Throws: ``StoreError``: `missing`, `damaged`, `notADatabase`, `newerSchema` or `permission`.
  func admit(replacing earlier: FileGuard?) throws -> FileGuard {
    if let earlier {
      let kept = earlier.isInPlace ? earlier : try FileGuard(databasePath: path, creates: false)
      if let found = try fault(of: kept) { try refuse(found, mayMove: false) }
      return kept
    }
    try completeMoves()
    guard FileIdentity(path: path) != nil else {
      try admitAbsence()
      return try FileGuard(databasePath: path, creates: true)
    }
    let fileGuard = try FileGuard(databasePath: path, creates: false)
    guard let found = try fault(of: fileGuard) else { return fileGuard }
    try refuse(found, mayMove: true)
    return try FileGuard(databasePath: path, creates: true)
  }

  /// Sets a disposable store aside in which SQLite found damage, so that it can be begun anew.
  /// - Throws: ``StoreError`` with the holders while another program has it open.
  func setAsideDamaged(because reason: String) throws {
    precondition(isDisposable, "what cannot be made again is never moved on SQLite's word alone")
    try Quarantine.resolve(Quarantine.move(setOf: path, verdict: .damaged, reason: reason, lane: lane))
  }

  private var wasHere: Bool { lane.recordedGeneration != nil }

  private var marker: StoreMarker? {
    lane.recordedGeneration.map { StoreMarker(device: $0.database.device, inode: $0.database.inode) }
  }

  private func completeMoves() throws {
    do {
      try Quarantine.finish(of: path, lane: lane)
    } catch let error as StoreError {
      throw StoreError(
        .damaged,
        """
        \(path.fileName) is damaged, and setting its files aside was interrupted and could not be completed, so it \
        was not opened: \(error.message)
        """, path: path, holders: error.holders, underlying: error)
    }
  }

  /// A database that is not there is made, unless one was.
  private func admitAbsence() throws {
    let name = path.fileName
    guard wasHere else {
      guard let found = try fault(of: nil) else { return }
      throw StoreError(
        .damaged,
        """
        \(found.reason.withoutPeriod), so nothing was created: put the database back, or run \
        `holdfast doctor \(path)`.
        """, path: path)
    }
    guard !isDisposable else {
      if fileSize(path + "-wal") ?? 0 > 0 {
        let reason = "\(name) was gone and its -wal was not."
        try Quarantine.resolve(
          Quarantine.move(setOf: path, verdict: .walOrphan, reason: reason, lane: lane))
      }
      return
    }
    let begin = "delete \(name)-lane to begin with an empty one"
    let entry = Quarantine.entries(of: path).last { $0.manifest.state == .complete }
    let message =
      if let entry {
        """
        \(name) was damaged and set aside to \(entry.directory), so nothing was created: run \
        `holdfast doctor --repair \(path)` or `holdfast restore`, or \(begin).
        """
      } else {
        """
        \(name) was here and is gone, so nothing was created: put it back, run `holdfast restore` or \
        `holdfast doctor --repair \(path)`, or \(begin).
        """
      }
    throw StoreError(.missing, message, path: path)
  }

  /// What keeps the file from being opened; nil when nothing does.
  ///
  /// A transaction somebody began and did not end is nothing of the kind: SQLite's own locks tell whether its
  /// writer lives, and its rollback whether the file is whole.
  private func fault(of fileGuard: FileGuard?) throws(StoreError) -> PreflightVerdict? {
    let descriptor = fileGuard?.file.descriptor
    let glance = FileFacts.glance(path, through: descriptor, marker: marker)
    let first = Preflight.judge(glance)
    if Self.admits(first.verdict) { return hopelessRollback(first, glance) }
    let facts = try FileFacts.gather(path, through: descriptor)
    let found = Preflight.judge(facts)
    return Self.admits(found.verdict) ? hopelessRollback(found, facts) : found
  }

  /// A file that does not begin like a database, and a journal that SQLite would play back into it whatever it is. A
  /// crash leaves that only where the database was being made and there was none before; else it is for the repair,
  /// which keeps both. Nil for anything else.
  private func hopelessRollback(_ found: PreflightVerdict, _ facts: FileFacts) -> PreflightVerdict? {
    guard found.verdict == .hotJournal, DatabaseFields(facts.header) == nil,
      facts.journalHeader?.initialPages != 0
    else { return nil }
    let name = path.fileName
    return PreflightVerdict(
      .notADatabase,
      "\(name) does not begin like an SQLite database, and \(name)-journal is that of a transaction nobody ended."
    )
  }

  private static func admits(_ verdict: FileVerdict) -> Bool {
    switch verdict {
    case .healthy, .fresh, .busy, .hotJournal, .indexDamaged: true
    case .zeroed, .truncated, .damaged, .unreadable, .walOrphan, .notADatabase, .newerSchema: false
    }
  }

  /// Sets the set aside where that is right, and refuses the opening unless the store is begun anew.
  private func refuse(_ found: PreflightVerdict, mayMove: Bool) throws {
    let (finding, code) = (found.reason.withoutPeriod, Self.code(of: found.verdict))
    switch found.verdict {
    case .unreadable:
      throw StoreError(code, "\(finding): give this user the right to read and write it.", path: path)
    case .newerSchema:
      throw StoreError(code, "\(finding), so it was left alone: upgrade this program.", path: path)
    default: break
    }
    guard wasHere else {
      throw StoreError(
        code,
        """
        \(finding), so it was not opened and nothing was changed: keep it and its -wal as they are and run \
        `holdfast doctor \(path)`.
        """, path: path)
    }
    let advice = "run `holdfast doctor --repair \(path)`"
    guard mayMove else {
      throw StoreError(
        code,
        "\(finding), so it was not opened and nothing was changed: stop every program that has it open and \(advice).",
        path: path)
    }
    let entry: QuarantineEntry
    do {
      entry = try Quarantine.move(setOf: path, verdict: found.verdict, reason: finding + ".", lane: lane)
    } catch let error as StoreError {
      throw StoreError(
        code, "\(finding), so it was not opened; its files could not be set aside: \(error.message)",
        path: path, holders: error.holders, underlying: error)
    }
    guard !isDisposable else {
      try Quarantine.resolve(entry)
      return
    }
    throw StoreError(
      code,
      "\(finding), so it was not opened and all its files were set aside to \(entry.directory): \(advice).",
      path: path)
  }

  private static func code(of verdict: FileVerdict) -> StoreError.Code {
    switch verdict {
    case .notADatabase: .notADatabase
    case .newerSchema: .newerSchema
    case .unreadable: .permission
    default: .damaged
    }
  }
}

extension String {
  /// A sentence as the beginning of a longer one.
  fileprivate var withoutPeriod: String { hasSuffix(".") ? String(dropLast()) : self }
}
