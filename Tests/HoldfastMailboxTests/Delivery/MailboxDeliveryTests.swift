// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastEngine
import HoldfastTestKit
import Logging
import Testing

@testable import HoldfastMailbox

/// A receiver under a test's control.
private final class Receiver: DeliveryAdapter {
  struct State {
    var log: [String] = []
    /// When each attempt at a message began.
    var times: [String: [Duration]] = [:]
    var inFlight: [String: Int] = [:]
    var mostInFlight = 0
    var outcomes: [String: [DeliveryOutcome]] = [:]
    var held: Set<String> = []
    var waiting: [String: CheckedContinuation<Void, Never>] = [:]
  }

  let state = Monitor(State())
  let clock: FakeClock

  init(_ clock: FakeClock) { self.clock = clock }

  var name: String { "receiver" }
  var timeLimit: Duration { .seconds(30) }

  /// What it says to the first attempts at a message; to those after them, that it has it.
  func answer(_ id: String, _ outcomes: DeliveryOutcome...) { state.withLock { $0.outcomes[id] = outcomes } }

  /// Has it keep a message until let go.
  func hold(_ id: String) { _ = state.withLock { $0.held.insert(id) } }

  func letGo(_ id: String) {
    state.withLock { state in
      state.held.remove(id)
      return state.waiting.removeValue(forKey: id)
    }?.resume()
  }

  var log: [String] { state.withLock { $0.log } }

  func deliver(_ delivery: Delivery) async -> DeliveryOutcome {
    let (id, lane) = (delivery.message.id, "\(delivery.mailbox) \(delivery.message.kind)")
    state.withLock { state in
      state.log.append("\(delivery.mailbox.session):\(id)")
      state.times[id, default: []].append(clock.now.sinceStart)
      state.inFlight[lane, default: 0] += 1
      state.mostInFlight = max(state.mostInFlight, state.inFlight[lane] ?? 0)
    }
    await withCheckedContinuation { continuation in
      let isHeld = state.withLock { state in
        if state.held.contains(id) { state.waiting[id] = continuation }
        return state.held.contains(id)
      }
      if !isHeld { continuation.resume() }
    }
    return state.withLock { state in
      state.inFlight[lane, default: 1] -= 1
      guard state.outcomes[id]?.isEmpty == false else { return .delivered }
      return state.outcomes[id]?.removeFirst() ?? .delivered
    }
  }
}

@Suite("Mailbox delivery")
struct MailboxDeliveryTests {
  private let directory: TemporaryDirectory
  private let home: String
  private let store: SQLiteMailboxStore
  private let receiver: Receiver
  private let clock = FakeClock()
  private let events = Monitor<[DeliveryEvent]>([])
  private let start = UTCInstant.now

  init() throws {
    directory = try TemporaryDirectory()
    home = directory.file("home")
    store = SQLiteMailboxStore(home: home)
    receiver = Receiver(clock)
  }

  private func worker(_ session: String) async throws -> SQLiteMailboxWorker {
    let address = try address(session)
    try await store.send(NewMailboxMessage(id: "in", content: MailboxContent(text: "in")), to: address)
    return try SQLiteMailboxWorker(home: home, address)
  }

  private func address(_ session: String = "a") throws -> MailboxAddress {
    try MailboxAddress(agent: "writer", session: session)
  }

  private func delivery(_ kinds: [String?] = ["chat", "mail"]) -> MailboxDelivery {
    var routes = DeliveryRoutes()
    for kind in kinds { routes.carry(kind, by: receiver) }
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    return MailboxDelivery(
      store, routes: routes, clock: clock,
      now: { [start, clock] in start.advanced(by: clock.now.sinceStart) }, logger: logger
    ) { event in self.events.withLock { $0.append(event) } }
  }

  /// Lets time pass, second by second, until something holds.
  private func reach(
    _ condition: () async throws -> Bool, sourceLocation: SourceLocation = #_sourceLocation
  ) async throws {
    let isReached = try await eventually {
      clock.advance(by: .seconds(1))
      return try await condition()
    }
    #expect(isReached, sourceLocation: sourceLocation)
  }

