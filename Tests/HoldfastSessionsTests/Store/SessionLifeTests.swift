// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine
import HoldfastTestKit
import Testing

@testable import HoldfastSessions

@Suite("Streaming, compaction, pruning, transfer")
struct SessionLifeTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  private func open(_ home: String = "home") async throws -> SQLiteSessionStore {
    try await SQLiteSessionStore.open(home: directory.file(home))
  }

  private func texts(_ transcript: SessionTranscript) -> [MessageContent] {
    transcript.messages.map(\.message.content)
  }

  @Test("a streamed message is whole and counted once when it was finished")
  func streaming() async throws {
    let store = try await open()
    let stream = try await store.appendStreaming(NewMessage(uid: "u", role: "assistant", ""), to: "s")
    #expect(try await store.transcript(of: "s").messages[0].streaming)
    let pieces = (0..<500).map { "piece \($0), " }
    for piece in pieces { await stream.add(piece) }
    var end = NewMessage(role: "assistant", "")
    (end.outputTokens, end.costMicrodollars, end.finishReason) = (7, 9, "stop")
    try await stream.finish(end)
    let message = try await store.transcript(of: "s").messages[0]
    #expect(message.message.content == .text(pieces.joined()))
    #expect(!message.streaming && message.message.finishReason == "stop")
    #expect(try await store.session("s").costMicrodollars == 9)
    await #expect(throws: SessionError.self) { try await stream.finish() }
    await #expect(throws: SessionError.self) {
      _ = try await store.appendStreaming(NewMessage(uid: "u", role: "assistant", "other"), to: "s")
    }
    await store.close()
  }

  /// Pieces that come while the file is locked are in the message when it is free again.
  @Test("pieces wait while the database is locked, and none is missing")
  func streamingWhileLocked() async throws {
    let store = try await open()
    let stream = try await store.appendStreaming(NewMessage(role: "assistant", ""), to: "s")
    let other = try ForeignConnection(directory.file("home") + "/sessions.db", busyTimeout: 10_000)
    try other.run("BEGIN IMMEDIATE")
    for number in 0..<50 { await stream.add("\(number) ") }
    async let finished = stream.finish()
    try other.run("COMMIT")
    _ = try await finished
    let expected = (0..<50).map { "\($0) " }.joined()
    #expect(try await texts(store.transcript(of: "s")) == [.text(expected)])
    await store.close()
  }

  @Test("a summary is read where the messages were it stands for")
  func compaction() async throws {
    let store = try await open()
    try await store.append((1...5).map { NewMessage(role: "user", "\($0)") }, to: "s")
    let summary = NewMessage(uid: "sum", role: "user", "1 to 3")
    let made = try await store.compact("s", upTo: 3, summary: summary)
    #expect(try await store.compact("s", upTo: 3, summary: summary) == .some(made, duplicate: true))
    #expect(try await texts(store.transcript(of: "s")) == [.text("1 to 3"), .text("4"), .text("5")])
    let all = try await store.transcript(of: "s", states: [.compacted])
    #expect(texts(all) == [.text("1"), .text("2"), .text("3")])
    await store.close()
  }

  @Test("a continuation begins with the summary, takes over what it does not say, and ends what it follows")
  func continuation() async throws {
    let store = try await open()
    var first = NewSession(id: "first")
    (first.source, first.model) = ("cli", "m")
    try await store.create(first)
    var message = NewMessage(role: "assistant", "long")
    message.costMicrodollars = 5
    try await store.append(message, to: "first")
    var next = NewSession(id: "next")
    next.model = "other"
    let summary = NewMessage(role: "user", "in short")
    #expect(try await store.continuation(of: "first", summary: summary, as: next).created)
    #expect(try await !store.continuation(of: "first", summary: summary, as: next).created)
    let session = try await store.session("next")
    #expect((session.parent, session.edge) == ("first", .continuation))
    #expect((session.source, session.model) == ("cli", "other"))
    #expect(try await store.session("first").endedReason == "continued")
    #expect(try await texts(store.transcript(of: "next")) == [.text("in short")])
    await store.close()
  }

  @Test("pruning removes what is old and nobody keeps, in slices, and what it cost stays")
  func pruning_A11() async throws {
    let store = try await open()
    func session(_ id: String, parent: String? = nil, year: Int, pinned: Bool = false) async throws {
      var new = NewSession(id: id)
      new.parent = parent
      try await store.create(new)
      let messages = (0..<300).map { number in
        var message = NewMessage(role: "user", "\(number)")
        (message.time, message.costMicrodollars) = ("\(year)-01-01T00:00:00Z", 1)
        return message
      }
      try await store.append(messages, to: id)
      let path = directory.file("home") + "/sessions.db"
      let other = try ForeignConnection(path, busyTimeout: 10_000)
      try other.run(
        """
        UPDATE session SET last_active_ms = strftime('%s', '\(year)-01-01') * 1000, pinned = \(pinned ? 1 : 0)
        WHERE id = '\(id)'
        """)
    }
    try await session("old", year: 2024)
    try await session("old-child", parent: "old", year: 2024)
    try await session("pinned", year: 2024, pinned: true)
    try await session("kept", year: 2024)
    try await session("kept-child", parent: "kept", year: 2026)
    try await session("parent", year: 2026)
    try await session("child", parent: "parent", year: 2024)
    let pruning = SessionPruning(inactiveSince: "2025-01-01T00:00:00Z")
    let expected = SessionPruned(sessions: 3, messages: 900)
    #expect(try await store.prunable(pruning) == expected)
    #expect(try await store.prune(pruning) == expected)
    #expect(try await store.prune(pruning) == SessionPruned(sessions: 0, messages: 0))
    let left = try await store.list(SessionFilter()).sessions.map(\.id)
    #expect(Set(left) == ["pinned", "kept", "kept-child", "parent"])
    #expect(try await store.session("parent").costMicrodollars == 600)
    await store.close()
  }

  @Test("an export taken in elsewhere is the same again, twice too")
  func transfer() async throws {
    let store = try await open()
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
    let lines = Monitor([SessionTransferLine]())
    #expect(try await store.export { line in lines.withLock { $0.append(line) } }.isEmpty)
    let copy = try await open("copy")
    let all = lines.withLock { $0 }
    for start in stride(from: 0, to: all.count, by: 333) {
      let last = all[..<start].compactMap { if case .session(let session) = $0 { session.id } else { nil } }
        .last
      _ = try await copy.take(Array(all[start..<min(start + 333, all.count)]), into: last)
    }
    let again = try await copy.take(all, into: nil)
    #expect((again.sessions, again.messages) == (0, 0))
    for id in ["top", "child"] {
      let (one, other) = (try await store.transcript(of: id), try await copy.transcript(of: id))
      #expect(one.session == other.session)
      #expect(texts(one) == texts(other))
      #expect(one.messages.map(\.message) == other.messages.map(\.message))
      #expect(one.messages.map(\.synthetic) == other.messages.map(\.synthetic))
    }
    let undone = try await copy.transcript(of: "top", states: [.undone]).messages.count
    #expect(undone == 100)
    await store.close()
    await copy.close()
  }
}

extension MessageAcknowledgement {
  /// The acknowledgement of the same message sent again.
  fileprivate static func some(_ first: MessageAcknowledgement, duplicate: Bool) -> MessageAcknowledgement {
    var again = first
    again.duplicate = duplicate
    return again
  }
}
