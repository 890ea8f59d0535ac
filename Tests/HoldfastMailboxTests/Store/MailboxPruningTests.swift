// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine
import HoldfastTestKit
import Logging
import Testing

@testable import HoldfastMailbox

/// What is over and old goes, from both files, and nothing else does.
@Suite struct MailboxPruningTests {
  private let home: TemporaryDirectory
  private let address: MailboxAddress
  private let store: SQLiteMailboxStore
  /// What is over at the first moment is old at the second.
  private static let old = UTCInstant(milliseconds: 1_000_000_000_000)
  private static let cut = UTCInstant(milliseconds: 1_000_000_000_001)

  init() throws {
    home = try TemporaryDirectory()
    address = try MailboxAddress("agent/session")
    store = SQLiteMailboxStore(home: home.path)
  }

  private func send(_ id: String) async throws {
    try await store.send(NewMailboxMessage(id: id, content: MailboxContent(text: id)), to: address)
  }

  private func worker(_ incarnation: Int64 = 1) throws -> SQLiteMailboxWorker {
    try SQLiteMailboxWorker(home: home.path, address, incarnation: incarnation)
  }

  /// Has what is over been so since long ago.
  private func age() async throws {
    try await write(
      """
      UPDATE messages_in SET finished_at = \(Self.old.milliseconds) WHERE finished_at IS NOT NULL;
      UPDATE deliveries SET delivered_at = \(Self.old.milliseconds) WHERE delivered_at IS NOT NULL;
      UPDATE dead_letters SET retried_at = \(Self.old.milliseconds) WHERE retried_at IS NOT NULL
      """)
  }

  private func write(_ sql: String) async throws {
    try await store.with(address) { mailbox in try await mailbox.write { db in try db.execute(sql: sql) } }
  }

  private func inbound(_ sql: String) async throws -> [String] {
    try await store.with(address) { mailbox in
      try await mailbox.read { db in try String.fetchAll(db, sql: sql) }
    }
  }

  private func outbound(_ sql: String) async throws -> [String] {
    try await store.with(address) { mailbox in
      try await mailbox.look { db in try String.fetchAll(db, sql: sql) }
    }
  }

  /// A mailbox with a message in each state there is.
  private func fill() async throws -> SQLiteMailboxWorker {
    for id in ["done", "given-up", "failed", "taken", "taken-back"] { try await send(id) }
    let worker = try worker()
    #expect(try worker.take() == "done")
    #expect(try worker.finish("done", as: .completed))
    for id in ["given-up", "failed"] {
      #expect(try worker.take() == id)
      try worker.connection.run(
        "UPDATE processing SET status = 'failed', retryable = 0 WHERE message = '\(id)'")
    }
    #expect(try worker.take() == "taken")
    for id in ["received", "waiting", "refused", "refused-again"] { try worker.say(id, "1") }
    try await store.drain(address)
    try await store.cancel("taken-back", in: address)
    try await store.acknowledge("received", in: address)
    for id in ["refused", "refused-again"] {
      #expect(try await store.giveUpDelivery(id, in: address, reason: "rejected", error: nil))
    }
    #expect(try await store.retry(["given-up", "refused"], in: address) == 2)
    try await age()
    return worker
  }

