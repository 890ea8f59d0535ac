// SPDX-License-Identifier: Apache-2.0

/// The spool's thread: makes segments ahead, lands batches, adopts orphans, answers flushes.
///
/// It decides nothing about when and how much to write (``DrainMachine``), nothing about bytes
/// (``SegmentReader``) and nothing about the transaction (``SpoolLanding``); it owns the files' ends of life.
/// It never waits for the database: a batch in flight reports back by mail, so segments are made ahead and
/// flushes time out meanwhile.
struct DrainLoop {
  let core: SpoolCore
  let clock = ContinuousClock()
  var machine: DrainMachine<ContinuousClock.Instant>
  var drain: SpoolCore.Drain?
  var sources: [DrainSource] = []
  var flight: Flight?
  var flushes: [SpoolCore.Flush] = []
  /// The cancelled flushes that were answered; one that is cancelled later wakes this thread.
  var cancelled: Set<UInt64> = []
  /// Somebody has begun to wait since the last attempt.
  var hasNewWaiter = false
  var closing: SpoolCore.Closing?
  var nextAdoption: ContinuousClock.Instant?
  /// The database was closed before the spool: nothing will land any more.
  var isSinkClosed = false
  var nextLook: ContinuousClock.Instant?
  var nextSpare: ContinuousClock.Instant?
  var needsSweep = false
  var orphansFirst = false
  /// Segments whose files are removed, but not yet for good; and for good, so their cursors can go.
  var removed: [String] = []
  var forgotten: [String] = []

  /// The most segments of dead processes held open at once.
  static let mostOrphans = 64
  static let mostBytes = 1 << 20

  /// A batch on its way.
  struct Flight {
    let withdraw: @Sendable () -> Void
    let count: Int
    let ends: [End]
    let forgotten: Int
    let swept: Bool
  }

  struct End {
    let segment: SegmentID
    let to: Int
    let next: UInt64?
    let records: Int
    let lost: UInt64
  }

  init(_ core: SpoolCore) {
    self.core = core
    machine = DrainMachine(linger: core.configuration.linger)
  }

  /// Runs until the spool is closed or abandoned.
  consuming func run() {
    core.side.withLock { $0.extents().last?.segment }?.populate()
    while true {
      let mail = core.mail.withLock { mail in
        defer {
          mail.wake = false
          mail.drain = nil
          mail.ended = nil
          mail.flushes = []
          mail.closing = nil
        }
        return mail
      }
      if mail.isAbandoned { return abandon(mail) }
      if let drain = mail.drain {
        self.drain = drain
        nextAdoption = clock.now
        isSinkClosed = false
        needsSweep = true
      }
      if let ended = mail.ended { settle(ended) }
      if let closing = mail.closing { merge(closing) }
      if drain != nil, mail.flushes.contains(where: \.leftovers) { nextAdoption = clock.now }
      makeSpare()
      lookAround()
      if drain != nil {
        follow()
        adopt()
        retire()
      }
      flushes += mail.flushes
      if !mail.flushes.isEmpty || mail.closing != nil { hasNewWaiter = true }
      cancelled = mail.cancelled
      answerFlushes()
      publish()
      if let closing, isDone || isSinkClosed || clock.now >= closing.deadline { return finish() }
      decide()
    }
  }

  // MARK: Deciding

  /// Records that could be landed now.
  private var pending: Int {
    guard drain != nil else { return 0 }
    let own = core.side.withLock { Int($0.nextSequence - min($0.settled, $0.nextSequence)) }
    return own + sources.reduce(0) { $0 + $1.remaining }
  }

  private var isDone: Bool { drain == nil || (flight == nil && pending == 0) }

  private mutating func decide() {
    let seen = core.side.withLock { $0.nextSequence }
    let action = machine.next(
      at: clock.now, pending: pending, urgent: !flushes.isEmpty || closing != nil, retry: hasNewWaiter)
    switch action {
    case .land(let limit):
      hasNewWaiter = false
      launch(limit)
    case .rest(let until): sleep(until: until, seen: seen)
    }
  }

  private mutating func sleep(until: ContinuousClock.Instant?, seen: UInt64) {
    if machine.state == .resting, drain != nil {
      // An append that came since `seen` did not know that it had to wake this thread.
      let missed = core.side.withLock { side in
        side.drainSleeps = side.nextSequence == seen
        return !side.drainSleeps
      }
      if missed { return }
    }
    let times = [until, nextAdoption, nextLook, nextSpare, closing?.deadline] + flushes.map(\.deadline)
    let isNews = { [cancelled] (mail: inout SpoolCore.Mail) -> Bool? in
      var mail = mail
      mail.cancelled.subtract(cancelled)
      return mail.isEmpty ? nil : true
    }
    if let first = times.compactMap(\.self).min() {
      _ = core.mail.wait(until: first, isNews)
    } else {
      _ = core.mail.wait(isNews)
    }
  }

