// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine
import HoldfastTestKit
import Testing

@testable import HoldfastSessions

@Suite("Session store")
struct SessionStoreTests {
  let directory: TemporaryDirectory
  var home: String { directory.file("home") }
  var path: String { home + "/sessions.db" }

  init() throws { directory = try TemporaryDirectory() }

  private func open() async throws -> SQLiteSessionStore { try await SQLiteSessionStore.open(home: home) }

  private func costing(_ cost: Int64, uid: String? = nil) -> NewMessage {
    var message = NewMessage(uid: uid, role: "assistant", "done")
    message.costMicrodollars = cost
    message.outputTokens = 10
    return message
  }

  @Test("text that cannot be stored is repaired in its field alone, and that is said")
  func unstorableTextIsRepaired_D01() async throws {
    let store = try await open()
    let parts = JSONValue.array([.object(["type": .string("text"), "text": .string("a\0b")])])
    var message = NewMessage(uid: "one", role: "user", content: .json(parts))
    message.model = "m\0"
    let acknowledgement = try await store.append(message, to: "s")
    #expect(Set(acknowledgement.repaired ?? []) == ["content", "model"])
    #expect(try await store.append(NewMessage(role: "user", "clean"), to: "s").repaired == nil)
    let kept = try await store.transcript(of: "s").messages
    #expect(kept.first?.message.model == "m\u{FFFD}")
    var new = NewSession(id: "t")
    new.title = "nul\0"
    #expect(try await store.create(new).repaired == ["title"])
    #expect(try await store.session("t").title == "nul\u{FFFD}")
    await store.close()
  }