  @Test func whatIsOverAndOldGoesAndNothingElse() async throws {
    let worker = try await fill()
    let would = try await store.prunable(address, before: Self.cut)
    #expect((would.inbound, would.outbound, would.deadLetters, would.held) == (2, 1, 2, 0))
    #expect(try await inbound("SELECT id FROM messages_in WHERE status = 'completed'") == ["done"])
    // Nothing is old enough.
    #expect(try await store.prune(address, before: Self.old) == MailboxPruned(address))
    let pruned = try await store.prune(address, before: Self.cut)
    #expect(pruned == would)
    #expect(
      try await inbound("SELECT id FROM messages_in WHERE kind = 'message' ORDER BY seq")
        == ["given-up", "failed", "taken"])
    #expect(
      try await inbound("SELECT id FROM deliveries ORDER BY seq") == ["waiting", "refused", "refused-again"])
    #expect(
      try await outbound("SELECT id FROM messages_out ORDER BY seq") == [
        "waiting", "refused", "refused-again",
      ])
    #expect(
      try await outbound("SELECT message FROM processing ORDER BY message") == [
        "failed", "given-up", "taken",
      ])
    #expect(try await inbound("SELECT id FROM dead_letters ORDER BY id") == ["failed", "refused-again"])
    let page = try await store.receive(from: address, limit: 9, after: nil)
    #expect(page.messages.map(\.id) == ["waiting", "refused"])
    // The worker's file has its rules again.
    #expect(throws: ForeignConnection.Failure.self) { try worker.connection.run("DELETE FROM messages_out") }
    #expect(throws: ForeignConnection.Failure.self) { try worker.connection.run("DELETE FROM processing") }
    #expect(try worker.connection.text("PRAGMA integrity_check") == "ok")
    #expect(try await store.prune(address, before: Self.cut) == MailboxPruned(address))
    await store.close()
  }

  @Test func numbersAreNeverUsedAgainAndAnIDThatWasForgottenIsANewOne() async throws {
    try await send("m")
    let worker = try worker()
    #expect(try worker.take() == "m")
    try worker.say("r", "1")
    #expect(try worker.finish("m", as: .completed))
    try await store.acknowledge("r", in: address)
    try await store.drain(address)
    try await age()
    let pruned = try await store.prune(address, before: Self.cut)
    #expect((pruned.inbound, pruned.outbound) == (1, 1))

    // Both sides have forgotten it, so it is neither a duplicate nor stuck.
    let again = try await store.send(
      NewMailboxMessage(id: "m", content: MailboxContent(text: "m")), to: address)
    #expect(again.seq == 2 && !again.duplicate)
    #expect(try worker.take() == "m")
    try worker.say("r", "1")
    #expect(try worker.finish("m", as: .completed))
    let page = try await store.receive(from: address, limit: 9, after: nil)
    #expect(page.messages.map(\.seq) == [2] && page.messages.map(\.id) == ["r"])
    #expect(try await inbound("SELECT status FROM messages_in") == ["completed"])
    await store.close()
  }

  @Test func whatIsInTheFileOfALivingWorkerStaysUntilItHasEnded() async throws {
    _ = try await fill()
    let directory = MailboxDirectory(home: home.path, address: address).path
    let lock = try WorkerLock(mailbox: directory)
    do {
      let living = try lock.share()
      let pruned = try await store.prune(address, before: Self.cut)
      // Nobody ever took the one that was taken back.
      #expect((pruned.inbound, pruned.outbound, pruned.deadLetters, pruned.held) == (1, 0, 2, 2))
      #expect(try await outbound("SELECT id FROM messages_out").count == 4)
      #expect(try await inbound("SELECT id FROM messages_in WHERE id = 'done'") == ["done"])
      living.close()
    }
    // So does that of one that nobody watches over, while it says that it is well.
    try Data().write(to: URL(filePath: directory + "/heartbeat"))
    #expect(try await store.prune(address, before: Self.cut).held == 2)
    try FileManager.default.removeItem(atPath: directory + "/heartbeat")
    // And while a host watches over the session, which may start one at any moment.
    do {
      let host = try HostLock(mailbox: directory, address: address)
      #expect(try await store.prune(address, before: Self.cut).held == 2)
      withExtendedLifetime(host) {}
    }
    let pruned = try await store.prune(address, before: Self.cut)
    #expect((pruned.inbound, pruned.outbound, pruned.held) == (1, 1, 0))
    await store.close()
  }

  @Test func theHostRemovesItBeforeItStartsTheNextWorker() async throws {
    _ = try await fill()
    let directory = MailboxDirectory(home: home.path, address: address).path
    let host = try HostLock(mailbox: directory, address: address)
    var configuration = MailboxConfiguration()
    configuration.retention = .zero
    let keeping = SQLiteMailboxStore(home: home.path, configuration: configuration)
    try await MailboxBook(keeping, address).prepare()
    #expect(try await outbound("SELECT id FROM messages_out").count == 4)
    try await MailboxBook(store, address).prepare()
    #expect(try await outbound("SELECT id FROM messages_out").count == 3)
    #expect(try await inbound("SELECT id FROM messages_in WHERE id IN ('done', 'taken-back')") == [])
    withExtendedLifetime(host) {}
    await keeping.close()
    await store.close()
  }

  @Test func whatAKilledHostRemovedFromOneFileIsRemovedFromTheOther() async throws {
    _ = try await fill()
    try await store.with(address) { mailbox in
      try await SQLiteMailboxStore.removeOutbound(.init(inbound: ["done"], outbound: [1]), mailbox)
    }
    let pruned = try await store.prune(address, before: Self.cut)
    #expect((pruned.inbound, pruned.outbound) == (2, 1))
    #expect(try await inbound("SELECT id FROM messages_in WHERE id = 'done'") == [])
    await store.close()
  }

  @Test func manyGoSliceBySliceAndTheRestWithTheNextTurn() async throws {
    try await send("young")
    let count = MailboxPruning.slice * 2 + 7
    try await write(
      """
      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < \(count))
      INSERT INTO messages_in(id, content, status, finished_at)
      SELECT 'old-' || i, '1', 'cancelled', \(Self.old.milliseconds) FROM n
      """)
    var pruned = try await store.prune(address, before: Self.cut, budget: .zero)
    #expect(pruned.inbound == MailboxPruning.slice)
    pruned = try await store.prune(address, before: Self.cut)
    #expect(pruned.inbound == MailboxPruning.slice + 7)
    #expect(try await inbound("SELECT id FROM messages_in") == ["young"])
    await store.close()
  }

  @Test func aServicePrunesAllMailboxesHourByHour() async throws {
    let clock = FakeClock()
    let other = try MailboxAddress("other/session")
    _ = try await fill()
    try await store.send(NewMailboxMessage(id: "x", content: MailboxContent(text: "x")), to: other)
    let now = UTCInstant(milliseconds: Self.cut.milliseconds + 30 * 86_400_000)
    let pruner = MailboxPruner(
      SQLiteMailboxStore(home: home.path), clock: clock, now: { now },
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    let running = Task { await pruner.run() }
    await clock.sleepers(1)
    clock.advance(by: .seconds(300))
    await clock.sleepers(1)
    #expect(try await inbound("SELECT id FROM messages_in WHERE id IN ('done', 'taken-back')") == [])
    try await store.cancel("x", in: other)
    try await store.with(other) { mailbox in
      try await mailbox.write { db in try db.execute(sql: "UPDATE messages_in SET finished_at = 1") }
    }
    clock.advance(by: .seconds(3600))
    await clock.sleepers(1)
    let left = try await store.messages(in: other, states: Set(InboundStatus.allCases), limit: 9, after: nil)
    #expect(left.messages.isEmpty)
    running.cancel()
    await running.value
    await store.close()
  }
}
