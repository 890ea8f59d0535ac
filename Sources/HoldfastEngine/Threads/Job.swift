// SPDX-License-Identifier: Apache-2.0

import GRDB

/// One caller's work on its way through a queue of ours.
///
/// `@unchecked Sendable`: `phase` is read and written only under the monitor of the ``JobQueue`` the job was
/// submitted to; `result` and `continuation` of the subclass are touched by the submitting call before
/// submission, then only by the thread that took the job, then by whoever moved `phase` to `finished`,
/// and each of these moves happens under that monitor, which orders them.
class Job: @unchecked Sendable, Hashable {
  enum Phase {
    /// Not submitted yet.
    case new
    /// In a queue; may still be withdrawn.
    case waiting
    /// Taken by a thread; runs to its end.
    case running
    /// Its caller has been told, or is being told.
    case finished
    /// Cancelled before it was submitted.
    case cancelledEarly
  }

  /// How the writer runs it.
  enum Style {
    /// Inside a transaction, shared with others.
    case shared
    /// Inside a transaction of its own.
    case alone
    /// With the turn to write held, but outside any transaction.
    case bare
    /// On the writer's connection, but without the turn: a read for which there is no connection of its own.
    case reading
    /// Not run at all: the writer looks whether a -wal lost its name and saves it.
    case look
  }

  final let deadline: ContinuousClock.Instant
  final let submitted: ContinuousClock.Instant
  final var phase = Phase.new
  final var style: Style

  init(submitted: ContinuousClock.Instant, patience: Duration, style: Style) {
    self.submitted = submitted
    self.deadline = submitted + patience
    self.style = style
  }

  /// Runs the caller's closure and keeps its result for ``succeed()``. May be called again for a replay.
  func run(_ db: Database) throws { fatalError("a job that runs nothing") }
  /// Tells the caller the kept result.
  func succeed() { fatalError("a job that tells nobody") }
  /// Tells the caller an error.
  func fail(_ error: any Error) { fatalError("a job that tells nobody") }

  static func == (left: Job, right: Job) -> Bool { left === right }
  func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}

/// A job with a result of type `Value`, whose caller waits in a continuation.
final class ValueJob<Value: Sendable>: Job, @unchecked Sendable {
  private let body: @Sendable (Database) throws -> Value
  private var result: Value?
  private var continuation: CheckedContinuation<Value, any Error>?

  init(patience: Duration, style: Style = .shared, _ body: @escaping @Sendable (Database) throws -> Value) {
    self.body = body
    super.init(submitted: .now, patience: patience, style: style)
  }

  override func run(_ db: Database) throws {
    result = nil
    result = try body(db)
  }

  override func succeed() {
    guard let result else { fatalError("a job succeeded without a result") }
    take().resume(returning: result)
  }

  override func fail(_ error: any Error) {
    take().resume(throwing: error)
  }

  private func take() -> CheckedContinuation<Value, any Error> {
    guard let waiting = continuation else { fatalError("a job's caller was told twice") }
    continuation = nil
    return waiting
  }

  /// Submits the job and waits for its end; a task cancelled before the job's turn withdraws it.
  func perform(in queue: JobQueue) async throws -> Value {
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        self.continuation = continuation
        queue.submit(self)
      }
    } onCancel: {
      queue.cancel(self)
    }
  }
}
