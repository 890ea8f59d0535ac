// SPDX-License-Identifier: Apache-2.0

import HoldfastSessions

/// Where sessions come from, what they cost together, and what goes with what.
extension SessionStoreConformance {
  /// Creating again fills in what is missing and changes nothing else, from whichever handle (row D04).
  public func creatingTwiceIsCreatingOnce() async throws {
    try await trial { trial in
      let stores = [try await trial.store(), try await trial.store()]
      var new = NewSession(id: "s")
      (new.source, new.parent, new.edge) = ("cli", "top", .fork)
      try holds(try await stores[0].create(new).created, "It was not told as created.")
      (new.source, new.model, new.parent, new.edge) = ("other", "m", "elsewhere", .subagent)
      try holds(try await !stores[1].create(new).created, "It was told as created twice.")
      let session = try await stores[0].session("s")
      try same(session.source, "cli", "the source it was made with")
      try same(session.model, "m", "the model it lacked")
      try same(session.parent, "top", "the parent it was made with")
      try same(session.edge, .fork, "the edge it was made with")
      let minted = [
        try await stores[0].create(NewSession()).id, try await stores[1].create(NewSession()).id,
      ]
      try holds(minted[0] != minted[1] && !minted[0].isEmpty, "Ids that are minted are the same: \(minted)")
    }
  }

  /// What a hundred sub-agents cost reaches every ancestor, each event once however often it is sent, and children
  /// that failed are counted once (row D07).
  public func costsRollUpOnce() async throws {
    try await trial { trial in
      let store = try await trial.store()
      try await store.create(Self.session("middle", from: "root"))
      try await withThrowingTaskGroup { group in
        for child in 0..<100 {
          group.addTask {
            try await store.create(Self.session("child-\(child)", from: "middle"))
            for event in 0..<5 {
              for _ in 0..<2 {
                try await store.append(Self.costing(Int64(event), uid: "e\(event)"), to: "child-\(child)")
              }
            }
            for _ in 0..<2 { try await store.end("child-\(child)", reason: "done", failed: child % 4 == 0) }
          }
        }
        try await group.waitForAll()
      }
      let root = try await store.session("root")
      try same(root.costMicrodollars, 1000, "the cost at the root")
      try same(root.total.outputTokens, 5000, "the tokens at the root")
      try same(root.own.outputTokens, 0, "the root's own tokens")
      try same(try await store.session("middle").failedChildren, 25, "the children that failed")
      try same(root.failedChildren, 0, "the children of the root that failed")
    }
  }

  /// A session that is put below another brings along what it cost, once, and whether it failed (row D07).
  public func costsOfALateChildAreAdded() async throws {
    try await trial { trial in
      let store = try await trial.store()
      try await store.create(Self.session("middle", from: "root"))
      try await store.append(Self.costing(5), to: "late")
      try await store.append(Self.costing(2), to: "below")
      try await store.create(Self.session("below", from: "late"))
      try await store.end("late", reason: "error", failed: true)
      for _ in 0..<2 { try await store.create(Self.session("late", from: "middle")) }
      try same(try await store.session("root").costMicrodollars, 7, "the cost at the root")
      try same(try await store.session("middle").failedChildren, 1, "the children that failed")
      try same(try await store.session("late").own.costMicrodollars, 5, "its own cost")
    }
  }

