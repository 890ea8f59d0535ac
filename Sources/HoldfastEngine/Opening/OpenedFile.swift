// SPDX-License-Identifier: Apache-2.0

import GRDB

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A database opened by the open protocol: its guard, the writer's connection, and which files they are.
final class OpenedFile {
  let fileGuard: FileGuard
  let database: DatabaseQueue
  let generation: Generation
  /// Which journal it is to have here.
  let policy: JournalPolicy
  /// What the file said of its contents when they were last found to be the same database's.
  private var content: ContentMark
  private var witness = WALWitness()

  /// Opens the database, on the calling thread, which has the turn.
  ///
  /// In the lane, so that of many first openers exactly one creates the file, puts it in WAL mode and
  /// migrates it (rows A04, A05, A15): the header is judged before SQLite sees the file, the busy handler
  /// is the first thing every connection gets, and a mode that is already right is read, not set again.
  ///
  /// - Parameter earlier: what the process had open at this path before, when it opens it anew. Its guard is
  ///   kept if the database is the same file: closing it would drop the locks of every connection. A file
  ///   that is gone by then is not created anew (row C17).
  init(
    path: String, lane: WriteLane, configuration: StateFileConfiguration, migrations: [DatabaseMigrator],
    patience: BusyPatience, deadline: ContinuousClock.Instant, replacing earlier: FileGuard? = nil
  ) throws {
    let fileGuard = try Admission(path: path, lane: lane, isDisposable: configuration.isDisposable)
      .admit(replacing: earlier)
    patience.wait(until: deadline)
    do {
      let policy = JournalPolicy.decide(
        path, configuration: configuration, isRecorded: lane.isKeptFromWAL(fileGuard.identity))
      if case .rollback = policy {
        lane.keepFromWAL(fileGuard.identity)
        if fileGuard.header == .wal {
          try Self.leaveWALMode(path, lane: lane, configuration: configuration, deadline: deadline)
        }
      }
      let header = fileGuard.header
      let database = try Connection.open(path, as: .writer, configuration: configuration, patience: patience)
      do {
        if policy == .wal, header != .wal {
          // A new file has nobody to wait for long; one that somebody reads is not worth standing in the lane
          // for, with new readers kept out by the pending lock meanwhile.
          if header == .rollback { patience.wait(until: min(deadline, .now + Self.modeChangePatience)) }
          try Self.putInWALMode(database)
          patience.wait(until: deadline)
        }
        let isWAL = try database.inDatabase { db in
          // The read makes SQLite open the -wal and the -shm, which are looked at below.
          _ = try Int.fetchOne(db, sql: "SELECT count(*) FROM sqlite_schema")
          return try String.fetchOne(db, sql: "PRAGMA journal_mode") == "wal"
        }
        if isWAL { try Self.protect(fileGuard, deadline: deadline) }
        for migrator in migrations { try Self.migrate(database, with: migrator, path: path) }
        guard let generation = Generation.current(ofDatabaseAt: path, inWALMode: isWAL),
          generation.database == fileGuard.identity
        else { throw StoreError.replacedWhileOpening(path) }
        lane.record(generation)
        self.generation = generation
        self.policy = policy
        content = ContentMark(descriptor: fileGuard.file.descriptor)
      } catch {
        try? database.close()
        throw error
      }
      self.database = database
      self.fileGuard = fileGuard
    } catch let error as DatabaseError {
      var described = StoreError(error, path: path, doing: "Opening")
      if described.code == .deadline { described.holders = LockTable.holders(ofDatabaseAt: path) }
      throw described
    }
  }

  private init(
    fileGuard: FileGuard, database: DatabaseQueue, generation: Generation, policy: JournalPolicy
  ) {
    self.policy = policy
    self.fileGuard = fileGuard
    self.database = database
    self.generation = generation
    content = ContentMark(descriptor: fileGuard.file.descriptor)
  }

  /// How what is at the path differs from what was opened; nil while all is well. Called with the turn.
  func breach() -> Generation.Breach? {
    let breach = generation.breach(ofDatabaseAt: fileGuard.file.path)
    // Contents come before a lost -wal: what was committed there must not be folded into another database.
    if breach == .databaseGone || breach == .databaseReplaced { return breach }
    if isOverwritten { return .databaseOverwritten }
    guard breach == nil, generation.wal != nil else { return breach }
    return database.inDatabase { witness.isWhole($0) } ? nil : .walCut
  }

  /// Whether a database that was overwritten in place is one again, so that it can be taken up.
  var isWhole: Bool { ContentMark(descriptor: fileGuard.file.descriptor).isWhole }

  private var isOverwritten: Bool {
    // In rollback mode SQLite looks at the change counter itself, and undoing a dead writer's work sets it
    // back.
    guard generation.wal != nil else { return false }
    // A foreign checkpoint may be writing the header this very moment; what is wrong stays wrong.
    for isLast in [false, true] {
      let now = ContentMark(descriptor: fileGuard.file.descriptor)
      if content.mayBecome(now) {
        content = now
        return false
      }
      if !isLast { usleep(1000) }
    }
    return true
  }

