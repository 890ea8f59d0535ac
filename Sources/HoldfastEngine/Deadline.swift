// SPDX-License-Identifier: Apache-2.0

/// Waiting that ends by itself.
package enum Deadline {
  /// Waits for `body`, at most for `duration`; the body then goes on unattended.
  ///
  /// - Parameter what: what did not happen in time, as in `usage.db was not open`.
  /// - Throws: what `body` throws, or ``StoreError`` `deadline`.
  package static func wait<Value: Sendable>(
    _ duration: Duration, for what: String, _ body: @escaping @Sendable () async throws -> Value
  ) async throws -> Value {
    let waiter = Waiter<Value>()
    return try await withCheckedThrowingContinuation { continuation in
      waiter.hold(continuation)
      let alarm = AlarmClock.shared.set(.now + duration) {
        waiter.end(
          .failure(StoreError(.deadline, "The deadline of \(duration) passed: \(what) in time.")))
      }
      Task {
        do {
          waiter.end(.success(try await body()))
        } catch {
          waiter.end(.failure(error))
        }
        AlarmClock.shared.cancel(alarm)
      }
    }
  }

  /// A continuation that is resumed once.
  private final class Waiter<Value: Sendable>: Sendable {
    private let continuation = Monitor<CheckedContinuation<Value, any Error>?>(nil)

    func hold(_ continuation: CheckedContinuation<Value, any Error>) {
      self.continuation.withLock { $0 = continuation }
    }

    func end(_ result: Result<Value, any Error>) {
      let held = continuation.withLock { held in
        defer { held = nil }
        return held
      }
      held?.resume(with: result)
    }
  }
}
