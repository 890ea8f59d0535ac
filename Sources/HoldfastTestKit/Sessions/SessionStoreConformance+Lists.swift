// SPDX-License-Identifier: Apache-2.0

import HoldfastSessions

/// Names, lists and the calls that change a session's row.
extension SessionStoreConformance {
  /// Any number of ids in one call (row D09).
  public func anyNumberOfIDs() async throws {
    try await trial { trial in
      let store = try await trial.store()
      for name in ["id-5", "id-99999", "other"] { try await store.create(NewSession(id: name)) }
      var filter = SessionFilter()
      filter.ids = (0..<100_000).map { "id-\($0)" }
      try same(
        Set(try await store.list(filter).sessions.map(\.id)), ["id-5", "id-99999"], "what is found of 100,000"
      )
      filter.ids = []
      try same(try await store.list(filter).sessions.map(\.id), [], "what is found of none")
    }
  }

  /// A filter lets through what it says, those last active first, and a limit leaves nothing out and nothing twice.
  public func listsAreFilteredAndWhole() async throws {
    try await trial { trial in
      let store = try await trial.store()
      for number in 0..<10 {
        try await Self.plant("s\(number)", year: 2010 + number, in: store) { record in
          record.source = number % 2 == 0 ? "cli" : "cron"
          record.archived = number % 3 == 0
          record.title = number == 4 ? "50% of Café_x" : nil
        }
      }
      try await Self.plant("child", below: "s9", year: 2000, in: store)
      func ids(_ change: (inout SessionFilter) -> Void) async throws -> [String] {
        var filter = SessionFilter()
        change(&filter)
        return try await store.list(filter).sessions.map(\.id)
      }
      let all = (0..<10).reversed().map { "s\($0)" } + ["child"]
      try same(try await ids { _ in }, all, "all, those last active first")
      try same(try await ids { $0.source = "cron" }, ["s9", "s7", "s5", "s3", "s1"], "those of a source")
      try same(try await ids { $0.archived = true }, ["s9", "s6", "s3", "s0"], "those put away")
      try same(
        try await ids { ($0.archived, $0.source) = (false, "cli") }, ["s8", "s4", "s2"], "two at once")
      try same(try await ids { $0.parent = "s9" }, ["child"], "those of a parent")
      try same(try await ids { $0.isRoot = true }, Array(all.dropLast()), "those from no other")
      try same(try await ids { $0.isRoot = false }, ["child"], "those from another")
      try same(try await ids { $0.text = "S4" }, ["s4"], "a text in the id, whatever its case")
      try same(try await ids { $0.text = "50% OF caf" }, ["s4"], "a text in the title")
      try same(try await ids { $0.text = "5%o" }, [], "a text with a sign that stands for others elsewhere")
      try same(try await ids { $0.text = "s_" }, [], "a text with another such sign")
      try same(try await ids { $0.text = "Café_x" }, ["s4"], "a text with one that is in it")
      var filter = SessionFilter()
      filter.limit = 3
      var found: [String] = []
      var pieces = 0
      repeat {
        let list = try await store.list(filter)
        found += list.sessions.map(\.id)
        filter.after = list.next
        pieces += 1
      } while filter.after != nil && pieces < 20
      try same(found, all, "all, three at a time")
      try same(pieces, 4, "the pieces of three of eleven")
    }
  }

  /// Titles never collide and never abort: one that is taken gets a number, though many want it at once.
  public func titlesAreUnique() async throws {
    try await trial { trial in
      let store = try await trial.store()
      let second = try await trial.store()
      for index in 1...3 { try await store.create(NewSession(id: "abc-\(index)")) }
      try same(try await store.rename("abc-1", to: "Fix it", from: .model), "Fix it", "the first title")
      for _ in 0..<2 {
        try same(try await store.rename("abc-2", to: "Fix it", from: .user), "Fix it (2)", "the second")
      }
      try same(try await store.rename("abc-3", to: "Fix it", from: .derived), "Fix it (3)", "the third")
      try same(try await store.rename("abc-2", to: "Other", from: .model), "Fix it (2)", "a user's title")
      try same(
        try await store.rename("abc-2", to: "Other", from: .user), "Other", "a user's title by the user")
      try same(try await store.session("abc-2").titleFrom, "user", "who gave it")
      try same(try await store.rename("abc-1", to: "Fix it", from: .user), "Fix it", "a title given twice")
      try same(
        try await store.rename("abc-1", to: "Not so", from: .model), "Fix it",
        "a model's title a user took up")
      var new = NewSession(id: "abc-4")
      new.title = "Other"
      try await store.create(new)
      try same(try await store.session("abc-4").title, "Other (2)", "a taken title at creation")
      try await withThrowingTaskGroup { group in
        for index in 0..<20 {
          let store = index % 2 == 0 ? store : second
          group.addTask {
            try await store.create(NewSession(id: "many-\(index)"))
            _ = try await store.rename("many-\(index)", to: "Same (x)", from: .model)
          }
        }
        try await group.waitForAll()
      }
      let titles = try await store.list(SessionFilter()).sessions.compactMap(\.title)
      let many = Set(titles.filter { $0.hasPrefix("Same (x)") })
      try same(many, Set(["Same (x)"] + (2...20).map { "Same (x) (\($0))" }), "the titles of twenty at once")
    }
  }

