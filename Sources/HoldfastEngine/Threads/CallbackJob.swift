// SPDX-License-Identifier: Apache-2.0

import GRDB

/// A job whose end is told to a closure: for the engine's own threads, which have no task to suspend.
///
/// `@unchecked Sendable`: as ``Job``; `result` is touched only by the thread that runs the job.
final class CallbackJob<Value: Sendable>: Job, @unchecked Sendable {
  private let body: @Sendable (Database) throws -> Value
  private let end: @Sendable (Result<Value, any Error>) -> Void
  private var result: Value?

  init(
    patience: Duration, _ body: @escaping @Sendable (Database) throws -> Value,
    end: @escaping @Sendable (Result<Value, any Error>) -> Void
  ) {
    self.body = body
    self.end = end
    super.init(submitted: .now, patience: patience, style: .shared)
  }

  override func run(_ db: Database) throws {
    result = nil
    result = try body(db)
  }

  override func succeed() {
    guard let result else { fatalError("a job succeeded without a result") }
    end(.success(result))
  }

  override func fail(_ error: any Error) { end(.failure(error)) }
}
