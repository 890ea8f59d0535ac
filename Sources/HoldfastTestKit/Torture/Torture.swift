// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine

/// Proves the engine's promises on this machine: processes that write at once are killed, stopped and kept
/// waiting by foreign lockers at random moments, and in the end everything that was acknowledged is counted.
public struct Torture: Sendable {
  /// What a run is to do.
  public struct Configuration: Sendable {
    /// Processes that use the engine.
    public var processes: Int
    /// SIGKILLs to send; the run ends after them.
    public var kills: Int
    /// Power failures to simulate afterwards, with the engine on a ``PowerLossDisk``.
    public var powerCuts: Int
    /// The run ends after this long, whatever is left; nil sets no limit.
    public var limit: Duration?
    /// Decides who is killed when.
    public var seed: UInt64
    /// An empty directory for the run's files; on the disk that is to be trusted.
    public var directory: String
    /// The program and its first arguments that run a ``TorturePeer``; its settings follow as one argument.
    public var program: [String]
    /// The type of filesystem the engine is to take the directory's for, as the mount table names it; nil for what
    /// it is.
    package var filesystem: String?

    /// A run of `processes` under `kills`.
    public init(
      processes: Int, kills: Int, powerCuts: Int = 0, limit: Duration? = nil, seed: UInt64, directory: String,
      program: [String]
    ) {
      precondition(processes > 0, "a torture run needs a process")
      precondition(!program.isEmpty, "a torture run needs a program to start")
      self.processes = processes
      self.kills = kills
      self.powerCuts = powerCuts
      self.limit = limit
      self.seed = seed
      self.directory = directory
      self.program = program
    }
  }

  private let configuration: Configuration
  private let progress: @Sendable (TortureReport) -> Void

  /// - Parameter progress: called a few times a second with what is known so far.
  public init(
    _ configuration: Configuration, progress: @escaping @Sendable (TortureReport) -> Void = { _ in }
  ) {
    self.configuration = configuration
    self.progress = progress
  }

  /// Runs, checks, and says what came of it. A broken promise is in the report, not an error.
  ///
  /// - Throws: ``PeerProcess/Failure`` when a peer cannot be started; ``StoreError`` when the file cannot be
  ///   opened in the end, which is itself a broken promise.
  public func run() async throws -> TortureReport {
    let ledger = TortureLedger(seed: configuration.seed)
    if configuration.kills > 0 || configuration.limit != nil { try await killAndCheck(ledger) }
    if configuration.powerCuts > 0 { try await cutPower(ledger) }
    return ledger.report
  }

  private func killAndCheck(_ ledger: TortureLedger) async throws {
    var slots: [Slot] = []
    for index in 0...configuration.processes {
      slots.append(try start(slot: index, incarnation: 0, ledger))
    }
    do {
      try await disturb(&slots, ledger)
    } catch {
      for slot in slots { await slot.process.kill() }
      throw error
    }
    for slot in slots { await slot.process.kill() }
    for slot in slots { await slot.listener.value }
    let workers = slots.dropLast()
    let rates = workers.map { slot in
      Double(AcknowledgementJournal.count(in: slot.peer.journal)) / slot.life().milliseconds
    }
    ledger.update { $0.fairness = jainIndex(rates) }
    try await check(slots.map(\.peer), ledger)
  }

  private func cutPower(_ ledger: TortureLedger) async throws {
    let shares = Self.coresUsed
    var peers: [(process: PeerProcess, listener: Task<Void, Never>)] = []
    for share in 0..<shares {
      let peer = TorturePeer(
        role: .powerCuts, directory: configuration.directory, slot: UInt64(share), incarnation: 0,
        seed: configuration.seed &+ UInt64(share) &* 0x1_0000_0001,
        powerCuts: configuration.powerCuts / shares + (share < configuration.powerCuts % shares ? 1 : 0))
      peers.append(
        try launch(peer) { [progress] word in
          ledger.hear(word, afterAKill: false)
          progress(ledger.report)
        })
    }
    for peer in peers {
      await peer.listener.value
      if await peer.process.end() != .exited(0) {
        ledger.update { $0.note("a peer that cuts the power failed") }
      }
    }
  }

  /// Power cuts need no disk, only cores.
  private static let coresUsed = 2

  // MARK: Peers

  private struct Slot {
    var peer: TorturePeer
    var process: PeerProcess
    var listener: Task<Void, Never>
    var began: ContinuousClock.Instant
    var earlierLife = Duration.zero

    func life() -> Duration { earlierLife + began.duration(to: .now) }
  }

