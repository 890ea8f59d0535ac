// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastSessions
import HoldfastTestKit
import HoldfastUsage
import Logging
import Synchronization
import Testing

@testable import HoldfastGateway

@Suite struct SessionCaptureTests {
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  /// A store that cannot be used until a test lets it.
  private final class Gate: Sendable {
    private let store: SQLiteSessionStore
    private let isOpen = Mutex(false)

    init(_ store: SQLiteSessionStore) { self.store = store }

    func open() { isOpen.withLock { $0 = true } }

    func pass() throws -> any SessionStore {
      guard isOpen.withLock({ $0 }) else { throw StoreError(.cannotOpen, "Not yet.") }
      return store
    }
  }

  private func capture(_ gate: Gate, mostHeld: Int = 1 << 20) -> SessionCapture {
    SessionCapture(
      plan: CapturePlan(sources: nil), rates: { .builtIn },
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
      mostHeld: mostHeld
    ) { try gate.pass() }
  }

  private func exchange(_ session: String, _ history: [(String, String)], _ answer: String)
    -> CapturedExchange
  {
    let told = history.map { #"{"role":"\#($0)","content":"\#($1)"}"# }.joined(separator: ",")
    return CapturedExchange(
      session: session, kind: .openAIChat, request: Array(#"{"model":"m","messages":[\#(told)]}"#.utf8),
      response: Array(
        #"{"id":"r","choices":[{"message":{"role":"assistant","content":"\#(answer)"}}]}"#.utf8),
      requestCoding: .identity, responseCoding: .identity, isStream: false, isComplete: true,
      row: UsageRow(provider: "openai", model: "m"))
  }

  private func words(_ store: SQLiteSessionStore, _ session: String) async throws -> [String] {
    try await store.flush(within: nil)
    return try await store.transcript(of: session).messages.map { MessagePrint.words($0.message) }
  }

  @Test func whatCannotBeReadNowIsCapturedInOrderLater() async throws {
    let store = try await SQLiteSessionStore.open(home: directory.path)
    let gate = Gate(store)
    let capture = capture(gate)
    await capture.start()
    capture.take(exchange("s", [("user", "a")], "A"))
    capture.take(exchange("t", [("user", "x")], "X"))
    capture.take(exchange("s", [("user", "a"), ("assistant", "A"), ("user", "b")], "B"))
    #expect(capture.counts.snapshot.turns == 0)
    gate.open()
    #expect(await eventually { capture.counts.snapshot.turns == 3 })
    #expect(try await words(store, "s") == ["a", "A", "b", "B"])
    #expect(try await words(store, "t") == ["x", "X"])
    await capture.finish(within: .seconds(5))
    #expect(capture.counts.snapshot.waiting == 0)
    await store.close()
  }

  @Test func whatIsStillWaitingAtTheEndIsCounted() async throws {
    let store = try await SQLiteSessionStore.open(home: directory.path)
    let capture = capture(Gate(store))
    await capture.start()
    capture.take(exchange("s", [("user", "a")], "A"))
    capture.take(exchange("s", [("user", "b")], "B"))
    await capture.finish(within: .seconds(5))
    #expect(capture.counts.snapshot.skipped == [.stopped: 2])
    // And what comes after the end as well.
    capture.take(exchange("s", [("user", "c")], "C"))
    #expect(capture.counts.snapshot.skipped == [.stopped: 3])
    await store.close()
  }

  @Test func memoryIsBoundedAndGivenBack() {
    let counts = CaptureCounts(limit: 100)
    #expect(counts.reserve(60))
    #expect(!counts.reserve(41))
    #expect(counts.reserve(40))
    counts.release(60)
    #expect(counts.reserve(60))
    #expect(counts.snapshot.bytes == 100)
  }

  @Test func whatOthersWroteToTheSessionIsNotWrittenAgain() async throws {
    let store = try await SQLiteSessionStore.open(home: directory.path)
    let gate = Gate(store)
    gate.open()
    let capture = capture(gate)
    await capture.start()
    capture.take(exchange("s", [("user", "a")], "A"))
    #expect(await eventually { capture.counts.snapshot.turns == 1 })
    try await store.flush(within: nil)
    // The agent writes what it did itself.
    try await store.append([NewMessage(role: "user", "b"), NewMessage(role: "assistant", "B")], to: "s")
    capture.take(
      exchange(
        "s", [("user", "a"), ("assistant", "A"), ("user", "b"), ("assistant", "B"), ("user", "c")], "C"))
    #expect(await eventually { capture.counts.snapshot.turns == 2 })
    #expect(try await words(store, "s") == ["a", "A", "b", "B", "c", "C"])
    await capture.finish(within: .seconds(5))
    await store.close()
  }

  @Test func theBeginningOfAnothersIdIsASessionOfItsOwn() async throws {
    let store = try await SQLiteSessionStore.open(home: directory.path)
    try await store.append(NewMessage(role: "user", "a"), to: "session-1")
    let gate = Gate(store)
    gate.open()
    let capture = capture(gate)
    await capture.start()
    capture.take(exchange("session", [("user", "a")], "A"))
    #expect(await eventually { capture.counts.snapshot.turns == 1 })
    #expect(try await words(store, "session") == ["a", "A"])
    #expect(try await words(store, "session-1") == ["a"])
    await capture.finish(within: .seconds(5))
    await store.close()
  }

  @Test func aSubAgentIsASessionBelowItsOwn() {
    var origin = RequestOrigin()
    #expect(SessionCapture.session(of: origin) == nil)
    origin.session = "s"
    #expect(SessionCapture.session(of: origin) == "s")
    origin.agent = "a"
    #expect(SessionCapture.session(of: origin) == "s/agent-a")
    origin.agent = String(repeating: "a", count: 256)
    #expect(SessionCapture.session(of: origin) == nil)
  }
}
