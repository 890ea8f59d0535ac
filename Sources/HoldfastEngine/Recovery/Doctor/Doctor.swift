// SPDX-License-Identifier: Apache-2.0

import GRDB

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Says what is the matter with any SQLite file, and changes nothing.
///
/// What lies beside the file and how its first bytes read is judged before SQLite is involved: given a bad
/// first page it deletes the -wal that could help (row C06). A file nobody uses is then checked on a private
/// copy of the set, in which SQLite may recover what it likes. A file somebody uses is read where it is,
/// read-only, since only SQLite's own locks give a consistent view of it then.
package enum Doctor {
  /// How thoroughly to look.
  package struct Options: Sendable {
    /// Whether to look at everything there is, however large the file.
    package var isDeep: Bool
    /// Told the share that is done, 0 … 1, and what is being looked at; from any thread.
    package var progress: (@Sendable (Double, String) -> Void)?
    /// The names of the migrations this program knows, one list for each kind of store: a store of ours that
    /// has others was written by a newer program.
    package var knownMigrations: [[String]]

    /// Makes options.
    package init(
      isDeep: Bool = false, progress: (@Sendable (Double, String) -> Void)? = nil,
      knownMigrations: [[String]] = []
    ) {
      self.isDeep = isDeep
      self.progress = progress
      self.knownMigrations = knownMigrations
    }
  }

  /// Examines a database.
  ///
  /// - Throws: ``StoreError`` with code `cannotOpen` where there is nothing at all.
  package static func examine(
    _ subject: DoctorSubject, options: Options = Options()
  ) async throws -> Diagnosis {
    var diagnosis = try await examine(subject.files.database)
    diagnosis.path = subject.path
    return diagnosis
  }

  /// Examines the database at `path`.
  ///
  /// - Throws: ``StoreError`` with code `cannotOpen` where there is nothing at all.
  package static func examine(_ path: String) async throws -> Diagnosis {
    let path = try CanonicalPath.of(path)
    for _ in 0..<3 {
      let users = try await BlockingThread.run(named: "hf-doctor") { FileUsers.of(path) }
      if let diagnosis = try await examineOnce(path, users) { return diagnosis }
    }
    // It changed under every attempt, so somebody writes who cannot be seen.
    var diagnosis = Diagnosis(path: path, verdict: .busy)
    diagnosis.findings = [
      .init(
        "changing", .warning,
        "The file changed three times while it was read, by somebody who cannot be seen here.",
        remedy: "Try again when its program is idle.")
    ]
    return diagnosis
  }

  private static func examineOnce(_ path: String, _ users: FileUsers) async throws -> Diagnosis? {
    let seen = try await BlockingThread.run(named: "hf-doctor") { () throws -> (Diagnosis, Bool) in
      try Self.look(at: path, users)
    }
    var diagnosis = seen.0
    if seen.1 {
      do {
        guard let report = try await check(path, inUse: !users.isEmpty) else { return nil }
        diagnosis.add(report)
      } catch let error as StoreError where error.code == .transient || error.code == .deadline {
        diagnosis.verdict = .busy
        diagnosis.findings.append(
          .init("busy", .warning, "\(error.message)", remedy: "Try again when its program is idle."))
      } catch let error as StoreError where [.damaged, .notADatabase, .sql].contains(error.code) {
        diagnosis.add(damage: [error.message])
      }
    }
    diagnosis.findings.sort { $0.severity > $1.severity }
    return diagnosis
  }

  /// Runs SQLite's check; nil when the file changed while it was copied.
  private static func check(_ path: String, inUse: Bool) async throws -> DamageReport? {
    if inUse { return try await ForeignReader(path).read { db in try DamageReport(of: db) } }
    return try await BlockingThread.run(named: "hf-doctor") {
      guard let copy = try PrivateCopy(of: DoctorInput(path: path)) else { return nil }
      do {
        let queue = try DatabaseQueue(path: copy.path)
        defer { try? queue.close() }
        return try queue.inDatabase { db in
          // What the copy's -wal has goes into the copy, so that its pages are all in one file.
          try? db.execute(sql: "PRAGMA journal_mode = DELETE")
          return try DamageReport(of: db, pages: PageFile(copy.path))
        }
      } catch let error as DatabaseError {
        throw StoreError(error, path: path, doing: "Reading")
      }
    }
  }

  /// What can be said without SQLite, and whether SQLite may be asked for the rest.
  private static func look(at path: String, _ users: FileUsers) throws -> (Diagnosis, Bool) {
    let input = DoctorInput(path: path)
    var diagnosis = Diagnosis(path: path, verdict: .healthy)
    diagnosis.holders = users.processes
    diagnosis.walBytes = input.walBytes
    #if os(Linux)
      let mounts = String(decoding: ProcFile.bytes("/proc/self/mountinfo"), as: UTF8.self)
      let filesystem = Filesystem.find(path, inMountTable: mounts)
      diagnosis.filesystem = filesystem?.type
      let mayHaveWAL = filesystem?.isCoherent ?? true
    #else
      let mayHaveWAL = true
    #endif
    if users.hasInvisibleHolder {
      diagnosis.findings.append(
        .init(
          "invisible-holder", .warning,
          "The kernel lists a lock on the file whose process cannot be seen from here, such as one in a container.",
          remedy: "Look for it where that process runs, or as root."))
    }
    guard let database = input.database else {
      guard input.walBytes > 0 else {
        throw StoreError(
          .cannotOpen, "There is no file \(path), and no -wal of it either: check the name.", path: path)
      }
      diagnosis.orphan("There is no \(path.fileName), but its -wal holds \(input.walBytes) bytes.")
      return (diagnosis, false)
    }
    diagnosis.addPermissions(database)
    guard database.isRegular else {
      diagnosis.settle(
        .unreadable, "not-a-file", "\(path.fileName) is not a regular file.",
        remedy: "Name the database itself.")
      return (diagnosis, false)
    }
    guard database.size > 0 else {
      if input.walBytes > 0 {
        diagnosis.orphan("\(path.fileName) is empty, but its -wal holds \(input.walBytes) bytes.")
      } else {
        diagnosis.verdict = .fresh
      }
      return (diagnosis, false)
    }
    let isOurs = users.processes.contains { $0.pid == getpid() }
    // This process's own connections would lose their locks by an open and close; SQLite has read its header.
    if isOurs { return (diagnosis, true) }
    guard let header = input.bytes(of: "", count: 100) else {
      diagnosis.settle(
        .unreadable, "permission", "\(path.fileName) may not be read by this user.",
        remedy: "Run this as the file's owner, or give this user the right to read it.")
      return (diagnosis, false)
    }
    let isReadable = diagnosis.judge(header: header, input, users)
    if diagnosis.journalMode == "wal", !mayHaveWAL {
      diagnosis.findings.append(
        .init(
          "wal-on-shared-filesystem", .warning,
          "The file is in WAL mode on a filesystem (\(diagnosis.filesystem ?? "unknown")) on which WAL is not known to work.",
          remedy: "Move it to a local disk, or have its program use a rollback journal."))
    }
    return (diagnosis, isReadable)
  }
}

