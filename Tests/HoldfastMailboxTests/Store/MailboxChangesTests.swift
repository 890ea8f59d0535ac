// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine
import HoldfastTestKit
import Logging
import Testing

@testable import HoldfastMailbox

@Suite("Mailbox changes")
struct MailboxChangesTests {
  let directory: TemporaryDirectory
  let home: String
  let address: MailboxAddress

  init() throws {
    directory = try TemporaryDirectory()
    home = directory.file("home")
    address = try MailboxAddress("writer/s")
  }

  private func message(_ id: String) throws -> NewMailboxMessage {
    NewMailboxMessage(id: id, content: try MailboxContent(json: "1"))
  }

  #if os(Linux)
    @Test("either side's writes are told, with either journal", arguments: [false, true])
    func signs(isShared: Bool) async throws {
      var configuration = MailboxConfiguration()
      if isShared { configuration.journal = .rollback }
      let store = SQLiteMailboxStore(home: home, configuration: configuration)
      try await store.send(message("a"), to: address)
      let worker = try SQLiteMailboxWorker(home: home, address)
      for write in ["worker", "host"] {
        var signs = store.changes(of: address).makeAsyncIterator()
        if write == "worker" {
          try worker.say("out", "1")
        } else {
          try await store.send(message("b"), to: address)
        }
        #expect(await signs.next() != nil)
      }
      await store.close()
    }

    @Test("a message starts a worker, and its answer is taken in, though no tick ever comes")
    func withoutATick() async throws {
      let store = SQLiteMailboxStore(home: home)
      let peer = try PeerProcess.builtExecutable(named: "HoldfastTestPeer")
      let plan = WorkerPlan(
        address: address, directory: MailboxDirectory(home: home, address: address).path,
        policy: WorkerPolicy(),
        runtime: ProcessRuntime(
          command: [peer, "worker", "exchange"], environment: ["SWIFT_BACKTRACE": "enable=no"]))
      var logger = Logger(label: "test")
      logger.logLevel = .critical
      let supervisor = WorkerSupervisor(
        plan, book: MailboxBook(store, address), clock: FakeClock(), logger: logger
      ) { _ in }
      let running = Task { await supervisor.run() }
      // The first may come before it listens.
      var looks = 0
      let isAnswered = try await eventually {
        if looks % 50 == 0 { try await store.send(message("m\(looks)"), to: address) }
        looks += 1
        return try await store.with(address) { mailbox in
          try await mailbox.read { db in
            try Bool.fetchOne(db, sql: "SELECT count(*) > 0 FROM deliveries") == true
              && Bool.fetchOne(db, sql: "SELECT count(*) > 0 FROM messages_in WHERE status = 'completed'")
                == true
          }
        }
      }
      #expect(isAnswered)
      supervisor.shutDown()
      await running.value
      await store.close()
    }
  #endif

  @Test("where nothing can be watched the signs end, and nobody waits for them")
  func nothingToWatch() async throws {
    let store = SQLiteMailboxStore(home: home)
    var signs = store.changes(of: address).makeAsyncIterator()
    #expect(await signs.next() == nil)
    await store.close()
  }

  @Test(
    "while something is done to the worker's file by other means, nobody in the process looks into it, in any store"
  )
  func aloneWithTheWorkersFile_B01() async throws {
    let (one, two) = (SQLiteMailboxStore(home: home), SQLiteMailboxStore(home: home + "/."))
    try await one.send(message("a"), to: address)
    let worker = try SQLiteMailboxWorker(home: home, address)
    try worker.say("out", "1")
    #expect(try await two.receive(from: address, limit: 9, after: nil).messages.count == 1)
    let isOver = Monitor(false)
    let looked = Monitor<Bool?>(nil)
    let path = MailboxDirectory(home: home, address: address).outbound
    try await one.with(address) { mailbox in
      try await mailbox.withoutLookers {
        // No connection of the host's is left; the worker's own are another matter.
        let found = try await two.with(address) { other in other === mailbox }
        #expect(!found)
        let looking = Task {
          try await two.drain(address)
          looked.withLock { $0 = isOver.withLock { $0 } }
        }
        let file = try await StateFile.open(path, migrations: OutboundSchema.migrations)
        for _ in 0..<100 { await Task.yield() }
        await file.close()
        isOver.withLock { $0 = true }
        Task { try await looking.value }
      }
    }
    #expect(await eventually { looked.withLock { $0 } != nil })
    #expect(looked.withLock { $0 } == true)
    await one.close()
    await two.close()
  }
}
