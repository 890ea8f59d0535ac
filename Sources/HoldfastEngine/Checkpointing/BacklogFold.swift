// SPDX-License-Identifier: Apache-2.0

import GRDB
import Logging

/// Folds a WAL that has grown large back into the database beside its writers: without their turn, without SQLite's
/// writer lock, on a thread of its own (docs/adr/0016).
///
/// A reader that goes, a backup say, leaves a WAL of a hundred thousand pages. PASSIVE folds it in one go that cannot
/// be sliced, and the sync behind it takes longer still: with the turn held, every writer would wait for both.
///
/// What makes the turn and the writer lock necessary for every other checkpoint is that a writer may start the WAL
/// over in the middle of one (row B12). Here a read transaction of our own makes that impossible: to start it over a
/// writer needs every lock of a reader's mark, and ours holds one until the checkpoint has returned. A reader that
/// came when everything was folded already holds the lock of no mark but that of the database itself; then the
/// checkpoint finds that taken and writes nothing.
///
/// It goes in rounds, each up to the moment at which its reader began, and writes the database's pages back after each:
/// what is written meanwhile is the next round's, and less each time. The last of it, after which the WAL may start over, is
/// the turn's again.
final class BacklogFold: Sendable {
  /// What came of it.
  enum Outcome: Hashable, Sendable {
    /// As far as this.
    case folded(CheckpointReport)
    /// Another process folds, or the files are no longer those that were opened.
    case elsewhere
    /// It cannot be done so: too few descriptors, say.
    case impossible
  }

  private enum Phase {
    case idle
    case running(DatabaseQueue?)
    /// No more rounds; the file is about to be closed.
    case stopped(isRunning: Bool)
  }

  private let path: String
  private let lane: WriteLane
  private let configuration: StateFileConfiguration
  private let phase = Monitor(Phase.idle)

  /// After a round of so few pages the turn does the rest.
  private static let smallRound = 500
  private static let maximumRounds = 6

  init(path: String, lane: WriteLane, configuration: StateFileConfiguration) {
    self.path = path
    self.lane = lane
    self.configuration = configuration
  }

  /// Starts folding, unless it is under way.
  ///
  /// - Parameters:
  ///   - folded: how many of the WAL's pages are known to be folded back.
  ///   - fileGuard: the database's; stays open until ``stop()`` has returned.
  ///   - isInPlace: whether the files are still those that were opened; asked before every round.
  ///   - end: called on the thread that folded, unless it was stopped.
  func start(
    from folded: Int, syncing fileGuard: FileGuard, while isInPlace: @escaping @Sendable () -> Bool,
    end: @escaping @Sendable (Outcome) -> Void
  ) {
    let isFirst = phase.withLock { phase in
      guard case .idle = phase else { return false }
      phase = .running(nil)
      return true
    }
    guard isFirst else { return }
    BlockingThread.start(named: "hf-fold") { [self] in
      let outcome: Outcome
      do {
        outcome = try fold(from: folded, syncing: fileGuard, while: isInPlace)
      } catch let error as DatabaseError where ResultClass(error) == .lock {
        outcome = .elsewhere
      } catch {
        outcome = .impossible
      }
      let isStopped = phase.withLock { phase in
        guard case .stopped = phase else {
          phase = .idle
          return false
        }
        phase = .stopped(isRunning: false)
        return true
      }
      phase.signal()
      if !isStopped { end(outcome) }
    }
  }

  /// Breaks off what is under way, which loses nothing, and waits for its end; nothing is started any more. Blocks.
  func stop() {
    phase.withLock { state in
      switch state {
      case .idle: state = .stopped(isRunning: false)
      case .running(let queue):
        queue?.interrupt()
        state = .stopped(isRunning: true)
      case .stopped: break
      }
    }
    phase.wait { if case .stopped(isRunning: false) = $0 { () } else { nil } }
  }

  private var isStopped: Bool {
    phase.withLock { if case .stopped = $0 { true } else { false } }
  }

  private func fold(
    from folded: Int, syncing fileGuard: FileGuard, while isInPlace: () -> Bool
  ) throws -> Outcome {
    guard isInPlace(), try lane.tryFold() else { return .elsewhere }
    defer { lane.endFold() }
    let patience = BusyPatience()
    patience.wait(until: .now + .milliseconds(50))
    let pin = try Connection.open(path, as: .reader, configuration: configuration, patience: patience)
    defer { try? pin.close() }
    let queue = try Connection.open(path, as: .checkpointer, configuration: configuration, patience: patience)
    defer { try? queue.close() }
    phase.withLock { if case .running = $0 { $0 = .running(queue) } }
    defer { phase.withLock { if case .running = $0 { $0 = .running(nil) } } }
    var last = CheckpointReport(walPages: folded, foldedPages: folded)
    var gained = Int.max
    var witness = WALWitness()
    for _ in 0..<Self.maximumRounds {
      guard !isStopped, isInPlace(),
        let report = try Self.round(pin: pin, checkpointer: queue, if: { witness.isWhole($0) })
      else { return .elsewhere }
      // A WAL that started over since counts from its beginning.
      let before = gained
      gained = report.foldedPages - (report.foldedPages < last.foldedPages ? 0 : last.foldedPages)
      last = report
      if gained > 0 {
        WriteBack.run(fileGuard.file.descriptor) { isStopped }
      }
      if gained <= Self.smallRound || gained > before / 4 * 3 { break }
    }
    engineLog.debug(
      "folded beside the writers",
      metadata: [
        "file": "\(path.fileName)", "wal_pages": "\(last.walPages)", "folded": "\(last.foldedPages)",
      ])
    return .folded(last)
  }

  /// One checkpoint, under a reader that keeps the WAL from starting over.
  ///
  /// - Parameter isWhole: asked with that reader's connection, inside its transaction: whether the WAL holds what was
  ///   written to it. What does not is left to the turn, which mends it.
  /// - Returns: nil when it does not.
  static func round(
    pin: DatabaseQueue, checkpointer: DatabaseQueue, if isWhole: (Database) -> Bool = { _ in true }
  ) throws -> CheckpointReport? {
    try pin.inDatabase { db in
      try db.execute(sql: "BEGIN")
      defer { try? db.execute(sql: "ROLLBACK") }
      // A transaction has its mark from its first read on.
      _ = try Int.fetchOne(db, sql: "SELECT count(*) FROM sqlite_schema")
      guard isWhole(db) else { return nil }
      let result = try checkpointer.inDatabase { try $0.checkpoint(.passive) }
      return CheckpointReport(
        walPages: max(0, Int(result.walFrameCount)), foldedPages: max(0, Int(result.checkpointedFrameCount)))
    }
  }
}
