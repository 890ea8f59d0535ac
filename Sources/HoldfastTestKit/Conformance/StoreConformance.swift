// SPDX-License-Identifier: Apache-2.0

import HoldfastCatalog
import HoldfastEngine
import HoldfastMailbox
import HoldfastSessions

/// An error that says by a code of its own what kind of failure it is.
protocol CodedError: Error {
  associatedtype Code: Equatable & Sendable
  var code: Code { get }
}

extension SessionError: CodedError {}
extension MailboxError: CodedError {}
extension CatalogError: CodedError {}

/// Where the stores of a suite come from.
struct StoreSource<Store: Sendable>: Sendable {
  /// For a name that is new an empty one, for another the same once more, as another process would have it.
  let open: @Sendable (_ name: String) async throws -> Store
  /// Keeps a store that was opened from being written, as another program's transaction does, until what it returns is
  /// called.
  let hold: @Sendable (_ name: String) async throws -> @Sendable () async throws -> Void
  let close: @Sendable (Store) async -> Void
}

/// The stores of one promise, by name.
struct StoreTrial<Store: Sendable>: Sendable {
  let source: StoreSource<Store>
  let opened = Monitor<[Store]>([])

  /// Opens a store; it is closed with the trial.
  func store(_ name: String = "one") async throws -> Store {
    let store = try await source.open(name)
    opened.withLock { $0.append(store) }
    return store
  }

  /// Does something while the store cannot be written.
  func whileHeld(_ name: String = "one", _ body: () async throws -> Void) async throws {
    let release = try await source.hold(name)
    try await finishing(release, body)
  }
}

/// Runs `body`, and `end` after it, whether the promise is kept or not.
func finishing(_ end: () async throws -> Void, _ body: () async throws -> Void) async throws {
  let outcome: Result<Void, any Error>
  do {
    outcome = .success(try await body())
  } catch {
    outcome = .failure(error)
  }
  try await end()
  try outcome.get()
}

/// What the suites that ask stores for their promises have in common.
protocol StoreConformance: Sendable {
  /// What the stores refuse with.
  associatedtype Refusal: CodedError
}

/// A suite whose stores are opened by name.
protocol NamedStoreConformance: StoreConformance {
  /// What is asked.
  associatedtype Store: Sendable
  var source: StoreSource<Store> { get }
}

extension NamedStoreConformance {
  typealias Trial = StoreTrial<Store>

  /// Runs a promise, and closes what it opened, whether it is kept or not.
  func trial(_ body: (Trial) async throws -> Void) async throws {
    let trial = Trial(source: source)
    try await finishing {
      for store in trial.opened.withLock({ $0 }) { await source.close(store) }
    } _: {
      try await body(trial)
    }
  }
}

extension StoreConformance {
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
    _ what: @autoclosure () -> String, as code: Refusal.Code, promise: String = #function, line: UInt = #line,
    _ body: () async throws -> Void
  ) async throws -> Refusal {
    do {
      try await body()
    } catch {
      if let error = error as? Refusal, error.code == code { return error }
      throw BrokenPromise(
        promise: promise, line: line, reason: "\(what()) was refused with “\(error)”, not as \(code)")
    }
    throw BrokenPromise(promise: promise, line: line, reason: "\(what()) was not refused")
  }

  /// Breaks the promise unless `body` is refused, for whatever reason.
  func refused(
    _ what: @autoclosure () -> String, promise: String = #function, line: UInt = #line,
    _ body: () async throws -> Void
  ) async throws {
    do { try await body() } catch { return }
    throw BrokenPromise(promise: promise, line: line, reason: "\(what()) was not refused")
  }
}

/// A promise that a store did not keep.
public struct BrokenPromise: Error, Sendable, CustomStringConvertible {
  /// The method of the suite that asked, as in ``SessionStoreConformance``.
  public var promise: String
  /// The line that asked.
  public var line: UInt
  /// What was found.
  public var reason: String

  /// One sentence with all of it.
  public var description: String { "\(promise), line \(line): \(reason)" }
}
