// SPDX-License-Identifier: Apache-2.0

import GRDB

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Makes a new database from what a damaged one still has, and puts it in its place.
///
/// Nothing of the old set is touched before the new database is whole, checked and on the disk. Then the old
/// set is renamed into quarantine and the new database linked to the path. A death in between leaves the path
/// empty and the set in quarantine, from which the next repair does the same again; the engine refuses to
/// begin an empty store meanwhile.
struct RepairRebuild {
  let subject: DoctorSubject
  let verdict: FileVerdict
  let exclusion: RepairExclusion
  let progress: (Double, String) -> Void
  let step: (RepairStep) throws -> Void

  private var path: String { subject.path }
  private var name: String { subject.path.fileName }
  /// The set that is repaired; nil where it is at its path.
  private var entry: QuarantineEntry? { subject.quarantine }

  /// Blocks.
  func run(into report: inout RepairReport) throws {
    let place = try RepairTemporary(for: path)
    do {
      try step(.madeTemporary)
      let image = try RepairSource(subject).image(
        through: entry == nil ? exclusion.fileGuard?.file.descriptor : nil, standIn: place.standIn)
      try make(image, in: place, &report)
      guard image.isCurrent else { throw changed() }
      try finish(place, inWALMode: isInWALMode(image))
      try step(.finished)
      try replace(with: place, &report)
    } catch {
      place.remove()
      throw error
    }
    place.remove()
    try step(.cleaned)
  }

  // MARK: The new database

  private func make(_ image: FileImage, in place: RepairTemporary, _ report: inout RepairReport) throws {
    progress(0, "reading what is left")
    try image.write(to: place.database) { progress(0.3 * $0, "reading what is left") }
    try step(.wroteImage)
    progress(0.3, "checking it")
    report.problems += image.repairs
    if let tables = soundTables(place) {
      report.tables = tables
      report.actions.append("Every committed page was there: the new database has all of them.")
    } else if image.layout.reserved > 0, try countNoReserve(place), let tables = soundTables(place) {
      report.tables = tables
      report.problems.append(Self.wrongReserve(image))
      report.actions.append("Put the header right: the new database has every committed page.")
    } else {
      place.clearDatabase()
      let whole = try WholePages(image)
      if whole != nil { report.problems.append(Self.wrongReserve(image)) }
      let salvage = try Salvage.run(whole ?? image, into: place.database) {
        progress(0.4 + 0.5 * $0, "salvaging rows")
      }
      report.tables = salvage.tables.map {
        .init(name: $0.name, scanned: $0.scanned, recovered: $0.recovered, lostAndFound: $0.lostAndFound)
      }
      report.unclaimed = salvage.unclaimed
      report.problems += salvage.problems
      let rows = report.tables.reduce(0) { $0 + $1.recovered }
      report.actions.append("Salvaged \(rows) rows of \(report.tables.count) tables into a new database.")
      try step(.salvaged)
      try compare(image, with: place.database, report)
    }
    guard try hasAnything(place.database, report) else {
      throw StoreError(
        .damaged,
        """
        Nothing of a database could be brought back from \(name) or its sidecars, so they were left as they are: \
        restore a backup.
        """, path: path)
    }
    try step(.verified)
  }

  private static func wrongReserve(_ image: FileImage) -> String {
    "The header reserved \(image.layout.reserved) bytes of each page, which was wrong."
  }

  /// Writes into the new database's header that SQLite has the whole of each page.
  private func countNoReserve(_ place: RepairTemporary) throws -> Bool {
    let descriptor = unsafe open(place.database, O_WRONLY | O_CLOEXEC | O_NOFOLLOW)
    guard descriptor >= 0 else { throw StoreError.opening(place.database, errno: errno) }
    defer { _ = close(descriptor) }
    let none: [UInt8] = [0]
    // Byte 20: https://www.sqlite.org/fileformat.html#the_database_header
    return unsafe none.withUnsafeBytes { unsafe pwrite(descriptor, $0.baseAddress, 1, 20) } == 1
  }

  /// The tables of the image as it was written, when SQLite finds nothing wrong with it; else nil.
  private func soundTables(_ place: RepairTemporary) -> [RepairReport.Table]? {
    guard let queue = try? DatabaseQueue(path: place.database, configuration: Self.configuration) else {
      return nil
    }
    defer { try? queue.close() }
    return try? queue.inDatabase { db -> [RepairReport.Table]? in
      guard try String.fetchAll(db, sql: "PRAGMA integrity_check(1)") == ["ok"] else { return nil }
      return try PlainRows.tables(in: db).map { table in
        let count = try Int.fetchOne(db, sql: "SELECT count(*) FROM \(table.quotedDatabaseIdentifier)") ?? 0
        return .init(name: table, scanned: count, recovered: count, lostAndFound: 0)
      }
    }
  }

