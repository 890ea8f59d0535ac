// SPDX-License-Identifier: Apache-2.0

import GRDB

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// What all handles of one file share: its writer, its readers and its feed of changes.
final class StateFileCore: Sendable {
  let path: String
  let pid: Int32
  let configuration: StateFileConfiguration
  let writer: Writer
  let readers: ReaderPool
  let changeFeed: ChangeFeed
  let latch: DamageLatch

  /// Opens the file, on the calling thread.
  init(path: String, configuration: StateFileConfiguration, migrations: DatabaseMigrator) throws {
    let deadline = ContinuousClock.now + configuration.patience
    try PlantedLink.refuse(at: path)
    let lane = try WriteLane(databasePath: path)
    let patience = BusyPatience()
    let opened = try Self.open(
      path: path, lane: lane, configuration: configuration, migrations: migrations, patience: patience,
      deadline: deadline)
    lane.markAlive()
    let latch = DamageLatch(path: path)
    opened.policy.say(of: path)
    let isFresh = opened.policy.needsFreshConnections
    let changeFeed = ChangeFeed(path: path, configuration: configuration, looksAfresh: isFresh)
    let writer = Writer(
      path: path, lane: lane, opened: opened, migrations: migrations, patience: patience, latch: latch,
      configuration: configuration)
    let readers = ReaderPool(
      path: path, configuration: configuration, latch: latch, writer: writer, readsAfresh: isFresh)
    writer.onReopen {
      readers.reopen()
      changeFeed.reopen()
    }
    self.path = path
    self.pid = getpid()
    self.configuration = configuration
    self.writer = writer
    self.readers = readers
    self.changeFeed = changeFeed
    self.latch = latch
  }

  private static func open(
    path: String, lane: WriteLane, configuration: StateFileConfiguration, migrations: DatabaseMigrator,
    patience: BusyPatience, deadline: ContinuousClock.Instant
  ) throws -> OpenedFile {
    do {
      if let whole = try OpenedFile.whole(
        path: path, lane: lane, configuration: configuration, migrations: migrations, patience: patience,
        deadline: deadline)
      {
        return whole
      }
    } catch is DatabaseError {
      // Something is the matter with it; the protocol below judges it in the lane and says what.
    }
    try enterUnbroken(lane, path: path, deadline: deadline)
    defer { lane.leave() }
    let open = {
      try OpenedFile(
        path: path, lane: lane, configuration: configuration, migrations: [migrations], patience: patience,
        deadline: deadline)
    }
    do {
      return try open()
    } catch let error as StoreError where configuration.isDisposable && error.saysDamaged {
      try Admission(path: path, lane: lane, isDisposable: true).setAsideDamaged(because: error.message)
      return try open()
    }
  }

  /// Takes the turn at a moment when the living openers of the file agree with what is on disk.
  ///
  /// Somebody removed the -wal under a process that lives: what it committed is reachable by its descriptors
  /// only, and a new -wal made now would hide that for good. It notices by itself and heals, so it is waited for.
  private static func enterUnbroken(
    _ lane: WriteLane, path: String, deadline: ContinuousClock.Instant
  ) throws(StoreError) {
    while true {
      try lane.enter(by: deadline)
      guard let recorded = lane.recordedGeneration, recorded.breach(ofDatabaseAt: path) == .walLost,
        lane.othersAreAlive
      else { return }
      lane.leave()
      guard ContinuousClock.now < deadline else {
        throw StoreError(
          .replaced,
          """
          The -wal of \(path.fileName) was removed while another process has the file open; nothing was done: stop \
          that process, or let it write once, and try again.
          """, path: path, holders: LockTable.holders(ofDatabaseAt: path))
      }
      usleep(5000)
    }
  }

  /// Runs migrations on a file that is already open here, in the write queue.
  func migrate(with migrations: DatabaseMigrator) throws {
    try writer.migrate(with: migrations)
  }

  /// Drains and closes: the writer, whose guard must go last, after all others. Blocks.
  func close() {
    changeFeed.close()
    readers.close()
    writer.close()
    // It holds what holds it; and the lock by which others see this process alive must end now, not when the
    // last reference happens to go.
    writer.onReopen(nil)
    writer.lane.file.close()
  }
}

extension StoreError {
  /// Whether SQLite itself found the file damaged or none of its own.
  fileprivate var saysDamaged: Bool {
    guard let error = underlying as? DatabaseError else { return false }
    return [.damagedFile, .notADatabase].contains(ResultClass(error))
  }
}
