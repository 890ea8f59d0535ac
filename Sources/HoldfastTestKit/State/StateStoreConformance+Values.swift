// SPDX-License-Identifier: Apache-2.0

import HoldfastCatalog
import HoldfastEngine

/// Values, their versions, and who may see them.
extension StateStoreConformance {
  /// What was set comes back to the byte, at once and everywhere.
  public func valuesComeBackAsTheyWent() async throws {
    try await trial { trial in
      let (one, other) = (try await trial.store(), try await trial.store())
      try same(try await one.get(Self.key("a")), nil, "a value nobody set")
      for (number, json) in [
        "null", "{ \"b\":1, \"a\":[true,-0.10e2] }", "\"ü 😀 \\u0000 \\ud800\"", "12345678901234567890.000",
        "[]", "{\"a\":1,\"a\":2}",
      ].enumerated() {
        let key = Self.key("key \(number) ü/😀")
        try await one.set(key, to: StateValue(json: json))
        let entry = try await other.get(key)
        try same(entry?.value.json, json, "what another sees of it")
        try same(entry?.key, key, "its key")
      }
      try await one.set(Self.key("coded"), encoding: ["x": [1, 2]])
      try same(
        try await other.get(Self.key("coded"), as: [String: [Int]].self), ["x": [1, 2]], "a coded value")
      try await refused("reading it as another type", as: .unreadable) {
        _ = try await other.get(Self.key("coded"), as: [Int].self)
      }
      try await one.set(StateKey("other", "coded"), encoding: 1)
      try same(
        try await one.get(Self.key("coded"), as: [String: [Int]].self), ["x": [1, 2]], "after another's")
      try holds(try await one.delete(Self.key("coded")), "a deletion does not say that there was a value")
      try holds(!(try await one.delete(Self.key("coded"))), "a deletion says that there was a value")
      try same(try await other.get(Self.key("coded")), nil, "a deleted value")
      try same(try await other.get(StateKey("other", "coded"), as: Int.self), 1, "its neighbour")
    }
  }

  /// What cannot be kept is refused before anything is written.
  public func whatCannotBeKeptIsRefused() async throws {
    try await trial { trial in
      let store = try await trial.store()
      for json in ["", "hello", "{\"a\":}", "[1,]", "01", "1.", "NaN", "'a'", "\"\t\"", "1 2", "\"\\x\""] {
        try await refused("“\(json)”", as: .invalid) { _ = try StateValue(json: json) }
      }
      try await refused("a number without a form", as: .invalid) { _ = try StateValue(Double.nan) }
      let deep = String(repeating: "[", count: 10_000) + String(repeating: "]", count: 10_000)
      try await refused("a deep one", as: .invalid) { _ = try StateValue(json: deep) }
      let value = try StateValue(json: "1")
      for key in [
        StateKey("", "a"), StateKey("a", ""), StateKey("a\0", "a"), StateKey("a", "a\0"),
        StateKey(String(repeating: "n", count: 257), "a"), StateKey("a", String(repeating: "k", count: 1025)),
      ] {
        try await refused("setting \(key)", as: .invalid) { try await store.set(key, to: value) }
        try await refused("setting \(key) later", as: .invalid) { try store.setLater(.set(key, to: value)) }
        try await refused("getting \(key)", as: .invalid) { _ = try await store.get(key) }
      }
      let longest = StateKey(String(repeating: "n", count: 256), String(repeating: "ü", count: 1024))
      try await store.set(longest, to: value)
      try same(try await store.get(longest)?.value, value, "the longest key's value")
    }
  }

