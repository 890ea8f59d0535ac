// SPDX-License-Identifier: Apache-2.0

import GRDBSQLite
import HoldfastEngine
import Synchronization

/// A disk in memory that can lose power at any moment: an SQLite VFS.
///
/// Open databases on it by naming ``vfsName`` to `sqlite3_open_v2`. It keeps what was synced apart from what
/// was only written, records every event, and shows at any recorded moment what a power cut there could leave
/// (``DiskState/afterPowerCut(using:)``). What is kept and what is torn follows from the seed.
///
/// The one thing that does not: SQLite draws its journals' nonces and WAL salts from a generator of the whole
/// process, so two runs of one workload write the same events with a few other bytes. A cut is replayed from
/// the log of its own run (``DiskLog/image(after:)``).
///
/// Several connections of one process may share a database, in WAL mode too. Waiting is not simulated: a busy
/// handler is called and goes on at once.
///
/// ```swift
/// let disk = PowerLossDisk(seed: 1)
/// // … run a workload on it, disk.note(n) after each acknowledgement …
/// disk.log.forEachPowerCut(seed: 1) { image, notes in
///   // … open the image on another disk and look …
/// }
/// ```
public final class PowerLossDisk: Sendable {
  /// The name under which SQLite knows this disk, for as long as it lives.
  public let vfsName: String

  struct Storage {
    var state: DiskState
    /// The disk before the first event of `log`.
    var start: DiskState
    var log: [DiskEvent] = []
    /// Counted up at each power cut: what was opened before is dead.
    var generation = 0
    var isOff = false
    /// After how many more events the power goes.
    var fuse: Int?
    var locks: [DiskEvent.File: DiskLocks] = [:]
    var random: SplitMix64
    var milliseconds: Int64 = 0
  }

  let storage: Monitor<Storage>
  private static let counter = Atomic(0)

  /// A disk with these files on it.
  public init(seed: UInt64, files: DiskState = DiskState()) {
    let number = Self.counter.wrappingAdd(1, ordering: .relaxed).newValue
    vfsName = "power-loss-\(number)"
    storage = Monitor(Storage(state: files, start: files, random: SplitMix64(seed: seed)))
    DiskVFS.register(self)
  }

  deinit {
    DiskVFS.unregister(vfsName)
  }

  /// Everything that has happened to the disk since it was made or loaded.
  public var log: DiskLog {
    storage.withLock { DiskLog(start: $0.start, events: $0.log) }
  }

  /// The disk as it is.
  public var state: DiskState { storage.withLock { $0.state } }

  /// Leaves a mark in the log.
  public func note(_ number: UInt64) {
    storage.withLock { $0.log.append(.note(number)) }
  }

  /// Puts another disk's content in place of this one's and starts anew; whoever has files open here gets
  /// errors from then on.
  public func load(_ state: DiskState) {
    storage.withLock { storage in
      storage.state = state
      storage.start = state
      storage.log = []
      storage.locks = [:]
      storage.generation += 1
      storage.isOff = false
      storage.fuse = nil
    }
  }

  /// Lets the power go at the event after `events` more: that one is under way, and nothing works from then
  /// on until ``restart(seed:)``.
  public func cutPower(after events: Int) {
    storage.withLock { $0.fuse = events }
  }

  /// Whether the power is gone.
  public var isOff: Bool { storage.withLock { $0.isOff } }

  /// Turns the power on again, with what the cut left as the seed decides.
  public func restart(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    load(storage.withLock { $0.state }.afterPowerCut(using: &random))
  }
}

/// What happened to a disk, and from where.
public struct DiskLog: Sendable {
  /// The disk before the first event.
  public let start: DiskState
  /// The events, in order.
  public let events: [DiskEvent]

  /// A log that begins with the disk as given.
  public init(start: DiskState, events: [DiskEvent]) {
    self.start = start
    self.events = events
  }

  /// Cuts the power after each event that matters, `times` times with different outcomes.
  ///
  /// - Parameters:
  ///   - seed: what the outcomes follow from.
  ///   - every: look at one of so many events only.
  ///   - visit: gets what the cut left, and the notes made before it, in order, and the cut's own name for a
  ///     message.
  /// - Returns: how many cuts there were.
  @discardableResult
  public func forEachPowerCut(
    seed: UInt64, times: Int = 1, every: Int = 1,
    _ visit: (_ image: DiskState, _ notes: [UInt64], _ cut: PowerCut) throws -> Void
  ) rethrows -> Int {
    var state = start
    var notes: [UInt64] = []
    var cuts = 0
    for (index, event) in events.enumerated() {
      state.apply(event)
      if case .note(let number) = event { notes.append(number) }
      guard index % every == 0 || !event.matters else { continue }
      for time in 0..<times {
        let cut = PowerCut(event: index, seed: seed, time: time)
        var random = cut.random
        try visit(state.afterPowerCut(using: &random), notes, cut)
        cuts += 1
      }
    }
    return cuts
  }

  /// The disk as one cut left it: the same each time.
  public func image(after cut: PowerCut) -> DiskState {
    var state = start
    for event in events[...cut.event] { state.apply(event) }
    var random = cut.random
    return state.afterPowerCut(using: &random)
  }
}

/// One power cut, named so that it can be had again.
public struct PowerCut: Hashable, Sendable, CustomStringConvertible {
  /// The index of the last event before it.
  public let event: Int
  /// The seed of its run.
  public let seed: UInt64
  /// Which of the outcomes at that event.
  public let time: Int

  /// Names a cut.
  public init(event: Int, seed: UInt64, time: Int) {
    self.event = event
    self.seed = seed
    self.time = time
  }

  var random: SplitMix64 {
    var mixed = SplitMix64(seed: seed &+ UInt64(event) &* 0x1_0001 &+ UInt64(time) &* 0x9e37_79b9)
    return mixed.split()
  }

  /// As the initializer takes it.
  public var description: String { "PowerCut(event: \(event), seed: \(seed), time: \(time))" }
}
