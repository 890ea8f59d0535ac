// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine
import HoldfastTestKit
import Testing

@testable import HoldfastMailbox

@Suite("Mailbox store")
struct MailboxStoreTests {
  let directory: TemporaryDirectory
  let home: String
  let address: MailboxAddress

  init() throws {
    directory = try TemporaryDirectory()
    home = directory.file("home")
    address = try MailboxAddress("writer/session-1")
  }

  private func open(_ configuration: MailboxConfiguration = .init()) -> SQLiteMailboxStore {
    SQLiteMailboxStore(home: home, configuration: configuration)
  }

  private func message(_ id: String?, _ json: String = "1", kind: String = "message") throws
    -> NewMailboxMessage
  {
    NewMailboxMessage(id: id, kind: kind, content: try MailboxContent(json: json))
  }

  @Test("what the worker says is received in its order until it is acknowledged", arguments: [false, true])
  func receiving(isShared: Bool) async throws {
    var configuration = MailboxConfiguration()
    if isShared { configuration.journal = .rollback }
    let store = open(configuration)
    try await store.send(message("in"), to: address)
    let worker = try SQLiteMailboxWorker(home: home, address)
    #expect(try worker.connection.text("PRAGMA journal_mode") == (isShared ? "delete" : "wal"))
    #expect(try worker.connection.text("PRAGMA inbound.journal_mode") == (isShared ? "delete" : "wal"))
    try worker.say("one", #"{"text":"hi"}"#)
    try worker.connection.run(
      "INSERT INTO messages_out(id, kind, content, in_reply_to) VALUES ('two', 'note', 'no JSON', 'in')")
    try worker.connection.run(
      "INSERT INTO messages_out(id, content, deliver_after) VALUES ('later', '1', 253402300799999)")
    var page = try await store.receive(from: address, limit: 10, after: nil)
    #expect(page.messages.map(\.id) == ["one", "two"])
    #expect(page.messages.map(\.seq) == [1, 2])
    #expect(page.messages.map(\.content.json) == [#"{"text":"hi"}"#, #""no JSON""#])
    #expect(page.messages.map(\.inReplyTo) == [nil, "in"])
    page = try await store.receive(from: address, limit: 1, after: nil)
    #expect(page.messages.map(\.id) == ["one"] && page.next == 1)
    page = try await store.receive(from: address, limit: 1, after: page.next)
    #expect(page.messages.map(\.id) == ["two"] && page.next == nil)

    #expect(
      try await store.acknowledge("two", in: address) == MailboxReceipt(id: "two", seq: 2, duplicate: false))
    #expect(try await store.acknowledge("two", in: address).duplicate)
    // Not received before: it is known all the same.
    try worker.say("three", "3")
    #expect(try await store.acknowledge("three", in: address).seq == 4)
    #expect(try await store.receive(from: address, limit: 10, after: nil).messages.map(\.id) == ["one"])
    let error = await #expect(throws: MailboxError.self) { try await store.acknowledge("none", in: address) }
    #expect(error?.code == .notFound)
    await store.close()
  }