  /// A version asked for is the version found, or nothing happens and the version there is is told.
  public func comparedBeforeItIsSet() async throws {
    try await trial { trial in
      let (one, other) = (try await trial.store(), try await trial.store())
      let key = Self.key("a")
      let conflict = try await refused("a version of nothing", as: .versionConflict) {
        try await one.set(key, encoding: "no", ifVersion: 3)
      }
      try same(conflict.version, 0, "the version of nothing")
      let first = try await one.set(key, encoding: "first", ifVersion: 0)
      try holds(first > 0, "the first version is \(first)")
      let second = try await other.set(key, encoding: "second", ifVersion: first)
      try holds(second > first, "version \(second) follows \(first)")
      for wanted in [0, first, second + 1] {
        let conflict = try await refused("version \(wanted)", as: .versionConflict) {
          try await one.set(key, encoding: "no", ifVersion: wanted)
        }
        try same(conflict.version, second, "the version told")
        try await refused("deleting version \(wanted)", as: .versionConflict) {
          try await one.delete(key, ifVersion: wanted)
        }
      }
      let entry = try await one.get(key)
      try same(entry?.value.json, "\"second\"", "what is left of refused changes")
      try same(entry?.version, second, "its version")
      try await other.delete(key, ifVersion: second)
      try same(try await one.get(key), nil, "what was deleted")
    }
  }

  /// However many change a value by what it is, none of their changes is lost.
  public func incrementsAreExact() async throws {
    try await trial { trial in
      let stores = [try await trial.store(), try await trial.store()]
      try await withThrowingTaskGroup { group in
        for task in 0..<8 {
          group.addTask {
            for _ in 0..<25 {
              try await stores[task % 2].update(Self.key("count"), as: Int.self) { ($0 ?? 0) + 1 }
            }
          }
        }
        try await group.waitForAll()
      }
      try same(try await stores[0].get(Self.key("count"), as: Int.self), 200, "the count")
    }
  }

  /// A version of a key means one value for ever, also when the value was deleted or expired between.
  public func versionsAreNeverSeenTwice() async throws {
    try await trial { trial in
      let store = try await trial.store()
      let key = Self.key("a")
      var seen: [Int64] = []
      for round in 0..<4 {
        for number in 0...round { seen.append(try await store.set(key, encoding: number)) }
        if round % 2 == 0 {
          try await store.delete(key)
        } else {
          seen.append(try await store.set(key, encoding: "gone", expires: UTCInstant(milliseconds: 1)))
          if round == 3 { try await store.removeExpired() }
        }
        // Another key must not use it up either.
        try await store.set(Self.key("b\(round)"), encoding: round)
      }
      seen.append(try await store.set(key, encoding: "last", ifVersion: 0))
      try same(seen, Array(Set(seen)).sorted(), "the versions, each greater than those before")
    }
  }

  /// Changes made together are made together or not at all.
  public func changesAreAllOrNone() async throws {
    try await trial { trial in
      let (one, other) = (try await trial.store(), try await trial.store())
      let value = try StateValue(json: "1")
      let versions = try await one.apply([
        .set(Self.key("a"), to: value), .set(Self.key("b"), to: value), .delete(Self.key("c")),
      ])
      try same(versions.map { $0 > 0 }, [true, true, false], "whether there are values")
      try await refused("one of several", as: .versionConflict) {
        try await one.apply([
          .set(Self.key("a"), to: StateValue(json: "2")), .set(Self.key("d"), to: value),
          .delete(Self.key("b")),
          .set(Self.key("c"), to: value, ifVersion: 7),
        ])
      }
      try same(
        try await other.all("test").entries.map { "\($0.key.key)=\($0.value)" }, ["a=1", "b=1"],
        "what is there")
    }
  }

