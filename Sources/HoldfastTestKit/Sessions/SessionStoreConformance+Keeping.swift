// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastSessions

/// Pruning, exporting, taking in.
extension SessionStoreConformance {
  /// Pruning removes what is old and nobody keeps, says beforehand what, and what it cost stays (row A11).
  public func pruningRemovesWhatNobodyKeeps() async throws {
    try await trial { trial in
      let store = try await trial.store()
      func plant(
        _ id: String, below parent: String? = nil, _ year: Int,
        _ change: (inout SessionRecord) -> Void = { _ in }
      ) async throws {
        try await Self.plant(id, below: parent, year: year, messages: 300, in: store, change)
      }
      try await plant("old", 2024)
      try await plant("old-child", below: "old", 2024)
      try await plant("pinned", 2024) { $0.pinned = true }
      try await plant("kept", 2024)
      try await plant("kept-child", below: "kept", 2026)
      try await plant("parent", 2026)
      try await plant("child", below: "parent", 2024)
      _ = try await store.fork("old", upTo: 1, as: NewSession(id: "fork"))
      let pruning = SessionPruning(inactiveSince: "2025-01-01T00:00:00Z")
      let all = Set(try await store.list(SessionFilter()).sessions.map(\.id))
      let expected = SessionPruned(sessions: 3, messages: 900)
      for _ in 0..<2 { try same(try await store.prunable(pruning), expected, "what would go") }
      try same(Set(try await store.list(SessionFilter()).sessions.map(\.id)), all, "what a dry run left")
      try same(try await store.prune(pruning), expected, "what went")
      let nothing = SessionPruned(sessions: 0, messages: 0)
      try same(try await store.prunable(pruning), nothing, "what would go now")
      try same(try await store.prune(pruning), nothing, "what went the second time")
      let left = try await store.list(SessionFilter()).sessions
      try same(
        Set(left.map(\.id)), ["pinned", "kept", "kept-child", "parent", "fork"], "the sessions that are left")
      try same(try await store.session("parent").costMicrodollars, 600, "the cost above what went")
      try same(try await store.session("fork").parent, nil, "the parent of a fork of what went")
      for session in left where session.id != "fork" {
        try same(try await store.transcript(of: session.id).messages.count, 300, "what \(session.id) has")
      }
    }
  }

  /// What a pruning does not name stays.
  public func pruningIsFiltered() async throws {
    try await trial { trial in
      let store = try await trial.store()
      for (id, source, archived) in [
        ("a", "cron", true), ("b", "cron", false), ("c", "cli", true), ("d", "cli", false),
      ] {
        try await Self.plant(id, year: 2020, messages: 2, in: store) {
          ($0.source, $0.archived) = (source, archived)
        }
      }
      func left() async throws -> Set<String> {
        Set(try await store.list(SessionFilter()).sessions.map(\.id))
      }
      var pruning = SessionPruning(inactiveSince: "2020-01-01T00:00:00Z")
      try same(try await store.prune(pruning).sessions, 0, "those last active before they were")
      pruning.inactiveSince = "2020-01-01T00:00:00.001Z"
      (pruning.source, pruning.archivedOnly) = ("cron", true)
      try same(
        try await store.prunable(pruning), SessionPruned(sessions: 1, messages: 2), "put away, of a source")
      try same(try await store.prune(pruning).sessions, 1, "how many went of a source, put away")
      try same(try await left(), ["b", "c", "d"], "what is left of a source, put away")
      (pruning.source, pruning.archivedOnly) = (nil, true)
      try same(try await store.prune(pruning).sessions, 1, "how many went, put away")
      try same(try await left(), ["b", "d"], "what is left, put away")
      (pruning.source, pruning.archivedOnly) = ("cli", false)
      try same(try await store.prune(pruning).sessions, 1, "how many went of a source")
      try same(try await left(), ["b"], "what is left of a source")
      pruning.inactiveSince = "long ago"
      try await refused("a time that is none", as: .invalid) { _ = try await store.prunable(pruning) }
      try await refused("pruning by a time that is none", as: .invalid) { _ = try await store.prune(pruning) }
      try same(try await left(), ["b"], "what is left of a pruning that was refused")
    }
  }

