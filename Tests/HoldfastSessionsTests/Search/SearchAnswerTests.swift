// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine
import HoldfastSessions
import HoldfastTestKit
import Testing

@Suite("Answers") struct SearchAnswerTests {
  @Test func anAnswerSaysHowFarTheIndexLagsAndWhetherItIsCut_D12() async throws {
    let home = try await SearchHome()
    try await home.messages.append((1...30).map { "deadlock number \($0)" })
    var answer = try await home.search.search("deadlock")
    #expect(answer.route == .scan && answer.lag == 30 && answer.truncated && answer.degraded != nil)
    try await home.search.catchUp()
    answer = try await home.search.search("deadlock")
    #expect(answer.route == .index && answer.lag == 0 && answer.truncated && answer.hits.count == 20)
    #expect(answer.degraded == nil)
    answer = try await home.search.search("deadlock", SearchOptions(limit: 30))
    #expect(!answer.truncated && answer.hits.count == 30)
    // Acknowledged is findable, before anything was indexed.
    let id = try await home.messages.append(["a fresh deadlock"])[0]
    answer = try await home.search.search("fresh")
    #expect(answer.route == .indexAndTail && answer.lag == 1 && answer.hits.map(\.document.id) == [id])
    #expect(try await home.search.search("  ?!").route == .nothing)
    await home.close()
  }

  @Test func editsAndDeletionsAreFollowedBeforeAndAfterIndexing_D12() async throws {
    let home = try await SearchHome()
    try await home.messages.append(["first apple", "second apple", "third apple"])
    try await home.search.catchUp()
    try await home.messages.file.write { db in
      try db.execute(
        sql: "UPDATE message SET content = 'a pear' WHERE id = 1; DELETE FROM message WHERE id = 2")
    }
    for route in [SearchAnswer.Route.indexAndTail, .index] {
      let answer = try await home.search.search("apple")
      #expect(answer.hits.map(\.document.id) == [3] && answer.route == route)
      #expect(try await home.ids("pear") == [1])
      try await home.search.catchUp()
    }
    // Nothing of what was removed is left behind in the words.
    let peer = try ForeignConnection(home.index, busyTimeout: 10_000)
    #expect(try peer.text("SELECT group_concat(rowid) FROM word WHERE word MATCH 'apple'") == "3")
    try peer.run("INSERT INTO word(word) VALUES ('integrity-check')")
    await home.close()
  }

  @Test func jsonPartsToolCallsAndStatesAreFollowed_D12() async throws {
    let home = try await SearchHome()
    try await home.messages.append(["x", "undo me", "x"])
    try await home.messages.file.write { db in
      try db.execute(
        sql: """
          UPDATE message SET content_kind = 'json',
            content = '[{"type":"text","text":"in a part"},{"type":"image","data":"aGVsbG8"}]' WHERE id = 1;
          UPDATE message SET tool_calls = '[{"id":"c1","name":"grepFiles","arguments":"{\\"path\\":\\"/etc\\"}"}]'
            WHERE id = 3;
          """)
    }
    for _ in 0..<2 {
      #expect(try await home.ids("\"in a part\"") == [1])
      #expect(try await home.ids("aGVsbG8").isEmpty)
      #expect(try await home.ids("grepFiles /etc") == [3])
      #expect(try await home.ids("undo") == [2])
      try await home.search.catchUp()
    }
    for state in ["undone", "live"] {
      try await home.messages.file.write {
        try $0.execute(sql: "UPDATE message SET state = ? WHERE id = 2", arguments: [state])
      }
      #expect(try await home.ids("undo") == (state == "live" ? [2] : []))
      try await home.search.catchUp()
      #expect(try await home.ids("undo") == (state == "live" ? [2] : []))
    }
    // The newest message goes, and its number with it: the index is not taken for another store's.
    try await home.messages.file.write { try $0.execute(sql: "DELETE FROM message WHERE id = 3") }
    try await home.search.catchUp()
    let answer = try await home.search.search("grepFiles")
    #expect(answer.hits.isEmpty && answer.route == .index && answer.lag == 0)
    await home.close()
  }

  @Test func filtersNeighboursAndLineagesNarrowAnAnswer_D12() async throws {
    let home = try await SearchHome()
    let messages = home.messages
    try await messages.append(["one lock", "two lock", "three"], session: "root", role: "user", time: 1000)
    try await messages.append(
      ["lock again"], session: "child", parent: "root", role: "tool", source: "codex", time: 2000)
    try await messages.append(["lock elsewhere"], session: "other", role: "assistant", time: 3000)
    for _ in 0..<2 {
      #expect(try await home.ids("lock role:user") == [1, 2])
      #expect(try await home.ids("lock -role:user") == [4, 5])
      #expect(try await home.ids("source:codex") == [4])
      #expect(try await home.ids("lock session:ro") == [1, 2])
      #expect(try await home.ids("lock lineage:root -two") == [1, 4])
      #expect(try await home.ids("-lock") == [3])
      #expect(try await home.ids("lock after:1970-01-01T00:00:02Z before:1970-01-01T00:00:03Z") == [4])
      let near = try await home.search.search("two", SearchOptions(neighbours: 1)).hits
      #expect(near.first?.neighbours.map(\.seq) == [1, 3])
      let grouped = try await home.search.search("lock", SearchOptions(groupsByLineage: true)).hits
      #expect(Set(grouped.map(\.document.lineage)) == ["root", "other"] && grouped.count == 2)
      #expect(grouped.first { $0.document.lineage == "root" }?.others == 2)
      try await home.search.catchUp()
    }
    await home.close()
  }
}
