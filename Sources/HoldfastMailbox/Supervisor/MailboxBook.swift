// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine

/// A session's mailbox as its supervisor needs it.
public struct MailboxBook: WorkerBook {
  private let store: SQLiteMailboxStore
  private let address: MailboxAddress
  private let known = Known()

  /// What was read last of the host's file, good for as long as nobody has written to it.
  private final class Known: Sendable {
    struct Glance: Sendable {
      var stamp: MailboxStamp
      var isWanted: Bool
      var due: Int
      /// When more is due; nil when nothing will be.
      var nextDue: Int64?
    }
    let glance = Monitor<(Glance, Int)?>(nil)
  }

  /// So often what is known is given before it is read again all the same.
  private static let sweep = 240

  private func glance() async throws -> Known.Glance {
    let stamp = MailboxStamp(inboundOf: MailboxDirectory(home: store.home, address: address))
    let isSettled = stamp.isSettled()
    let now = UnixTime.now().milliseconds
    let known = known.glance.withLock { known -> Known.Glance? in
      guard let (glance, left) = known, left > 0, glance.stamp == stamp,
        glance.nextDue.map({ $0 > now }) ?? true
      else { return nil }
      known = (glance, left - 1)
      return glance
    }
    if let known { return known }
    let read = try await store.with(address) { mailbox in
      try await mailbox.read { db in
        let isWanted = try String.fetchOne(db, sql: "SELECT wanted FROM worker") != "stop"
        let waking = "status = 'pending' AND trigger = 1 AND process_after"
        let due = try Int.fetchOne(
          db, sql: "SELECT count(*) FROM messages_in WHERE \(waking) <= ?", arguments: [now])
        let next = try Int64.fetchOne(
          db, sql: "SELECT min(process_after) FROM messages_in WHERE \(waking) > ?", arguments: [now])
        return Known.Glance(stamp: stamp, isWanted: isWanted, due: due ?? 0, nextDue: next)
      }
    }
    self.known.glance.withLock { $0 = isSettled ? (read, Self.sweep) : nil }
    return read
  }

  /// The book of a session; nothing is opened or made yet.
  public init(_ store: SQLiteMailboxStore, _ address: MailboxAddress) {
    (self.store, self.address) = (store, address)
  }

  /// Makes the mailbox and its files, where they are missing.
  public func make() async throws { try await store.with(address, making: true) { _ in } }

  /// Readies the mailbox for the next worker, while there is none: what is over and old is removed, and its file taken out of
  /// WAL where it is to have a rollback journal and whoever made the mailbox did not
  /// know: WAL on a directory that two kernels share goes stale or does damage, and says nothing (row C14).
  ///
  /// - Throws: ``WorkerRuntimeError`` while another program has the file open and so keeps it in WAL.
  public func prepare() async throws {
    try await settleJournal()
    await prune()
  }

  /// Removes what is over and old while it can be: before the next worker, and after the last one's end. It is no reason
  /// not to start one, nor to start it late.
  private func prune() async {
    guard let time = store.configuration.pruningTime(.now) else { return }
    _ = try? await store.with(address) { mailbox in
      try await SQLiteMailboxStore.prune(
        mailbox, before: time, mayChangeOutbound: true, budget: Self.pruningBudget)
    }
  }

  private static let pruningBudget = Duration.seconds(1)

  private func settleJournal() async throws {
    guard store.configuration.journal(of: address) == .rollback else { return }
    let isWAL = try await isOutboundInWAL()
    guard isWAL else { return }
    let configuration = store.configuration
    try await store.with(address) { mailbox in
      try await mailbox.withoutLookers {
        let file = try await StateFile.open(
          mailbox.directory.outbound,
          configuration: StateFileConfiguration(
            patience: configuration.patience, maximumReaders: 1, journal: .rollback),
          migrations: OutboundSchema.migrations)
        await file.close()
      }
    }
    guard try await !isOutboundInWAL() else {
      throw WorkerRuntimeError(
        """
        outbound.db of \(address) is in WAL mode, which its worker and this host cannot share, and another program \
        that has it open keeps it so; close that one.
        """)
    }
  }