  /// Deleting takes sub-agents along and moves forks up, while others append; what was spent stays in the totals
  /// above (row D08).
  public func deletionFollowsItsRule() async throws {
    try await trial { trial in
      let store = try await trial.store()
      for level in 1..<200 { try await store.create(Self.session("l\(level)", from: "l\(level - 1)")) }
      try await store.append(Self.costing(3), to: "l199")
      try same(try await store.session("l0").costMicrodollars, 3, "the cost at the top of 200")
      var fork = NewSession(id: "fork")
      fork.title = "a fork"
      _ = try await store.fork("l150", upTo: nil, as: fork)
      _ = try await store.continuation(
        of: "l160", summary: NewMessage(role: "user", "sum"), as: NewSession(id: "next"))
      try await store.append(Self.costing(4), to: "fork")
      // The other loop goes on appending to what is being deleted.
      async let appended: Void = {
        for _ in 0..<20 { try await store.append(NewMessage(role: "user", "x"), to: "l180") }
      }()
      try same(try await store.delete("l100"), 100, "the sessions deleted")
      try await appended
      for id in ["fork", "next"] {
        try same(try await store.session(id).parent, "l99", "the parent \(id) moved up to")
      }
      try same(try await store.session("l0").costMicrodollars, 7, "the cost at the top after it")
      let sessions = try await store.list(SessionFilter()).sessions
      for session in sessions {
        let below = sessions.filter { $0.parent == session.id }
        let deleted =
          session.total.costMicrodollars - session.own.costMicrodollars
          - below.reduce(0) { $0 + $1.total.costMicrodollars }
        try same(deleted, session.id == "l99" ? 3 : 0, "what \(session.id) keeps of deleted sessions")
      }
      // A root's forks become roots.
      _ = try await store.fork("l0", upTo: nil, as: NewSession(id: "free"))
      try same(try await store.delete("l0"), 100, "the sessions deleted from the top")
      for id in ["free", "fork", "next"] {
        let session = try await store.session(id)
        try holds(
          session.parent == nil && session.edge == .root,
          "\(id) is a \(session.edge) of \(session.parent ?? "none") after the root is gone.")
      }
      try await refused("the deleted session", as: .notFound) { _ = try await store.session("l50") }
    }
  }

  /// No session comes from itself, by way of others either, and what is refused changes nothing (row D08).
  public func cyclesAreRefused() async throws {
    try await trial { trial in
      let store = try await trial.store()
      for level in 1..<10 { try await store.create(Self.session("l\(level)", from: "l\(level - 1)")) }
      try await store.append(Self.costing(3), to: "l9")
      for edge in [SessionEdge.subagent, .fork, .continuation] {
        for (id, parent) in [("l0", "l9"), ("l0", "l1"), ("l0", "l0"), ("new", "new")] {
          var cycle = Self.session(id, from: parent, edge)
          cycle.model = "m"
          try await refused("\(id) as a \(edge) of \(parent)", as: .cycle) { try await store.create(cycle) }
        }
      }
      let top = try await store.session("l0")
      try same(top.parent, nil, "the parent of the top")
      try same(top.model, nil, "what a refused creation filled in")
      try same(top.costMicrodollars, 3, "the cost at the top")
      try await refused("a session that only a refused creation named", as: .notFound) {
        _ = try await store.session("new")
      }
      var orphan = NewSession(id: "orphan")
      orphan.edge = .fork
      try await refused("a fork of none", as: .invalid) { try await store.create(orphan) }
      try await refused("a root with a parent", as: .invalid) {
        try await store.create(Self.session("orphan", from: "l0", .root))
      }
    }
  }

  /// A fork has the live messages up to a place, costs nothing again, goes its own way, and is made once.
  public func forkGoesItsOwnWay() async throws {
    try await trial { trial in
      let store = try await trial.store()
      try await store.append(
        [Self.costing(5, uid: "a"), Self.costing(6, uid: "b"), Self.costing(7, uid: "c")], to: "s")
      try await store.rewind("s", after: 2)
      let made = try await store.fork("s", upTo: 1, as: NewSession(id: "f"))
      try holds(made.created && made.id == "f", "It was told as \(made)")
      let fork = try await store.transcript(of: "f")
      try same(fork.messages.map(\.message.uid), ["a"], "what was copied")
      try same(fork.session.costMicrodollars, 0, "what the copy costs")
      try same(fork.session.parent, "s", "where it came from")
      try same(fork.session.edge, .fork, "how it came from it")
      try same(try await store.session("s").costMicrodollars, 18, "what the origin costs")
      try same(try await store.append(NewMessage(role: "user", "on"), to: "f").seq, 2, "the next place")
      try same(try await store.transcript(of: "s").messages.count, 2, "the messages of the origin")
      let again = try await store.fork("s", upTo: nil, as: NewSession(id: "f"))
      try holds(!again.created, "Asked again it was told as created.")
      try same(try await store.transcript(of: "f").texts, ["done", "on"], "what asking again left")
      let whole = try await store.fork("s", upTo: nil, as: NewSession()).id
      try same(
        try await store.transcript(of: whole).messages.map(\.message.uid), ["a", "b"], "all that is live")
      try await store.rewind("s", after: 0)
      try same(
        try await store.transcript(of: whole).messages.count, 2, "the copy after the origin is rewound")
      try await refused("a fork of none", as: .notFound) {
        _ = try await store.fork("none", upTo: nil, as: NewSession())
      }
    }
  }

