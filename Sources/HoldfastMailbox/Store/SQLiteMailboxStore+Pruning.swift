// SPDX-License-Identifier: Apache-2.0

import GRDB
public import HoldfastEngine

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

extension SQLiteMailboxStore {
  /// So long after its last heartbeat a worker that nobody watches over is taken for one that lives.
  private static let heartbeatAge = Duration.seconds(600)

  /// Removes what is over and was so before a moment: messages that were completed or cancelled, messages of the worker's
  /// that were delivered, dead letters that were put back. What nobody has delivered, and what went no further, stays.
  ///
  /// The worker's file is changed only where no worker can be at work: no host watches over the session, none of its
  /// processes lives, and none that nobody watches over has touched its heartbeat for ten minutes. Elsewhere what is in
  /// it stays, with what the host knows of it, until the next worker is about to be started.
  ///
  /// - Parameters:
  ///   - time: what was over before it goes.
  ///   - budget: no other slice is begun after it; nil for all there is.
  public func prune(
    _ address: MailboxAddress, before time: UTCInstant, budget: Duration? = nil
  ) async throws -> MailboxPruned {
    try await with(address) { mailbox in
      _ = try? await Self.drain(mailbox)
      let locks = try? Self.locks(mailbox)
      let pruned = try await Self.prune(
        mailbox, before: time, mayChangeOutbound: locks != nil, budget: budget)
      withExtendedLifetime(locks) {}
      return pruned
    }
  }

  /// What ``prune(_:before:budget:)`` would remove; `held` is not known before.
  public func prunable(_ address: MailboxAddress, before time: UTCInstant) async throws -> MailboxPruned {
    try await with(address) { mailbox in
      _ = try? await Self.drain(mailbox)
      return try await mailbox.read { db in
        var pruned = MailboxPruned(address)
        try MailboxPruning.count(before: time.milliseconds, &pruned, db)
        return pruned
      }
    }
  }

  /// What keeps hosts from starting a worker; nil when one may be at work.
  private static func locks(_ mailbox: Mailbox) throws -> (HostLock, WorkerLock)? {
    let directory = mailbox.directory
    var info = stat()
    if unsafe lstat(directory.heartbeat, &info) == 0 {
      #if canImport(Darwin)
        let touched = Int64(info.st_mtimespec.tv_sec)
      #else
        let touched = Int64(info.st_mtim.tv_sec)
      #endif
      guard touched * 1000 < UTCInstant.now.milliseconds - heartbeatAge.components.seconds * 1000 else {
        return nil
      }
    }
    let host = try HostLock(mailbox: directory.path, address: directory.address)
    let worker = try WorkerLock(mailbox: directory.path)
    return worker.isHeld ? nil : (host, worker)
  }

  /// - Parameter mayChangeOutbound: whether it is certain that no worker is at work, or will be before this returns.
  static func prune(
    _ mailbox: Mailbox, before time: UTCInstant, mayChangeOutbound: Bool, budget: Duration?
  ) async throws -> MailboxPruned {
    let end = budget.map { ContinuousClock.now + $0 }
    let time = time.milliseconds
    var pruned = MailboxPruned(mailbox.directory.address)
    var place = MailboxPruning.Place()
    while true {
      let from = place
      let (candidates, next) = try await mailbox.read { db in
        var next = from
        return (try MailboxPruning.candidates(before: time, at: &next, db), next)
      }
      place = next
      if candidates.count > 0 {
        let gone: MailboxPruning.Candidates
        if mayChangeOutbound {
          try await removeOutbound(candidates, mailbox)
          gone = candidates
        } else {
          gone = try await mailbox.look { db in try MailboxPruning.absent(candidates, db) }
        }
        let removed = try await mailbox.write { db in
          try MailboxPruning.removeInbound(gone, before: time, db)
        }
        pruned.inbound += removed.inbound.count
        pruned.outbound += removed.outbound.count
        pruned.held += candidates.count - gone.count
      }
      let letters = try await mailbox.write { db in try MailboxPruning.removeLetters(before: time, db) }
      pruned.deadLetters += letters
      guard place.isMore || letters == MailboxPruning.slice else { return pruned }
      if let end, end < .now { return pruned }
    }
  }

  /// Removes rows of the worker's file while nobody in this process looks into it.
  static func removeOutbound(_ candidates: MailboxPruning.Candidates, _ mailbox: Mailbox) async throws {
    // Most often there is nothing of it any more.
    let absent = try await mailbox.look { db in try MailboxPruning.absent(candidates, db) }
    guard absent.count < candidates.count else { return }
    let configuration = mailbox.configuration
    try await mailbox.withoutLookers {
      let file = try await StateFile.open(
        mailbox.directory.outbound,
        configuration: StateFileConfiguration(
          patience: min(configuration.patience, .seconds(5)), maximumReaders: 1,
          journal: configuration.journal(of: mailbox.directory.address)),
        migrations: OutboundSchema.migrations)
      let result: Result<Void, any Error>
      do {
        try await file.write { db in try MailboxPruning.removeOutbound(candidates, db) }
        // The worker finds everything in the file itself.
        _ = try? await file.checkpoint()
        result = .success(())
      } catch {
        result = .failure(error)
      }
      await file.close()
      try result.get()
    }
  }
}
