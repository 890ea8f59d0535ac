// SPDX-License-Identifier: Apache-2.0

import GRDB

/// Work that needs the turn to write but no transaction of ours: a checkpoint, migrations.
class BareJob: Job, @unchecked Sendable {
  init(patience: Duration, style: Style = .bare) {
    super.init(submitted: .now, patience: patience, style: style)
  }

  /// Runs it with the writer's connection, outside any transaction, and keeps its result.
  func run(on database: DatabaseQueue, _ checkpointer: inout Checkpointer) throws {
    fatalError("a job that runs nothing")
  }
}

/// A look at the file's names, asked for by the watch on them; nobody waits for it.
final class LookJob: BareJob, @unchecked Sendable {
  init(patience: Duration) { super.init(patience: patience, style: .look) }
  override func succeed() {}
  override func fail(_ error: any Error) {}
}

/// Folds what a fold beside the writers has left, so that the WAL can start over; nobody waits for it.
final class FinishFoldJob: BareJob, @unchecked Sendable {
  private let outcome: BacklogFold.Outcome

  init(_ outcome: BacklogFold.Outcome, patience: Duration) {
    self.outcome = outcome
    super.init(patience: patience)
  }

  override func run(on database: DatabaseQueue, _ checkpointer: inout Checkpointer) throws {
    // Should it fail, the frames stay where they are and the next commit asks again.
    if checkpointer.take(outcome) { _ = try checkpointer.run(beside: database) }
  }

  override func succeed() {}
  override func fail(_ error: any Error) {}
}

/// A bare job with a result.
///
/// `@unchecked Sendable`: as ``Job``; `result` is written by the writer's thread before it calls `end`.
final class BareValueJob<Value: Sendable>: BareJob, @unchecked Sendable {
  private let body: @Sendable (DatabaseQueue, inout Checkpointer) throws -> Value
  private let end: @Sendable (Result<Value, any Error>) -> Void
  private var result: Value?

  init(
    patience: Duration, style: Style = .bare,
    _ body: @escaping @Sendable (DatabaseQueue, inout Checkpointer) throws -> Value,
    end: @escaping @Sendable (Result<Value, any Error>) -> Void
  ) {
    self.body = body
    self.end = end
    super.init(patience: patience, style: style)
  }

  override func run(on database: DatabaseQueue, _ checkpointer: inout Checkpointer) throws {
    result = try body(database, &checkpointer)
  }

  override func succeed() {
    guard let result else { fatalError("a job succeeded without a result") }
    end(.success(result))
  }

  override func fail(_ error: any Error) { end(.failure(error)) }
}
