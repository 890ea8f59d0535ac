// SPDX-License-Identifier: Apache-2.0

import CHoldfast
import GRDB
import Logging

/// The engine's log: one line an event, with metadata; never a value out of a database.
let engineLog = Logger(label: "holdfast.engine")

/// What a checkpoint did.
public struct CheckpointReport: Hashable, Sendable {
  /// Frames in the WAL, in pages.
  public var walPages: Int
  /// Frames folded back into the database, in pages; fewer than ``walPages`` while a reader needs the rest.
  public var foldedPages: Int

  /// Whether the next writer may start the WAL from its beginning.
  public var isComplete: Bool { foldedPages == walPages }
}

/// Folds the WAL back, only ever with the turn to write and under SQLite's writer lock.
///
/// SQLite 3.7.0 to 3.51.2 loses committed rows when one connection resets the WAL while another checkpoints
/// (row B12; fixed in 3.51.3, 3.50.7 and 3.44.6). The reset is done by a writer, so no reset can happen
/// while a connection of ours holds the writer lock: the writer's connection takes it, a second connection
/// checkpoints, and the lock is given back. PASSIVE is the only mode that does not need the writer lock
/// itself; it never waits for readers and never blocks them.
struct Checkpointer {
  private let path: String
  private let configuration: StateFileConfiguration
  private let patience: BusyPatience
  private var queue: DatabaseQueue?
  /// WAL size in pages at which the next checkpoint is due.
  private var dueAt: Int
  /// How many of the WAL's pages are known to be folded back.
  private(set) var folded = 0
  /// WAL size in pages from which a reader that pins it is named again.
  private var warnAt: Int
  /// SQLite's default. Only the moments of warnings and of cutting hang on it.
  private static let assumedPageSize = 4096

  /// Whether the last one failed and that was logged.
  private var hasFailed = false

  /// When to try again if nobody writes until then.
  private(set) var nextTry: ContinuousClock.Instant?

  /// Whether there is a WAL; a file in rollback mode has nothing to fold back.
  private let isWAL: Bool

  init(path: String, configuration: StateFileConfiguration, isWAL: Bool = true) {
    self.path = path
    self.isWAL = isWAL
    self.configuration = configuration
    self.patience = BusyPatience()
    self.dueAt = configuration.checkpointPages
    self.warnAt = configuration.walSizeLimit / Self.assumedPageSize
  }

  private var limitPages: Int { configuration.walSizeLimit / Self.assumedPageSize }

  /// Whether a checkpoint is due with the WAL at this many pages, or because the last was kept from its end.
  ///
  /// A WAL that shrank was reset since, by anybody's writer, and counts from its beginning again.
  mutating func isDue(walPages: Int) -> Bool {
    if walPages + configuration.checkpointPages < dueAt {
      // It started over, and the file is as large as it was.
      if dueAt > limitPages { nextTry = .now + .seconds(1) }
      dueAt = configuration.checkpointPages
      folded = 0
    }
    if let nextTry, .now >= nextTry { return true }
    return walPages >= dueAt
  }

  /// Whether so much is to be folded back that nobody should wait for it: then it is ``BacklogFold``'s.
  func hasBacklog(walPages: Int) -> Bool { walPages - folded > Self.backlog * configuration.checkpointPages }

  /// How many times what makes a checkpoint due is a backlog. Less than that is what writers leave between two
  /// checkpoints anyway.
  private static let backlog = 3

  /// A backlog is being folded elsewhere; this one is not asked again before the WAL has grown.
  mutating func leave(walPages: Int) {
    dueAt = walPages + configuration.checkpointPages
    nextTry = .now + .seconds(1)
  }

