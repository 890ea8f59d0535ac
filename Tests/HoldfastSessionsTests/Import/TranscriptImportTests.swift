// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastEngine
import HoldfastTestKit
import Testing

@testable import HoldfastSessions

@Suite("Transcript import")
struct TranscriptImportTests {
  let directory: TemporaryDirectory
  var transcript: String { directory.file("t/session.jsonl") }

  init() throws {
    directory = try TemporaryDirectory()
    try FileManager.default.createDirectory(atPath: directory.file("t"), withIntermediateDirectories: true)
  }

  private func open() async throws -> SQLiteSessionStore {
    try await SQLiteSessionStore.open(home: directory.file("home"))
  }

  private func write(_ contents: [String], cost: Int = 1) throws {
    let lines = contents.enumerated().map { index, content in
      """
      {"type":"assistant","uuid":"u\(index)","sessionId":"s","timestamp":"2026-11-20T10:00:00Z","message":\
      {"role":"assistant","content":"\(content)","usage":{"output_tokens":\(cost)}}}
      """
    }
    try (lines.joined(separator: "\n") + "\n").write(toFile: transcript, atomically: false, encoding: .utf8)
  }

  private func take(_ store: SQLiteSessionStore, dryRun: Bool = false) async throws -> TranscriptImportReport
  {
    try await store.importTranscripts(
      TranscriptPlace.all(at: directory.file("t")), of: .claudeCode, dryRun: dryRun)
  }

  @Test("a message that has changed is brought up to date, its costs and its ancestors' too, and only once")
  func changedMessagesAreBroughtUpToDate() async throws {
    let store = try await open()
    try write(["one", "two"])
    _ = try await take(store)
    try write(["one", "two, and more"], cost: 5)
    #expect(try await take(store, dryRun: true).messagesUpdated == 2)
    #expect(try await take(store).messagesUpdated == 2)
    #expect(try await take(store).messagesUpdated == 0)
    let kept = try await store.transcript(of: "s")
    #expect(kept.messages.map(\.message.content) == [.text("one"), .text("two, and more")])
    #expect(kept.session.total.outputTokens == 10)
    await store.close()
  }

  @Test("what a person took back stays taken back")
  func undoneStaysUndone() async throws {
    let store = try await open()
    try write(["one", "two"])
    _ = try await take(store)
    try await store.rewind("s", after: 1)
    try write(["one", "two", "three"])
    #expect(try await take(store).messages == 1)
    let kept = try await store.transcript(of: "s")
    #expect(kept.messages.map(\.message.uid) == ["u0", "u2"])
    await store.close()
  }

  @Test("a session that is deleted while its messages come is made again")
  func deletedSessionIsMadeAgain() async throws {
    let store = try await open()
    var message = TranscriptMessage(session: "gone", uid: "u", role: "user", time: 5)
    message.content = "late"
    let counts = try await store.file().write { [message] db in
      var landing = TranscriptLanding(.codex)
      return try landing.land([.message(message)], db)
    }
    #expect(counts.messages == 1)
    let kept = try await store.session("gone")
    #expect(kept.source == "codex")
    #expect(kept.metadata?["import"] == .string("codex"))
    await store.close()
  }

  @Test("sessions that come from each other are told and left as roots")
  func cyclesAreTold() async throws {
    let store = try await open()
    var sessions = ["a", "b"].map { TranscriptSession(id: $0, format: .hermes) }
    (sessions[0].parent, sessions[0].edge) = ("b", .fork)
    (sessions[1].parent, sessions[1].edge) = ("a", .fork)
    let items = sessions.map(TranscriptBatch.Item.session)
    let counts = try await store.file().write { db in
      var landing = TranscriptLanding(.hermes)
      return try landing.land(items[...], db)
    }
    #expect(counts.cycles == ["b"])
    #expect(try await store.session("a").parent == "b")
    #expect(try await store.session("b").parent == nil)
    await store.close()
  }

  @Test("a sub-agent that comes before its session rolls up to it all the same")
  func childBeforeParent() async throws {
    let store = try await open()
    var child = TranscriptSession(id: "child", format: .codex)
    (child.parent, child.edge) = ("parent", .subagent)
    var parent = TranscriptSession(id: "parent", format: .codex)
    (parent.title, parent.started) = ("Above", 1_000)
    var message = TranscriptMessage(session: "child", uid: "u", role: "assistant", time: 2_000)
    message.counts.output = 7
    let items: [TranscriptBatch.Item] = [.session(child), .message(message), .session(parent)]
    for _ in 0..<2 {
      _ = try await store.file().write { db in
        var landing = TranscriptLanding(.codex)
        return try landing.land(items[...], db)
      }
    }
    let above = try await store.session("parent")
    #expect((above.title, above.total.outputTokens, above.messages) == ("Above", 7, 0))
    #expect(above.started == "1970-01-01T00:00:01.000Z")
    await store.close()
  }