  /// An export taken in elsewhere, in whatever pieces, is the same again, and taking it in twice changes nothing.
  public func exportTakenInIsTheSame() async throws {
    try await trial { trial in
      let store = try await trial.store()
      var new = NewSession(id: "child")
      (new.parent, new.title, new.metadata) = ("top", "T", .object(["a": .array([.null])]))
      try await store.create(new)
      var costing = NewMessage(role: "assistant", content: .json(.array([.string("x")])))
      (costing.costMicrodollars, costing.toolCalls) = (3, .array([.object(["id": .string("c1")])]))
      try await store.append([NewMessage(role: "user", "1"), costing], to: "child")
      _ = try await store.resume("child")
      try await store.append((0..<1200).map { NewMessage(role: "user", "\($0)") }, to: "top")
      try await store.rewind("top", after: 1100)
      try await store.compact("top", upTo: 2, summary: NewMessage(role: "user", "sum"))
      try await store.archive("top", true)
      try await store.end("child", reason: "error", failed: true)
      _ = try await store.appendStreaming(NewMessage(role: "assistant", "half"), to: "child")
      // A parent that was made after its child is before it all the same.
      try await store.create(Self.session("early", from: "late"))
      let all = try await Self.lines(of: store)
      let copy = try await trial.store("copy")
      for start in stride(from: 0, to: all.count, by: 333) {
        let last = all[..<start].compactMap { if case .session(let session) = $0 { session.id } else { nil } }
          .last
        let piece = Array(all[start..<min(start + 333, all.count)])
        let taken = try await copy.take(piece, into: last)
        let named = piece.compactMap { if case .session(let session) = $0 { session.id } else { nil } }.last
        try same(taken.last, named ?? last, "the session named last")
      }
      let again = try await copy.take(all, into: nil)
      try same(again.sessions, 0, "the sessions that were new the second time")
      try same(again.messages, 0, "the messages that were new the second time")
      for id in ["top", "child", "late", "early"] {
        let (one, other) = (try await store.transcript(of: id), try await copy.transcript(of: id))
        try same(other.session, one.session, "the session \(id)")
        try same(other.contents, one.contents, "what \(id) says")
        try same(other.messages.map(\.message), one.messages.map(\.message), "the messages of \(id)")
        try same(other.messages.map(\.synthetic), one.messages.map(\.synthetic), "the repairs of \(id)")
        try same(other.messages.map(\.streaming), one.messages.map(\.streaming), "what \(id) had not ended")
      }
      for (state, count) in [(MessageState.undone, 100), (.compacted, 2)] {
        let found = try await copy.transcript(of: "top", states: [state]).messages.count
        try same(found, count, "the messages that are \(state)")
      }
      let kept = try await Self.lines(of: copy)
      try same(kept.count, all.count, "the lines of an export of the copy")
    }
  }

  /// An export names a session before its messages and its parent before it; of some sessions it has only those.
  public func exportIsInOrder() async throws {
    try await trial { trial in
      let store = try await trial.store()
      for number in 0..<4 {
        try await store.create(Self.session("s\(number)", from: "s\(number + 1)"))
        try await store.append(NewMessage(uid: "m\(number)", role: "user", "x"), to: "s\(number)")
      }
      func names(_ lines: [SessionTransferLine]) -> [String] {
        lines.map {
          switch $0 {
          case .session(let session): session.id
          case .message(let message): message.message.uid ?? ""
          }
        }
      }
      try same(
        names(try await Self.lines(of: store)), ["s4", "s3", "m3", "s2", "m2", "s1", "m1", "s0", "m0"],
        "the order of an export")
      try same(
        names(try await Self.lines(["s2", "s0", "none"], of: store)), ["s2", "m2", "s0", "m0"],
        "an export of two")
      struct Stop: Error {}
      try await refused("an export whose reader stops") { _ = try await store.export { _ in throw Stop() } }
      let copy = try await trial.store("copy")
      try await refused("a message of nobody's", as: .invalid) {
        let message = NewMessage(role: "user", "x")
        _ = try await copy.take(
          [
            .message(
              MessageRecord(seq: 1, state: .live, synthetic: false, streaming: false, message: message))
          ],
          into: nil)
      }
      // Lines of one call are taken in together or not at all.
      try await refused("a line that cannot be kept", as: .invalid) {
        var lines = try await Self.lines(of: store)
        lines.append(.session(SessionRecord(id: "s", started: "no", lastActive: "no")))
        _ = try await copy.take(lines, into: nil)
      }
      try same(try await copy.list(SessionFilter()).sessions, [], "what is left of lines that were refused")
    }
  }

  /// All lines of an export.
  private static func lines(
    _ ids: [String]? = nil, of store: any SessionStore
  ) async throws -> [SessionTransferLine] {
    let lines = Monitor([SessionTransferLine]())
    let faults = try await store.export(ids) { line in lines.withLock { $0.append(line) } }
    guard faults.isEmpty else {
      throw BrokenPromise(promise: "export", line: #line, reason: "It left rows out: \(faults)")
    }
    return lines.withLock { $0 }
  }
}
