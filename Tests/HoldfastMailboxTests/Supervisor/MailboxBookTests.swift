// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine
import HoldfastTestKit
import Testing

@testable import HoldfastMailbox

/// What the supervisor keeps and asks, in a real mailbox.
@Suite struct MailboxBookTests {
  private let home: TemporaryDirectory
  private let address: MailboxAddress

  init() throws {
    home = try TemporaryDirectory()
    address = try MailboxAddress("agent/session")
  }

  private var directory: MailboxDirectory { MailboxDirectory(home: home.path, address: address) }

  private func store(_ journal: StateFileConfiguration.Journal = .automatic) -> SQLiteMailboxStore {
    var configuration = MailboxConfiguration()
    configuration.journal = journal
    return SQLiteMailboxStore(home: home.path, configuration: configuration)
  }

  private func worker(_ sql: String) throws {
    try ForeignConnection(directory.outbound, busyTimeout: 60_000).run(sql)
  }

  @Test func aRecordComesBackAsItWasAndWhatIsWantedBesideIt() async throws {
    let store = store()
    let book = MailboxBook(store, address)
    try await book.make()
    #expect(try await book.worker() == WorkerRecord())
    #expect(try await book.isWanted())
    var record = WorkerRecord()
    record.incarnation = 7
    record.state = .waiting
    record.runtime = "podman"
    record.process = ProcessStamp(pid: 42, start: 1 << 40, boot: "here and now")
    record.container = "holdfast-a-b"
    record.startedAt = 1_800_000_000_000
    record.restarts = 3
    record.nextStart = 1_800_000_001_000
    record.lastExit = "signal 9"
    record.lastReason = "stuck on m"
    try await book.want(false)
    try await book.save(record)
    await store.close()

    // Another host.
    let later = self.store()
    let again = MailboxBook(later, address)
    #expect(try await again.worker() == record)
    #expect(try await again.isWanted() == false)
    try await again.want(true)
    #expect(try await again.isWanted())
    #expect(try await again.worker() == record)
    await later.close()
  }

  @Test func whatAWorkerDoesIsSeenThroughTheBook_E02_E07() async throws {
    let store = store()
    let book = MailboxBook(store, address)
    try await book.make()
    try await store.send(NewMailboxMessage(id: "m1", content: MailboxContent(text: "1")), to: address)
    try await store.send(NewMailboxMessage(id: "m2", content: MailboxContent(text: "2")), to: address)
    #expect(try await book.dueCount() == 2)
    let before = try await book.progress()
    try worker(
      """
      INSERT INTO processing(message, try, incarnation, claimed_at, lease_until) VALUES ('m1', 0, 1, 1000, 61000);
      INSERT INTO processing(message, try, incarnation) VALUES ('m2', 0, 1);
      INSERT INTO messages_out(id, kind, content) VALUES ('r2', 'reply', '2');
      UPDATE processing SET status = 'completed' WHERE message = 'm2'
      """)
    try await book.drain()
    #expect(try await book.progress() > before)
    #expect(
      try await book.claims() == [
        WorkerClaim(message: "m1", attempt: 0, incarnation: 1, claimedAt: 1000, leaseUntil: 61_000)
      ])
    // Only of workers up to this one; and its message is due again, not done.
    #expect(try await book.releaseClaims(through: 0) == 0)
    #expect(try await book.releaseClaims(through: 1) == 1)
    #expect(try await book.claims().isEmpty)
    #expect(try await store.summary(of: address).pending == 1)
    await store.close()
  }

  @Test func aFileThatTwoKernelsShareIsTakenOutOfWAL_C14() async throws {
    // Made by a program that knew nothing of containers.
    let unknowing = store()
    try await unknowing.send(NewMailboxMessage(content: MailboxContent(text: "1")), to: address)
    await unknowing.close()
    func mode() throws -> String? {
      try ForeignConnection(directory.outbound, busyTimeout: 60_000).text("PRAGMA journal_mode")
    }
    #expect(try mode() == "wal")
    let store = store(.rollback)
    let book = MailboxBook(store, address)
    try await book.make()
    // Somebody has it open: nothing is started over it, and it is left as it is.
    var other: ForeignConnection? = try ForeignConnection(directory.outbound)
    try other?.run("BEGIN; SELECT count(*) FROM messages_out")
    await #expect(throws: (any Error).self) { try await book.prepare() }
    #expect(try mode() == "wal")
    other = nil
    try await book.prepare()
    #expect(try mode() == "delete")
    try await book.prepare()
    await store.close()
  }
}