  /// Takes in what came of a fold without the turn.
  ///
  /// - Returns: whether what is left is for the turn to fold.
  mutating func take(_ outcome: BacklogFold.Outcome) -> Bool {
    switch outcome {
    case .elsewhere: return false
    case .impossible: return true
    case .folded(let report):
      note(report)
      // Also when nothing is left: what was written since is, and only the turn can leave nothing to fold.
      return !hasBacklog(walPages: report.walPages)
    }
  }

  /// The connection that checkpoints; opened at the first use.
  var connection: DatabaseQueue {
    mutating get throws {
      if let queue { return queue }
      let opened = try Connection.open(
        path, as: .checkpointer, configuration: configuration, patience: patience)
      queue = opened
      return opened
    }
  }

  /// Runs one checkpoint. The caller has the turn to write and no open transaction on `writer`.
  mutating func run(beside writer: DatabaseQueue) throws -> CheckpointReport {
    guard isWAL else { return CheckpointReport(walPages: 0, foldedPages: 0) }
    let queue = try connection
    let limit = configuration.walSizeLimit
    let (report, hasTail) = try writer.inDatabase { db in
      try db.beginTransaction(.immediate)
      defer { try? db.rollback() }
      return (try Self.fold(db, with: queue), WALTail.cut(db, to: limit))
    }
    note(report)
    if hasTail { nextTry = .now + .seconds(1) }
    return report
  }

  /// - Parameter db: the writer's connection, with SQLite's writer lock.
  private static func fold(_ db: Database, with queue: DatabaseQueue) throws -> CheckpointReport {
    do {
      let result = try queue.inDatabase { try $0.checkpoint(.passive) }
      return CheckpointReport(
        walPages: max(0, Int(result.walFrameCount)), foldedPages: max(0, Int(result.checkpointedFrameCount)))
    } catch let error as DatabaseError where ResultClass(error) == .lock {
      // Somebody else is at it, a fold beside the writers perhaps: what is folded so far is told, the rest is theirs.
      guard let index = WALWitness.index(db) else { throw error }
      return CheckpointReport(walPages: index.frames, foldedPages: index.folded)
    }
  }

  /// Notes a failure: it is tried again in a second, or when as many pages again were written, not by each commit.
  ///
  /// On a full disk the WAL goes on taking commits while there is room, and is folded back once there is more.
  mutating func failed(with error: any Error, walPages: Int) {
    dueAt = walPages + configuration.checkpointPages
    nextTry = .now + .seconds(1)
    // That another program is writing is no fault.
    if let error = error as? DatabaseError, ResultClass(error) == .lock { return }
    if let error = error as? StoreError, error.code == .deadline || error.code == .transient { return }
    guard !hasFailed else { return }
    hasFailed = true
    engineLog.warning(
      "the WAL could not be folded back",
      metadata: ["file": "\(path.fileName)", "wal_pages": "\(walPages)", "error": "\(error)"])
  }

  private mutating func note(_ report: CheckpointReport) {
    folded = report.foldedPages
    // Whatever is left is needed by a reader; looking again after every commit would be work for nothing.
    dueAt = report.walPages + max(configuration.checkpointPages, (report.walPages - folded) / 4)
    noteProgress(report)
  }

  private mutating func noteProgress(_ report: CheckpointReport) {
    hasFailed = false
    guard !report.isComplete else {
      nextTry = nil
      warnAt = limitPages
      return
    }
    nextTry = .now + .seconds(1)
    guard report.walPages > warnAt else { return }
    warnAt = report.walPages * 2
    let (path, pages) = (path, report.walPages)
    // Beside the turn: going through what every process has open takes tens of milliseconds.
    BlockingThread.start(named: "hf-readers") {
      chf_yield_processor()
      engineLog.warning(
        "a reader keeps the WAL from being folded back",
        metadata: [
          "file": "\(path.fileName)", "wal_pages": "\(pages)",
          "readers": .array(LockTable.walReaders(ofDatabaseAt: path).map { "\($0)" }),
        ])
    }
  }

  mutating func close() {
    try? queue?.close()
    queue = nil
  }
}
