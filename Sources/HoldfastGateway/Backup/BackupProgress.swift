// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import Synchronization

/// What is known of the daemon's own backups, for the status and the metrics.
public final class BackupProgress: Sendable {
  /// What is known at one moment.
  struct Snapshot: Hashable, Sendable {
    /// When the last one that succeeded was begun.
    var lastSuccess: UnixTime?
    /// How long the last one took, and how many bytes its files have.
    var lastDuration: Duration?
    var lastBytes: Int64?
    /// How often one was made and how often one failed, since the daemon started.
    var made = 0
    var failed = 0
    var isRunning = false
    /// When the next is due.
    var next: UnixTime?
    /// Why the last one failed; nil when it did not.
    var failure: String?
    var isOverdue = false
  }

  let directory: String
  private let state = Mutex(Snapshot())

  init(directory: String) { self.directory = directory }

  var snapshot: Snapshot { state.withLock { $0 } }

  func update(_ change: (inout Snapshot) -> Void) { state.withLock { change(&$0) } }
}