  /// A continuation begins with the summary, takes over what it does not say, and ends what it follows; once.
  public func continuationFollows() async throws {
    try await trial { trial in
      let store = try await trial.store()
      var first = NewSession(id: "first")
      (first.source, first.model, first.cwd, first.gitBranch) = ("cli", "m", "/work", "main")
      try await store.create(first)
      var message = NewMessage(role: "assistant", "long")
      message.costMicrodollars = 5
      try await store.append(message, to: "first")
      var next = NewSession(id: "next")
      next.model = "other"
      let summary = NewMessage(role: "user", "in short")
      let made = try await store.continuation(of: "first", summary: summary, as: next)
      try holds(made.created && made.id == "next", "It was told as \(made)")
      let again = try await store.continuation(of: "first", summary: summary, as: next)
      try holds(!again.created, "Asked again it was told as created.")
      let transcript = try await store.transcript(of: "next")
      let session = transcript.session
      try same(session.parent, "first", "where it came from")
      try same(session.edge, .continuation, "how it came from it")
      try same(
        [session.source, session.model, session.cwd, session.gitBranch], ["cli", "other", "/work", "main"],
        "what it took over")
      try same(transcript.texts, ["in short"], "what it begins with")
      let origin = try await store.transcript(of: "first")
      try same(origin.session.endedReason, "continued", "how the first ended")
      try holds(origin.session.ended != nil && !origin.session.failed, "The first has not ended well.")
      try same(origin.texts, ["long"], "what is left of the first")
      try await store.append(Self.costing(2), to: "next")
      try same(try await store.session("first").costMicrodollars, 7, "the cost of the whole conversation")
      // One that had ended keeps its own reason.
      try await store.append(NewMessage(role: "user", "x"), to: "ended")
      try await store.end("ended", reason: "user", failed: false)
      _ = try await store.continuation(of: "ended", summary: summary, as: NewSession())
      try same(try await store.session("ended").endedReason, "user", "the reason of one that had ended")
    }
  }

  /// A tree has all that came from a session, the oldest first, and says when it is cut.
  public func treeShowsWhatCameFromIt() async throws {
    try await trial { trial in
      let store = try await trial.store()
      try await Self.plant("root", year: 2020, in: store)
      try await Self.plant("younger", below: "root", year: 2023, in: store)
      try await Self.plant("older", below: "root", year: 2021, in: store)
      try await Self.plant("leaf", below: "older", year: 2024, in: store)
      try await Self.plant("stranger", year: 2020, in: store)
      let tree = try await store.tree(of: "root", limit: 100)
      try same(tree.children.map(\.session.id), ["older", "younger"], "what came from it directly")
      try same(tree.children.first?.children.map(\.session.id), ["leaf"], "what came from its child")
      try holds(tree.truncated != true, "It is told as cut.")
      try same(try await store.tree(of: "root", limit: 3), tree, "a tree that just fits")
      let cut = try await store.tree(of: "root", limit: 1)
      try same(cut.truncated, true, "whether a tree of one is told as cut")
      func count(_ tree: SessionTree) -> Int { tree.children.reduce(0) { $0 + 1 + count($1) } }
      try same(count(cut), 1, "the sessions of a tree of one")
    }
  }
}
