// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastSessions

/// Appending, accepting, repairing.
extension SessionStoreConformance {
  /// What cannot be stored is replaced in its field alone, and said, whichever call it came by (row D01).
  public func unstorableTextIsRepaired() async throws {
    try await trial { trial in
      let store = try await trial.store()
      let parts = JSONValue.array([.object(["type": .string("text"), "text": .string("a\0b")])])
      var message = NewMessage(uid: "one", role: "user", content: .json(parts))
      message.model = "m\0"
      let made = try await store.append(message, to: "s")
      try same(Set(made.repaired ?? []), ["content", "model"], "what was repaired")
      let clean = try await store.append(NewMessage(role: "user", "clean"), to: "s")
      try same(clean.repaired, nil, "what was repaired of a clean message")
      let kept = try await store.transcript(of: "s").messages.first?.message
      try same(kept?.model, "m\u{FFFD}", "the model that is kept")
      let mended = JSONValue.array([.object(["type": .string("text"), "text": .string("a\u{FFFD}b")])])
      try same(kept?.content, .json(mended), "the content that is kept")
      var new = NewSession(id: "t")
      new.title = "nul\0"
      try same(try await store.create(new).repaired, ["title"], "what was repaired of a session")
      try same(try await store.session("t").title, "nul\u{FFFD}", "the title that is kept")
      var other = NewSession(id: "fork")
      other.source = "cli\0"
      try same(try await store.fork("s", upTo: nil, as: other).repaired, ["source"], "repaired of a fork")
      other.id = "next"
      let next = try await store.continuation(of: "s", summary: NewMessage(role: "user", "sum\0"), as: other)
      try same(next.repaired, ["source", "summary.content"], "repaired of a continuation")
      for id in ["fork", "next"] {
        try same(try await store.session(id).source, "cli\u{FFFD}", "the source that is kept of \(id)")
      }
      try store.accept(NewMessage(uid: "late", role: "user", "l\0"), for: "late")
      try await store.flush()
      try same(try await store.transcript(of: "late").texts, ["l\u{FFFD}"], "what was accepted")
    }
  }

  /// The order is that of the acknowledgements, whatever the messages' times say (row D02).
  public func orderIsThatOfAcknowledgement() async throws {
    try await trial { trial in
      let store = try await trial.store()
      for (index, day) in ["03", "01", "02", "02"].enumerated() {
        var message = NewMessage(role: "user", "\(index)")
        message.time = "2026-01-\(day)T00:00:00Z"
        try same(try await store.append(message, to: "s").seq, Int64(index + 1), "the sequence")
      }
      try same(try await store.transcript(of: "s").texts, ["0", "1", "2", "3"], "the order")
    }
  }

  /// Those who append at once get each a place of its own, without a gap, and read what they were told (row D02).
  public func writersAtOnceGetPlacesOfTheirOwn() async throws {
    try await trial { trial in
      let stores = [try await trial.store(), try await trial.store()]
      let told = try await withThrowingTaskGroup(of: [(Int64, String)].self) { group in
        for writer in 0..<8 {
          let store = stores[writer % 2]
          group.addTask {
            var told: [(Int64, String)] = []
            for number in 0..<10 {
              let made = try await store.append(NewMessage(role: "user", "\(writer).\(number)"), to: "s")
              told.append((made.seq, "\(writer).\(number)"))
            }
            return told
          }
        }
        var all: [(Int64, String)] = []
        for try await some in group {
          try holds(some.map(\.0) == some.map(\.0).sorted(), "One writer's places are not in its order.")
          all += some
        }
        return all.sorted { $0.0 < $1.0 }
      }
      try same(told.map(\.0), Array(1...80), "the places")
      try same(try await stores[0].transcript(of: "s").texts, told.map(\.1), "the order")
    }
  }

  /// Appending makes the session that is missing, after a deletion, too (row D03).
  public func appendMakesTheSession() async throws {
    try await trial { trial in
      let store = try await trial.store()
      try await store.append(NewMessage(role: "user", "first"), to: "never-made")
      try same(try await store.delete("never-made"), 1, "the sessions deleted")
      try await store.append(NewMessage(role: "user", "second"), to: "never-made")
      try same(try await store.transcript(of: "never-made").texts, ["second"], "what is in it")
    }
  }

