// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine
import HoldfastSessions
import HoldfastTestKit
import Testing

@Suite("Work on the index") struct SearchMaintenanceTests {
  /// Indexing and merging beside writers of `search.db` that never rest: between any two slices they had turns.
  @Test func writersPassBetweenSlicesOfIndexWork_A11() async throws {
    let home = try await SearchHome()
    for part in 0..<20 {
      try await home.messages.append((1...100).map { "word\($0 * 7 % 97) number\(part * 100 + $0) deadlock" })
    }
    try await home.search.indexSlice()
    let index = try await StateFile.open(home.index, configuration: .init(durability: .processDeathOnly))
    try await index.write { db in
      try db.execute(
        sql: """
          CREATE TABLE turn(id INTEGER PRIMARY KEY, cursor INTEGER);
          """)
    }
    let isOver = Monitor(false)
    let slices = try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<8 {
        group.addTask {
          while !isOver.withLock({ $0 }) {
            try await index.write {
              try $0.execute(sql: "INSERT INTO turn(cursor) SELECT messages FROM progress")
            }
          }
        }
      }
      var slices = 1
      while try await home.search.indexSlice() { slices += 1 }
      try await home.search.optimise()
      isOver.withLock { $0 = true }
      try await group.waitForAll()
      return slices
    }
    #expect(slices > 2)
    // The writers saw the index at every stage of its making: none of them waited for all of it.
    let stages = try await index.read {
      try Int.fetchOne($0, sql: "SELECT count(DISTINCT cursor) FROM turn") ?? 0
    }
    #expect(stages >= 3)
    #expect(try await home.search.search("deadlock").lag == 0)
    await index.close()
    await home.close()
  }

  /// While nothing is appended, the indexer merges what its slices left: each segment costs every question a look.
  @Test func idleTimeMergesTheIndex_A11() async throws {
    let home = try await SearchHome()
    for part in 0..<12 {
      try await home.messages.append((1...40).map { "word\(part * 40 + $0) deadlock number\($0)" })
      try await home.search.catchUp()
    }
    let peer = try ForeignConnection(home.index, busyTimeout: 10_000)
    func segments() throws -> Int {
      Int(try peer.text("SELECT count(DISTINCT id >> 37) FROM word_data WHERE id > 10") ?? "") ?? 0
    }
    let before = try segments()
    await home.search.startIndexing(pause: .milliseconds(1))
    #expect(try await eventually { try segments() < before })
    #expect(before > 2)
    let answer = try await home.search.search("deadlock", SearchOptions(limit: 1000))
    #expect(answer.hits.count == 480 && answer.lag == 0)
    await home.close()
  }
}