  /// Opens a database that needs nothing done to it: there, in the right journal mode, with its schema up to date.
  ///
  /// That takes no lock anybody could be waiting for, so a program that only wants to read opens at once,
  /// also while somebody holds the write lock and the queue stands behind it.
  /// - Returns: nil when there is something to do that needs the turn.
  static func whole(
    path: String, lane: WriteLane, configuration: StateFileConfiguration, migrations: DatabaseMigrator,
    patience: BusyPatience, deadline: ContinuousClock.Instant
  ) throws -> OpenedFile? {
    // Its absence is seen here without creating it: the turn decides who does.
    guard FileIdentity(path: path) != nil else { return nil }
    let fileGuard: FileGuard
    do throws(StoreError) {
      fileGuard = try FileGuard(databasePath: path, creates: false)
    } catch {
      // Another opener may have set it aside this very moment.
      if FileIdentity(path: path) == nil { return nil }
      throw error
    }
    guard let recorded = lane.recordedGeneration, recorded.breach(ofDatabaseAt: path) == nil else {
      return nil
    }
    let facts = FileFacts.glance(path, through: fileGuard.file.descriptor, marker: nil)
    let header = DatabaseHeader(bytes: facts.header)
    let policy = JournalPolicy.decide(
      path, configuration: configuration, isRecorded: lane.isKeptFromWAL(fileGuard.identity))
    guard policy.accepts(header), (header == .wal) == (recorded.wal != nil),
      Preflight.judge(facts).verdict == .healthy
    else { return nil }
    let isWAL = header == .wal
    patience.wait(until: deadline)
    let database = try Connection.open(path, as: .writer, configuration: configuration, patience: patience)
    do {
      let isUpToDate = try database.inDatabase { db in
        guard try (String.fetchOne(db, sql: "PRAGMA journal_mode") == "wal") == isWAL else { return false }
        return try migrations.hasCompletedMigrations(db) && !migrations.hasBeenSuperseded(db)
      }
      guard isUpToDate, try !isWAL || fileGuard.protectWAL(),
        Generation.current(ofDatabaseAt: path, inWALMode: isWAL) == recorded,
        lane.recordedGeneration == recorded
      else {
        try? database.close()
        return nil
      }
    } catch {
      try? database.close()
      throw error
    }
    return OpenedFile(fileGuard: fileGuard, database: database, generation: recorded, policy: policy)
  }

  /// Closes the connection, not the guard: that must outlive every connection of the process.
  func close() {
    // A connection that does not close cleanly has unfinalised statements; it goes with its last reference.
    try? database.close()
  }

  /// How long a file in rollback mode is asked for exclusively before it is used as it is.
  private static let modeChangePatience = Duration.milliseconds(250)

  /// The mode is changed only where nobody else uses the file: SQLite needs it exclusively for that. A file
  /// that others are reading or writing in rollback mode is used as it is, and the next opening tries again
  /// (row B13).
  private static func putInWALMode(_ database: DatabaseQueue) throws {
    try database.inDatabase { db in
      do {
        _ = try String.fetchOne(db, sql: "PRAGMA journal_mode = WAL")
      } catch let error as DatabaseError where ResultClass(error) == .lock {
        return
      }
    }
  }

  /// Takes a file out of WAL mode that is where WAL is not known to work. Its -wal is folded back first.
  ///
  /// Nobody else may have it open, so it is asked for exclusively, and used without the shared memory that would
  /// not be shared. Where others have it, opening is refused: what they do there goes wrong already, and one more
  /// would make it worse (row C14).
  private static func leaveWALMode(
    _ path: String, lane: WriteLane, configuration: StateFileConfiguration, deadline: ContinuousClock.Instant
  ) throws {
    let patience = BusyPatience()
    patience.wait(until: min(deadline, .now + modeChangePatience))
    do {
      guard !lane.othersAreAlive else { throw StoreError.cannotLeaveWALMode(path) }
      let database = try Connection.open(
        path, as: .converter, configuration: configuration, patience: patience)
      let mode: String?
      do {
        mode = try database.inDatabase { try String.fetchOne($0, sql: "PRAGMA journal_mode = DELETE") }
        try database.close()
      } catch {
        try? database.close()
        throw error
      }
      guard mode == "delete" else { throw StoreError.cannotLeaveWALMode(path) }
    } catch let error as DatabaseError where ResultClass(error) == .lock {
      throw StoreError.cannotLeaveWALMode(path)
    }
  }

  private static func protect(_ fileGuard: FileGuard, deadline: ContinuousClock.Instant) throws(StoreError) {
    while try !fileGuard.protectWAL() {
      guard ContinuousClock.now < deadline else {
        throw StoreError(
          .deadline,
          "Opening \(fileGuard.file.path.fileName) waited for a program that has it exclusively; try again.",
          path: fileGuard.file.path, holders: LockTable.holders(ofDatabaseAt: fileGuard.file.path))
      }
      usleep(2000)
    }
  }

  /// Runs the migrations that are missing. They are re-read here, in the lane, so of many openers one runs
  /// them; each is one transaction.
  static func migrate(_ database: DatabaseQueue, with migrations: DatabaseMigrator, path: String) throws {
    guard !migrations.migrations.isEmpty else { return }
    let (isComplete, isNewer) = try database.inDatabase { db in
      (try migrations.hasCompletedMigrations(db), try migrations.hasBeenSuperseded(db))
    }
    guard !isNewer else {
      throw StoreError(
        .newerSchema,
        "\(path.fileName) was written by a newer version of Holdfast, so it was left alone: upgrade this program.",
        path: path)
    }
    if !isComplete { try migrations.migrate(database) }
  }
}

extension StoreError {
  fileprivate static func cannotLeaveWALMode(_ path: String) -> StoreError {
    var seen: Set<LockHolder> = []
    let holders = LockTable.locks(ofDatabaseAt: path).map(\.holder)
      .filter { $0.pid != getpid() && seen.insert($0).inserted }
    return StoreError(
      .transient,
      """
      \(path.fileName) is in WAL mode, is used from a filesystem where that is not known to work, and another program \
      has it open, so it was not opened: stop every program that uses it, on every machine, and try again.
      """, path: path, holders: holders)
  }

  static func replacedWhileOpening(_ path: String) -> StoreError {
    StoreError(
      .replaced,
      "\(path.fileName) was moved or replaced while it was being opened; nothing was done, try again.",
      path: path)
  }
}