  /// What has expired is not there, for anybody and anything.
  public func expiredIsNotThere() async throws {
    try await trial { trial in
      let store = try await trial.store()
      let past = UTCInstant(milliseconds: 1000)
      let future = UTCInstant.supported.upperBound
      for number in 0..<30 {
        try await store.set(Self.key("past \(number)"), encoding: number, expires: past)
      }
      try await store.set(Self.key("future"), encoding: 1, expires: future)
      try await store.set(Self.key("stays"), encoding: 1, expires: past)
      try await store.set(Self.key("stays"), encoding: 2)
      try same(try await store.get(Self.key("past 29")), nil, "what has expired")
      try same(try await store.all("test").entries.map(\.key.key), ["future", "stays"], "the list")
      try same(try await store.get(Self.key("future"))?.expires, future, "when it expires")
      try same(try await store.get(Self.key("stays"))?.expires, nil, "when what was set anew expires")
      let conflict = try await refused("a version of what expired", as: .versionConflict) {
        try await store.set(Self.key("past 29"), encoding: 1, ifVersion: 1)
      }
      try same(conflict.version, 0, "the version of what expired")
      try holds(!(try await store.delete(Self.key("past 29"))), "what expired was there to be deleted")
      try await store.set(Self.key("past 28"), encoding: 1, ifVersion: 0)
      try await store.removeExpired()
      try same(try await store.removeExpired(), 0, "what is left to remove")
      try same(
        try await store.all("test").entries.map(\.key.key), ["future", "past 28", "stays"], "the list then")
      try await refused("a year nobody keeps", as: .invalid) {
        try await store.set(Self.key("never"), encoding: 1, expires: UTCInstant(milliseconds: -1))
      }
    }
  }

  /// A list is in the order of the keys' bytes, of one namespace and prefix, and its pages are the whole.
  public func listsAreWholeAndInOrder() async throws {
    try await trial { trial in
      let store = try await trial.store()
      let keys = [
        "A", "a", "a%", "a/1", "a/10", "a/2", "a/\u{10FFFF}x", "a0", "a_", "b", "ä", "\u{FFFD}", "😀",
        "\u{10FFFF}", "\u{10FFFF}a",
      ]
      for (number, key) in keys.shuffled().enumerated() {
        try await store.set(Self.key(key), encoding: number)
        try await store.set(StateKey("test2", key), encoding: number)
      }
      for (prefix, expected) in [
        ("", keys), ("a/", ["a/1", "a/10", "a/2", "a/\u{10FFFF}x"]), ("a%", ["a%"]), ("a_", ["a_"]),
        ("\u{10FFFF}", ["\u{10FFFF}", "\u{10FFFF}a"]), ("c", []),
      ] {
        let expected = expected.sorted { Self.key($0) < Self.key($1) }
        for limit in [1, 2, 5, 1000] {
          var found: [String] = []
          var query = StateQuery("test", prefix: prefix, limit: limit)
          repeat {
            let page = try await store.list(query)
            try holds(page.entries.count <= limit, "a page of \(page.entries.count), not \(limit) at most")
            found += page.entries.map(\.key.key)
            query.after = page.next
          } while query.after != nil
          try same(found, expected, "the keys that begin with “\(prefix)”, \(limit) at a time")
        }
      }
      try same(try await store.list(StateQuery("nobody")).entries, [], "a namespace nobody has used")
    }
  }

  /// A secret is one until somebody says it is none, or deletes it.
  public func secretsStaySecret() async throws {
    try await trial { trial in
      let (one, other) = (try await trial.store(), try await trial.store())
      let key = Self.key("token")
      func isSecret() async throws -> Bool? { try await other.get(key)?.isSecret }
      try await one.set(key, encoding: "s1", isSecret: true)
      try same(try await isSecret(), true, "whether it is a secret")
      try await one.set(key, encoding: "s2")
      try same(try await isSecret(), true, "whether it is one when it was set anew")
      try same(try await other.all("test").entries.map(\.isSecret), [true], "whether it is one in a list")
      try same(try await other.get(key)?.value.json, "\"s2\"", "the secret itself")
      try await one.set(key, encoding: "plain", isSecret: false)
      try same(try await isSecret(), false, "whether it is one when that was taken back")
      try await one.set(key, encoding: "s3", isSecret: true)
      try await one.delete(key)
      try await one.set(key, encoding: "plain")
      try same(try await isSecret(), false, "whether another value of the key is one")
    }
  }
}
