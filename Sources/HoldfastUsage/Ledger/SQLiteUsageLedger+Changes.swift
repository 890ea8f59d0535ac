// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

/// A ledger that says when rows have landed in it.
public protocol UsageChangeSource: Sendable {
  /// An element after every commit that becomes visible from now on, made by any process; who is slow gets one for
  /// many.
  ///
  /// - Throws: `StoreError` when the database cannot be opened.
  func changes() async throws -> AsyncStream<Void>
}

extension SQLiteUsageLedger: UsageChangeSource {
  /// An element after every commit to `usage.db` that becomes visible from now on; see `StateFile.changes()`.
  public func changes() async throws -> AsyncStream<Void> {
    let found = try await openFile().changes()
    let (stream, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    let task = Task {
      for await _ in found { continuation.yield() }
      continuation.finish()
    }
    continuation.onTermination = { _ in task.cancel() }
    return stream
  }
}
