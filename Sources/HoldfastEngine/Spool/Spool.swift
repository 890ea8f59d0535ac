// SPDX-License-Identifier: Apache-2.0

public import GRDB

/// Accepts records at memory speed and lands each of them exactly once in a database, later.
///
/// An append is a copy into a file mapped by this process: it takes part of a microsecond, waits for no
/// database and no other process, and what it accepted survives the process (SIGKILL included; a power loss
/// may take what the kernel had not yet written). A thread of the spool's own writes the records into a
/// ``StateFile`` in small batches, one transaction at a time, together with a cursor, so a crash anywhere
/// neither loses nor doubles one. What a dead process left behind is adopted by whoever drains the same
/// stream in the same directory.
///
/// The spool is bounded: beyond ``Configuration/capacity``, or on a full disk, appends throw and are counted.
public final class Spool: Sendable {
  let core: SpoolCore

  /// Opens a spool and starts its thread. Makes the directory, and the first segment file, so an append that
  /// follows has room.
  ///
  /// - Throws: ``StoreError`` `.misuse` for a configuration that cannot be, `.diskFull`, `.permission`,
  ///   `.readOnly`, `.cannotOpen` or `.io` when the first segment cannot be made.
  public static func open(_ configuration: Configuration) throws(StoreError) -> Spool {
    if let fault = configuration.fault {
      throw StoreError(.misuse, "The spool cannot be opened: \(fault).", path: configuration.directory)
    }
    let directory = try SpoolDirectory.open(configuration.directory)
    let first = try SpoolSegment.create(
      in: directory.path, stream: configuration.stream, size: configuration.segmentBytes)
    let core = SpoolCore(configuration: configuration, directory: directory, first: first)
    BlockingThread.start(named: "hf-\(configuration.stream)") { DrainLoop(core).run() }
    return Spool(core)
  }

  private init(_ core: SpoolCore) {
    self.core = core
  }

  deinit {
    if core.isOwnProcess { core.post { $0.isAbandoned = true } }
  }

  /// Accepts one record: when this returns, a SIGKILL does not lose it.
  ///
  /// Any thread may call this; it never waits for a database or another process.
  /// - Returns: the record's sequence, as in ``SpoolRecord/sequence``.
  /// - Throws: ``StoreError`` `.refused` beyond the bound, `.diskFull` when no segment can be made, `.misuse`
  ///   for a payload larger than a segment, `.closed` after ``close(within:)``, `.wrongProcess` after a fork.
  @discardableResult
  public func append(_ payload: UnsafeRawBufferPointer) throws(StoreError) -> UInt64 {
    guard core.isOwnProcess else {
      try core.requireOwnProcess()
      return 0
    }
    let time = UnixTime.now()
    let (sequence, wake) = try core.side.withLock { side throws(StoreError) in
      unsafe try side.append(payload, at: time)
    }
    if wake { core.post { $0.wake = true } }
    return sequence
  }

  /// Accepts one record, as ``append(_:)-(UnsafeRawBufferPointer)`` does.
  @discardableResult
  public func append(_ payload: [UInt8]) throws(StoreError) -> UInt64 {
    unsafe try payload.span.bytes.withUnsafeBytes { bytes throws(StoreError) in unsafe try append(bytes) }
  }

  /// Starts landing records: this process's, and those of dead processes of the same stream.
  ///
  /// `apply` runs inside a write transaction of the file, with records of one or several segments, each
  /// segment's in order. It may run again for the same records after a rollback; only its last run counts.
  /// When it throws, the batch is cut until the record at fault stands alone; that one goes to the table
  /// `holdfast_spool_rejected` of the same file, and the rest go on. A database that is locked, full, damaged
  /// or gone stops nothing but the landing: records are kept and tried again, at first after 10 ms, at last
  /// every second.
  ///
  /// The drain keeps its place in the table `holdfast_spool` of the file. Call this once.
  public func startDraining(
    into file: StateFile, apply: @escaping @Sendable (Database, [SpoolRecord]) throws -> Void
  ) {
    startDraining(sink: file, apply: apply)
  }

