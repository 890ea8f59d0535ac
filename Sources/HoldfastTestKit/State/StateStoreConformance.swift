// SPDX-License-Identifier: Apache-2.0

public import HoldfastCatalog
import HoldfastEngine

/// What every `StateStore` promises, asked of one implementation.
///
/// A method is a promise: it returns when it is kept and throws ``BrokenPromise`` when it is not. Each wants stores
/// that nothing has been written to, so make one of these for each.
public struct StateStoreConformance: Sendable {
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

  /// The stores of one promise.
  struct Trial: Sendable {
    fileprivate let conformance: StateStoreConformance
    fileprivate let opened = Monitor<[any StateStore]>([])

    /// Opens a store; it is closed with the trial.
    func store(_ name: String = "one") async throws -> any StateStore {
      let store = try await conformance.opening(name)
      opened.withLock { $0.append(store) }
      return store
    }

    /// Does something while the store cannot be written.
    func whileHeld(_ name: String = "one", _ body: () async throws -> Void) async throws {
      let release = try await conformance.holding(name)
      do {
        try await body()
      } catch {
        try await release()
        throw error
      }
      try await release()
    }
  }

  /// Runs a promise, and closes what it opened, whether it is kept or not.
  func trial(_ body: (Trial) async throws -> Void) async throws {
    let trial = Trial(conformance: self)
    let outcome: Result<Void, any Error>
    do {
      outcome = .success(try await body(trial))
    } catch {
      outcome = .failure(error)
    }
    for store in trial.opened.withLock({ $0 }) { await store.close() }
    try outcome.get()
  }

  /// Breaks the promise unless `condition` holds.
  func holds(
    _ condition: Bool, _ what: @autoclosure () -> String, promise: String = #function, line: UInt = #line
  ) throws {
    guard !condition else { return }
    throw BrokenPromise(promise: promise, line: line, reason: what())
  }

  /// Breaks the promise unless what was found is what was expected.
  func same<Value: Equatable>(
    _ found: Value, _ expected: Value, _ what: @autoclosure () -> String, promise: String = #function,
    line: UInt = #line
  ) throws {
    guard found != expected else { return }
    throw BrokenPromise(promise: promise, line: line, reason: "\(what()): \(found), not \(expected)")
  }

  /// Breaks the promise unless `body` is refused with this code; returns the refusal.
  @discardableResult
  func refused(
    _ what: @autoclosure () -> String, as code: CatalogError.Code, promise: String = #function,
    line: UInt = #line, _ body: () async throws -> Void
  ) async throws -> CatalogError {
    do {
      try await body()
    } catch {
      if let error = error as? CatalogError, error.code == code { return error }
      throw BrokenPromise(
        promise: promise, line: line, reason: "\(what()) was refused with “\(error)”, not as \(code.rawValue)"
      )
    }
    throw BrokenPromise(promise: promise, line: line, reason: "\(what()) was not refused")
  }

  /// A key in the usual namespace.
  static func key(_ key: String) -> StateKey { StateKey("test", key) }
}