  // MARK: Landing

  private mutating func launch(_ limit: Int) {
    guard let drain else { preconditionFailure("a batch without a drain") }
    var records: [SpoolRecord] = []
    var bytes = 0
    var slices: [SpoolLanding.Slice] = []
    var ends: [End] = []
    // In turns, so that neither a busy process nor a long list of orphans keeps the other waiting.
    orphansFirst.toggle()
    let order =
      sources.indices.filter { sources[$0].isOrphan == orphansFirst }
      + sources.indices.filter { sources[$0].isOrphan != orphansFirst }
    for index in order where records.count < limit && bytes < Self.mostBytes {
      let source = sources[index]
      var position = source.position
      var expected = source.expected
      var count = 0
      var lost: UInt64 = 0
      while records.count < limit, bytes < Self.mostBytes, let piece = source.cut(from: position, expected) {
        position = piece.to
        expected = piece.next
        lost += piece.lost
        guard let record = piece.record else { break }
        records.append(source.copy(record))
        bytes += record.payload.count
        count += 1
      }
      guard position > source.position else { continue }
      slices.append(
        .init(
          segment: source.segment.id.description, from: source.isPlaced ? source.position : nil, to: position,
          next: expected ?? 0))
      ends.append(.init(segment: source.segment.id, to: position, next: expected, records: count, lost: lost))
    }
    guard !slices.isEmpty else {
      // Never seen; were a count ever wrong, this must not become a loop without a pause.
      machine.failed(at: clock.now)
      return
    }
    if !removed.isEmpty, core.directory.synchronize() {
      forgotten += removed
      removed = []
    }
    let directory = core.directory
    let stream = core.configuration.stream
    let sweep: @Sendable ([String]) -> [String] = { rows in
      let there = Set(directory.segments(of: stream).map(\.id.description))
      return directory.synchronize() ? rows.filter { !there.contains($0) } : []
    }
    let landing = SpoolLanding(
      stream: stream, directory: directory.identity, slices: slices, records: records, forgotten: forgotten,
      sweep: needsSweep ? sweep : nil)
    let core = core
    let withdraw = drain.sink.land {
      try landing.run($0, apply: drain.apply)
    } end: { result in
      core.post { $0.ended = result }
    }
    flight = Flight(
      withdraw: withdraw, count: records.count, ends: ends, forgotten: forgotten.count, swept: needsSweep)
  }

  private mutating func settle(_ ended: Result<SpoolLanding.Outcome, any Error>) {
    guard let flight else { preconditionFailure("a batch ended that was not in flight") }
    self.flight = nil
    switch ended {
    case .success(.landed(let hold, let rejected)):
      machine.landed(count: flight.count, hold: hold)
      forgotten.removeFirst(flight.forgotten)
      if flight.swept { needsSweep = false }
      core.board.withLock { board in
        board.lastError = nil
        if rejected { board.rejected += 1 }
      }
      for end in flight.ends { settle(end) }
    case .success(.moved(let cursors)):
      machine.cursorMoved()
      for index in sources.indices {
        guard let cursor = cursors[sources[index].segment.id.description] else { continue }
        sources[index].place(at: cursor)
        if !sources[index].isOrphan { settleOwn(before: cursor.sequence) }
      }
    case .failure(is ApplyFault) where flight.count > 1:
      machine.refused(count: flight.count)
    case .failure(let error):
      machine.failed(at: clock.now)
      let described =
        error as? StoreError
        ?? StoreError(
          .io, "The spool's batch did not land: \(error).", path: core.directory.path, underlying: error)
      isSinkClosed = described.code == .closed
      core.board.withLock { $0.lastError = described }
    }
  }

  private mutating func settle(_ end: End) {
    guard let index = sources.firstIndex(where: { $0.segment.id == end.segment }) else { return }
    sources[index].settle(to: end.to, next: end.next, records: end.records, lost: end.lost)
    if end.lost > 0 { core.board.withLock { $0.damaged += end.lost } }
    if !sources[index].isOrphan, let next = end.next { settleOwn(before: next) }
  }

  private mutating func settleOwn(before sequence: UInt64) {
    follow()
    let first = sources.first { !$0.isOrphan && $0.next != nil }?.nextTime
    core.side.withLock { side in
      side.settled = sequence
      side.oldest = side.nextSequence == sequence ? nil : first ?? .now()
    }
  }
}
