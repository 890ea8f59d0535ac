// SPDX-License-Identifier: Apache-2.0

import GRDB
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// How many reading connections the process may have, over all its files (row B08).
///
/// A connection costs three descriptors in WAL mode; an outage of 5.5 hours began with 750 of them. Nor may
/// readers take the last ones the process is allowed: libdispatch looks at its threads in /proc once a second, and
/// ends the process when it cannot open them (`_dispatch_workq_monitor_pools`).
enum ReaderBudget {
  static let limit = 64
  /// Descriptors that are left to everything else.
  private static let spare = 8
  private static let perReader = 3
  private static let taken = Atomic<Int>(0)
  private static let opening = Atomic<Int>(0)

  /// Takes one if there is one left; ``opened()`` says when its connection has been made, or has not.
  static func take() -> Bool {
    let isWithin = taken.add(1, ordering: .relaxed).newValue <= limit
    let others = opening.add(1, ordering: .relaxed).newValue
    if isWithin, areFree(spare + perReader * others) { return true }
    opened()
    giveBack()
    return false
  }

  /// The attempt to open is over.
  static func opened() { opening.subtract(1, ordering: .relaxed) }

  static func giveBack() { taken.subtract(1, ordering: .relaxed) }

  /// Whether the process may open so many descriptors more.
  private static func areFree(_ count: Int) -> Bool {
    var limit = rlimit()
    #if os(Linux)
      let files = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    #else
      let files = RLIMIT_NOFILE
    #endif
    guard unsafe getrlimit(files, &limit) == 0, limit.rlim_cur < 1 << 16 else { return true }
    // Numbers are given out from the lowest, so a look from the highest ends soon where there are enough.
    let top = Int(limit.rlim_cur)
    guard top > count else { return false }
    var free = 0
    for descriptor in stride(from: top - 1, through: 0, by: -1) {
      if fcntl(Int32(descriptor), F_GETFD) < 0 { free += 1 }
      if free >= count { return true }
    }
    return false
  }
}

/// What the readers need of the writer when they cannot help themselves.
protocol ReadFallback: Sendable {
  /// Runs a read on the writer's connection. Blocks.
  func read(by deadline: ContinuousClock.Instant, _ body: @escaping (Database) throws -> Void) throws
  /// Has the file looked at, and opened anew if the path stands for another one. Blocks.
  func settle(by deadline: ContinuousClock.Instant) throws
}