extension Diagnosis {
  /// Judges the first bytes and the journal.
  /// - Returns: whether SQLite may see the file.
  fileprivate mutating func judge(header: [UInt8], _ input: DoctorInput, _ users: FileUsers) -> Bool {
    let name = path.fileName
    let size = input.database?.size ?? 0
    let isMagic = header.count >= 16 && Array(header[..<16]) == Array("SQLite format 3\0".utf8)
    if !isMagic, input.isAllZero() {
      settle(
        .zeroed, "zeroed", "All \(size) bytes of \(name) are NUL: its contents are gone.",
        remedy: "Keep it and its -wal as they are; restore a backup.")
      return false
    }
    guard isMagic else {
      settle(
        .notADatabase, "not-a-database", "\(name) does not begin like an SQLite database.",
        remedy: "Keep it and its -wal as they are and open it with nothing; SQLite would delete the -wal.")
      return false
    }
    let stated = header.count == 100 ? Int(header[16]) << 8 | Int(header[17]) : 0
    let pageSize = Int64(stated == 1 ? 65536 : stated)
    guard header.count == 100 else {
      settle(
        .truncated, "truncated", "\(name) ends after \(size) bytes, inside its own header.",
        remedy: "Keep it and its -wal as they are; restore a backup.")
      return false
    }
    guard pageSize >= 512, pageSize & (pageSize - 1) == 0 else {
      settle(
        .notADatabase, "not-a-database",
        "The header of \(name) states a page size of \(stated), which there is not.",
        remedy: "Keep it and its -wal as they are and open it with nothing; SQLite would delete the -wal.")
      return false
    }
    journalMode = header[18] == 2 && header[19] == 2 ? "wal" : "delete"
    pageCount = size / pageSize
    guard header[19] <= 2 else {
      settle(
        .newerSchema, "newer-format",
        "\(name) asks for version \(header[19]) of the file format; this SQLite knows 2.",
        remedy: "Open it with a newer SQLite.")
      return false
    }
    let schemaFormat = DoctorInput.word(header, 44)
    guard schemaFormat <= 4 else {
      settle(
        .newerSchema, "newer-format", "\(name) asks for schema format \(schemaFormat); this SQLite knows 4.",
        remedy: "Open it with a newer SQLite.")
      return false
    }
    if journalMode == "wal" { addWALFindings() }
    return judgeJournal(input, users) && judgeLength(header, input, pageSize: pageSize)
  }