  @Test("a line of JSON is repaired where a decoder would refuse all of it")
  func lineIsRepaired_D01() throws {
    let lone = TextRepair.line(
      Array(#"{"role":"user","content":"a\ud800b\u0000c \ud83d\ude00 \\ud800"}"#.utf8))
    #expect(lone.isRepaired)
    let message = try JSONDecoder().decode(NewMessage.self, from: Data(lone.bytes))
    #expect(message.content == .text("a\u{FFFD}b\u{FFFD}c 😀 \\ud800"))
    let invalid = TextRepair.line(
      Array(#"{"role":"user","content":""#.utf8) + [0xC3, 0x28, 0xFF] + Array(#""}"#.utf8))
    #expect(invalid.isRepaired)
    #expect(try JSONDecoder().decode(NewMessage.self, from: Data(invalid.bytes)).role == "user")
    #expect(!TextRepair.line(Array(#"{"role":"user","content":"ü"}"#.utf8)).isRepaired)
  }

  @Test("order is the order of acknowledgement, whatever the clock says")
  func orderIsNoTime_D02() async throws {
    let store = try await open()
    for (index, time) in ["2026-01-03", "2026-01-01", "2026-01-02", "2026-01-02"].enumerated() {
      var message = NewMessage(role: "user", "\(index)")
      message.time = time + "T00:00:00Z"
      #expect(try await store.append(message, to: "s").seq == Int64(index + 1))
    }
    let order = try await store.transcript(of: "s").messages.map(\.message.content)
    #expect(order == (0..<4).map { .text("\($0)") })
    await store.close()
  }

  @Test("appending makes what is missing, also after a deletion")
  func appendMakesTheSession_D03() async throws {
    let store = try await open()
    try await store.append(NewMessage(role: "user", "first"), to: "never-made")
    #expect(try await store.delete("never-made") == 1)
    try await store.append(NewMessage(role: "user", "second"), to: "never-made")
    let transcript = try await store.transcript(of: "never-made")
    #expect(transcript.messages.map(\.message.content) == [.text("second")])
    await store.close()
  }

  @Test("creating again fills in and changes nothing else")
  func creatingTwiceIsCreatingOnce_D04() async throws {
    let stores = [try await open(), try await open()]
    var new = NewSession(id: "s")
    new.source = "cli"
    #expect(try await stores[0].create(new).created)
    (new.source, new.model) = ("other", "m")
    #expect(try await stores[1].create(new).created == false)
    let session = try await stores[0].session("s")
    #expect(session.source == "cli" && session.model == "m")
    for store in stores { await store.close() }
  }

  @Test("the same message again is one message, another under its uid is kept and told")
  func sameUidIsTheSameMessage_D05() async throws {
    let store = try await open()
    let first = try await store.append(costing(7, uid: "u"), to: "s")
    let again = try await store.append(costing(7, uid: "u"), to: "s")
    #expect(again.seq == first.seq && again.duplicate == true)
    let other = try await store.append(NewMessage(uid: "u", role: "user", "else"), to: "s")
    #expect(other.wantedUID == "u" && other.uid != "u" && other.duplicate == nil && other.seq == 2)
    let otherAgain = try await store.append(NewMessage(uid: "u", role: "user", "else"), to: "s")
    #expect(otherAgain.uid == other.uid && otherAgain.seq == 2 && otherAgain.duplicate == true)
    let session = try await store.session("s")
    #expect(session.messages == 2 && session.costMicrodollars == 7)
    await store.close()
  }

  @Test("an open tool call gets its synthetic result once, in its place, and a late answer takes it over")
  func danglingCallIsClosedOnce_D06() async throws {
    let store = try await open()
    var call = NewMessage(role: "assistant", "")
    call.toolCalls = .array([.object(["id": .string("c1")]), .object(["id": .string("c2")])])
    var answer = NewMessage(role: "tool", "fine")
    answer.toolCallID = "c1"
    let use = JSONValue.array([.object(["type": .string("tool_use"), "id": .string("a1")])])
    try await store.append(
      [call, answer, NewMessage(role: "user", "go on"), NewMessage(role: "assistant", content: .json(use))],
      to: "s")
    let second = try await open()
    async let one = store.resume("s")
    async let two = second.resume("s")
    let (resumed, same) = try await (one, two)
    #expect(resumed.messages == same.messages && resumed.messages.count == 6)
    #expect(
      resumed.messages.map(\.message.role) == ["assistant", "tool", "tool", "user", "assistant", "user"])
    #expect(resumed.messages.filter(\.synthetic).count == 2)
    #expect(try await store.transcript(of: "s").messages == resumed.messages)
    var late = NewMessage(role: "tool", "late")
    late.toolCallID = "c2"
    try await store.append(late, to: "s")
    let after = try await store.resume("s").messages
    #expect(after.count == 6 && after.filter(\.synthetic).count == 1)
    #expect(after[1...2].contains { $0.message.content == .text("late") })
    await second.close()
    await store.close()
  }

  @Test("costs of a hundred sub-agents reach every ancestor, each event once, failed children counted")
  func costsRollUpOnce_D07() async throws {
    let store = try await open()
    var middle = NewSession(id: "middle")
    middle.parent = "root"
    try await store.create(middle)
    try await withThrowingTaskGroup { group in
      for child in 0..<100 {
        group.addTask {
          var new = NewSession(id: "child-\(child)")
          (new.parent, new.edge) = ("middle", .subagent)
          try await store.create(new)
          for event in 0..<5 {
            for _ in 0..<2 {
              try await store.append(self.costing(Int64(event), uid: "e\(event)"), to: "child-\(child)")
            }
          }
          for _ in 0..<2 { try await store.end("child-\(child)", reason: "done", failed: child % 4 == 0) }
        }
      }
      try await group.waitForAll()
    }
    let root = try await store.session("root")
    #expect(root.costMicrodollars == 1000 && root.total.outputTokens == 5000 && root.own.outputTokens == 0)
    #expect(try await store.session("middle").failedChildren == 25)
    await store.close()
  }

  @Test("deleting takes sub-agents along, moves forks up, keeps what was spent; cycles are refused")
  func deletionFollowsItsRule_D08() async throws {
    let store = try await open()
    for level in 1..<200 {
      var new = NewSession(id: "l\(level)")
      (new.parent, new.edge) = ("l\(level - 1)", .subagent)
      try await store.create(new)
    }
    try await store.append(costing(3), to: "l199")
    #expect(try await store.session("l0").costMicrodollars == 3)
    var fork = NewSession(id: "fork")
    fork.title = "a fork"
    _ = try await store.fork("l150", upTo: nil, as: fork)
    try await store.append(costing(4), to: "fork")
    var cycle = NewSession(id: "l0")
    (cycle.parent, cycle.edge) = ("l199", .subagent)
    await #expect(throws: SessionError.self) { try await store.create(cycle) }
    // The other loop goes on appending to what is being deleted.
    async let appended: Void = {
      for _ in 0..<20 { try await store.append(NewMessage(role: "user", "x"), to: "l180") }
    }()
    #expect(try await store.delete("l100") == 100)
    try await appended
    #expect(try await store.session("fork").parent == "l99")
    let root = try await store.session("l0")
    #expect(root.costMicrodollars == 7)
    let peer = try ForeignConnection(path)
    #expect(
      try peer.text(
        """
        SELECT count(*) FROM session AS s WHERE total_cost_microusd <> own_cost_microusd + deleted_cost_microusd
          + (SELECT coalesce(sum(total_cost_microusd), 0) FROM session WHERE parent = s.key)
        """) == "0")
    await store.close()
    try peer.run("SELECT 1")
  }

  @Test("a hundred thousand ids in one call")
  func anyNumberOfIds_D09() async throws {
    let store = try await open()
    for name in ["id-5", "id-99999", "other"] { try await store.create(NewSession(id: name)) }
    var filter = SessionFilter()
    filter.ids = (0..<100_000).map { "id-\($0)" }
    #expect(Set(try await store.list(filter).sessions.map(\.id)) == ["id-5", "id-99999"])
    await store.close()
  }

  @Test("an unreadable value is an error, its bytes stay, and the other rows are returned")
  func unreadableRowIsToldApart_D13_D14() async throws {
    let store = try await open()
    for name in ["good", "bad"] {
      try await store.create(NewSession(id: name))
      try await store.append(
        [NewMessage(uid: "1", role: "user", "a"), NewMessage(uid: "2", role: "user", "b")], to: name)
    }
    let peer = try ForeignConnection(path, busyTimeout: 60_000)
    try peer.run("UPDATE session SET metadata = '{\"half\":' WHERE id = 'bad'")
    try peer.run("UPDATE message SET content = '[1,', content_kind = 'json' WHERE uid = '2' AND session = 1")
    let list = try await store.list(SessionFilter())
    #expect(list.sessions.map(\.id) == ["good"] && list.faults.map(\.row) == ["bad"])
    await #expect(throws: SessionError.self) { try await store.session("bad") }
    var again = NewSession(id: "bad")
    again.metadata = .object(["new": .bool(true)])
    try await store.create(again)
    let transcript = try await store.transcript(of: "good")
    #expect(transcript.messages.map(\.message.uid) == ["1"] && transcript.faults.map(\.row) == ["2"])
    #expect(try peer.text("SELECT metadata FROM session WHERE id = 'bad'") == "{\"half\":")
    await store.close()
    try peer.run("SELECT 1")
  }

  @Test("while another program holds the lock messages are accepted, told as waiting, and land once")
  func acceptedMessagesLandOnce_A06() async throws {
    let before = try await open()
    try await before.append(NewMessage(uid: "0", role: "user", "0"), to: "s")
    await before.close()
    let peer = try ForeignConnection(path)
    try peer.run("BEGIN EXCLUSIVE")
    let store = try await open()
    for index in 0..<50 { try store.accept(NewMessage(uid: "\(index)", role: "user", "\(index)"), for: "s") }
    #expect(await store.status().depth == 50)
    try peer.run("COMMIT")
    try await store.flush(within: nil)
    let messages = try await store.transcript(of: "s").messages
    #expect(messages.map(\.message.uid) == (0..<50).map { "\($0)" })
    #expect(await store.status().depth == 0)
    await store.close()
    try peer.run("SELECT 1")
  }

  @Test("titles never collide and never abort; a user's outranks a model's; ids may be cut short")
  func titlesAndPrefixes() async throws {
    let store = try await open()
    for index in 1...3 { try await store.create(NewSession(id: "abc-\(index)")) }
    #expect(try await store.rename("abc-1", to: "Fix it", from: .model) == "Fix it")
    #expect(try await store.rename("abc-2", to: "Fix it", from: .user) == "Fix it (2)")
    #expect(try await store.rename("abc-3", to: "Fix it", from: .derived) == "Fix it (3)")
    #expect(try await store.rename("abc-2", to: "Other", from: .model) == "Fix it (2)")
    let ambiguous = await #expect(throws: SessionError.self) { try await store.session("abc") }
    #expect(ambiguous?.code == .ambiguous)
    let missing = await #expect(throws: SessionError.self) { try await store.session("x") }
    #expect(missing?.code == .notFound)
    await store.close()
  }

  @Test("what is taken back stays, and a fork costs nothing again")
  func rewindAndFork() async throws {
    let store = try await open()
    try await store.append([costing(5, uid: "a"), costing(6, uid: "b"), costing(7, uid: "c")], to: "s")
    #expect(try await store.rewind("s", after: 2) == 1)
    #expect(try await store.transcript(of: "s", states: [.undone]).messages.map(\.seq) == [3])
    _ = try await store.fork("s", upTo: 1, as: NewSession(id: "f"))
    let fork = try await store.transcript(of: "f")
    #expect(fork.messages.map(\.message.uid) == ["a"] && fork.session.costMicrodollars == 0)
    #expect(try await store.session("s").costMicrodollars == 18)
    #expect(try await store.append(NewMessage(role: "user", "on"), to: "f").seq == 2)
    await store.close()
  }
}
