// SPDX-License-Identifier: Apache-2.0

public import HoldfastCatalog
import HoldfastEngine

/// What every `StateStore` promises, asked of one implementation.
///
/// A method is a promise: it returns when it is kept and throws ``BrokenPromise`` when it is not. Each wants stores
/// that nothing has been written to, so make one of these for each.
public struct StateStoreConformance: StoreConformance {
  typealias Refusal = CatalogError

  /// Opens the store of a name: for a name that is new an empty one, for another the same once more, as another
  /// process would have it.
  public typealias Opening = @Sendable (_ name: String) async throws -> any StateStore
  /// Keeps a store that was opened from being written, as another program's transaction does, until what it
  /// returns is called.
  public typealias Holding = @Sendable (_ name: String) async throws -> @Sendable () async throws -> Void

  private let opening: Opening
  private let holding: Holding

  /// The promises, to be asked of the stores that `open` opens.
  public init(open: @escaping Opening, hold: @escaping Holding) {
    (opening, holding) = (open, hold)
  }

  typealias Trial = StoreTrial<any StateStore>

  /// Runs a promise, and closes what it opened, whether it is kept or not.
  func trial(_ body: (Trial) async throws -> Void) async throws {
    let trial = Trial(open: opening, hold: holding)
    try await finishing {
      for store in trial.opened.withLock({ $0 }) { await store.close() }
    } _: {
      try await body(trial)
    }
  }

  /// A key in the usual namespace.
  static func key(_ key: String) -> StateKey { StateKey("test", key) }
}
