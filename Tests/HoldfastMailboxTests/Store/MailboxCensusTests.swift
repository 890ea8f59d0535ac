// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine
import HoldfastTestKit
import Testing

@testable import HoldfastMailbox

/// The numbers of all mailboxes together.
@Suite struct MailboxCensusTests {
  private let home: TemporaryDirectory
  private let store: SQLiteMailboxStore

  init() throws {
    home = try TemporaryDirectory()
    store = SQLiteMailboxStore(home: home.path)
  }

  private func address(_ session: Int) throws -> MailboxAddress { try MailboxAddress("agent/\(session)") }

  private func send(_ id: String, to session: Int, after: UTCInstant? = nil) async throws {
    var message = NewMailboxMessage(id: id, content: MailboxContent(text: id))
    message.processAfter = after
    try await store.send(message, to: address(session))
  }

  @Test func ofAHomeWithoutMailboxesThereIsNothingToCount() async throws {
    #expect(try await MailboxCensus(store).totals() == MailboxTotals())
    await store.close()
  }

  @Test func aLookThatTakesTooLongGoesOnWithTheNext() async throws {
    for session in 1...3 { try await send("m", to: session) }
    // So little time that each look opens one.
    let census = MailboxCensus(store, pause: .zero, budget: .zero)
    for seen in 1...3 {
      let totals = try await census.totals()
      #expect(totals.count == 3 && totals.unseen == 3 - seen && totals.due == seen)
      #expect(totals.bytes > 0)
    }
    await store.close()
  }

  @Test func whatChangesIsCountedAgainAndWhatIsRemovedNoMore() async throws {
    let census = MailboxCensus(store, pause: .zero, budget: .seconds(3600))
    try await send("now", to: 1)
    try await send("later", to: 1, after: UTCInstant(milliseconds: UTCInstant.now.milliseconds + 3_600_000))
    try await send("now", to: 2)
    var totals = try await census.totals()
    #expect((totals.pending, totals.due, totals.claimed, totals.deadLetters) == (3, 2, 0, 0))
    let worker = try SQLiteMailboxWorker(home: home.path, address(1))
    #expect(try worker.take() == "now")
    totals = try await census.totals()
    #expect((totals.pending, totals.claimed, totals.unreadable) == (3, 1, 0))
    try await store.send(NewMailboxMessage(content: MailboxContent(text: "more")), to: address(2))
    #expect(try await census.totals().pending == 4)
    try FileManager.default.removeItem(atPath: home.path + "/mailboxes/agent/2")
    totals = try await census.totals()
    #expect((totals.count, totals.pending) == (1, 2))
    await store.close()
  }

  @Test func oneThatCannotBeReadIsToldAndCostsTheOthersNothing_E03() async throws {
    try await send("m", to: 1)
    try await send("m", to: 2)
    await store.close()
    let broken = MailboxDirectory(home: home.path, address: try address(1)).inbound
    for name in [broken, broken + "-wal"] { try? FileManager.default.removeItem(atPath: name) }
    try Data(repeating: 7, count: 8192).write(to: URL(filePath: broken))
    let other = SQLiteMailboxStore(home: home.path)
    let totals = try await MailboxCensus(other, budget: .seconds(3600)).totals()
    #expect((totals.count, totals.unreadable, totals.pending) == (2, 1, 1))
    await other.close()
  }
}
