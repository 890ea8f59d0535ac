// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

/// Lets one refresh run at a time: of the tasks of this process, and of all processes of a home.
///
/// Between processes it is a kernel lock, so that a process that was killed in the middle is in nobody's way.
final class FlightTurn: Sendable {
  private let permits = Permits(1)
  private let path: String?

  /// - Parameter path: the file whose lock the processes share; nil for a store of this process alone.
  init(path: String?) { self.path = path }

  /// How many wait in this process; for tests.
  var waiting: Int { permits.waiting }

  /// Runs `body` alone.
  ///
  /// - Throws: what `body` throws; `CancellationError`; `StoreError` `deadline` when another process takes longer than
  ///   `patience`.
  func run<Value: Sendable>(
    patience: Duration, _ body: () async throws -> Value
  ) async throws -> Value {
    try await permits.take()
    defer { permits.give() }
    guard let path else { return try await body() }
    let lock = try await Deadline.wait(patience, for: "another process did not end its refresh") {
      // Given up, it is closed as soon as it was granted.
      try await BlockingThread.run(named: "hf-refresh") {
        let file = try LockFile(path: path)
        try file.lock(.exclusive, at: 0)
        return file
      }
    }
    defer { lock.close() }
    try Task.checkCancellation()
    return try await body()
  }
}
