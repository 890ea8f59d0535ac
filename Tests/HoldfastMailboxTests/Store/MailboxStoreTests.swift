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

  private func impatient() -> MailboxConfiguration {
    var configuration = MailboxConfiguration()
    configuration.firstPause = .zero
    return configuration
  }

  private func message(_ id: String?, _ json: String = "1", kind: String = "message") throws
    -> NewMailboxMessage
  {
    NewMailboxMessage(id: id, kind: kind, content: try MailboxContent(json: json))
  }

  @Test(
    "the same id with the same content is sent once; with another it is kept under a new id that finds itself"
  )
  func reusedIDs_E12() async throws {
    let store = open()
    let first = try await store.send(message("a", #"{"x":1,"y":[2.50]}"#), to: address)
    #expect(first == MailboxReceipt(id: "a", seq: 1, duplicate: false))
    let again = try await store.send(message("a", #"{ "y" : [2.5], "x" : 1 }"#), to: address)
    #expect(again == MailboxReceipt(id: "a", seq: 1, duplicate: true))
    for isAgain in [false, true] {
      let other = try await store.send(message("a", #"{"x":2}"#), to: address)
      #expect(
        other.wantedID == "a" && other.id.hasPrefix("a~") && other.seq == 2 && other.duplicate == isAgain)
    }
    let third = try await store.send(message("a", #"{"x":1,"y":[2.50]}"#, kind: "other"), to: address)
    #expect(third.seq == 3 && third.wantedID == "a")
    let page = try await store.messages(in: address, states: [.pending], limit: 10, after: nil)
    #expect(
      page.messages.map(\.content.json) == [#"{"x":1,"y":[2.50]}"#, #"{"x":2}"#, #"{"x":1,"y":[2.50]}"#])
    await store.close()
  }

  @Test("of many that send one message at once, one sends it")
  func racingSenders_E12() async throws {
    let stores = (0..<4).map { _ in open() }
    let receipts = try await withThrowingTaskGroup(of: MailboxReceipt.self) { group in
      for index in 0..<32 {
        group.addTask { [self] in try await stores[index % 4].send(message("same", "7"), to: address) }
      }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(receipts.filter { !$0.duplicate }.count == 1)
    #expect(Set(receipts.map(\.seq)) == [1])
    for store in stores { await store.close() }
  }

  @Test("what the worker says is received in its order until it is acknowledged", arguments: [false, true])
  func receiving(isShared: Bool) async throws {
    var configuration = MailboxConfiguration()
    if isShared { configuration.journal = .rollback }
    let store = open(configuration)
    try await store.send(message("in"), to: address)
    let worker = try WorkerFiles(home, address)
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
    let worker = try WorkerFiles(home, address).connection
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

  @Test("of workers that reach for one message at once, one gets it, however it claims")
  func racingClaims_E08() async throws {
    let store = open()
    for index in 0..<50 { try await store.send(message("m\(index)"), to: address) }
    let taken = try await withThrowingTaskGroup(of: [String].self) { group in
      for index in 0..<6 {
        group.addTask { [home, address] in
          let worker = try WorkerFiles(home, address, name: "w\(index)")
          var mine: [String] = []
          while let message = try worker.take() { mine.append(message) }
          return mine
        }
      }
      return try await group.reduce(into: []) { $0 += $1 }
    }
    #expect(taken.count == 50 && Set(taken).count == 50)
    #expect(try await store.claims(in: address).count == 50)
    await store.close()
  }

  @Test(
    "a live lease is not taken, a run-out one is; a later incarnation takes over, and the replaced one's end is ignored"
  )
  func leases_E08() async throws {
    let store = open()
    try await store.send(message("m"), to: address)
    let (one, two) = try (WorkerFiles(home, address, name: "one"), WorkerFiles(home, address, name: "two"))
    let now = UnixTime.now().milliseconds
    #expect(try one.claim("m", now: now, lease: 60_000))
    #expect(try !two.claim("m", now: now + 1, lease: 60_000))
    // Nor by ways around the documented one.
    for theft in [
      "INSERT OR REPLACE INTO processing(message, try, worker) VALUES ('m', 0, 'two')",
      "INSERT OR IGNORE INTO processing(message, try, worker) VALUES ('m', 0, 'two')",
    ] { try two.connection.run(theft) }
    for theft in [
      "UPDATE processing SET worker = 'two' WHERE message = 'm'", "DELETE FROM processing",
      "INSERT OR REPLACE INTO processing(message, try, worker, status) VALUES ('m', 0, 'two', 'completed')",
    ] {
      #expect(throws: ForeignConnection.Failure.self, "\(theft)") { try two.connection.run(theft) }
    }
    #expect(try await store.claims(in: address).map(\.worker) == ["one"])
    #expect(try two.claim("m", now: now + 60_000, lease: 60_000))
    #expect(try !one.finish("m"))
    let later = try WorkerFiles(home, address, incarnation: 2, name: "later")
    #expect(try later.claim("m", now: now, lease: 60_000))
    #expect(try !two.claim("m", now: now + 200_000, lease: 60_000))
    #expect(try !two.finish("m"))
    #expect(try await store.drain(address) == MailboxDrain())
    #expect(try later.finish("m"))
    #expect(throws: ForeignConnection.Failure.self) {
      try two.connection.run("UPDATE processing SET status = 'failed' WHERE message = 'm'")
    }
    #expect(try await store.drain(address) == MailboxDrain(sent: 0, finished: 1, dead: 0))
    #expect(try await store.summary(of: address).completed == 1)
    await store.close()
  }

  @Test("what a worker finishes after it was given up counts for nothing")
  func lateEnds_E08() async throws {
    let store = open(impatient())
    try await store.send(message("m"), to: address)
    let lost = try WorkerFiles(home, address)
    #expect(try lost.take() == "m")
    #expect(try await store.releaseClaims(through: 0, in: address) == 0)
    #expect(try await store.releaseClaims(through: 1, in: address) == 1)
    #expect(try await store.releaseClaims(through: 1, in: address) == 0)
    #expect(try await store.claims(in: address).isEmpty)
    let successor = try WorkerFiles(home, address, incarnation: 2)
    #expect(try successor.take() == "m")
    try lost.connection.run("UPDATE processing SET status = 'completed' WHERE message = 'm' AND try = 0")
    #expect(try await store.drain(address).finished == 0)
    #expect(try await store.summary(of: address).pending == 1)
    #expect(try successor.finish("m"))
    #expect(try await store.drain(address).finished == 1)
    let page = try await store.messages(in: address, states: [.completed], limit: 9, after: nil)
    #expect(page.messages.map(\.tries) == [1])
    await store.close()
  }

  @Test("a message that only wakes is for a worker that starts after it was sent")
  func wakeOnly_E09() async throws {
    let store = open()
    var wake = try message("wake")
    wake.wakeOnly = true
    try await store.send(message("before"), to: address)
    try await store.with(address) { mailbox in
      try await mailbox.write { db in try db.execute(sql: "UPDATE worker SET incarnation = 3") }
    }
    try await store.send(wake, to: address)
    try await store.send(message("after"), to: address)
    let dying = try WorkerFiles(home, address, incarnation: 3)
    #expect(try [dying.take(), dying.take(), dying.take()] == ["before", "after", nil])
    #expect(try await store.dueCount(in: address) == 3)
    let fresh = try WorkerFiles(home, address, incarnation: 4)
    #expect(try fresh.take() == "before")
    #expect(try fresh.take() == "wake")
    await store.close()
  }

  @Test(
    "a message that always fails becomes a dead letter with its bytes and holds nothing up, and can be put back"
  )
  func deadLetters_E13() async throws {
    let store = open(impatient())
    let text = #"{"path": "C:\\x",  "n": 1.10}"#
    var bad = try message("bad", text)
    bad.maximumTries = 3
    bad.routing = try MailboxContent(json: #"{"to":"me"}"#)
    try await store.send(bad, to: address)
    for index in 0..<5 { try await store.send(message("good\(index)"), to: address) }
    let worker = try WorkerFiles(home, address)
    var order: [String] = []
    while let taken = try worker.take() {
      order.append(taken)
      try worker.finish(taken, as: taken == "bad" ? "failed" : "completed")
      try await store.drain(address)
      #expect(order.count < 20)
    }
    #expect(order.filter { $0 == "bad" }.count == 3)
    #expect(order.filter { $0 != "bad" } == (0..<5).map { "good\($0)" })
    let letters = try await store.deadLetters(in: address).letters
    #expect(letters.map(\.id) == ["bad"])
    #expect(letters[0].content.json == text)
    #expect(letters[0].routing?.json == #"{"to":"me"}"#)
    #expect(letters[0].direction == .inbound && letters[0].tries == 3)
    #expect(letters[0].reason == "tries-used-up" && letters[0].error == "it did not work")
    #expect(try await store.summary(of: address).deadLetters == 1)

    await #expect(throws: MailboxError.self) { try await store.retry(["good0"], in: address) }
    #expect(try await store.retry(["bad"], in: address) == 1)
    #expect(try await store.deadLetters(in: address).letters.isEmpty)
    #expect(try worker.take() == "bad")
    try worker.finish("bad")
    #expect(try await store.drain(address).finished == 1)
    #expect(try await store.retry(nil, in: address) == 0)
    await store.close()
  }

  @Test("a message its worker refuses for good is not tried again")
  func refusedForGood_E13() async throws {
    let store = open()
    try await store.send(message("bad"), to: address)
    let worker = try WorkerFiles(home, address)
    #expect(try worker.take() == "bad")
    try worker.finish("bad", as: "failed", retryable: 0)
    #expect(try await store.drain(address) == MailboxDrain(sent: 0, finished: 1, dead: 1))
    let page = try await store.messages(in: address, states: [.failed], limit: 9, after: nil)
    #expect(page.messages.map(\.id) == ["bad"])
    #expect(try await store.deadLetters(in: address).letters.map(\.reason) == ["refused-by-worker"])
    await store.close()
  }

  @Test("a message that failed waits longer after each try")
  func pauses() async throws {
    let configuration = MailboxConfiguration()
    #expect(
      (0..<8).map { configuration.pause(afterTries: $0) } == [1, 2, 4, 8, 16, 32, 60, 60].map { $0 * 1000 })
    #expect(configuration.pause(afterTries: .max) == 60_000)
    let store = open()
    try await store.send(message("m"), to: address)
    let worker = try WorkerFiles(home, address)
    #expect(try worker.take() == "m")
    let before = UnixTime.now().milliseconds
    try worker.finish("m", as: "failed")
    try await store.drain(address)
    let after = try await store.messages(in: address, states: [.pending], limit: 1, after: nil).messages[0]
      .processAfter
    #expect(try #require(after).milliseconds >= before + 1000)
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
    let worker = try WorkerFiles(home, other)
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
    let worker = try WorkerFiles(home, address).connection
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
    let due = try await store.dueDeliveries(in: address, perKind: 2)
    #expect(due.map(\.message.id) == ["chat1", "chat2", "due"])
    let page = try await store.receive(from: address, limit: 1000, after: nil)
    #expect(page.messages.count == 501 && page.messages.last?.id == "due")
    await store.close()
  }

  @Test("a delivery is written down before it is tried, and given up with its bytes and word to the worker")
  func deliveries() async throws {
    let store = open()
    try await store.send(message("in"), to: address)
    let worker = try WorkerFiles(home, address)
    try worker.connection.run(
      """
      INSERT INTO messages_out(id, kind, content, routing, idempotency_key)
      VALUES ('out', 'chat', '{"a": 1.0}', '{"to":"x"}', 'key')
      """)
    try await store.drain(address)
    let now = UTCInstant.now
    let later = now.advanced(by: .seconds(60))
    #expect(try await store.beginDelivery("out", in: address, nextAttempt: later, now: now))
    #expect(try await store.dueDeliveries(in: address, perKind: 9, now: now).isEmpty)
    try await store.postponeDelivery("out", in: address, error: "HTTP 503", nextAttempt: later)
    let due = try await store.dueDeliveries(in: address, perKind: 9, now: later)
    #expect(due.map(\.attempts) == [1] && due[0].lastError == "HTTP 503" && due[0].firstAttempt == now)
    #expect(due[0].message.idempotencyKey == "key" && due[0].message.routing?.json == #"{"to":"x"}"#)
    // Acknowledged by hand it is nobody's to deliver.
    try worker.say("by-hand", "1")
    try await store.acknowledge("by-hand", in: address)
    #expect(try await !store.beginDelivery("by-hand", in: address, nextAttempt: later))
    #expect(try await !store.giveUpDelivery("by-hand", in: address, reason: "rejected", error: nil))

    #expect(try await store.giveUpDelivery("out", in: address, reason: "rejected", error: "HTTP 410"))
    #expect(try await !store.giveUpDelivery("out", in: address, reason: "rejected", error: "HTTP 410"))
    let letters = try await store.deadLetters(in: address).letters
    #expect(letters.map(\.content.json) == [#"{"a": 1.0}"#])
    #expect(letters[0].direction == .outbound && letters[0].tries == 1 && letters[0].reason == "rejected")
    #expect(try await store.receive(from: address, limit: 9, after: nil).messages.isEmpty)
    let told = try await store.messages(in: address, states: [.pending], limit: 9, after: 1).messages
    #expect(told.map(\.kind) == ["delivery-failed"])
    #expect(told[0].content.json == #"{"error":"HTTP 410","id":"out","reason":"rejected"}"#)
    #expect(try await store.retry(["out"], in: address) == 1)
    #expect(try await store.dueDeliveries(in: address, perKind: 9).map(\.attempts) == [0])
    await store.close()
  }

  @Test("a row whose text is no text is told apart, and the others are received")
  func unreadableRows_D14() async throws {
    let store = open()
    try await store.send(message("in"), to: address)
    let worker = try WorkerFiles(home, address)
    try worker.say("a", "1")
    try worker.connection.run("INSERT INTO messages_out(id, content) VALUES ('bad', CAST(x'FF41' AS TEXT))")
    try worker.say("b", "2")
    let page = try await store.receive(from: address, limit: 9, after: nil)
    #expect(page.messages.map(\.id) == ["a", "b"])
    #expect(page.faults.map(\.subject) == ["messages_out 2"])
    await store.close()
  }

  @Test("drained twice, or by two at once, everything came over once")
  func drainingTwice() async throws {
    let (one, two) = (open(), open())
    try await one.send(message("m"), to: address)
    let worker = try WorkerFiles(home, address)
    try worker.connection.run(
      """
      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
      INSERT INTO messages_out(content) SELECT i FROM n
      """)
    #expect(try worker.take() == "m")
    try worker.finish("m")
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
