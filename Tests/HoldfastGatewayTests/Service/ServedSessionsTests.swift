// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastSessions
import HoldfastTestKit
import Logging
import Synchronization
import Testing

@testable import HoldfastGateway

@Suite struct ServedSessionsTests {
  private let directory: TemporaryDirectory
  private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

  init() throws { directory = try TemporaryDirectory() }

  @Test func anOpeningThatFailsIsTriedAgainUntilItSucceeds() async throws {
    let home = directory.path
    let failures = Mutex(3)
    let sessions = ServedSessions(logger: logger) {
      let isFailing = failures.withLock { left in
        left -= 1
        return left >= 0
      }
      guard !isFailing else { throw StoreError(.diskFull, "The disk is full.") }
      let store = try await SQLiteSessionStore.open(home: home)
      return OpenedSessions.Stores(store: store, search: store.makeSearch())
    }
    await #expect(throws: StoreError.self) { try await sessions.ask { _ in } }
    await sessions.start()
    #expect(await eventually { (try? await sessions.ask { _ in true }) == true })
    #expect(failures.withLock { $0 } == -1)
    let status = await sessions.status()
    #expect(status.fault == nil)
    #expect(status.store != nil)
    await sessions.close()
    await #expect(throws: StoreError.self) { try await sessions.ask { _ in } }
  }

  @Test func theReasonIsToldWhileItCannotBeOpened() async throws {
    let sessions = ServedSessions(logger: logger) { throw StoreError(.diskFull, "The disk is full.") }
    await sessions.start()
    #expect(await eventually { await sessions.status().fault != nil })
    let report = StatusReport(
      home: directory.path, daemon: nil, ledger: nil, sessions: await sessions.status())
    #expect(report.health == .degraded)
    #expect(report.findings.map(\.code) == ["sessions-closed"])
    #expect(report.findings.first?.message.contains("The disk is full.") == true)
    await sessions.close()
  }

  @Test func whatIsOpenedAfterTheEndIsClosedAtOnce() async throws {
    let home = directory.path
    let begun = Mutex(false)
    let gate = Mutex(false)
    let made = Mutex<SQLiteSessionStore?>(nil)
    let sessions = ServedSessions(logger: logger) {
      begun.withLock { $0 = true }
      // Not to be hurried: whatever opens a file cannot be called off either.
      while !gate.withLock({ $0 }) { await Task.yield() }
      let store = try await SQLiteSessionStore.open(home: home)
      made.withLock { $0 = store }
      return OpenedSessions.Stores(store: store, search: store.makeSearch())
    }
    await sessions.start()
    #expect(await eventually { begun.withLock { $0 } })
    await sessions.close()
    gate.withLock { $0 = true }
    #expect(
      await eventually {
        guard let store = made.withLock({ $0 }) else { return false }
        do {
          try store.accept(NewMessage(role: "user", "x"), for: "s")
          return false
        } catch { return true }
      })
  }

  @Test func placesAreReadBackAsTheyWereWritten() {
    for text in ["1.0.1", "-1.0.-1", "12.1.40"] { #expect(MessagePlace(text)?.description == text) }
    for text in ["", "1", "1.2.3", "1.0", "1.0.1.0", "a.0.1", "1..1"] { #expect(MessagePlace(text) == nil) }
    #expect(SessionPlace("1795292912559.304")?.description == "1795292912559.304")
    for text in ["", "1", "1.2.3", "x.1"] { #expect(SessionPlace(text) == nil) }
  }
}
