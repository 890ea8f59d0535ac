// SPDX-License-Identifier: Apache-2.0

import GRDB

/// Repairs that SQLite makes in the file itself, each in one transaction, behind a copy that is kept.
struct RepairInPlace {
  let path: String
  let verdict: FileVerdict
  let exclusion: RepairExclusion
  let step: (RepairStep) throws -> Void

  private var name: String { path.fileName }

  /// Undoes the transaction of a dead writer.
  ///
  /// That the writer is dead is known by its locks: SQLite's EXCLUSIVE lock was free a moment ago, and whoever
  /// is in the middle of a transaction has one that excludes it. SQLite looks again before it rolls back.
  func rollBack(into report: inout RepairReport) throws {
    try keepCopy("The transaction of a writer that died is about to be rolled back.", &report)
    exclusion.admitOthers()
    let outcome = try JournalRecovery.recover(path, deadline: .now + .seconds(2))
    try step(.rolledBack)
    switch outcome {
    case .notHot: report.actions.append("The journal was no longer there to be rolled back.")
    case .recovered(let pages):
      report.actions.append(
        "SQLite rolled the transaction back: \(pages) pages have their old contents again.")
    }
  }

  /// Builds damaged indexes anew.
  ///
  /// - Returns: false when that is not all that is wrong, or did not make the file sound; then nothing was
  ///   changed, and only a new database will do.
  /// - Throws: ``StoreError`` with code `damaged` when an index needs what only its own program has.
  func reindex(into report: inout RepairReport) throws -> Bool {
    guard let fileGuard = exclusion.fileGuard else { return false }
    let image = try RepairSource(DoctorSubject(path: path)).image(through: fileGuard.file.descriptor)
    let map = PageMap(image)
    guard let names = try damagedIndexes(image, map) else { return false }
    let searchIndexes = SearchIndexCheck.run(map.objects, on: image).filter { $0.state == .damaged }.map(
      \.name)
    guard !names.isEmpty || !searchIndexes.isEmpty else { return false }
    try keepCopy("Damaged indexes are about to be built anew.", &report)
    exclusion.admitOthers()
    guard try rebuild(names, searchIndexes) else { return false }
    try step(.reindexed)
    report.actions.append(
      "Built anew from their tables: \((names + searchIndexes).joined(separator: ", ")).")
    return true
  }

  /// The indexes, or the tables where SQLite does not say which; nil when more than indexes is damaged.
  private func damagedIndexes(_ image: FileImage, _ map: PageMap) throws -> [String]? {
    let queue = try ImageVFS.open(image)
    defer { try? queue.close() }
    let check = IntegrityCheck(map)
    let report = try queue.inDatabase { try check.run(on: $0) }
    var names: Set<String> = []
    for finding in report.findings {
      guard finding.kind == .index, let name = finding.index ?? finding.table else { return nil }
      names.insert(name)
    }
    return names.sorted()
  }

  /// In one transaction, which is committed only if the whole file is sound then.
  private func rebuild(_ names: [String], _ searchIndexes: [String]) throws -> Bool {
    let patience = BusyPatience()
    patience.wait(until: .now + .seconds(2))
    do {
      let queue = try Connection.open(path, as: .writer, configuration: .init(), patience: patience)
      defer { try? queue.close() }
      return try queue.inDatabase { db in
        try db.execute(sql: "BEGIN EXCLUSIVE")
        do {
          for name in names { try db.execute(sql: "REINDEX \(name.quotedDatabaseIdentifier)") }
          for name in searchIndexes.map(\.quotedDatabaseIdentifier) {
            for command in ["rebuild", "integrity-check"] {
              try db.execute(sql: "INSERT INTO \(name)(\(name)) VALUES('\(command)')")
            }
          }
          if try String.fetchAll(db, sql: "PRAGMA integrity_check(1)") == ["ok"] {
            try db.execute(sql: "COMMIT")
            return true
          }
        } catch let error as DatabaseError {
          if db.isInsideTransaction { try? db.execute(sql: "ROLLBACK") }
          switch error.resultCode {
          case .SQLITE_CORRUPT, .SQLITE_CONSTRAINT: return false
          default: throw error
          }
        }
        try db.execute(sql: "ROLLBACK")
        return false
      }
    } catch let error as DatabaseError {
      if ResultClass(error) == .lock {
        throw StoreError(
          .transient,
          "\(name) is in use, so its indexes were left as they are: stop who has it and try again.",
          path: path, holders: LockTable.holders(ofDatabaseAt: path))
      }
      guard error.resultCode == .SQLITE_ERROR else { throw StoreError(error, path: path, doing: "Repairing") }
      throw StoreError(
        .damaged,
        """
        The indexes of \(name) can be built anew only by a program that knows what they are made with \
        (\(error.message ?? "unknown")), so nothing was changed: have its own program run REINDEX.
        """, path: path, underlying: error)
    }
  }

  private func keepCopy(_ reason: String, _ report: inout RepairReport) throws {
    guard let fileGuard = exclusion.fileGuard else {
      throw StoreError(.missing, "\(name) is gone, so nothing was done.", path: path)
    }
    let entry = try Quarantine.keepCopy(ofSet: path, verdict: verdict, reason: reason, held: fileGuard)
    report.quarantine = entry.directory
    report.actions.append("Copied the files to \(entry.directory).")
    try step(.copied)
  }
}
