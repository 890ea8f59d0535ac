// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastEngine
import HoldfastTestKit
import Testing

@testable import HoldfastSessions

@Suite("A message while it is being said")
struct MessageStreamTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  /// Stands between a stream and its store: holds pieces back until the test lets them through, and tells of a
  /// commit that succeeded as if it had not been known.
  private actor Gate: MessageStreamSink {
    enum Failing { case pieces, end }

    private let store: SQLiteSessionStore
    private var held: CheckedContinuation<Void, Never>?
    private var watcher: CheckedContinuation<Void, Never>?
    private var isHolding: Bool
    private var failing: Set<Failing>
    /// Pieces that have reached the store.
    private(set) var passed = 0

    init(_ store: SQLiteSessionStore, isHolding: Bool = false, failing: Set<Failing> = []) {
      (self.store, self.isHolding, self.failing) = (store, isHolding, failing)
    }

    /// Waits until a piece is on its way.
    func reached() async {
      if held == nil { await withCheckedContinuation { watcher = $0 } }
    }

    func letThrough() {
      held?.resume()
      held = nil
    }

    func extend(_ uid: String, of session: String, from length: Int, with piece: String) async throws {
      if isHolding {
        await withCheckedContinuation { continuation in
          held = continuation
          watcher?.resume()
          watcher = nil
        }
      }
      try await store.extend(uid, of: session, from: length, with: piece)
      passed += 1
      try fail(.pieces)
    }

    func finishStreaming(
      _ uid: String, of session: String, from length: Int, adding piece: String, _ end: NewMessage?,
      mayBeEnded: Bool
    ) async throws {
      try await store.finishStreaming(
        uid, of: session, from: length, adding: piece, end, mayBeEnded: mayBeEnded)
      try fail(.end)
    }

    /// Once for each.
    private func fail(_ what: Failing) throws {
      guard failing.remove(what) != nil else { return }
      throw StoreError(.io, "The commit was interrupted.", outcome: .unknown)
    }
  }

  /// Gives a store, the gate before it, and a clock that stands still.
  private func stream(
    _ text: String, isHolding: Bool = false, failing: Set<Gate.Failing> = [],
    _ body: (SQLiteSessionStore, SQLiteMessageStream, Gate, FakeClock) async throws -> Void
  ) async throws {
    let store = try await SQLiteSessionStore.open(home: directory.file("home"))
    let gate = Gate(store, isHolding: isHolding, failing: failing)
    let clock = FakeClock()
    let stream = try await store.appendStreaming(
      NewMessage(role: "assistant", text), to: "s", through: gate, clock: clock)
    try await body(store, stream, gate, clock)
    await store.close()
  }

  private func content(_ store: SQLiteSessionStore) async throws -> MessageContent? {
    try await store.transcript(of: "s").messages.first?.message.content
  }

  @Test("pieces that come during a write are neither lost nor doubled")
  func piecesBesideAWriteAreWrittenOnce() async throws {
    try await stream("at first ", isHolding: true) { store, stream, gate, clock in
      var expected = "at first "
      for round in 0..<20 {
        for number in 0..<5 {
          let piece = "e\u{301}\(round).\(number) "
          expected += piece
          await stream.add(piece)
        }
        await clock.sleepers(1)
        clock.advance(by: SQLiteMessageStream.interval)
        await gate.reached()
        // A write is under way; what comes now goes with the next.
        await stream.add("\u{308}")
        expected += "\u{308}"
        await gate.letThrough()
        #expect(await eventually { await gate.passed == round + 1 })
      }
      try await stream.finish()
      #expect(try await content(store) == .text(expected))
    }
  }

  @Test("pieces are gathered until the interval is over, and the end does not wait for it")
  func piecesAreGathered() async throws {
    try await stream("") { store, stream, gate, clock in
      for number in 0..<100 { await stream.add("\(number) ") }
      await clock.sleepers(1)
      #expect(await gate.passed == 0)
      #expect(try await content(store) == .text(""))
      clock.advance(by: SQLiteMessageStream.interval)
      #expect(await eventually { await gate.passed == 1 })
      await stream.add("last")
      // Its clock stands still.
      try await stream.finish()
      #expect(await gate.passed == 1)
      #expect(try await content(store) == .text((0..<100).map { "\($0) " }.joined() + "last"))
    }
  }

  @Test("a piece that was written and told as failed is there once")
  func pieceOfUncertainFateIsThereOnce() async throws {
    try await stream("", failing: [.pieces]) { store, stream, gate, clock in
      await stream.add("e\u{301}ins ")
      await clock.sleepers(1)
      clock.advance(by: SQLiteMessageStream.interval)
      // It failed, as far as the stream knows, and waits to be written again, with what comes.
      await clock.sleepers(1)
      #expect(await gate.passed == 1)
      await stream.add("zwei")
      try await stream.finish()
      #expect(try await content(store) == .text("e\u{301}ins zwei"))
    }
  }

  @Test("an end that was written and told as failed can be written again")
  func endOfUncertainFateCanBeWrittenAgain() async throws {
    try await stream("", failing: [.end]) { store, stream, _, _ in
      await stream.add("all")
      var end = NewMessage(role: "assistant", "")
      end.costMicrodollars = 3
      await #expect(throws: StoreError.self) { try await stream.finish(end) }
      try await stream.finish(end)
      #expect(try await content(store) == .text("all"))
      #expect(try await store.session("s").costMicrodollars == 3)
      #expect(try await !store.transcript(of: "s").messages[0].streaming)
      await #expect(throws: SessionError.self) { try await stream.finish(end) }
    }
  }

  @Test("what another changed meanwhile is not written over")
  func changedMessageIsLeftAlone() async throws {
    try await stream("begun ") { store, stream, _, _ in
      let other = try ForeignConnection(directory.file("home") + "/sessions.db", busyTimeout: 10_000)
      try other.run("UPDATE message SET content = 'begun otherwise'")
      await stream.add("by us")
      let refusal = await #expect(throws: SessionError.self) { try await stream.finish() }
      #expect(refusal?.code == .invalid)
      #expect(try await content(store) == .text("begun otherwise"))
      try other.run("SELECT 1")
    }
  }

  /// SIGKILL, after some messages and in the midst of one.
  @Test("of a killed writer every promised message is whole, and what it was saying is kept and marked")
  func whatAKilledWriterSaidStays() async throws {
    let program = try PeerProcess.builtExecutable(named: "HoldfastTestPeer")
    for promised in [1, 7, 20] {
      let home = directory.file("home-\(promised)")
      var settings = PeerSettings(first: 1, count: 20)
      settings.files = [home]
      let peer = try PeerProcess.start(program, arguments: settings.arguments(for: "streamMessages"))
      try await peer.pass("start")
      for number in 1...promised { #expect(await peer.word() == "\(number)") }
      if promised == 20 { try await peer.arrival(at: "half") }
      #expect(await peer.kill() == .killed(signal: SIGKILL))

      let store = try await SQLiteSessionStore.open(home: home)
      try await store.flush()
      let said = try await store.transcript(of: "said").messages
      for (index, message) in said.enumerated() {
        let pieces = (0..<20).map { "\(index + 1).\($0) " }.joined()
        guard case .text(let text) = message.message.content else { continue }
        if index < promised {
          #expect(text == pieces && !message.streaming)
        } else if promised == 20 {
          #expect(text == "one two " && message.streaming)
        } else {
          // Said since; the last of them perhaps not to its end.
          #expect(message.streaming ? index == said.count - 1 && pieces.hasPrefix(text) : text == pieces)
        }
      }
      #expect(promised == 20 ? said.count == 21 : said.count >= promised)
      let accepted = try await store.transcript(of: "accepted").messages.compactMap(\.message.uid)
      #expect(accepted == (0..<accepted.count).map { "\($0 + 1)" } && accepted.count >= promised)
      await store.close()
    }
  }
}