  /// Refuses a result with fewer rows of any table than can be read as the files are now.
  private func compare(_ image: FileImage, with result: String, _ report: RepairReport) throws {
    guard let old = try? ImageVFS.open(image) else { return }
    defer { try? old.close() }
    let new = try DatabaseQueue(path: result, configuration: Self.configuration)
    defer { try? new.close() }
    for table in old.inDatabase(PlainRows.tables) {
      let kept = report.tables.first { $0.name == table }
      let recovered = new.inDatabase { PlainRows.count(table, in: $0) } + (kept?.lostAndFound ?? 0)
      guard old.inDatabase({ PlainRows.count(table, in: $0) }) > recovered else { continue }
      // A page that two parents claim is read twice, and a table cannot hold its rows twice.
      let distinct = old.inDatabase { PlainRows.count(table, in: $0, isDistinct: true) }
      guard distinct <= recovered else {
        throw StoreError(
          .damaged,
          """
          The repaired \(name) would have \(recovered) rows of \(table) and \(distinct) can be read now, so nothing \
          was changed: copy what you can read with its own program, or restore a backup.
          """, path: path)
      }
    }
  }

  private func hasAnything(_ result: String, _ report: RepairReport) throws -> Bool {
    if report.unclaimed > 0 { return true }
    let queue = try DatabaseQueue(path: result, configuration: Self.configuration)
    defer { try? queue.close() }
    return try queue.inDatabase { db in
      try Int.fetchOne(db, sql: "SELECT count(*) FROM sqlite_schema") ?? 0 > 0
    }
  }

  /// For files of ours that nobody else knows: only what a hostile schema must not do.
  private static var configuration: Configuration {
    var configuration = Configuration()
    configuration.foreignKeysEnabled = false
    configuration.acceptsDoubleQuotedStringLiterals = true
    configuration.prepareDatabase { try $0.execute(sql: "PRAGMA trusted_schema = 0") }
    return configuration
  }

  /// Whether the old one was in WAL mode: by its header, or by a -wal with commits where there is none.
  private func isInWALMode(_ image: FileImage) -> Bool {
    if image.changes.committedFrames > 0 { return true }
    guard let page = try? image.page(1) else { return false }
    return page[18] == 2 && page[19] == 2
  }

  /// Gives the new database the old one's mode, owner and journal mode, and waits until it is on the disk.
  private func finish(_ place: RepairTemporary, inWALMode: Bool) throws {
    if inWALMode {
      let queue = try DatabaseQueue(path: place.database, configuration: Self.configuration)
      defer { try? queue.close() }
      let mode = try queue.inDatabase { try String.fetchOne($0, sql: "PRAGMA journal_mode = WAL") }
      guard mode == "wal" else {
        throw StoreError(.setting, "The new \(name) could not be put in WAL mode.", path: path)
      }
    }
    for suffix in ["-wal", "-shm", "-journal"] where QuarantineFiles.exists(place.database + suffix) {
      throw StoreError(.io, "The new \(name) could not be closed, so nothing was changed.", path: path)
    }
    let descriptor = unsafe open(place.database, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw StoreError.opening(place.database, errno: errno) }
    defer { _ = close(descriptor) }
    var old = stat()
    if unsafe lstat(subject.files.database, &old) == 0 {
      // The group may be one this user is not in; the owner was looked at when the plan was made.
      if old.st_uid != geteuid() || old.st_gid != getegid() {
        _ = fchown(descriptor, old.st_uid == geteuid() ? .max : old.st_uid, old.st_gid)
      }
      guard fchmod(descriptor, old.st_mode & 0o777) == 0 else {
        throw StoreError.writing(place.database, errno: errno)
      }
    }
    guard fsync(descriptor) == 0 else { throw StoreError.writing(place.database, errno: errno) }
    try QuarantineFiles.synchronize(place.directory)
  }

  // MARK: The exchange

  private func replace(with place: RepairTemporary, _ report: inout RepairReport) throws {
    try exclusion.requireUnheld()
    let moved = try setAside()
    let settled = entry ?? moved
    report.quarantine = settled?.directory
    guard Self.link(place.database, path) == 0 else {
      guard errno == EEXIST else { throw StoreError.writing(path, errno: errno) }
      throw StoreError(
        .replaced,
        """
        Another program made a new \(name) while the old one was set aside to \(settled?.directory ?? "quarantine"), \
        so the repaired one was not put in its place: stop that program, move its file away, and run this again.
        """, path: path)
    }
    try QuarantineFiles.synchronize(QuarantineFiles.parent(of: path))
    try step(.linked)
    if exclusion.lane.recordedGeneration != nil, let identity = FileIdentity(path: path) {
      // A store is still here, and it is this file.
      exclusion.lane.record(Generation(database: identity))
    }
    for one in [entry, moved] { if let one { try Quarantine.resolve(one) } }
    try step(.resolved)
    report.actions.append(
      "Set the old files aside to \(settled?.directory ?? "nowhere") and put the new database in place.")
  }

  /// Moves what is at the path away: the old set, or stray sidecars beside a database that is gone. Left there,
  /// SQLite would apply them to the new one.
  private func setAside() throws -> QuarantineEntry? {
    let home = QuarantineFiles.parent(of: path)
    guard QuarantineFiles.names(of: path).contains(where: { QuarantineFiles.exists(home + "/" + $0) }) else {
      return nil
    }
    return try Quarantine.move(
      setOf: path, verdict: verdict, reason: "\(name) was found \(verdict.rawValue) and was repaired.",
      lane: exclusion.lane, held: exclusion.fileGuard
    ) { try step(.quarantine("\($0)")) }
  }

  private func changed() -> StoreError {
    StoreError(
      .transient, "\(name) changed while it was being repaired, so nothing was done: run this again.",
      path: path)
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
}