  private func run(_ deliveries: MailboxDelivery..., body: () async throws -> Void) async throws {
    let tasks = deliveries.map { delivery in Task { try await delivery.run() } }
    do { try await body() } catch {
      for task in tasks { task.cancel() }
      throw error
    }
    for task in tasks { task.cancel() }
    for task in tasks { try? await task.value }
    await store.close()
  }

  private func isDelivered(_ count: Int, _ session: String = "a") async throws -> Bool {
    try await store.summary(of: address(session)).delivered == count
  }

  @Test("one that waits holds back those of its kind, and no other kind and no other mailbox")
  func order_E05() async throws {
    let (a, b) = (try await worker("a"), try await worker("b"))
    receiver.answer("1", .transient(reason: "reset"), .transient(reason: "busy", retryAfter: .seconds(20)))
    for id in ["1", "2", "3"] { try a.say(id, kind: "chat", id, deliverAfter: nil) }
    try a.say("m", kind: "mail", "1", deliverAfter: nil)
    try b.say("x", kind: "chat", "1", deliverAfter: nil)
    try await run(delivery()) {
      try await reach { try await isDelivered(4) }
      try await reach { try await isDelivered(1, "b") }
      #expect(receiver.log.filter { "123".contains($0.last ?? "-") } == ["a:1", "a:1", "a:1", "a:2", "a:3"])
      #expect(receiver.log.filter { !"123".contains($0.last ?? "-") }.sorted() == ["a:m", "b:x"])
      let times = receiver.state.withLock { $0.times["1"] ?? [] }
      #expect(times.count == 3 && times[1] - times[0] >= .seconds(1) && times[2] - times[1] >= .seconds(20))
    }
  }

  @Test("what has nobody to carry it is not delivered: it waits, is told of once, and can be received")
  func unrouted_E06() async throws {
    let a = try await worker("a")
    for id in ["1", "2"] { try a.say(id, kind: "other", id, deliverAfter: nil) }
    for id in ["3", "4"] { try a.say(id, kind: "chat", id, deliverAfter: nil) }
    try await run(delivery(["chat"])) {
      try await reach { try await isDelivered(2) }
      for _ in 0..<5 {
        await clock.sleepers(1)
        clock.advance(by: .seconds(1))
      }
      #expect(receiver.log == ["a:3", "a:4"])
      let page = try await store.receive(from: try address(), limit: 9, after: nil)
      #expect(page.messages.map(\.id) == ["1", "2"])
      let told = events.withLock { $0 }.map(\.news)
      #expect(told.filter { $0 == .unrouted(kind: "other") }.count == 1)
    }
  }

  @Test("an adapter for every other kind carries what none of its own has")
  func others_E06() async throws {
    let a = try await worker("a")
    try a.say("1", kind: "anything", "1", deliverAfter: nil)
    try await run(delivery([nil])) { try await reach { try await isDelivered(1) } }
  }

  @Test(
    "a message is never in flight twice, however often the mailbox is looked into and however many hosts do")
  func onceInFlight_E04() async throws {
    let a = try await worker("a")
    for id in ["1", "2", "3"] { try a.say(id, kind: "chat", id, deliverAfter: nil) }
    receiver.hold("1")
    try await run(delivery(), delivery()) {
      #expect(await eventually { receiver.log == ["a:1"] })
      for _ in 0..<20 {
        await clock.sleepers(2)
        clock.advance(by: .seconds(1))
      }
      #expect(receiver.log == ["a:1"])
      receiver.letGo("1")
      try await reach { try await isDelivered(3) }
      #expect(receiver.log == ["a:1", "a:2", "a:3"])
      #expect(receiver.state.withLock { $0.mostInFlight } == 1)
    }
  }

