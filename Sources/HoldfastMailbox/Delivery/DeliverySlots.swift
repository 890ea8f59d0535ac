// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

/// So many attempts of one adapter at once; who comes first is first, and nobody waits for another adapter's.
final class DeliverySlots: Sendable {
  private struct State {
    var free: Int
    var waiting: [CheckedContinuation<Void, Never>] = []
  }

  private let state: Monitor<State>

  init(_ count: Int) { state = Monitor(State(free: max(count, 1))) }

  /// Waits for a slot; whoever got one gives it back.
  func take() async {
    await withCheckedContinuation { continuation in
      let isFree = state.withLock { state in
        if state.free > 0 {
          state.free -= 1
          return true
        }
        state.waiting.append(continuation)
        return false
      }
      if isFree { continuation.resume() }
    }
  }

  func giveBack() {
    let next = state.withLock { state -> CheckedContinuation<Void, Never>? in
      guard state.waiting.isEmpty else { return state.waiting.removeFirst() }
      state.free += 1
      return nil
    }
    next?.resume()
  }
}