  /// Messages that are appended together are there together or not at all.
  public func appendingIsOneStep() async throws {
    try await trial { trial in
      let store = try await trial.store()
      var absurd: [NewMessage] = [NewMessage(role: "", "no role")]
      for count: Int64 in [-1, 1_000_000_000_000_001, .max, .min] {
        absurd.append(Self.costing(count))
        var message = NewMessage(role: "user", "x")
        message.cacheReadTokens = count
        absurd.append(message)
      }
      var timeless = NewMessage(role: "user", "x")
      timeless.time = "yesterday"
      absurd += [timeless, NewMessage(uid: "", role: "user", "x")]
      absurd.append(NewMessage(uid: String(repeating: "u", count: 1025), role: "user", "x"))
      for message in absurd {
        try await refused("\(message)", as: .invalid) {
          _ = try await store.append([NewMessage(role: "user", "good"), message], to: "s")
        }
        try await refused("accepting \(message)", as: .invalid) { try store.accept(message, for: "s") }
      }
      try await store.flush()
      try await refused("the session of messages that were refused", as: .notFound) {
        _ = try await store.session("s")
      }
      for id in ["", String(repeating: "i", count: 257), "a\0b"] {
        try await refused("the id “\(id)”", as: .invalid) {
          _ = try await store.append(NewMessage(role: "user", "x"), to: id)
        }
        try await refused("accepting for the id “\(id)”", as: .invalid) {
          try store.accept(NewMessage(role: "user", "x"), for: id)
        }
      }
    }
  }

  /// The same message again is one message; another under its uid is kept under another, told, and found again by
  /// sending it again (row D05).
  public func sameUIDIsTheSameMessage() async throws {
    try await trial { trial in
      let store = try await trial.store()
      let first = try await store.append(Self.costing(7, uid: "u"), to: "s")
      let again = try await store.append(Self.costing(7, uid: "u"), to: "s")
      try holds(again.seq == first.seq && again.duplicate == true, "Sent again it is another: \(again)")
      let other = try await store.append(NewMessage(uid: "u", role: "user", "else"), to: "s")
      try holds(
        other.wantedUID == "u" && other.uid != "u" && other.duplicate == nil && other.seq == 2,
        "Another under its uid became \(other)")
      let otherAgain = try await store.append(NewMessage(uid: "u", role: "user", "else"), to: "s")
      try holds(
        otherAgain.uid == other.uid && otherAgain.seq == 2 && otherAgain.duplicate == true,
        "That one sent again became \(otherAgain)")
      let session = try await store.session("s")
      try same(session.messages, 2, "the messages")
      try same(session.costMicrodollars, 7, "the cost")
      let elsewhere = try await store.append(Self.costing(7, uid: "u"), to: "t")
      try same(elsewhere.duplicate, nil, "a uid of another session is a duplicate")
    }
  }

  /// An open tool call gets a synthetic result once, in its place, though several resume at once; a late answer takes
  /// its place (row D06).
  public func danglingCallIsClosedOnce() async throws {
    try await trial { trial in
      let store = try await trial.store()
      var call = NewMessage(role: "assistant", "")
      call.toolCalls = .array([.object(["id": .string("c1")]), .object(["id": .string("c2")])])
      var answer = NewMessage(role: "tool", "fine")
      answer.toolCallID = "c1"
      let use = JSONValue.array([.object(["type": .string("tool_use"), "id": .string("a1")])])
      try await store.append(
        [
          call, answer, NewMessage(role: "user", "go on"), NewMessage(role: "assistant", content: .json(use)),
        ],
        to: "s")
      try same(try await store.transcript(of: "s").messages.count, 4, "the messages before it is resumed")
      let second = try await trial.store()
      async let one = store.resume("s")
      async let two = second.resume("s")
      let (resumed, other) = try await (one, two)
      try same(other.messages, resumed.messages, "what the second to resume reads")
      try same(
        resumed.messages.map(\.message.role), ["assistant", "tool", "tool", "user", "assistant", "user"],
        "the order after repair")
      try same(resumed.messages.filter(\.synthetic).count, 2, "the synthetic results")
      try same(try await store.transcript(of: "s").messages, resumed.messages, "what stays")
      var late = NewMessage(role: "tool", "late")
      late.toolCallID = "c2"
      try await store.append(late, to: "s")
      let after = try await store.resume("s").messages
      try same(after.count, 6, "the messages after a late answer")
      try same(after.filter(\.synthetic).count, 1, "the synthetic results after a late answer")
      try holds(
        after[1...2].contains { $0.message.content == .text("late") },
        "The late answer is not where the synthetic one was.")
    }
  }

