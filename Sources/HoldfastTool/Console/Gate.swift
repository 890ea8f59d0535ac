// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Synchronization

/// Lets a thread of our own wait for a task's verdict; never used on the cooperative pool.
final class Gate: Sendable {
  private let semaphore = DispatchSemaphore(value: 0)
  private let verdict = Mutex(false)

  /// Gives the verdict and lets the waiter go.
  func open(_ value: Bool) {
    verdict.withLock { $0 = value }
    semaphore.signal()
  }

  /// Blocks until the verdict is there.
  func wait() -> Bool {
    semaphore.wait()
    return verdict.withLock { $0 }
  }
}
