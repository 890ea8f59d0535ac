// SPDX-License-Identifier: Apache-2.0

import HoldfastCatalog
import HoldfastEngine

/// Values that are written later.
extension StateStoreConformance {
  /// Of several values for one key the last counts, and flushing is a barrier for all of them (row F01).
  public func laterValuesCoalesce() async throws {
    try await trial { trial in
      let (one, other) = (try await trial.store(), try await trial.store())
      for round in 0..<20 {
        for number in 0..<30 { try one.setLater(StateKey("n\(number % 3)", "k\(number)"), encoding: round) }
      }
      try await one.flush()
      for number in 0..<30 {
        let found = try await other.get(StateKey("n\(number % 3)", "k\(number)"), as: Int.self)
        try same(found, 19, "what another sees of k\(number) after the barrier")
      }
      try same((await one.status()).waiting, 0, "how many wait after the barrier")
      try one.setLater(.delete(StateKey("n0", "k0")))
      try await one.flush()
      try same(try await other.get(StateKey("n0", "k0")), nil, "what was deleted later")
    }
  }

  /// A value that is set is not overtaken by one that was given before it.
  public func laterValuesDoNotOvertake() async throws {
    try await trial { trial in
      let store = try await trial.store()
      for round in 0..<20 {
        try store.setLater(Self.key("a"), encoding: "later \(round)")
        try await store.set(Self.key("a"), encoding: "set \(round)")
        if round % 2 == 0 { try await store.flush() }
        try same(try await store.get(Self.key("a"), as: String.self), "set \(round)", "the value set last")
        try store.setLater(Self.key("b"), encoding: "later \(round)")
        try await store.delete(Self.key("b"))
        try await store.flush()
        try same(try await store.get(Self.key("b")), nil, "the value deleted last")
      }
    }
  }

  /// While the store cannot be written, values are taken and told as waiting; then they are there.
  public func laterValuesWaitWhileItIsHeld() async throws {
    try await trial { trial in
      let (store, other) = (try await trial.store(), try await trial.store())
      try await store.set(Self.key("a"), encoding: 0)
      try await trial.whileHeld {
        for number in 1...50 { try store.setLater(Self.key("k\(number % 5)"), encoding: number) }
        try same((await store.status()).waiting, 5, "how many wait")
      }
      try await store.flush()
      try same(
        try await other.all("test", prefix: "k").entries.map(\.value.json), ["50", "46", "47", "48", "49"],
        "what is there when it was let go")
      try same((await store.status()).lost, 0, "how many were lost")
    }
  }

  /// No version can be asked for later: there would be nobody to tell.
  public func laterAsksForNoVersion() async throws {
    try await trial { trial in
      let store = try await trial.store()
      try await refused("a version asked for later", as: .invalid) {
        try store.setLater(.set(Self.key("a"), to: StateValue(json: "1"), ifVersion: 1))
      }
      try await store.flush()
      try same(try await store.get(Self.key("a")), nil, "what was refused")
    }
  }

  /// Closing writes what waits; a closed store takes nothing and says so.
  public func closingWritesWhatWaits() async throws {
    try await trial { trial in
      let (store, other) = (try await trial.store(), try await trial.store())
      try store.setLater(Self.key("a"), encoding: 1)
      await store.close()
      try same(try await other.get(Self.key("a"), as: Int.self), 1, "what waited when it was closed")
      try await refused("a value given later to a closed store", as: .closed) {
        try store.setLater(Self.key("a"), encoding: 2)
      }
      for (what, body) in [
        ("reading", { @Sendable in _ = try await store.get(Self.key("a")) }),
        ("writing", { @Sendable in try await store.set(Self.key("a"), encoding: 3) }),
      ] as [(String, @Sendable () async throws -> Void)] {
        var wasRefused = false
        do { try await body() } catch { wasRefused = true }
        try holds(wasRefused, "\(what) a closed store was not refused")
      }
      await store.close()
      try same(try await other.get(Self.key("a"), as: Int.self), 1, "the value in the end")
    }
  }
}
