// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine
import HoldfastSessions
import HoldfastTestKit
import Testing

@Suite("Damage of the index") struct SearchDamageTests {
  enum Harm: String, CaseIterable { case deleted, deletedWhole, truncated, emptied, headerGone, flipped }

  private func harm(_ index: String, _ harm: Harm) throws {
    let data = FileManager.default
    switch harm {
    case .deleted: try data.removeItem(atPath: index)
    case .deletedWhole:
      for suffix in ["", "-wal", "-shm"] { try? data.removeItem(atPath: index + suffix) }
    case .truncated: _ = unsafe truncate(index, 5000)
    case .emptied: _ = unsafe truncate(index, 0)
    case .headerGone: try overwrite(index, from: 0, bytes: 100)
    case .flipped:
      let size = try #require(try data.attributesOfItem(atPath: index)[.size] as? Int)
      try overwrite(index, from: 4096, bytes: size - 4096)
    }
  }

  private func overwrite(_ path: String, from offset: Int, bytes: Int) throws {
    // A descriptor of this process's own must not be closed on a file it has open (B01): another one writes.
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/dd")
    process.arguments = [
      "if=/dev/urandom", "of=\(path)", "bs=1", "seek=\(offset)", "count=\(min(bytes, 200_000))",
      "conv=notrunc", "status=none",
    ]
    try process.run()
    process.waitUntilExit()
  }

  /// Whatever happens to `search.db` while messages are appended: every append succeeds, every answer comes,
  /// and the index is made anew without a restart.
  @Test(arguments: Harm.allCases)
  func harmToTheIndexCostsARebuildAndNoAppend_C08(kind: Harm) async throws {
    let home = try await SearchHome()
    try await home.messages.append((1...400).map { "before \($0) deadlock" })
    try await home.search.catchUp()
    // Into the database itself, so that there is something to harm.
    let peer = try ForeignConnection(home.index, busyTimeout: 10_000)
    try peer.run("PRAGMA wal_checkpoint(TRUNCATE)")
    await home.search.startIndexing(pause: .milliseconds(1))
    let isOver = Monitor(false)
    let appended = try await withThrowingTaskGroup(of: Int.self) { group in
      group.addTask {
        var count = 0
        while !isOver.withLock({ $0 }) {
          try await home.messages.append(["during \(count) deadlock"])
          count += 1
        }
        return count
      }
      try harm(home.index, kind)
      for _ in 0..<20 { _ = try await home.search.search("deadlock") }
      isOver.withLock { $0 = true }
      return try await group.reduce(0, +)
    }
    let id = try await home.messages.append(["afterwards"])[0]
    #expect(try await home.ids("afterwards") == [id])
    let recovered = try await eventually {
      let answer = try await home.search.search("deadlock", SearchOptions(limit: 1000))
      return answer.route == .index && answer.lag == 0 && answer.hits.count == min(1000, 400 + appended)
    }
    #expect(recovered)
    await home.close()
    let fresh = try ForeignConnection(home.index, busyTimeout: 10_000)
    #expect(try fresh.text("PRAGMA integrity_check") == "ok")
    try fresh.run("INSERT INTO word(word) VALUES ('integrity-check')")
  }

  /// Columns that hold what they cannot: another program made the tables again, without their types.
  @Test(arguments: ["progress", "document"])
  func valuesOfWrongTypesCostARebuild_C08(table: String) async throws {
    let home = try await SearchHome()
    try await home.messages.append((1...40).map { "number\($0) deadlock" })
    try await home.search.catchUp()
    let peer = try ForeignConnection(home.index, busyTimeout: 10_000)
    let columns = try #require(try peer.text("SELECT group_concat(name) FROM pragma_table_info('\(table)')"))
    let wrong = columns.split(separator: ",").map { _ in "x'00'" }.joined(separator: ",")
    try peer.run("ALTER TABLE \(table) RENAME TO sound; CREATE TABLE \(table)(\(columns))")
    if table == "progress" {
      try peer.run("INSERT INTO progress VALUES (\(wrong))")
    } else {
      try peer.run(
        "CREATE INDEX at ON document(id); INSERT INTO document SELECT id, \(wrong.dropFirst(6)) FROM sound")
    }
    // Answers come, by another route; and the index is made anew.
    #expect(try await home.search.search("deadlock").hits.count == 20)
    try await home.search.catchUp()
    let answer = try await home.search.search("deadlock", SearchOptions(limit: 1000))
    #expect(answer.route == .index && answer.hits.count == 40)
    await home.close()
  }

  @Test func anIndexNobodyCanOpenLeavesAnswersFromAScan_C08() async throws {
    let home = try await SearchHome()
    try await home.messages.append(["deadlock"])
    try FileManager.default.createDirectory(atPath: home.index, withIntermediateDirectories: false)
    let answer = try await home.search.search("deadlock")
    #expect(answer.route == .scan && answer.hits.count == 1 && answer.degraded != nil)
    try FileManager.default.removeItem(atPath: home.index)
    try await home.search.catchUp()
    #expect(try await home.search.search("deadlock").route == .index)
    await home.close()
  }

  /// The indexing process dies in the middle of its work, again and again; another goes on where it stopped.
  @Test func aKilledIndexerIsReplacedAndNothingIsMissing_C08() async throws {
    let home = try await SearchHome()
    try await home.messages.append((1...3000).map { "number\($0) deadlock" })
    let program = try PeerProcess.builtExecutable(named: "HoldfastTestPeer")
    var settings = PeerSettings(database: home.directory.file("messages.db"))
    settings.files = [home.index]
    for _ in 0..<4 {
      let peer = try PeerProcess.start(program, arguments: settings.arguments(for: "indexMessages"))
      try await peer.pass("start")
      _ = await peer.word()
      // It has the lease: nobody else indexes meanwhile.
      #expect(try await !home.search.indexSlice())
      await peer.kill()
      try await home.messages.append(["between kills deadlock"])
    }
    try await home.search.catchUp()
    #expect(await home.search.isIndexer)
    let answer = try await home.search.search("deadlock", SearchOptions(limit: 1))
    #expect(answer.route == .index && answer.lag == 0)
    await home.close()
    let peer = try ForeignConnection(home.index, busyTimeout: 10_000)
    #expect(try peer.text("SELECT count(*) FROM word WHERE word MATCH 'deadlock'") == "3004")
    #expect(try peer.text("SELECT count(*) FROM document") == "3004")
    #expect(try peer.text("PRAGMA integrity_check") == "ok")
  }
}
