// SPDX-License-Identifier: Apache-2.0

import CHoldfast
import GRDB
import Synchronization

/// What a spool's callers and its thread share.
final class SpoolCore: Sendable {
  let configuration: Spool.Configuration
  let directory: SpoolDirectory
  /// Nobody waits on its condition. A `Mutex`, a priority-inheriting futex on Linux, is as fast for one
  /// thread and took eight times as long for four.
  let side: Monitor<AppendSide>
  let mail: Monitor<Mail>
  let board = Monitor(Board())
  private let forkDepth = chf_fork_depth()

  init(configuration: Spool.Configuration, directory: SpoolDirectory, first: SpoolSegment) {
    self.configuration = configuration
    self.directory = directory
    side = Monitor(
      AppendSide(
        directory: directory.path, stream: configuration.stream, segmentBytes: configuration.segmentBytes,
        capacity: configuration.capacity, first: first))
    mail = Monitor(Mail())
  }

  /// What the callers leave for the thread.
  struct Mail {
    /// Something was appended, or a segment should be made ahead.
    var wake = false
    /// Set once by the caller, taken once by the thread.
    var drain: Drain?
    /// How the batch in flight ended.
    var ended: Result<SpoolLanding.Outcome, any Error>?
    var flushes: [Flush] = []
    /// Flushes whose task was cancelled; each is taken out by its own caller.
    var cancelled: Set<UInt64> = []
    var nextFlush: UInt64 = 0
    var closing: Closing?
    /// The last reference to the spool is gone: stop without landing anything more.
    var isAbandoned = false
    /// The thread has ended.
    var isOver = false

    var isEmpty: Bool {
      !wake && drain == nil && ended == nil && flushes.isEmpty && cancelled.isEmpty && closing == nil
        && !isAbandoned
    }
  }

  /// Where records go.
  struct Drain: Sendable {
    let sink: any SpoolSink
    let apply: SpoolLanding.Apply
  }

  /// Somebody who waits until every record before `target` is settled, and maybe those of dead processes.
  struct Flush: Sendable {
    let id: UInt64
    let target: UInt64
    let leftovers: Bool
    let deadline: ContinuousClock.Instant?
    let continuation: CheckedContinuation<Void, any Error>
  }

  struct Closing: Sendable {
    var deadline: ContinuousClock.Instant
    var waiters: [CheckedContinuation<Void, Never>] = []
    /// The segment made ahead, not needed any more.
    var unused: [SpoolSegment] = []
  }

  /// What the thread knows and `status()` tells.
  struct Board {
    var draining = false
    var damaged: UInt64 = 0
    var rejected: UInt64 = 0
    var orphans = 0
    var orphanBytes = 0
    var orphanRecords = 0
    var orphanOldest: UnixTime?
    var unusable = 0
    var lastError: StoreError?
  }

  /// Whether this is the process that opened the spool: a fork shares the mapping and the lock, and two
  /// writers in one segment would overwrite each other (row B06).
  @inline(__always)
  var isOwnProcess: Bool { chf_fork_depth() == forkDepth }

  func requireOwnProcess() throws(StoreError) {
    guard isOwnProcess else {
      throw StoreError(
        .wrongProcess,
        "The spool \(configuration.stream) was opened before fork(): open it anew in the child process.",
        path: directory.path)
    }
  }

  /// Leaves something for the thread and wakes it.
  func post(_ change: (inout Mail) -> Void) {
    mail.withLock { change(&$0) }
    mail.signal()
  }
}

/// Where a drain's transactions run: a ``StateFile``, or a test's stand-in.
///
/// Told by a closure and not awaited: landing must not depend on a cooperative pool that an application may
/// have filled or blocked.
protocol SpoolSink: Sendable {
  /// Runs `body` in one write transaction and calls `end` once it is durable, or has failed. `body` may be
  /// run again after a rollback.
  ///
  /// - Returns: withdraws the transaction if it has not begun.
  func land(
    _ body: @escaping @Sendable (Database) throws -> SpoolLanding.Outcome,
    end: @escaping @Sendable (Result<SpoolLanding.Outcome, any Error>) -> Void
  ) -> @Sendable () -> Void
}

extension StateFile: SpoolSink {
  func land(
    _ body: @escaping @Sendable (Database) throws -> SpoolLanding.Outcome,
    end: @escaping @Sendable (Result<SpoolLanding.Outcome, any Error>) -> Void
  ) -> @Sendable () -> Void {
    write(body, end: end)
  }
}