  /// The beginning of an id names its session where no other begins like it, in every call that wants one that is
  /// there; a whole id names itself.
  public func beginningsOfIDsNameSessions() async throws {
    try await trial { trial in
      let store = try await trial.store()
      for id in ["abc-1", "abc-2", "a%b", "axb", "xyz-long"] { try await store.create(NewSession(id: id)) }
      try await refused("a beginning of two", as: .ambiguous) { _ = try await store.session("abc") }
      try await refused("a beginning of none", as: .notFound) { _ = try await store.session("q") }
      try await refused("no beginning", as: .notFound) { _ = try await store.session("") }
      try await refused("an end", as: .notFound) { _ = try await store.session("long") }
      try same(try await store.session("abc-2").id, "abc-2", "a whole id")
      try same(
        try await store.session("a%").id, "a%b", "a beginning with a sign that stands for others elsewhere")
      // Appending makes what it names.
      try await store.append(NewMessage(role: "user", "x"), to: "abc")
      try same(try await store.session("abc").id, "abc", "a whole id that others begin with")
      try await store.append((1...4).map { NewMessage(uid: "\($0)", role: "user", "\($0)") }, to: "xyz-long")
      try same(try await store.rename("xyz", to: "T", from: .user), "T", "renaming")
      try await store.archive("xyz", true)
      try await store.end("xyz", reason: "done", failed: false)
      try same(try await store.rewind("xyz", after: 3), 1, "rewinding")
      try await store.compact("xyz", upTo: 2, summary: NewMessage(uid: "sum", role: "user", "1 and 2"))
      try same(try await store.transcript(of: "xyz").texts, ["1 and 2", "3"], "reading")
      try same(try await store.page(of: "xyz", TranscriptPage()).texts, ["1 and 2", "3"], "reading a piece")
      try same(try await store.resume("xyz").texts, ["1 and 2", "3"], "resuming")
      try same(try await store.tree(of: "xyz", limit: 1).session.id, "xyz-long", "its tree")
      _ = try await store.fork("xyz", upTo: nil, as: NewSession(id: "fork"))
      _ = try await store.continuation(
        of: "xyz", summary: NewMessage(role: "user", "s"), as: NewSession(id: "on"))
      for id in ["fork", "on"] { try same(try await store.session(id).parent, "xyz-long", "whose \(id) is") }
      let session = try await store.session("xyz-long")
      try holds(session.archived && session.endedReason == "done", "It was neither put away nor ended.")
      try same(try await store.delete("xyz"), 1, "deleting")
      try await refused("the deleted session", as: .notFound) { _ = try await store.session("xyz-long") }
    }
  }

  /// A session ends once, with its first reason, and is put away and back as often as one likes.
  public func endingAndPuttingAwayAreIdempotent() async throws {
    try await trial { trial in
      let store = try await trial.store()
      try await store.create(NewSession(id: "s"))
      try await store.end("s", reason: "first", failed: true)
      let ended = try await store.session("s")
      try await store.end("s", reason: "second", failed: false)
      let again = try await store.session("s")
      try same(again.endedReason, "first", "the reason")
      try same(again.failed, true, "whether it failed")
      try holds(again.ended != nil && again.ended == ended.ended, "Ended again it has another time.")
      for isArchived in [true, true, false, false] {
        try await store.archive("s", isArchived)
        try same(try await store.session("s").archived, isArchived, "whether it is put away")
      }
      try await refused("ending none", as: .notFound) {
        try await store.end("none", reason: "x", failed: false)
      }
      try await refused("putting none away", as: .notFound) { try await store.archive("none", true) }
    }
  }
}
