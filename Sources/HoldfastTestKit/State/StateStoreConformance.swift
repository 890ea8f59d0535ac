// SPDX-License-Identifier: Apache-2.0

public import HoldfastCatalog
import HoldfastEngine

/// What every `StateStore` promises, asked of one implementation.
///
/// A method is a promise: it returns when it is kept and throws ``BrokenPromise`` when it is not. Each wants stores
/// that nothing has been written to, so make one of these for each.
public struct StateStoreConformance: NamedStoreConformance {
  typealias Refusal = CatalogError

  /// Opens the store of a name: for a name that is new an empty one, for another the same once more, as another
  /// process would have it.
  public typealias Opening = @Sendable (_ name: String) async throws -> any StateStore
  /// Keeps a store that was opened from being written, as another program's transaction does, until what it
  /// returns is called.
  public typealias Holding = @Sendable (_ name: String) async throws -> @Sendable () async throws -> Void

  let source: StoreSource<any StateStore>

  /// The promises, to be asked of the stores that `open` opens.
  public init(open: @escaping Opening, hold: @escaping Holding) {
    source = StoreSource(open: open, hold: hold) { await $0.close() }
  }

  /// A key in the usual namespace.
  static func key(_ key: String) -> StateKey { StateKey("test", key) }
}