  // MARK: Accepted

  /// What is accepted lands exactly once, in its order, by whichever handle and however often it was sent.
  public func acceptedMessagesLandOnce() async throws {
    try await trial { trial in
      let store = try await trial.store()
      let second = try await trial.store()
      var new = NewSession(id: "ignored")
      (new.source, new.parent) = ("gateway", "above")
      for index in 0..<50 {
        let message = Self.costing(1, uid: "m\(index)")
        let made = try store.accept(message, for: "s", making: index == 0 ? new : nil)
        try same(made.uid, "m\(index)", "the uid that is told")
        try same(made.seq, 0, "the place that is told before it is known")
        try second.accept(message, for: "s")
        try store.accept(message, for: "s")
      }
      try second.accept(NewMessage(uid: "m0", role: "user", "another"), for: "s")
      try await store.flush()
      try await second.flush()
      let transcript = try await store.transcript(of: "s")
      let uids = transcript.messages.compactMap(\.message.uid)
      let expected = Set((0..<50).map { "m\($0)" })
      try same(expected.subtracting(uids), [], "the messages that did not land")
      try same(uids.count, 51, "the messages that landed, one of another's uid among them")
      try same(transcript.session.costMicrodollars, 50, "the cost")
      try same(transcript.session.source, "gateway", "the source it was to be made with")
      try same(transcript.session.parent, "above", "the parent it was to be made with")
      try same(try await store.session("above").costMicrodollars, 50, "the cost above it")
      try same(await store.status().depth, 0, "how many wait after a flush")
      // One sender's messages are in its order.
      for index in 0..<20 { try store.accept(NewMessage(role: "user", "\(index)"), for: "ordered") }
      try await store.flush()
      try same(
        try await store.transcript(of: "ordered").texts, (0..<20).map { "\($0)" }, "the order they landed in")
    }
  }

  /// What was accepted before the store was closed is there when it is opened again.
  public func acceptedMessagesOutliveTheirStore() async throws {
    try await trial { trial in
      let first = try await trial.store()
      for index in 0..<50 {
        try first.accept(NewMessage(uid: "\(index)", role: "user", "\(index)"), for: "s")
      }
      await first.close()
      let second = try await trial.store()
      try await second.flush()
      let uids = try await second.transcript(of: "s").messages.compactMap(\.message.uid)
      try same(uids, (0..<50).map { "\($0)" }, "what was accepted before")
    }
  }

  /// While the store cannot be written messages are accepted and told as waiting; they land once when it can,
  /// though it could not when it was opened (row A06).
  public func acceptedMessagesWaitWhileItIsHeld() async throws {
    try await trial { trial in
      let before = try await trial.store()
      try await before.append(NewMessage(uid: "0", role: "user", "0"), to: "s")
      await before.close()
      let opened = Monitor<(any SessionStore)?>(nil)
      try await trial.whileHeld {
        let store = try await trial.store()
        opened.withLock { $0 = store }
        for index in 0..<50 {
          try store.accept(NewMessage(uid: "\(index)", role: "user", "\(index)"), for: "s")
        }
        try same(await store.status().depth, 50, "how many wait")
      }
      guard let store = opened.withLock({ $0 }) else { return }
      try await store.flush()
      let uids = try await store.transcript(of: "s").messages.compactMap(\.message.uid)
      try same(uids, (0..<50).map { "\($0)" }, "what landed")
      try same(await store.status().depth, 0, "how many wait after it is free again")
    }
  }

  /// A closed store takes nothing, says so, and may be closed again.
  public func closedStoreRefuses() async throws {
    try await trial { trial in
      let store = try await trial.store()
      try await store.append(NewMessage(role: "user", "x"), to: "s")
      await store.close()
      await store.close()
      try await refused("creating") { _ = try await store.create(NewSession(id: "t")) }
      try await refused("appending") { _ = try await store.append(NewMessage(role: "user", "x"), to: "s") }
      try await refused("accepting", as: .closed) {
        try store.accept(NewMessage(role: "user", "x"), for: "s")
      }
      try await refused("reading") { _ = try await store.session("s") }
      try await refused("streaming") {
        _ = try await store.appendStreaming(NewMessage(role: "assistant", ""), to: "s")
      }
      let again = try await trial.store()
      try same(try await again.transcript(of: "s").texts, ["x"], "what is there when it is opened again")
    }
  }
}