  func startDraining(
    sink: any SpoolSink, apply: @escaping @Sendable (Database, [SpoolRecord]) throws -> Void
  ) {
    let isFirst = core.board.withLock { board in
      defer { board.draining = true }
      return !board.draining
    }
    precondition(isFirst, "the spool is draining already")
    core.post { $0.drain = .init(sink: sink, apply: apply) }
  }

  /// Waits until every record this process appended before the call is settled: committed, or set aside
  /// because it cannot be applied. Does not wait for company, nor for the end of a pause after a failure.
  ///
  /// - Parameters:
  ///   - within: how long at most; nil waits as long as it takes.
  ///   - includingLeftovers: whether to look for segments of dead processes now, and wait for those as well.
  /// - Throws: ``StoreError`` `.deadline` (with what stood in the way; the records are kept), `.cancelled`,
  ///   `.closed`, `.misuse` when no drain was started, `.wrongProcess`.
  public func flush(within: Duration? = nil, includingLeftovers: Bool = false) async throws {
    try core.requireOwnProcess()
    let (target, settled) = core.side.withLock { ($0.nextSequence, $0.settled) }
    if settled >= target, !includingLeftovers { return }
    guard core.board.withLock({ $0.draining }) else {
      throw StoreError(
        .misuse, "Nothing drains the spool \(core.configuration.stream): call startDraining before flush.",
        path: core.directory.path)
    }
    let deadline = within.map { ContinuousClock.now.advanced(by: $0) }
    let id = core.mail.withLock { mail in
      mail.nextFlush += 1
      return mail.nextFlush
    }
    defer { core.mail.withLock { _ = $0.cancelled.remove(id) } }
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        let flush = SpoolCore.Flush(
          id: id, target: target, leftovers: includingLeftovers, deadline: deadline,
          continuation: continuation)
        let isOver = core.mail.withLock { mail in
          if !mail.isOver { mail.flushes.append(flush) }
          return mail.isOver
        }
        if isOver {
          continuation.resume(throwing: DrainLoop.closedBeforeFlush(core))
        } else {
          core.mail.signal()
        }
      }
    } onCancel: {
      core.post { _ = $0.cancelled.insert(id) }
    }
  }

  /// What the spool holds. Does no I/O.
  public func status() -> SpoolStatus {
    var status = SpoolStatus()
    guard core.isOwnProcess else { return status }
    core.side.withLock { side in
      status.depth = Int(side.nextSequence - min(side.settled, side.nextSequence))
      status.bytes = side.bytes
      status.oldest = side.oldest
      status.accepted = side.nextSequence - 1
      status.refused = side.refused
      status.lastRefusal = side.lastRefusal
    }
    status.capacity = core.configuration.capacity
    core.board.withLock { board in
      status.depth += board.orphanRecords
      status.oldest = [status.oldest, board.orphanOldest].compactMap(\.self).min()
      status.damaged = board.damaged
      status.rejected = board.rejected
      status.orphans = board.orphans
      status.orphanBytes = board.orphanBytes
      status.unusable = board.unusable
      status.draining = board.draining
      status.lastError = board.lastError
    }
    return status
  }

  /// Refuses further appends, lands what it can, and lets go of the files.
  ///
  /// What has not landed in time stays on disk, and lands when the stream is next drained by any process.
  /// - Parameter within: how long landing may take at most.
  public func close(within: Duration = .seconds(10)) async {
    guard core.isOwnProcess else { return }
    let spare = core.side.withLock { $0.close() }
    let deadline = ContinuousClock.now.advanced(by: within)
    await withCheckedContinuation { continuation in
      let isOver = core.mail.withLock { mail in
        if mail.isOver { return true }
        var closing = mail.closing ?? .init(deadline: deadline)
        closing.deadline = min(closing.deadline, deadline)
        closing.waiters.append(continuation)
        if let spare { closing.unused.append(spare) }
        mail.closing = closing
        return false
      }
      if isOver { continuation.resume() } else { core.mail.signal() }
    }
  }
}
