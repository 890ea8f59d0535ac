// SPDX-License-Identifier: Apache-2.0

import GRDB
import GRDBSQLite

/// Counts the writer connection's commits, and knows the WAL's size after the last of them.
///
/// `@unchecked Sendable`: both numbers are written by SQLite's callbacks, which run on the writer's thread
/// while it is inside an SQLite call, and read by that thread only.
final class CommitMeter: TransactionObserver, @unchecked Sendable {
  private(set) var commits = 0
  /// Frames in the WAL, in pages; 0 in rollback mode.
  private(set) var walPages = 0

  /// Installs the meter. After the connection's settings: `wal_autocheckpoint` uses the same hook.
  func install(on db: Database) {
    db.add(transactionObserver: self, extent: .observerLifetime)
    let me = unsafe Unmanaged.passUnretained(self).toOpaque()
    unsafe sqlite3_wal_hook(
      db.sqliteConnection,
      { me, _, _, pages in
        unsafe Unmanaged<CommitMeter>.fromOpaque(me!).takeUnretainedValue().walPages = Int(pages)
        return SQLITE_OK
      }, me)
  }

  func observes(eventsOfKind eventKind: DatabaseEventKind) -> Bool { false }
  func databaseDidChange(with event: DatabaseEvent) {}
  func databaseDidCommit(_ db: Database) { commits += 1 }
  func databaseDidRollback(_ db: Database) {}
}
