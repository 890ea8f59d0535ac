// SPDX-License-Identifier: Apache-2.0

import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A connection's busy handler: waits in small steps for as long as somebody still wants the answer.
///
/// Patience is time, never a number of attempts (row A03). Our writers queue in the lane, so at most one of
/// them polls SQLite's lock at a time, and it can afford to poll often: a foreign writer that leaves a gap
/// of a few milliseconds is enough.
final class BusyPatience: Sendable {
  private let wanted = Monitor<@Sendable () -> Bool>({ false })
  private let waited = Atomic<Bool>(false)

  /// Sets who decides, until the next call of this, whether to wait on.
  func wait(while condition: @escaping @Sendable () -> Bool) {
    wanted.withLock { $0 = condition }
    waited.store(false, ordering: .relaxed)
  }

  /// Waits up to `deadline`.
  func wait(until deadline: ContinuousClock.Instant) {
    wait { ContinuousClock.now < deadline }
  }

  /// Whether a lock was met since the condition was set.
  var metALock: Bool { waited.load(ordering: .relaxed) }

  /// What SQLite calls with the number of earlier calls for the same lock; false gives the lock up.
  func keepTrying(_ attempt: Int) -> Bool {
    waited.store(true, ordering: .relaxed)
    guard wanted.withLock({ $0 })() else { return false }
    usleep(attempt < 4 ? 250 : attempt < 20 ? 1000 : 5000)
    return true
  }
}
