// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// What is seen of a mailbox's databases without opening them: two that are equal, and settled, mean that nobody has
/// written between.
///
/// By their names, since a descriptor's close would drop SQLite's locks (row B01). An empty -wal is as good as none: opening
/// a database makes one, and closing it takes it away.
struct MailboxStamp: Hashable, Sendable {
  /// So long after the last write what was written may still become visible, after it was synced; and so long two writes
  /// may look like one, by the files' clock.
  private static let settling: Int64 = 5_000_000_000

  /// The sizes of the files together.
  private(set) var bytes: Int64 = 0
  private var seen: [Int64] = []
  /// When one of them was written last, in nanoseconds since 1970.
  private var newest: Int64 = 0

  /// Of both files.
  init(_ directory: MailboxDirectory) { self.init([directory.inbound, directory.outbound]) }

  /// Of the host's file alone.
  init(inboundOf directory: MailboxDirectory) { self.init([directory.inbound]) }

  /// Whether what is read after this moment has all that was written before the stamp was taken.
  func isSettled(at now: UnixTime = .now()) -> Bool {
    // A clock that was set back, or is another machine's, settles nothing.
    newest <= now.nanoseconds && now.nanoseconds - newest > Self.settling
  }

  private init(_ databases: [String]) {
    for path in databases.flatMap({ [$0, $0 + "-wal"] }) {
      var info = stat()
      guard unsafe lstat(path, &info) == 0, info.st_size > 0 else {
        seen.append(-1)
        continue
      }
      #if canImport(Darwin)
        let time = info.st_mtimespec
      #else
        let time = info.st_mtim
      #endif
      let written = Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec)
      bytes += Int64(info.st_size)
      seen += [Int64(truncatingIfNeeded: info.st_ino), Int64(info.st_size), written]
      newest = max(newest, written)
    }
  }
}
