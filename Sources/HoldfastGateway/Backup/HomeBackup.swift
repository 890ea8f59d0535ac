// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastMailbox

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// The backups of a home's databases and mailboxes, as a schedule makes them.
struct HomeBackup: Sendable {
  let plan: BackupPlan
  let home: String

  /// Disposable: it is made again out of the sessions.
  private static let left: Set<String> = ["search.db"]

  private var databases: [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: home)) ?? []).sorted()
      .filter { $0.hasSuffix(".db") && !$0.hasPrefix(".") && !Self.left.contains($0) }
  }

  /// When the newest backup of each database was begun, of those that have one; none from the future.
  private func newest(now: UnixTime) -> [String: UnixTime] {
    var newest: [String: UnixTime] = [:]
    for manifest in Backup.list(in: plan.directory) where manifest.time <= now {
      newest[manifest.database] = max(manifest.time, newest[manifest.database] ?? manifest.time)
    }
    return newest
  }

  /// When the database that waits longest got its last backup; nil when one has none.
  func lastSuccess(now: UnixTime) -> UnixTime? {
    let newest = newest(now: now)
    var oldest: UnixTime?
    for database in databases {
      guard let time = newest[database] else { return nil }
      oldest = min(time, oldest ?? time)
    }
    return oldest
  }

  /// Makes those that are due, one after the other; one that cannot be made is no reason to leave out the others.
  func make(now: UnixTime) async -> ScheduledBackups.Outcome {
    do {
      guard let turn = try BackupTurn.take(in: plan.directory) else { return .elsewhere }
      defer { turn.end() }
      let newest = newest(now: now)
      var bytes: Int64 = 0
      var failures: [String] = []
      for database in databases {
        if let time = newest[database], plan.schedule.next(after: time) > now { continue }
        do {
          let report = try await Backup.create(
            of: home + "/" + database, to: plan.directory,
            options: .init(isCompressed: plan.isCompressed, sparesDisk: true))
          bytes += report.manifest.fileBytes
          _ = Backup.rotate(plan.directory, database: database, retention: plan.retention)
        } catch {
          failures.append(Self.sentence(error))
        }
      }
      await makeMailboxes(now: now, &bytes, &failures)
      return failures.isEmpty ? .made(bytes: bytes) : .failed(failures.joined(separator: " "))
    } catch {
      return .failed(Self.sentence(error))
    }
  }

  /// A mailbox that is removed meanwhile is none to fail with.
  private func makeMailboxes(now: UnixTime, _ bytes: inout Int64, _ failures: inout [String]) async {
    var configuration = MailboxConfiguration()
    configuration.maximumOpen = 1
    let store = SQLiteMailboxStore(home: home, configuration: configuration)
    let backup = MailboxBackup(home: home, directory: plan.directory)
    do {
      for address in try await store.addresses() {
        if let time = backup.newest(of: address, now: now), plan.schedule.next(after: time) > now { continue }
        do {
          let made = try await backup.create(
            of: address, from: store, options: .init(isCompressed: plan.isCompressed, sparesDisk: true))
          bytes += made.reduce(0) { $0 + $1.manifest.fileBytes }
          _ = backup.rotate(address, retention: plan.retention)
        } catch let error as MailboxError where error.code == .notFound {
          continue
        } catch {
          failures.append("\(address): \(Self.sentence(error))")
        }
      }
    } catch {
      failures.append(Self.sentence(error))
    }
    await store.close()
  }

  private static func sentence(_ error: any Error) -> String { (error as? StoreError)?.message ?? "\(error)" }
}
