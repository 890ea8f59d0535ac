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
/// SQLite takes an empty file for a new database, and given one whose first page is gone it says "not a
/// database" and deletes the -wal that could have saved it (rows C05, C06). The lane's file knows whether a
/// store was here: then such a file is a loss, its whole set is put aside and the opening refused. Where no
/// store was, it is somebody's file and is not touched.
struct Admission {
  /// The database's canonical path.
  let path: String
  /// Its lane, of which the caller has the turn.
  let lane: WriteLane
  /// Whether what is gone is simply begun anew.
  let isDisposable: Bool

  /// The guard of a file that may be opened, newly made if there was none and there may be.
  ///
  /// - Parameter earlier: the guard of what this process had open here; kept if it is the same file, since
  ///   closing it would drop the locks of every connection. Nothing is made or moved then: others of this
  ///   process still use the files.
  /// - Throws: ``StoreError``: `missing`, `damaged` or `notADatabase`.
  func admit(replacing earlier: FileGuard?) throws -> FileGuard {
    if let earlier {
      let kept = earlier.isInPlace ? earlier : try FileGuard(databasePath: path, creates: false)
      try judge(kept, mayMove: false)
      return kept
    }
    try completeMoves()
    guard FileIdentity(path: path) != nil else {
      try admitAbsence()
      return try FileGuard(databasePath: path, creates: true)
    }
    let fileGuard = try FileGuard(databasePath: path, creates: false)
    try judge(fileGuard, mayMove: true)
    return fileGuard
  }

  private var wasHere: Bool { lane.recordedGeneration != nil }

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
    let orphan = fileSize(path + "-wal") ?? 0
    guard wasHere else {
      guard orphan > 0 else { return }
      throw StoreError(
        .damaged,
        """
        \(name) is missing but \(name)-wal beside it holds \(orphan) bytes, so nothing was created: put the database \
        back, or run `holdfast doctor \(path)`.
        """, path: path)
    }
    guard !isDisposable else {
      if orphan > 0 {
        _ = try Quarantine.move(
          setOf: path, verdict: .walOrphan, reason: "\(name) was gone and its -wal was not.", lane: lane)
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

  private func judge(_ fileGuard: FileGuard, mayMove: Bool) throws {
    let name = path.fileName
    let orphan = fileSize(path + "-wal") ?? 0
    switch fileGuard.header {
    case .wal, .rollback: return
    case .empty where wasHere:
      try refuse(
        .damaged, orphan > 0 ? .walOrphan : .zeroed, "\(name) is empty though a store was here",
        mayMove: mayMove)
    case .empty:
      guard orphan > 0 else { return }
      throw StoreError(
        .damaged,
        """
        \(name) is empty but \(name)-wal beside it holds \(orphan) bytes, so the database was truncated: keep both \
        files as they are and run `holdfast doctor` on it.
        """, path: path)
    case .foreign where wasHere:
      let isZero = fileGuard.beginsWithZeros
      try refuse(
        isZero ? .damaged : .notADatabase, isZero ? .zeroed : .notADatabase,
        isZero
          ? "\(name) begins with nothing but zeros though a store was here"
          : "\(name) no longer begins like an SQLite database",
        mayMove: mayMove)
    case .foreign:
      throw StoreError(
        .notADatabase,
        """
        \(name) does not begin like an SQLite database, so it was not opened and nothing was changed: keep it and \
        its -wal as they are and run `holdfast doctor` on it.
        """, path: path)
    }
  }

  private func refuse(
    _ code: StoreError.Code, _ verdict: FileVerdict, _ finding: String, mayMove: Bool
  ) throws -> Never {
    let advice = "run `holdfast doctor --repair \(path)`"
    guard mayMove else {
      throw StoreError(
        code,
        "\(finding), so it was not opened and nothing was changed: stop every program that has it open and \(advice).",
        path: path)
    }
    let entry: QuarantineEntry
    do {
      entry = try Quarantine.move(setOf: path, verdict: verdict, reason: finding + ".", lane: lane)
    } catch let error as StoreError {
      throw StoreError(
        code, "\(finding), so it was not opened; its files could not be set aside: \(error.message)",
        path: path, holders: error.holders, underlying: error)
    }
    throw StoreError(
      code,
      "\(finding), so it was not opened and all its files were set aside to \(entry.directory): \(advice).",
      path: path)
  }
}
