// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastSessions
import Synchronization

/// The session store and its search, while they are open, for whoever needs them.
final class OpenedSessions: Sendable {
  /// What is open.
  struct Stores: Sendable {
    var store: any SessionStore
    var search: MessageSearch
  }

  private struct State {
    var stores: Stores?
    var fault: StoreError?
    var isClosed = false
  }

  private let state = Mutex(State())

  /// Why they could not be opened, while that lasts.
  var fault: StoreError? { state.withLock { $0.fault } }

  /// What is open.
  ///
  /// - Throws: `StoreError`: why nothing is.
  func stores() throws(StoreError) -> Stores {
    let now = state.withLock { $0 }
    if let stores = now.stores { return stores }
    throw now.fault
      ?? StoreError(
        now.isClosed ? .closed : .cannotOpen,
        now.isClosed ? "The sessions are closed." : "The sessions are being opened.")
  }

  /// Notes what was opened.
  /// - Returns: false when they were closed meanwhile.
  func note(_ stores: Stores) -> Bool {
    state.withLock { state in
      guard !state.isClosed else { return false }
      (state.stores, state.fault) = (stores, nil)
      return true
    }
  }

  /// Notes why they could not be opened.
  /// - Returns: whether that is news.
  func note(_ fault: StoreError) -> Bool {
    state.withLock { state in
      defer { state.fault = fault }
      return state.fault?.message != fault.message
    }
  }

  /// Takes them away for good.
  func close() -> Stores? {
    state.withLock { state in
      defer { (state.stores, state.isClosed) = (nil, true) }
      return state.stores
    }
  }
}
