// SPDX-License-Identifier: Apache-2.0

import Logging
import NIOCore
import Synchronization

/// Says that rows are being lost, once in a while instead of once a row.
final class RefusalLog: Sendable {
  private struct State {
    var next = NIODeadline.uptimeNanoseconds(0)
    var untold = 0
  }

  private let logger: Logger
  private let state = Mutex(State())

  init(logger: Logger) { self.logger = logger }

  /// Notes a row the ledger refused.
  func note(_ error: any Error) {
    let now = NIODeadline.now()
    let lost = state.withLock { state -> Int? in
      state.untold += 1
      guard now >= state.next else { return nil }
      state.next = now + .seconds(10)
      defer { state.untold = 0 }
      return state.untold
    }
    guard let lost else { return }
    logger.error("usage rows lost", metadata: ["rows": "\(lost)", "reason": "\(error)"])
  }
}
