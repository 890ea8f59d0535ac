// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import Synchronization

/// Waiting that ends by itself.
enum Deadline {
  /// Waits for `body`, at most for `duration`; the body then goes on unattended.
  ///
  /// - Throws: what `body` throws, or `StoreError` `deadline`.
  static func wait(
    _ duration: Duration, for what: String, _ body: @escaping @Sendable () async throws -> Void
  ) async throws {
    let waiter = Waiter()
    try await withCheckedThrowingContinuation { continuation in
      waiter.hold(continuation)
      let timer = Task {
        try await Task.sleep(for: duration)
        waiter.end(
          .failure(StoreError(.deadline, "The deadline of \(duration) passed: \(what) in time.")))
      }
      Task {
        do {
          try await body()
          waiter.end(.success(()))
        } catch {
          waiter.end(.failure(error))
        }
        timer.cancel()
      }
    }
  }

  /// A continuation that is resumed once.
  private final class Waiter: Sendable {
    private let continuation = Mutex<CheckedContinuation<Void, any Error>?>(nil)

    func hold(_ continuation: CheckedContinuation<Void, any Error>) {
      self.continuation.withLock { $0 = continuation }
    }

    func end(_ result: Result<Void, any Error>) {
      let held = continuation.withLock { held in
        defer { held = nil }
        return held
      }
      held?.resume(with: result)
    }
  }
}
