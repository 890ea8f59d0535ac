// SPDX-License-Identifier: Apache-2.0

import HoldfastCatalog
import HoldfastEngine

/// A state store that lists what it has, and at times cannot read a single value.
final class MoodyStateStore: StateStore {
  private let base: any StateStore
  private let state = Monitor<(any Error)?>(nil)

  init(_ base: any StateStore) { self.base = base }

  /// What ``get(_:)`` throws; nil: it reads.
  var fault: (any Error)? {
    get { state.withLock { $0 } }
    set { state.withLock { $0 = newValue } }
  }

  func get(_ key: StateKey) async throws -> StateEntry? {
    if let fault { throw fault }
    return try await base.get(key)
  }

  func apply(_ edits: [StateEdit]) async throws -> [Int64] { try await base.apply(edits) }
  func list(_ query: StateQuery) async throws -> StatePage { try await base.list(query) }
  func setLater(_ edit: StateEdit) throws { try base.setLater(edit) }
  func flush() async throws { try await base.flush() }
  func removeExpired() async throws -> Int { try await base.removeExpired() }
  func status() async -> StateStoreStatus { await base.status() }
  func close() async { await base.close() }
}