  private func start(slot: Int, incarnation: UInt64, _ ledger: TortureLedger) throws -> Slot {
    var peer = TorturePeer(
      role: slot == configuration.processes ? .foreigner : .worker, directory: configuration.directory,
      slot: UInt64(slot), incarnation: incarnation,
      seed: configuration.seed &+ UInt64(slot) &* 0x1_0000_0001 &+ incarnation &* 7919)
    peer.filesystem = configuration.filesystem
    let (process, listener) = try launch(peer) { ledger.hear($0, afterAKill: incarnation > 0) }
    let watch = Task {
      await listener.value
      if case .exited(let status) = await process.end() {
        ledger.update { $0.note("a peer ended by itself with status \(status)") }
      }
    }
    return Slot(peer: peer, process: process, listener: watch, began: .now)
  }

  private func launch(
    _ peer: TorturePeer, hear: @escaping @Sendable (String) -> Void
  ) throws -> (process: PeerProcess, listener: Task<Void, Never>) {
    let settings = String(decoding: try JSONEncoder().encode(peer), as: UTF8.self)
    let process = try PeerProcess.start(
      configuration.program[0], arguments: Array(configuration.program.dropFirst()) + [settings])
    return (process, Task { while let word = await process.word() { hear(word) } })
  }

  private func disturb(_ slots: inout [Slot], _ ledger: TortureLedger) async throws {
    var random = SplitMix64(seed: configuration.seed)
    let end = configuration.limit.map { ContinuousClock.now + $0 }
    var shown = ContinuousClock.now
    var kills = 0
    while kills < configuration.kills || configuration.limit != nil {
      if let end, ContinuousClock.now >= end { break }
      if configuration.limit != nil, kills >= configuration.kills, configuration.kills > 0 { break }
      try await Task.sleep(for: .milliseconds(Int.random(in: 0..<25, using: &random)))
      let index = Int.random(in: 0..<slots.count, using: &random)
      if configuration.kills == 0 || random.chance(0.15) {
        try await stop(
          slots[index].process, for: .milliseconds(Int.random(in: 1..<40, using: &random)), ledger)
      } else {
        kills += 1
        await slots[index].process.kill()
        let (old, life) = (slots[index], slots[index].life())
        slots[index] = try start(slot: index, incarnation: old.peer.incarnation + 1, ledger)
        slots[index].earlierLife = life
        let count = kills
        ledger.update { $0.kills = count }
      }
      if shown.duration(to: .now) > .milliseconds(300) {
        shown = .now
        let acknowledged = slots.map { AcknowledgementJournal.count(in: $0.peer.journal) }.reduce(0, +)
        ledger.update { $0.acknowledged = acknowledged }
        progress(ledger.report)
      }
    }
  }

  private func stop(_ process: PeerProcess, for time: Duration, _ ledger: TortureLedger) async throws {
    process.send(SIGSTOP)
    try await Task.sleep(for: time)
    process.resume()
    ledger.update { $0.stops += 1 }
  }

  // MARK: The check

  private func check(_ peers: [TorturePeer], _ ledger: TortureLedger) async throws {
    let file = try await StateFile.open(
      peers[0].database, configuration: peers[0].stateFile, migrations: TorturePeer.migrations)
    let spool = try Spool.open(peers[0].spoolConfiguration)
    spool.startDraining(into: file, apply: TorturePeer.land)
    try await spool.flush(within: .seconds(120), includingLeftovers: true)
    await spool.close()
    for (table, journals) in [
      ("written", peers.filter { $0.role == .worker }.map(\.journal)),
      ("spooled", peers.map(\.spoolJournal)),
      ("foreigner", peers.filter { $0.role == .foreigner }.map(\.journal)),
    ] {
      let found = try await file.numbers(in: table)
      let outcome = AcknowledgementCheck(
        acknowledged: journals.flatMap(AcknowledgementJournal.numbers(in:)), found: found)
      ledger.update { report in
        if table == "foreigner" { report.foreignRows = outcome.found }
        report.lost += outcome.lost.count
        report.doubled += outcome.doubled.count
        if !outcome.holds { report.note("\(table): \(outcome)") }
      }
    }
    let acknowledged = peers.flatMap { [$0.journal, $0.spoolJournal] }.map(AcknowledgementJournal.count(in:))
    let (failed, integrity) = try await file.verdict()
    ledger.update { report in
      report.acknowledged = acknowledged.reduce(0, +)
      // A row of a write that was told to have failed is there once too often.
      report.doubled += failed
      report.integrity = integrity
    }
    await file.close()
  }
}

extension StateFile {
  fileprivate func numbers(in table: String) async throws -> [UInt64] {
    try await read { db in
      try Int64.fetchAll(db, sql: "SELECT number FROM \(table)").map { UInt64(bitPattern: $0) }
    }
  }

  /// How many rows of failed writes there are, and what SQLite says of the file.
  fileprivate func verdict() async throws -> (failed: Int, integrity: String) {
    try await read { db in
      let failed = try Int.fetchOne(db, sql: "SELECT count(*) FROM written WHERE text = 'failed'") ?? 0
      let integrity = try String.fetchAll(db, sql: "PRAGMA integrity_check").joined(separator: "; ")
      return (failed, integrity)
    }
  }
}
