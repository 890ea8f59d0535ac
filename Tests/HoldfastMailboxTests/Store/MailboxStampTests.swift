// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastEngine
import HoldfastTestKit
import Logging
import Testing

@testable import HoldfastMailbox

/// What is seen of mailboxes without opening them, and what becomes of those that are removed.
@Suite struct MailboxStampTests {
  private let home: TemporaryDirectory
  private let address: MailboxAddress
  private let store: SQLiteMailboxStore
  private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

  init() throws {
    home = try TemporaryDirectory()
    address = try MailboxAddress("agent/session")
    store = SQLiteMailboxStore(home: home.path)
  }

  private var directory: MailboxDirectory { MailboxDirectory(home: home.path, address: address) }
  private var stamp: MailboxStamp { MailboxStamp(directory) }

  private func send(_ id: String) async throws {
    try await store.send(NewMailboxMessage(id: id, content: MailboxContent(text: id)), to: address)
  }

  @Test func itChangesWithEitherSidesWritesAndNotWithALook() async throws {
    try await send("1")
    var last = stamp
    try await send("2")
    #expect(stamp != last)
    last = stamp
    let worker = try SQLiteMailboxWorker(home: home.path, address)
    try worker.say("r", "1")
    #expect(stamp != last)
    try await store.drain(address)
    last = stamp
    try await store.drain(address)
    _ = try await store.claims(in: address)
    #expect(stamp == last && last.bytes > 0)
    await store.close()
    // With the last of its users a WAL goes, and with the next it is made again, empty.
    last = stamp
    let other = SQLiteMailboxStore(home: home.path)
    #expect(try await other.dueCount(in: address) == 2)
    #expect(stamp == last)
    await other.close()
    #expect(stamp == last)
  }

  @Test func itIsSettledWhenNobodyHasWrittenForAWhileByTheClockOfTheFiles() async throws {
    try await send("1")
    let written = UnixTime.now()
    let stamp = stamp
    #expect(!stamp.isSettled(at: written))
    #expect(stamp.isSettled(at: UnixTime(nanoseconds: written.nanoseconds + 6_000_000_000)))
    // A clock that was set back.
    #expect(!stamp.isSettled(at: UnixTime(nanoseconds: 0)))
    await store.close()
  }

  /// Has both files look as if nobody had written to them for a long time.
  private func age() throws {
    for file in [directory.inbound, directory.outbound].flatMap({ [$0, $0 + "-wal"] })
    where FileManager.default.fileExists(atPath: file) {
      try FileManager.default.setAttributes([.modificationDate: Date.distantPast], ofItemAtPath: file)
    }
  }

  @Test func aBookIsReadAgainWhenSomebodyWroteOrSomethingIsDue() async throws {
    let book = MailboxBook(store, address)
    try await book.make()
    try age()
    #expect(try await book.dueCount() == 0)
    #expect(try await book.isWanted())
    try await send("1")
    #expect(try await book.dueCount() == 1)
    try age()
    #expect(try await book.dueCount() == 1)
    let tool = MailboxBook(SQLiteMailboxStore(home: home.path), address)
    try await tool.want(false)
    #expect(try await book.isWanted() == false)
    // What is put off becomes due though nobody writes.
    let soon = UTCInstant(milliseconds: UTCInstant.now.milliseconds + 300)
    var later = NewMailboxMessage(id: "2", content: MailboxContent(text: "2"))
    later.processAfter = soon
    try await store.send(later, to: address)
    try age()
    #expect(await eventually { (try? await book.dueCount()) == 2 })
    await store.close()
  }

  #if os(Linux)
    @Test func aMailboxThatIsRemovedIsLetGoOfAndOneMadeAgainIsServed() async throws {
      final class Receiver: DeliveryAdapter {
        let taken = Monitor<[String]>([])
        var name: String { "test" }
        var timeLimit: Duration { .seconds(30) }
        func deliver(_ delivery: Delivery) async -> DeliveryOutcome {
          taken.withLock { $0.append(delivery.message.id) }
          return .delivered
        }
      }
      let clock = FakeClock()
      let receiver = Receiver()
      var routes = DeliveryRoutes()
      routes.carry(nil, by: receiver)
      let delivery = MailboxDelivery(store, routes: routes, clock: clock, logger: logger)
      let running = Task { try await delivery.run() }
      func reach(_ condition: () throws -> Bool) async throws {
        let isReached = try await eventually {
          clock.advance(by: .seconds(1))
          return try condition()
        }
        #expect(isReached)
      }
      try await send("in")
      var worker: SQLiteMailboxWorker? = try SQLiteMailboxWorker(home: home.path, address)
      try worker?.say("first", "1")
      try await reach { receiver.taken.withLock { $0 } == ["first"] }
      worker = nil
      let removed = home.file("removed")
      try FileManager.default.moveItem(atPath: directory.path, toPath: removed)
      try await reach {
        try ["inbound.db", "outbound.db"].allSatisfy {
          try OpenDescriptors.count(of: removed + "/" + $0) == 0
        }
      }
      try await send("in")
      worker = try SQLiteMailboxWorker(home: home.path, address)
      try worker?.say("second", "2")
      try await reach { receiver.taken.withLock { $0 } == ["first", "second"] }
      running.cancel()
      try? await running.value
      await store.close()
      withExtendedLifetime(worker) {}
    }
  #endif
}
