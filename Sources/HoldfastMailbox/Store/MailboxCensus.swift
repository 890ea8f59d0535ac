// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine

/// How things are with all mailboxes of a home together.
public struct MailboxTotals: Sendable, Hashable, Codable {
  /// How many there are.
  public var count = 0
  /// Messages that workers are not done with.
  public var pending = 0
  /// Those of them that may be worked on now.
  public var due = 0
  /// Those of them that a worker has taken.
  public var claimed = 0
  /// Messages of workers' that nobody has taken yet, as of when a host last read them.
  public var undelivered = 0
  /// Messages of either direction that went no further and were not put back.
  public var deadLetters = 0
  /// The sizes of their databases, -wal and all, in bytes.
  public var bytes: Int64 = 0
  /// Those of which a file could not be read, whose numbers are not in the others or lag.
  public var unreadable = 0
  /// Those that nobody had time to look into yet, whose numbers are not in the others.
  public var unseen = 0

  private enum CodingKeys: String, CodingKey {
    case count, pending, due, claimed, undelivered, bytes, unreadable, unseen
    case deadLetters = "dead_letters"
  }

  /// None at all.
  public init() {}
}

/// Counts what is in all mailboxes of a home, with work that is bounded however many there are.
///
/// A mailbox is opened only when one of its files has changed since, or something in it has become due; and a look that
/// takes long ends, to go on with the next. It drains nothing and writes nothing.
public actor MailboxCensus {
  private struct Known {
    var stamp: MailboxStamp
    var summary: MailboxSummary
    /// When something more becomes due, in milliseconds since 1970.
    var nextDue: Int64
    var isReadable: Bool
    /// Whether what was counted is all that had been written then.
    var isSettled: Bool
  }

  private let store: SQLiteMailboxStore
  private let pause: Duration
  private let budget: Duration
  private var known: [MailboxAddress: Known] = [:]
  private var last: (totals: MailboxTotals, at: ContinuousClock.Instant)?
  private var looking: Task<MailboxTotals, any Error>?

  /// A census; nothing is looked at yet.
  ///
  /// - Parameters:
  ///   - pause: so long the numbers of a look are given again.
  ///   - budget: no look opens another mailbox after it.
  public init(
    _ store: SQLiteMailboxStore, pause: Duration = .seconds(2), budget: Duration = .seconds(2)
  ) {
    (self.store, self.pause, self.budget) = (store, pause, budget)
  }

  /// The numbers, of this moment or of a short while ago.
  ///
  /// - Throws: `StoreError` when the mailboxes cannot be listed.
  public func totals() async throws -> MailboxTotals {
    if let last, last.at + pause > .now { return last.totals }
    let task = looking ?? Task { try await self.look() }
    looking = task
    defer { looking = nil }
    return try await task.value
  }

  private func look() async throws -> MailboxTotals {
    let deadline = ContinuousClock.now + budget
    let addresses = try await store.addresses()
    known = known.filter { addresses.contains($0.key) }
    let home = store.home
    let stamps = try await Self.stamps(addresses, home: home)
    var changed: [MailboxAddress] = []
    let now = UTCInstant.now.milliseconds
    for address in addresses {
      if let known = known[address], known.stamp == stamps[address], known.isSettled, known.nextDue > now {
        continue
      }
      changed.append(address)
    }
    // Those never seen first; of the others those that wait longest come round by their order.
    changed.sort { (known[$0] == nil ? 0 : 1, $0) < (known[$1] == nil ? 0 : 1, $1) }
    for address in changed {
      // One at least, so that it comes to an end.
      guard address == changed.first || .now < deadline else { break }
      guard let stamp = stamps[address] else { continue }
      known[address] = await count(address, stamp)
    }
    var totals = MailboxTotals()
    totals.count = addresses.count
    for address in addresses {
      totals.bytes += stamps[address]?.bytes ?? 0
      guard let known = known[address] else {
        totals.unseen += 1
        continue
      }
      totals.pending += known.summary.pending
      totals.due += known.summary.due
      totals.claimed += known.summary.claimed
      totals.undelivered += known.summary.undelivered
      totals.deadLetters += known.summary.deadLetters
      if !known.isReadable { totals.unreadable += 1 }
    }
    last = (totals, .now)
    return totals
  }

  private func count(_ address: MailboxAddress, _ stamp: MailboxStamp) async -> Known {
    do {
      let (summary, nextDue, isReadable) = try await store.count(address)
      return Known(
        stamp: stamp, summary: summary, nextDue: nextDue, isReadable: isReadable, isSettled: stamp.isSettled()
      )
    } catch {
      // It is tried again when it has changed; and now and then, for what is wrong may lie elsewhere.
      let later = UTCInstant.now.milliseconds + 60_000
      return Known(
        stamp: stamp, summary: MailboxSummary(address), nextDue: later, isReadable: false, isSettled: true)
    }
  }

  private static func stamps(_ addresses: [MailboxAddress], home: String) async throws -> [MailboxAddress:
    MailboxStamp]
  {
    try await BlockingThread.run(named: "hf-mailboxes") {
      Dictionary(
        addresses.map { ($0, MailboxStamp(MailboxDirectory(home: home, address: $0))) },
        uniquingKeysWith: { one, _ in one })
    }
  }
}

extension SQLiteMailboxStore {
  /// Counts without draining; a worker's file that cannot be read now costs the claims only.
  fileprivate func count(_ address: MailboxAddress) async throws -> (MailboxSummary, Int64, Bool) {
    try await with(address) { mailbox in
      let claims = try? await Self.claims(mailbox)
      let (summary, nextDue) = try await mailbox.read { db in
        let summary = try Self.summary(address, db)
        let next = try Int64.fetchOne(
          db,
          sql: "SELECT min(process_after) FROM messages_in WHERE status = 'pending' AND process_after > ?",
          arguments: [UnixTime.now().milliseconds])
        return (summary, next ?? .max)
      }
      var counted = summary
      counted.claimed = claims?.count ?? 0
      return (counted, nextDue, claims != nil)
    }
  }
}
