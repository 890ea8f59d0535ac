// SPDX-License-Identifier: Apache-2.0

import HoldfastSessions

/// Streaming, taking back, compacting, reading in pieces.
extension SessionStoreConformance {
  /// A streamed message is there at once and marked, whole and counted once when it was finished, and ended for good.
  public func streamedMessageIsWhole() async throws {
    try await trial { trial in
      let store = try await trial.store()
      let stream = try await store.appendStreaming(NewMessage(uid: "u", role: "assistant", ""), to: "s")
      try same(stream.uid, "u", "its uid")
      try same(stream.seq, 1, "its place")
      try holds(try await store.transcript(of: "s").messages[0].streaming, "It is not marked as streaming.")
      let pieces = (0..<500).map { "piece \($0), " }
      for piece in pieces { await stream.add(piece) }
      var end = NewMessage(role: "assistant", "")
      (end.outputTokens, end.costMicrodollars, end.finishReason) = (7, 9, "stop")
      end.toolCalls = .array([.object(["id": .string("c1")])])
      let made = try await stream.finish(end)
      try holds(made.uid == "u" && made.seq == 1, "Its end was told as \(made)")
      let message = try await store.transcript(of: "s").messages[0]
      try same(message.message.content, .text(pieces.joined()), "what it says")
      try same(message.message.toolCalls, end.toolCalls, "its tool calls")
      try holds(!message.streaming, "It is still marked as streaming.")
      try same(message.message.finishReason, "stop", "why it stopped")
      let session = try await store.session("s")
      try same(session.costMicrodollars, 9, "the cost")
      try same(session.own.outputTokens, 7, "the tokens")
      try same(session.messages, 1, "the messages")
      await stream.add("too late")
      try await refused("finishing again") { try await stream.finish() }
      try same(
        try await store.transcript(of: "s").contents, [.text(pieces.joined())], "what it says in the end")
      try await refused("streaming under another's uid", as: .invalid) {
        _ = try await store.appendStreaming(NewMessage(uid: "u", role: "assistant", "other"), to: "s")
      }
      try same(try await store.session("s").messages, 1, "the messages after it was refused")
      try await refused("streaming parts", as: .invalid) {
        _ = try await store.appendStreaming(
          NewMessage(role: "assistant", content: .json(.array([]))), to: "s")
      }
    }
  }

  /// What was known when a message began stays unless its end says otherwise; text that cannot be stored is repaired
  /// and told at the end (row D01).
  public func whatAStreamBeganWithStays() async throws {
    try await trial { trial in
      let store = try await trial.store()
      var beginning = NewMessage(role: "assistant", "begun\0 ")
      (beginning.model, beginning.inputTokens, beginning.costMicrodollars) = ("m", 100, 3)
      let stream = try await store.appendStreaming(beginning, to: "s")
      await stream.add("e\u{301}nd\0")
      await stream.add("\u{308}.")
      try same(try await stream.finish().repaired, ["content"], "what was repaired")
      let message = try await store.transcript(of: "s").messages[0].message
      try same(message.content, .text("begun\u{FFFD} e\u{301}nd\u{FFFD}\u{308}."), "what it says")
      try same(message.model, "m", "the model known at the beginning")
      try same(message.inputTokens, 100, "the tokens known at the beginning")
      try same(try await store.session("s").costMicrodollars, 3, "the cost known at the beginning")
      let other = try await store.appendStreaming(beginning, to: "t")
      await other.add("thrown away")
      var end = NewMessage(role: "assistant", "instead")
      (end.costMicrodollars, end.model) = (5, "m2")
      try await other.finish(end)
      let replaced = try await store.transcript(of: "t").messages[0].message
      try same(replaced.content, .text("instead"), "a text of the end's own")
      try same(replaced.model, "m2", "the model the end tells")
      try same(replaced.inputTokens, 100, "the tokens the end does not tell")
      try same(try await store.session("t").costMicrodollars, 5, "the cost the end tells")
    }
  }

  /// Pieces that come while the store cannot be written are in the message when it can, none missing, none twice.
  public func streamedPiecesWaitWhileItIsHeld() async throws {
    try await trial { trial in
      let store = try await trial.store()
      let stream = try await store.appendStreaming(NewMessage(role: "assistant", ""), to: "s")
      var finishing: Task<MessageAcknowledgement, any Error>?
      try await trial.whileHeld {
        for number in 0..<50 { await stream.add("\(number) ") }
        finishing = Task { try await stream.finish() }
      }
      _ = try await finishing?.value
      try same(
        try await store.transcript(of: "s").texts, [(0..<50).map { "\($0) " }.joined()], "what it says")
    }
  }

  /// A message whose writer went away stays, marked as streaming, and what comes after it is behind it.
  public func unfinishedMessageStays() async throws {
    try await trial { trial in
      let first = try await trial.store()
      let stream = try await first.appendStreaming(NewMessage(uid: "u", role: "assistant", "begun"), to: "s")
      await first.close()
      await stream.add("never")
      try await refused("ending it in a store that is closed") { try await stream.finish() }
      let store = try await trial.store()
      try await store.append(NewMessage(role: "user", "next"), to: "s")
      let transcript = try await store.transcript(of: "s")
      try same(transcript.texts, ["begun", "next"], "what is there")
      try same(transcript.messages.map(\.streaming), [true, false], "what is marked as streaming")
    }
  }

