// SPDX-License-Identifier: Apache-2.0

import HoldfastCatalog
import HoldfastEngine
import HoldfastTestKit

/// State stores of a test's own.
final class StateHome: Sendable {
  let directory: TemporaryDirectory
  /// A delay of its own: nothing lands by itself in a test unless it says so.
  let clock = FakeClock()

  init() throws { directory = try TemporaryDirectory() }

  func path(_ name: String = "one") -> String { directory.file(name) }

  func database(_ name: String = "one") -> String { path(name) + "/state.db" }

  func open(_ name: String = "one") throws -> SQLiteStateStore {
    try SQLiteStateStore.open(
      home: path(name), closingBound: .seconds(3600), now: { .now },
      sleep: { [clock] in try await clock.sleep(for: $0) })
  }

  /// Another program's transaction on the database.
  func hold(_ name: String = "one") throws -> @Sendable () async throws -> Void {
    let peer = try ForeignConnection(database(name), busyTimeout: 60_000)
    try peer.run("BEGIN IMMEDIATE")
    return { try peer.run("COMMIT") }
  }

  var promises: StateStoreConformance {
    StateStoreConformance(open: { try self.open($0) }, hold: { try self.hold($0) })
  }
}
