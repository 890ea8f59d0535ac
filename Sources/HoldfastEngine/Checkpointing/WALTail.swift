// SPDX-License-Identifier: Apache-2.0

import GRDB
import GRDBSQLite

/// Cuts off what a -wal no longer needs, a piece at a time.
///
/// A -wal that started over keeps its largest size. SQLite's own remedy, `journal_size_limit`, cuts it in one go in
/// the first commit after that, and whoever that is waits: 150 ms for the 190 MB behind a backup of 1 GB (ext4, strace
/// of `holdfast torture --backup`). What is cut and when is otherwise the same: bytes behind the last frame the index
/// counts, with SQLite's writer lock, so that nobody appends; no reader has a use for them, for a -wal starts over only
/// when none does.
enum WALTail {
  /// The most that is cut in one go, in bytes: some milliseconds.
  static let piece: Int64 = 8 << 20

  /// Cuts a piece, down to `limit` bytes at most.
  ///
  /// - Parameter db: the writer's connection, inside a transaction that has SQLite's writer lock.
  /// - Returns: whether more is left to cut.
  static func cut(_ db: Database, to limit: Int) -> Bool {
    guard let index = WALWitness.index(db), let file = ConnectionFile(db, SQLITE_FCNTL_JOURNAL_POINTER),
      let size = file.size
    else { return false }
    let needed = max(Int64(limit), index.offset(ofFrame: index.frames))
    guard size > needed else { return false }
    let end = max(needed, size - piece)
    // Should it fail, the file is as large as it was, and the next checkpoint tries again.
    return file.truncate(to: end) && end > needed
  }
}
