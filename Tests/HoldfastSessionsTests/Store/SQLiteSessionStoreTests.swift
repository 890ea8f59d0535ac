// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastEngine
import HoldfastTestKit
import Testing

@testable import HoldfastSessions

@Suite("Session store: what its file is")
struct SQLiteSessionStoreTests {
  let directory: TemporaryDirectory
  var home: String { directory.file("home") }
  var path: String { home + "/sessions.db" }

  init() throws { directory = try TemporaryDirectory() }

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

  @Test("an unreadable value is an error, its bytes stay, and the other rows are returned")
  func unreadableRowIsToldApart_D13_D14() async throws {
    let store = try await SQLiteSessionStore.open(home: home)
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

  @Test("columns of totals stay own, children's and deleted, as docs/schema.md says")
  func totalsAddUpInTheFile_D08() async throws {
    let store = try await SQLiteSessionStore.open(home: home)
    for level in 1..<6 {
      var new = NewSession(id: "l\(level)")
      (new.parent, new.edge) = ("l\(level - 1)", .subagent)
      try await store.create(new)
      try await store.append(costing(1 << Int64(level)), to: "l\(level)")
    }
    _ = try await store.fork("l4", upTo: nil, as: NewSession(id: "fork"))
    try await store.append(costing(100), to: "fork")
    try await store.delete("l5")
    try await store.delete("l3")
    let peer = try ForeignConnection(path)
    #expect(
      try peer.text(
        """
        SELECT count(*) FROM session AS s WHERE total_cost_microusd <> own_cost_microusd + deleted_cost_microusd
          + (SELECT coalesce(sum(total_cost_microusd), 0) FROM session WHERE parent = s.key)
        """) == "0")
    #expect(try peer.text("SELECT deleted_cost_microusd FROM session WHERE id = 'l2'") == "56")
    #expect(try peer.text("SELECT total_cost_microusd FROM session WHERE id = 'l0'") == "162")
    await store.close()
    try peer.run("SELECT 1")
  }

  private func costing(_ cost: Int64) -> NewMessage {
    var message = NewMessage(role: "assistant", "done")
    message.costMicrodollars = cost
    return message
  }
}
