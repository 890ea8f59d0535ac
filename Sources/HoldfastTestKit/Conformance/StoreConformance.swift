// SPDX-License-Identifier: Apache-2.0

import HoldfastCatalog
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

/// What the suites that ask stores for their promises have in common.
protocol StoreConformance: Sendable {
  /// What the stores refuse with.
  associatedtype Refusal: CodedError
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

  /// Breaks the promise unless `body` is refused; with this code when one is given. Returns the refusal.
  @discardableResult
  func refused(
    _ what: @autoclosure () -> String, as code: Refusal.Code? = nil, promise: String = #function,
    line: UInt = #line, _ body: () async throws -> Void
  ) async throws -> any Error {
    do {
      try await body()
    } catch {
      guard let code, (error as? Refusal)?.code != code else { return error }
      throw BrokenPromise(
        promise: promise, line: line, reason: "\(what()) was refused with “\(error)”, not as \(code)")
    }
    throw BrokenPromise(promise: promise, line: line, reason: "\(what()) was not refused")
  }

  /// Runs `body`, and `end` after it, whether the promise is kept or not.
  func ending(
    _ end: () async throws -> Void, _ body: () async throws -> Void
  ) async throws {
    let outcome: Result<Void, any Error>
    do {
      outcome = .success(try await body())
    } catch {
      outcome = .failure(error)
    }
    try await end()
    try outcome.get()
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