  /// Pieces of several messages at once go each into its own.
  public func streamsAtOnceDoNotMix() async throws {
    try await trial { trial in
      let store = try await trial.store()
      try await withThrowingTaskGroup { group in
        for writer in 0..<10 {
          group.addTask {
            let beginning = NewMessage(uid: "\(writer)", role: "assistant", "")
            let stream = try await store.appendStreaming(beginning, to: "s")
            for number in 0..<20 { await stream.add("\(writer).\(number) ") }
            try await stream.finish()
          }
        }
        try await group.waitForAll()
      }
      for message in try await store.transcript(of: "s").messages {
        let writer = message.message.uid ?? ""
        let expected = (0..<20).map { "\(writer).\($0) " }.joined()
        try same(message.message.content, .text(expected), "what \(writer) says")
      }
    }
  }

  /// What is taken back stays, as undone, counts as spent, and its places are not given again.
  public func rewindTakesBackSoftly() async throws {
    try await trial { trial in
      let store = try await trial.store()
      try await store.append(
        [Self.costing(5, uid: "a"), Self.costing(6, uid: "b"), Self.costing(7, uid: "c")], to: "s")
      try same(try await store.rewind("s", after: 2), 1, "how many were taken back")
      try same(try await store.transcript(of: "s").messages.map(\.seq), [1, 2], "what is live")
      let undone = try await store.transcript(of: "s", states: [.undone]).messages
      try same(undone.map(\.seq), [3], "what is undone")
      try same(undone.map(\.state), [.undone], "its state")
      try same(try await store.rewind("s", after: 2), 0, "how many were taken back again")
      let session = try await store.session("s")
      try same(session.costMicrodollars, 18, "the cost")
      try same(session.messages, 3, "the messages of every state")
      try same(try await store.append(NewMessage(role: "user", "on"), to: "s").seq, 4, "the next place")
      try same(try await store.rewind("s", after: 0), 3, "how many are taken back from the beginning")
      try same(try await store.transcript(of: "s").messages, [], "what is live in the end")
    }
  }

  /// A summary is read where the messages were it stands for; they stay, as compacted, and sending it again changes
  /// nothing.
  public func summaryStandsForMessages() async throws {
    try await trial { trial in
      let store = try await trial.store()
      try await store.append((1...5).map { NewMessage(role: "user", "\($0)") }, to: "s")
      let summary = NewMessage(uid: "sum", role: "user", "1 to 3")
      let made = try await store.compact("s", upTo: 3, summary: summary)
      var expected = made
      expected.duplicate = true
      try same(try await store.compact("s", upTo: 3, summary: summary), expected, "the summary sent again")
      try same(try await store.transcript(of: "s").texts, ["1 to 3", "4", "5"], "what is read")
      let compacted = try await store.transcript(of: "s", states: [.compacted])
      try same(compacted.texts, ["1", "2", "3"], "what is compacted")
      try same(
        try await store.transcript(of: "s", states: Set(MessageState.allCases)).texts,
        ["1", "2", "3", "1 to 3", "4", "5"], "all of it")
      // What came meanwhile is behind it, and a later summary stands for the earlier one, too.
      try await store.append(NewMessage(role: "user", "6"), to: "s")
      try await store.compact("s", upTo: 5, summary: NewMessage(role: "user", "1 to 5"))
      try same(try await store.transcript(of: "s").texts, ["1 to 5", "6"], "what is read after a second")
      try same(try await store.resume("s").texts, ["1 to 5", "6"], "what is resumed")
      try same(try await store.session("s").messages, 8, "the messages of every state")
    }
  }

  /// Pieces of a transcript put together are the transcript, forwards, backwards, from a place in it and by size.
  public func piecesMakeTheTranscript() async throws {
    try await trial { trial in
      let store = try await trial.store()
      try await store.append((1...25).map { NewMessage(role: "user", "\($0)") }, to: "s")
      try await store.compact("s", upTo: 12, summary: NewMessage(role: "user", "1 to 12"))
      try await store.rewind("s", after: 23)
      let whole = try await store.transcript(of: "s").texts
      try same(whole, ["1 to 12"] + (13...23).map { "\($0)" }, "the transcript")
      var (found, pieces): ([String], Int) = ([], 0)
      var place: TranscriptPage.Place? = .start
      while let from = place, pieces < 20 {
        let piece = try await store.page(of: "s", TranscriptPage(from, limit: 5))
        try same(piece.previous == nil, from == .start, "whether the piece \(pieces) is the first")
        (found, pieces) = (found + piece.texts, pieces + 1)
        place = piece.next.map { .after($0) }
      }
      try same(found, whole, "the pieces from the beginning")
      try same(pieces, 3, "the pieces of five of twelve")
      (found, pieces, place) = ([], 0, .end)
      while let from = place, pieces < 20 {
        let piece = try await store.page(of: "s", TranscriptPage(from, limit: 5))
        try same(piece.next == nil, from == .end, "whether the piece \(pieces) is the last")
        (found, pieces) = (piece.texts + found, pieces + 1)
        place = piece.previous.map { .before($0) }
      }
      try same(found, whole, "the pieces from the end")
      let middle = try await store.page(of: "s", TranscriptPage(.from(seq: 14), limit: 2))
      try same(middle.texts, ["14", "15"], "the piece from a place")
      try holds(middle.previous != nil && middle.next != nil, "It is not told that there is more around it.")
      let small = try await store.page(of: "s", TranscriptPage(.start, limit: 5, maximumBytes: 1))
      try same(small.texts, ["1 to 12"], "a piece of a byte")
      let all = try await store.page(
        of: "s", TranscriptPage(.start, limit: 100, states: [.compacted, .undone]))
      try same(all.texts, (1...12).map { "\($0)" } + ["24", "25"], "the pieces of other states")
    }
  }
}