  private mutating func judgeJournal(_ input: DoctorInput, _ users: FileUsers) -> Bool {
    let writers = users.processes.filter { user in
      user.locks.contains { ["an EXCLUSIVE lock", "a PENDING lock", "a RESERVED lock"].contains($0) }
    }
    // RESERVED alone lets others read on.
    let excluders = writers.filter { user in
      user.locks.contains { ["an EXCLUSIVE lock", "a PENDING lock"].contains($0) }
    }
    let holdsPages = input.journalHoldsPages
    if let writer = (holdsPages ? writers : excluders).first {
      settle(
        .busy, "busy",
        "pid \(writer.pid) (\(writer.command)) is in the middle of a transaction: it holds "
          + writer.locks.joined(separator: ", ") + ".",
        severity: .warning, remedy: "Wait until it has ended, or end that process.")
      return false
    }
    guard holdsPages else { return true }
    if users.hasInvisibleHolder {
      settle(
        .busy, "busy",
        "A journal with pages in it lies there, and somebody who cannot be seen here holds the file.",
        severity: .warning, remedy: "Wait until that process has ended.")
      return false
    }
    settle(
      .hotJournal, "hot-journal",
      "A writer died in the middle of a transaction; its -journal holds the pages that undo it.",
      remedy: "Open the file once for writing with its own program or `sqlite3`; never delete the -journal.")
    return false
  }

  private mutating func judgeLength(_ header: [UInt8], _ input: DoctorInput, pageSize: Int64) -> Bool {
    let stated = Int64(DoctorInput.word(header, 28))
    // The count is valid only where the two change counters agree; in a -wal there may be pages the file lacks.
    let isValid = DoctorInput.word(header, 24) == DoctorInput.word(header, 92)
    let size = input.database?.size ?? 0
    guard isValid, stated * pageSize > size, input.walBytes == 0, holders.isEmpty else { return true }
    settle(
      .truncated, "truncated",
      "\(path.fileName) should have \(stated) pages of \(pageSize) bytes and ends after \(size) bytes.",
      remedy: "Keep it as it is; restore a backup.")
    return false
  }

  private mutating func addWALFindings() {
    if SQLiteRelease.linked.hasWALResetBug {
      findings.append(
        .init(
          "wal-reset-bug", .info,
          "The SQLite on this system, \(sqliteVersion), can lose committed rows when a WAL is restarted during a "
            + "checkpoint; Holdfast works around it, other programs may not.",
          remedy: "Use SQLite 3.51.3, 3.50.7 or 3.44.6, or a later patch of these."))
    }
    if walBytes > 256 << 20 {
      let readers = holders.filter { $0.locks.contains { $0.hasPrefix("a read transaction") } }
      let pinned = readers.map { "pid \($0.pid) (\($0.command))" }.joined(separator: ", ")
      findings.append(
        .init(
          "huge-wal", .warning,
          "The -wal has grown to \(walBytes) bytes."
            + (pinned.isEmpty ? "" : " It cannot start over while these read: \(pinned)."),
          remedy: pinned.isEmpty
            ? "Have its program run a checkpoint."
            : "End those reads, then have its program run a checkpoint."))
    }
  }

  fileprivate mutating func addPermissions(_ database: DoctorInput.Stamp) {
    if database.mode & 0o004 != 0 {
      findings.append(
        .init(
          "world-readable", .warning, "Every user of this machine may read \(path.fileName).",
          remedy: "chmod 600 it and its sidecars, if what is in it is private."))
    }
  }

  fileprivate mutating func orphan(_ message: String) {
    settle(
      .walOrphan, "wal-orphan", message + " What was committed there last is in it.",
      remedy: "Keep both as they are and open them with nothing; SQLite would delete the -wal.")
  }

  fileprivate mutating func settle(
    _ verdict: FileVerdict, _ code: String, _ message: String, severity: Finding.Severity = .error,
    remedy: String
  ) {
    self.verdict = verdict
    findings.append(Finding(code, severity, message, remedy: remedy))
  }

  fileprivate mutating func add(_ report: DamageReport) {
    if !report.lines.isEmpty { return add(damage: report.lines) }
    guard !report.indexes.isEmpty else { return }
    let names = report.indexes.sorted().joined(separator: ", ")
    settle(
      .indexDamaged, "index-damage", "These indexes do not fit their tables, which are sound: \(names).",
      remedy: "With nobody using the file and a copy of it made, run REINDEX.")
  }

  fileprivate mutating func add(damage lines: [String]) {
    let more = lines.count > 3 ? " (and \(lines.count - 3) more)" : ""
    settle(
      .damaged, "damage", "The file is damaged: " + lines.prefix(3).joined(separator: "; ") + more + ".",
      remedy:
        "Keep it and its sidecars as they are; restore a backup, or save its rows with `sqlite3 FILE .recover`."
    )
  }
}