  @Test("a result that comes after the session was resumed here takes the place of the made-up one")
  func realResultTakesOver_D06() async throws {
    let store = try await open()
    func line(_ type: String, _ payload: String) -> String {
      #"{"timestamp":"2026-11-20T10:00:00Z","type":"\#(type)","payload":\#(payload)}"# + "\n"
    }
    let call = #"{"type":"function_call","name":"f","arguments":"{}","call_id":"c"}"#
    let begun = line("session_meta", #"{"id":"t"}"#) + line("response_item", call)
    let path = directory.file("t/rollout.jsonl")
    try begun.write(toFile: path, atomically: false, encoding: .utf8)
    let places = [TranscriptPlace(.codex, path)]
    _ = try await store.importTranscripts(places, of: .codex)
    #expect(try await store.resume("t").messages.map(\.synthetic) == [false, true])
    _ = try await store.append(NewMessage(role: "user", "meanwhile"), to: "t")
    let output = #"{"type":"function_call_output","call_id":"c","output":"real"}"#
    try (begun + line("response_item", output)).write(toFile: path, atomically: false, encoding: .utf8)
    for expected in [1, 0] {
      #expect(try await store.importTranscripts(places, of: .codex).messages == expected)
      let live = try await store.transcript(of: "t").messages
      #expect(live.map(\.message.role) == ["assistant", "tool", "user"])
      #expect(live.map(\.message.content) == [.text(""), .text("real"), .text("meanwhile")])
      #expect(try await store.resume("t").messages.count == 3)
    }
    await store.close()
  }

  @Test("a piece is bounded in messages and in bytes, and one message always fits")
  func piecesAreBounded() {
    var batch = TranscriptBatch()
    for length in [10, 10, 10, 600_000, 600_000, 3_000_000, 10] {
      var message = TranscriptMessage(session: "s", uid: "u", role: "user", time: 0)
      message.content = String(repeating: "x", count: length)
      batch.add(message)
    }
    var ends: [Int] = []
    while (ends.last ?? 0) < batch.items.count {
      ends.append(TranscriptBatch.end(of: batch.items, from: ends.last ?? 0, most: 2))
    }
    #expect(ends == [2, 4, 5, 6, 7])
    #expect(batch.isFull)
  }

  @Test("ids that cannot be kept are told and end nothing, and a session's id may be taken more than once")
  func oddIDs() async throws {
    let path = directory.file("t/opencode.db")
    let foreign = try ForeignConnection(path)
    try foreign.run(
      """
      CREATE TABLE session(id, parent_id, directory, title, time_created);
      CREATE TABLE message(id, session_id, time_created, data);
      CREATE TABLE part(id, message_id, data);
      INSERT INTO session VALUES ('s', hex(zeroblob(200)), '/', 't', 1), (hex(zeroblob(200)), NULL, '/', 't', 1);
      INSERT INTO message VALUES ('m', 's', 1, '{"role":"assistant"}');
      INSERT INTO part VALUES (hex(zeroblob(600)), 'm', '{"type":"tool","callID":"c","tool":"x","state":{"output":"o"}}');
      """)
    let store = try await open()
    for id in ["s", "opencode:s"] { _ = try await store.append(NewMessage(role: "user", "mine"), to: id) }
    let report = try await store.importTranscripts(TranscriptPlace.all(at: path), of: .opencode)
    #expect((report.sessions, report.messages, report.refused) == (1, 1, 2))
    #expect(report.faults.allSatisfy { $0.file == path })
    let kept = try await store.session("opencode:s:2")
    #expect((kept.parent, kept.messages) == (nil, 1))
    #expect(try await store.importTranscripts(TranscriptPlace.all(at: path), of: .opencode).messages == 0)
    await store.close()
  }

  @Test("files of which it cannot be told whose they are are found in no directory and refused by name")
  func unknownFilesAreLeftAlone() throws {
    try Data("{\"hello\":1}\n".utf8).write(to: URL(fileURLWithPath: transcript))
    try Data("SQLite format 3\0 and then nothing".utf8).write(
      to: URL(fileURLWithPath: directory.file("t/x.db")))
    #expect(try TranscriptPlace.all(at: directory.file("t")).isEmpty)
    #expect { try TranscriptPlace.all(at: transcript) } throws: { ($0 as? SessionError)?.code == .unreadable }
    #expect { try TranscriptPlace.all(at: directory.file("t/x.db")) } throws: {
      ($0 as? SessionError)?.code == .unreadable
    }
  }

  @Test("nonsense in a database's cells is read as what it can be")
  func cellsHoldAnything() async throws {
    let path = directory.file("t/state.db")
    let foreign = try ForeignConnection(path)
    try foreign.run(
      """
      CREATE TABLE sessions(id, source, parent_session_id, started_at, title);
      CREATE TABLE messages(id INTEGER PRIMARY KEY, session_id, role, content, tool_calls, timestamp);
      INSERT INTO sessions VALUES ('s', 'cli', 's', 'never', x'C328'), (NULL, 'cli', NULL, 1, NULL),
        (7, 'cli', 'none', 1e300, 3.5);
      INSERT INTO messages VALUES (1, 's', 'user', x'00FF41', '{"no":"list"', -5), (2, 's', NULL, 'x', NULL, 1),
        (3, '7', 'user', 12, NULL, 1763632800);
      """)
    let store = try await open()
    let report = try await store.importTranscripts(TranscriptPlace.all(at: path), of: .hermes)
    #expect((report.sessions, report.messages, report.refused, report.skipped) == (2, 2, 1, 1))
    let kept = try await store.transcript(of: "s")
    #expect(kept.messages.map(\.message.content) == [.text("\u{FFFD}\u{FFFD}A")])
    #expect(kept.session.parent == nil)
    #expect(try await store.transcript(of: "7").messages.map(\.message.content) == [.text("12")])
    await store.close()
  }
}