  @Test(
    "what the receiver refuses for good is a dead letter at once, its worker is told, and retrying delivers it"
  )
  func deadLetter_E05() async throws {
    let a = try await worker("a")
    receiver.answer("1", .permanent(reason: "HTTP 410"))
    for id in ["1", "2"] { try a.say(id, kind: "chat", #"{"n": \#(id)}"#, deliverAfter: nil) }
    try await run(delivery()) {
      try await reach { try await isDelivered(1) }
      let letters = try await store.deadLetters(in: try address()).letters
      #expect(letters.map(\.id) == ["1"] && letters.map(\.reason) == ["rejected"])
      #expect(letters.map(\.content.json) == [#"{"n": 1}"#] && letters.map(\.tries) == [1])
      let told = try await store.messages(in: try address(), states: [.pending], limit: 9, after: 1).messages
      #expect(told.map(\.kind) == ["delivery-failed"])
      #expect(told.map(\.content.json) == [#"{"error":"HTTP 410","id":"1","reason":"rejected"}"#])
      #expect(try await store.retry(["1"], in: try address()) == 1)
      try await reach { try await isDelivered(2) }
      #expect(receiver.log == ["a:1", "a:2", "a:1"])
    }
  }

  @Test("what cannot be read, or is not there any more, is a dead letter with its bytes and blocks nobody")
  func unreadable_E13() async throws {
    let a = try await worker("a")
    try a.connection.run(
      """
      INSERT INTO messages_out(id, kind, content) VALUES ('bad', 'chat', CAST(x'22ff22' AS TEXT));
      INSERT INTO messages_out(id, kind, content) VALUES (CAST(x'62ff' AS TEXT), 'chat', '1');
      INSERT INTO messages_out(id, kind, content) VALUES ('gone', 'chat', '1');
      INSERT INTO messages_out(id, kind, content) VALUES ('good', 'chat', '1')
      """)
    try await store.drain(try address())
    // A worker that does what it may not.
    let triggers = try #require(
      try a.connection.text(
        "SELECT group_concat('DROP TRIGGER ' || name, ';') FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'messages_out'"
      ))
    try a.connection.run(triggers)
    try a.connection.run("DELETE FROM messages_out WHERE id = 'gone'")
    try await run(delivery()) {
      try await reach { try await isDelivered(1) }
      #expect(receiver.log == ["a:good"])
      let inbound = try ForeignConnection(MailboxDirectory(home: home, address: try address()).inbound)
      #expect(
        try inbound.text(
          "SELECT group_concat(hex(id) || ':' || hex(content) || ':' || reason, ' ') FROM dead_letters")
          == "626164:22FF22:unreadable 62FF:31:unreadable 676F6E65:6E756C6C:unreadable")
      #expect(try inbound.text("SELECT count(*) FROM messages_in WHERE kind = 'delivery-failed'") == "3")
    }
  }

  @Test("a mailbox that cannot be read costs the others nothing, and is told of when it stays so")
  func contained_E03() async throws {
    let a = try await worker("a")
    _ = try await worker("b")
    let bad = try address("b")
    try a.say("1", kind: "chat", "1", deliverAfter: nil)
    await store.close()
    let broken = MailboxDirectory(home: home, address: bad).outbound
    for sidecar in ["-wal", "-shm"] { try? FileManager.default.removeItem(atPath: broken + sidecar) }
    try Data(repeating: 0x5a, count: 8192).write(to: URL(fileURLWithPath: broken))
    let other = SQLiteMailboxStore(home: home)
    var routes = DeliveryRoutes()
    routes.carry("chat", by: receiver)
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let delivery = MailboxDelivery(other, routes: routes, clock: clock, logger: logger) { event in
      self.events.withLock { $0.append(event) }
    }
    try await run(delivery) {
      try await reach { receiver.log == ["a:1"] }
      try await reach {
        events.withLock { $0 }.contains { event in
          if case .troubled = event.news { return event.mailbox == bad }
          return false
        }
      }
    }
    await other.close()
  }

  @Test("told to stop, it waits for what is under way, writes that down and begins nothing more")
  func stops_E04() async throws {
    let a = try await worker("a")
    for id in ["1", "2"] { try a.say(id, kind: "chat", id, deliverAfter: nil) }
    receiver.hold("1")
    var routes = DeliveryRoutes()
    routes.carry("chat", by: receiver)
    let session = SessionDelivery(
      try address(),
      .init(
        store: store, routes: routes, policy: .init(), now: { .now }, logger: Logger(label: "test"),
        tell: { _ in }))
    session.look()
    async let end: Void = session.run()
    #expect(await eventually { receiver.log == ["a:1"] })
    session.stop()
    receiver.letGo("1")
    await end
    #expect(try await isDelivered(1))
    #expect(receiver.log == ["a:1"])
    await store.close()
  }
}
