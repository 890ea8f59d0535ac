// SPDX-License-Identifier: Apache-2.0

import GRDB
public import HoldfastEngine
public import Logging

/// The state store of a home: `state.db`.
///
/// Any number of processes may have it open at once, and other programs may read and write the file (its schema
/// is in docs/schema.md).
///
/// ```swift
/// let store = try SQLiteStateStore.open(home: "/home/me/.holdfast")
/// let version = try await store.set(StateKey("agents", "reviewer"), encoding: ["mood": "calm"])
/// try await store.set(StateKey("agents", "reviewer"), encoding: ["mood": "brisk"], ifVersion: version)
/// await store.close()
/// ```
public final class SQLiteStateStore: StateStore {
  private let opening: StoreFile
  private let later: LaterWrites
  private let clock: @Sendable () -> UTCInstant
  private let home: String
  /// How long closing waits for what waits to be written.
  private let closingBound: Duration

  /// Makes the store of a home; its database is opened with the first call that needs it.
  ///
  /// - Parameters:
  ///   - home: the directory of `state.db`; made with mode 0700 when it is missing.
  ///   - configuration: how the database is opened.
  ///   - laterDelay: how long values that are to be written later wait for others at most.
  ///   - logger: told of values that were lost.
  /// - Throws: `StoreError` when the home cannot be made.
  public static func open(
    home: String, configuration: StateFileConfiguration = .init(),
    laterDelay: Duration = .milliseconds(250), logger: Logger = Logger(label: "holdfast.state")
  ) throws(StoreError) -> SQLiteStateStore {
    try open(
      home: home, configuration: configuration, laterDelay: laterDelay, logger: logger,
      now: { .now }, sleep: { try await Task.sleep(for: $0) })
  }

  /// As ``open(home:configuration:laterDelay:logger:)``, with clocks and a bound for closing of a test's own.
  package static func open(
    home: String, configuration: StateFileConfiguration = .init(),
    laterDelay: Duration = .milliseconds(250), logger: Logger = Logger(label: "holdfast.state"),
    closingBound: Duration = .seconds(10), now: @escaping @Sendable () -> UTCInstant,
    sleep: @escaping @Sendable (Duration) async throws -> Void
  ) throws(StoreError) -> SQLiteStateStore {
    try StoreFile.makeHome(home)
    let opening = StoreFile(
      "state store", at: home + "/state.db", configuration: configuration, migrations: StateSchema.migrations)
    let later = LaterWrites(delay: laterDelay, logger: logger, sleep: sleep) { edits in
      try await opening.file().write { db in try land(edits, now: now(), db) }
    }
    return SQLiteStateStore(
      home: home, opening: opening, later: later, closingBound: closingBound, clock: now)
  }

  private init(
    home: String, opening: StoreFile, later: LaterWrites, closingBound: Duration,
    clock: @escaping @Sendable () -> UTCInstant
  ) {
    (self.home, self.opening, self.later, self.clock) = (home, opening, later, clock)
    self.closingBound = closingBound
  }

  /// Opens the database in the background and tries again for as long as it takes, so that ``status()`` can tell.
  public func keepOpen() async { await opening.keepTrying() }

  /// The value of a key; nil when there is none, or it has expired.
  public func get(_ key: StateKey) async throws -> StateEntry? {
    try key.check()
    let now = clock()
    return try await opening.file().read { db in try StateReader.entry(key, now: now, db) }
  }

  /// Makes changes in one atomic step: all or none, durable on return.
  @discardableResult
  public func apply(_ edits: [StateEdit]) async throws -> [Int64] {
    for edit in edits { try Self.check(edit) }
    // Not overtaken by an older value that still waits; what goes wrong with that is told by flush().
    if later.holds(edits.map(\.key)) { await later.land() }
    let clock = clock
    return try await opening.file().write { db in
      let now = clock()
      let versions = try edits.map { try StateWriter.apply($0, now: now, db) }
      try StateWriter.sweep(now: now, db)
      return versions
    }
  }

  /// The values of a namespace, a page at a time.
  public func list(_ query: StateQuery) async throws -> StatePage {
    let now = clock()
    return try await opening.file().read { db in try StateReader.page(query, now: now, db) }
  }

  /// Takes a value to be written soon; of several for one key the last counts.
  public func setLater(_ edit: StateEdit) throws {
    try Self.check(edit)
    guard edit.ifVersion == nil else {
      throw CatalogError(
        .invalid, "\(edit.key): a version cannot be asked for later; use set, which waits for its answer.")
    }
    try later.add(edit)
  }

  /// Waits until everything that was set to be written later before the call is settled.
  public func flush() async throws { try await later.flush() }

  /// Removes values that have expired, in pieces short enough for nobody to be held up.
  @discardableResult
  public func removeExpired() async throws -> Int {
    let now = clock()
    let count = Monitor(0)
    try await opening.file().maintain { db, units in
      let removed = try StateWriter.sweep(units, now: now, db)
      count.withLock { $0 += removed }
      return removed == units
    }
    return count.withLock { $0 }
  }

  /// The commits that become visible from now on, made by any process; see `StateFile.changes()`.
  public func changes() async throws -> AsyncStream<StateFileChange> {
    try await opening.file().changes()
  }

  /// What the store holds and what went wrong.
  public func status() async -> StateStoreStatus {
    var status = StateStoreStatus()
    later.fill(&status)
    status.file = await opening.status
    status.fault = await opening.fault
    return status
  }

  /// Writes what waits, refuses further work and lets go of its files.
  public func close() async {
    await later.close(within: closingBound)
    await opening.close()
  }

  private static func check(_ edit: StateEdit) throws(CatalogError) {
    try edit.key.check()
    if let time = edit.expires, !UTCInstant.supported.contains(time) {
      throw CatalogError(.invalid, "\(edit.key): a value expires in one of the years 1970 to 9999.")
    }
  }

  /// Writes a batch; one that the database refuses costs the others nothing.
  private static func land(
    _ edits: [StateEdit], now: UTCInstant, _ db: Database
  ) throws -> [StateKey: any Error] {
    var refused: [StateKey: any Error] = [:]
    for edit in edits {
      do {
        try db.inSavepoint {
          _ = try StateWriter.apply(edit, now: now, db)
          return .commit
        }
      } catch let error as DatabaseError {
        // Anything but a refusal of this one row ends the whole transaction, and is tried again.
        switch ResultClass(extendedCode: error.extendedResultCode.rawValue) {
        case .constraint, .statement:
          refused[edit.key] = CatalogError(
            .writesLost, "\(edit.key) could not be written: \(error.message ?? "no reason is known").",
            underlying: error)
        default: throw error
        }
      }
    }
    try StateWriter.sweep(now: now, db)
    return refused
  }
}