  private func isOutboundInWAL() async throws -> Bool {
    try await store.with(address) { mailbox in
      try await mailbox.look { db in try String.fetchOne(db, sql: "PRAGMA journal_mode") } == "wal"
    }
  }

  /// What was last saved of the worker.
  ///
  /// A row with something in it that cannot be read gives what can: the number of the worker above all.
  public func worker() async throws -> WorkerRecord? {
    try await store.with(address) { mailbox in
      try await mailbox.read { db in
        try Row.fetchOne(db, sql: "SELECT * FROM worker").map { row in
          var record = WorkerRecord()
          record.incarnation = row["incarnation"]
          record.state = WorkerRecord.State(rawValue: row["state"]) ?? .stopped
          record.runtime = row["runtime"] ?? "process"
          if let pid: Int32 = row["pid"], let boot: String = row["boot"],
            let start = (row["process_start"] as String?).flatMap(Int64.init)
          {
            record.process = ProcessStamp(pid: pid, start: start, boot: boot)
          }
          record.container = row["container"]
          record.startedAt = row["started_at"]
          record.restarts = row["restarts"]
          record.nextStart = row["next_start"]
          record.lastExit = row["last_exit"]
          record.lastReason = row["last_reason"]
          return record
        }
      }
    }
  }

  /// Keeps it, durably.
  public func save(_ record: WorkerRecord) async throws {
    try await store.with(address) { mailbox in
      try await mailbox.write { db in
        try db.execute(
          sql: """
            UPDATE worker SET incarnation = ?, state = ?, runtime = ?, pid = ?, process_start = ?, boot = ?,
              container = ?, started_at = ?, restarts = ?, next_start = ?, last_exit = ?, last_reason = ?
            """,
          arguments: [
            record.incarnation, record.state.rawValue, record.runtime, record.process?.pid,
            record.process.map { String($0.start) }, record.process?.boot, record.container, record.startedAt,
            record.restarts, record.nextStart, record.lastExit, record.lastReason,
          ])
      }
    }
  }

  /// Whether the worker is wanted.
  public func isWanted() async throws -> Bool { try await glance().isWanted }

  /// Keeps whether it is wanted, durably.
  public func want(_ isWanted: Bool) async throws {
    try await store.want(isWanted, workerOf: address)
  }

  /// The claims that are held, each for the try at hand.
  public func claims() async throws -> [WorkerClaim] {
    try await store.claims(in: address).map {
      WorkerClaim(
        message: $0.message, attempt: $0.attempt, incarnation: $0.incarnation, claimedAt: $0.claimedAt,
        leaseUntil: $0.leaseUntil)
    }
  }

  /// How many messages are due that wake a worker.
  public func dueCount() async throws -> Int { try await glance().due }

  /// The sum of what it has said and of what it has finished.
  public func progress() async throws -> Int64 {
    try await store.with(address) { mailbox in
      try await mailbox.read { db in try Int64.fetchOne(db, sql: "SELECT sum(seq) FROM progress") ?? 0 }
    }
  }

  /// Takes in what the worker finished and said.
  public func drain() async throws { try await store.drain(address) }

  /// Signs that either side wrote to it.
  public func changes() async -> AsyncStream<Void> { store.changes(of: address) }

  /// Gives the messages of dead workers back to the queue.
  @discardableResult public func releaseClaims(through incarnation: Int64) async throws -> Int {
    try await store.releaseClaims(through: incarnation, in: address)
  }

  /// Does something with the worker's file while nobody in this process looks into it.
  public func alone<T: Sendable>(_ body: @Sendable () async throws -> T) async throws -> T {
    try await store.with(address) { try await $0.withoutLookers(body) }
  }
}

extension SQLiteMailboxStore {
  /// Keeps whether a session's worker is wanted, durably; whoever watches over it, now or later, follows.
  ///
  /// - Throws: ``MailboxError`` `notFound`.
  public func want(_ isWanted: Bool, workerOf address: MailboxAddress) async throws {
    try await with(address) { mailbox in
      try await mailbox.write { db in
        try db.execute(sql: "UPDATE worker SET wanted = ?", arguments: [isWanted ? "run" : "stop"])
      }
    }
  }
}