  @Test("the tables themselves keep a sloppy worker from unsaying, renumbering or replacing what it said")
  func tableRules() async throws {
    let store = open()
    try await store.send(message("in"), to: address)
    let worker = try SQLiteMailboxWorker(home: home, address).connection
    try worker.run("INSERT INTO messages_out(id, kind, content) VALUES ('a', 'k', '1')")
    for replay in ["INSERT", "INSERT OR REPLACE", "REPLACE", "INSERT OR IGNORE"] {
      try worker.run("\(replay) INTO messages_out(id, kind, content) VALUES ('a', 'k', '1')")
      #expect(throws: ForeignConnection.Failure.self) {
        try worker.run("\(replay) INTO messages_out(id, kind, content) VALUES ('a', 'k', '2')")
      }
    }
    try worker.run("INSERT INTO messages_out(id, content) VALUES ('b', '2'), ('c', '3')")
    for refused in [
      "UPDATE messages_out SET content = '9'", "DELETE FROM messages_out",
      "INSERT INTO messages_out(seq, content) VALUES (-1, '1')",
      "INSERT OR REPLACE INTO messages_out(seq, id, content) VALUES (1, 'z', '1')",
      "INSERT INTO messages_out(content) VALUES (x'00')",
      "INSERT INTO messages_out(id, content) VALUES ('', '1')",
      "INSERT INTO messages_out(content) VALUES (hex(zeroblob(\(MailboxContent.maximumBytes / 2 + 1))))",
    ] {
      #expect(throws: ForeignConnection.Failure.self, "\(refused)") { try worker.run(refused) }
    }
    let page = try await store.receive(from: address, limit: 10, after: nil)
    #expect(page.messages.map(\.id) == ["a", "b", "c"])
    #expect(page.messages.map(\.content.json) == ["1", "2", "3"])
    await store.close()
  }

  @Test("no other way to write a claim or an end gets past the documented one")
  func tableRulesOfClaims_E08() async throws {
    let store = open()
    try await store.send(message("m"), to: address)
    let one = try SQLiteMailboxWorker(home: home, address, name: "one")
    let two = try SQLiteMailboxWorker(home: home, address, name: "two").connection
    #expect(try one.claim("m", at: .now))
    for theft in [
      "INSERT OR REPLACE INTO processing(message, try, worker) VALUES ('m', 0, 'two')",
      "INSERT OR IGNORE INTO processing(message, try, worker) VALUES ('m', 0, 'two')",
      "INSERT INTO processing(message, try, incarnation, worker) VALUES ('m', 0, 0, 'two')",
    ] { try two.run(theft) }
    for theft in [
      "UPDATE processing SET worker = 'two' WHERE message = 'm'", "DELETE FROM processing",
      "UPDATE processing SET incarnation = 0 WHERE message = 'm'",
      "INSERT OR REPLACE INTO processing(message, try, worker, status) VALUES ('m', 0, 'two', 'completed')",
    ] {
      #expect(throws: ForeignConnection.Failure.self, "\(theft)") { try two.run(theft) }
    }
    #expect(try await store.claims(in: address).map(\.worker) == ["one"])
    #expect(try one.finish("m", as: .completed))
    for change in ["status = 'failed'", "status = 'claimed'", "worker = 'two'", "incarnation = 9"] {
      #expect(throws: ForeignConnection.Failure.self, "\(change)") {
        try two.run("UPDATE processing SET \(change) WHERE message = 'm'")
      }
    }
    try two.run(
      "INSERT OR REPLACE INTO processing(message, try, incarnation, worker) VALUES ('m', 0, 9, 'two')")
    #expect(try await store.drain(address) == MailboxDrain(sent: 0, finished: 1, dead: 0))
    // A worker that claims nothing and only says what it did is understood, too.
    try await store.send(message("n"), to: address)
    try two.run("INSERT INTO processing(message, try, status) VALUES ('n', 0, 'completed')")
    #expect(try await store.drain(address).finished == 1)
    await store.close()
  }

  @Test("an older copy in the place of the worker's file is noticed before anything in it is taken for old")
  func olderCopy() async throws {
    let store = open()
    try await store.send(message("in"), to: address)
    let place = MailboxDirectory(home: home, address: address)
    await store.close()
    let files = try FileManager.default.contentsOfDirectory(atPath: place.path).filter {
      $0.hasPrefix("outbound.db")
    }
    try FileManager.default.createDirectory(
      atPath: directory.file("copy"), withIntermediateDirectories: false)
    for file in files {
      try FileManager.default.copyItem(
        atPath: place.path + "/" + file, toPath: directory.file("copy/" + file))
    }
    var worker: SQLiteMailboxWorker? = try SQLiteMailboxWorker(home: home, address)
    try worker?.say("one", "1")
    try worker?.say("two", "2")
    let second = open()
    #expect(try await second.drain(address).sent == 2)
    await second.close()
    worker = nil
    for file in try FileManager.default.contentsOfDirectory(atPath: place.path)
    where file.hasPrefix("outbound.db") {
      try FileManager.default.removeItem(atPath: place.path + "/" + file)
    }
    for file in files {
      try FileManager.default.copyItem(
        atPath: directory.file("copy/" + file), toPath: place.path + "/" + file)
    }
    try SQLiteMailboxWorker(home: home, address).say("new", "3")
    let third = open()
    let error = await #expect(throws: StoreError.self) { try await third.drain(address) }
    #expect(error?.code == .replaced)
    #expect(try await third.summary(of: address).fault?.contains("older copy") == true)
    await third.close()
  }

  @Test("a message that failed waits longer after each try")
  func pauses() async throws {
    let configuration = MailboxConfiguration()
    #expect(
      (0..<8).map { configuration.pause(afterTries: $0) } == [1, 2, 4, 8, 16, 32, 60, 60].map { $0 * 1000 })
    #expect(configuration.pause(afterTries: .max) == 60_000)
    var patient = configuration
    (patient.firstPause, patient.longestPause) = (.seconds(3600), .seconds(7200))
    let store = open(patient)
    try await store.send(message("m"), to: address)
    let worker = try SQLiteMailboxWorker(home: home, address)
    #expect(try worker.take() == "m")
    let before = UnixTime.now().milliseconds
    _ = try worker.finish("m", as: .failed("no"))
    try await store.drain(address)
    let after = try await store.messages(in: address, states: [.pending], limit: 1, after: nil).messages[0]
      .processAfter
    #expect(try #require(after).milliseconds >= before + 3_600_000)
    #expect(try worker.take() == nil)
    await store.close()
  }

  @Test("one mailbox that cannot be read costs the others nothing, and itself only what is unreadable")
  func containment_E03() async throws {
    let store = open()
    let other = try MailboxAddress("reader/session-2")
    try await store.send(message("a"), to: address)
    try await store.send(message("b"), to: other)
    await store.close()
    let garbage = MailboxDirectory(home: home, address: address)
    try Data(repeating: 0x5A, count: 8192).write(to: URL(fileURLWithPath: garbage.outbound))
    for suffix in ["-wal", "-shm"] { try? FileManager.default.removeItem(atPath: garbage.outbound + suffix) }

    let later = open()
    let worker = try SQLiteMailboxWorker(home: home, other)
    try worker.say("out", "1")
    await #expect(throws: StoreError.self) { try await later.receive(from: address, limit: 9, after: nil) }
    #expect(try await later.receive(from: other, limit: 9, after: nil).messages.map(\.id) == ["out"])
    #expect(try await later.send(message("c"), to: address).seq == 2)
    let all = try await later.overview()
    #expect(all.map(\.mailbox.description) == ["reader/session-2", "writer/session-1"])
    #expect(all[0].fault == nil && all[0].undelivered == 1)
    #expect(all[1].fault != nil && all[1].pending == 2)
    // Damage on the host's own side is in the list too.
    try Data(repeating: 0x5A, count: 8192).write(to: URL(fileURLWithPath: garbage.inbound))
    await later.close()
    let last = open()
    #expect(try await last.overview().map { $0.fault == nil } == [true, false])
    #expect(try await last.send(message("d"), to: other).seq == 2)
    await last.close()
  }

  @Test(
    "what may not be delivered yet is left out before anything is counted, and no kind crowds out another")
  func filterFirst_E11() async throws {
    let store = open()
    try await store.send(message("in"), to: address)
    let worker = try SQLiteMailboxWorker(home: home, address).connection
    try worker.run(
      """
      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
      INSERT INTO messages_out(kind, content, deliver_after)
      SELECT CASE WHEN i <= 50000 THEN 'chat' ELSE 'mail' END, '1', 253402300799999 FROM n
      """)
    try worker.run(
      """
      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
      INSERT INTO messages_out(id, kind, content) SELECT 'chat' || i, 'chat', '1' FROM n
      """)
    try worker.run("INSERT INTO messages_out(id, kind, content) VALUES ('due', 'mail', '1')")
    #expect(try await store.drain(address).sent == 100_501)
    let due = try await store.dueDeliveries(in: address, perKind: 2, now: .now)
    #expect(due.map(\.message.id) == ["chat1", "chat2", "due"])
    let page = try await store.receive(from: address, limit: 1000, after: nil)
    #expect(page.messages.count == 501 && page.messages.last?.id == "due")
    await store.close()
  }

  @Test("a row whose text is no text is told apart, and the others are received")
  func unreadableRows_D14() async throws {
    let store = open()
    try await store.send(message("in"), to: address)
    let worker = try SQLiteMailboxWorker(home: home, address)
    try worker.say("a", "1")
    try worker.connection.run("INSERT INTO messages_out(id, content) VALUES ('bad', CAST(x'FF41' AS TEXT))")
    try worker.say("b", "2")
    let page = try await store.receive(from: address, limit: 9, after: nil)
    #expect(page.messages.map(\.id) == ["a", "b"])
    #expect(page.faults.map(\.subject) == ["messages_out 2"])
    // Told once: it is a dead letter with its bytes, and the worker is told.
    let again = try await store.receive(from: address, limit: 9, after: nil)
    #expect(again.messages.map(\.id) == ["a", "b"] && again.faults.isEmpty)
    let kept = try await store.with(address) { mailbox in
      try await mailbox.read { db in
        try String.fetchAll(
          db, sql: "SELECT hex(CAST(content AS BLOB)) || reason FROM dead_letters WHERE id = 'bad'")
      }
    }
    #expect(kept == ["FF41unreadable"])
    let told = try await store.messages(in: address, states: [.pending], limit: 9, after: nil).messages
    #expect(told.map(\.kind) == ["message", "delivery-failed"])
    await store.close()
  }

  @Test("drained twice, or by two at once, everything came over once")
  func drainingTwice() async throws {
    let (one, two) = (open(), open())
    try await one.send(message("m"), to: address)
    let worker = try SQLiteMailboxWorker(home: home, address)
    try worker.connection.run(
      """
      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
      INSERT INTO messages_out(content) SELECT i FROM n
      """)
    #expect(try worker.take() == "m")
    _ = try worker.finish("m", as: .completed)
    async let first = one.drain(address)
    async let second = two.drain(address)
    let (a, b) = try await (first, second)
    #expect(a.sent + b.sent == 5000)
    #expect(a.finished + b.finished == 1)
    #expect(try await one.drain(address) == MailboxDrain())
    let news = try await one.with(address) { mailbox in
      try await mailbox.look { db in try MailboxDraining.news(after: .init(), db) }
    }
    let configuration = one.configuration
    let again = try await one.with(address) { mailbox in
      try await mailbox.write { db in try MailboxDraining.land(news, configuration, db) }
    }
    #expect(again == MailboxDrain())
    await one.close()
    await two.close()
  }

  @Test("files are for their owner only, and a link in the way is refused")
  func permissions_C12() async throws {
    let store = open()
    try await store.send(message("m"), to: address)
    await store.close()
    let place = MailboxDirectory(home: home, address: address)
    func mode(_ path: String) throws -> Int {
      try #require(FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int)
    }
    for path in [home, home + "/mailboxes", home + "/mailboxes/writer", place.path, place.attachments] {
      #expect(try mode(path) == 0o700, "\(path)")
    }
    for path in [place.inbound, place.outbound] { #expect(try mode(path) == 0o600, "\(path)") }
    let elsewhere = directory.file("elsewhere")
    try FileManager.default.createDirectory(atPath: elsewhere, withIntermediateDirectories: false)
    try FileManager.default.createSymbolicLink(
      atPath: home + "/mailboxes/planted", withDestinationPath: elsewhere)
    let other = open()
    let refusal = await #expect(throws: StoreError.self) {
      try await other.send(message("m"), to: MailboxAddress("planted/s"))
    }
    #expect(refusal?.code == .permission)
    #expect(try FileManager.default.contentsOfDirectory(atPath: elsewhere).isEmpty)
    #expect(try await other.addresses() == [address])
    await other.close()
  }

  @Test("the journal is a session's own, else its agent's, else the usual one, whoever opens the files")
  func journalOfEach() async throws {
    var configuration = MailboxConfiguration()
    configuration.journalOfAgent = ["vm": .rollback]
    configuration.journalOfSession = [try MailboxAddress("vm/local"): .automatic]
    let store = open(configuration)
    for (name, journal) in [("vm/shared", "delete"), ("vm/local", "wal"), ("writer/session-1", "wal")] {
      let address = try MailboxAddress(name)
      try await store.send(message("in"), to: address)
      let worker = try SQLiteMailboxWorker(home: home, address)
      #expect(try worker.connection.text("PRAGMA journal_mode") == journal, "\(name)")
      #expect(try worker.connection.text("PRAGMA inbound.journal_mode") == journal, "\(name)")
    }
    await store.close()
  }

  @Test(
    "who wants a mailbox that is just being closed waits for that, and takes nobody's thread",
    .timeLimit(.minutes(5)))
  func wantedWhileBeingClosed() async throws {
    var configuration = MailboxConfiguration()
    configuration.maximumOpen = 0
    let store = open(configuration)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for sender in 0..<4 {
        group.addTask { [self] in
          for round in 0..<25 { try await store.send(message("m\(round)-\(sender)"), to: address) }
        }
      }
      try await group.waitForAll()
    }
    #expect(try await store.overview().map(\.pending) == [100])
    await store.close()
  }

  @Test(
    "more mailboxes than are kept open are served all the same, and asking for one that is not there makes none"
  )
  func manyMailboxes() async throws {
    var configuration = MailboxConfiguration()
    configuration.maximumOpen = 2
    let store = open(configuration)
    let all = try (0..<8).map { try MailboxAddress("agent/s\($0)") }
    try await withThrowingTaskGroup(of: Void.self) { group in
      for round in 0..<3 {
        for address in all {
          group.addTask { [self] in try await store.send(message("m\(round)"), to: address) }
        }
      }
      try await group.waitForAll()
    }
    #expect(try await store.overview().map(\.pending) == Array(repeating: 3, count: 8))
    let error = await #expect(throws: MailboxError.self) {
      try await store.receive(from: self.address, limit: 1, after: nil)
    }
    #expect(error?.code == .notFound)
    #expect(try await store.addresses() == all)
    await store.close()
    let closed = await #expect(throws: MailboxError.self) { try await store.drain(all[0]) }
    #expect(closed?.code == .closed)
  }
}
