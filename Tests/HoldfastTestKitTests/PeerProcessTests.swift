// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastTestKit
import Testing

@Suite struct PeerProcessTests {
  private let directory: TemporaryDirectory
  private let peer: String

  init() throws {
    directory = try TemporaryDirectory()
    peer = try PeerProcess.builtExecutable(named: "HoldfastTestPeer")
  }

  private func settings(count: UInt64? = nil) -> PeerSettings {
    .init(
      database: directory.file("a.db"), spool: directory.file("spool"), journal: directory.file("journal"),
      count: count)
  }

  @Test func aPeerWaitsAtItsGateAndEndsByItself() async throws {
    let process = try PeerProcess.start(peer, arguments: settings(count: 5).arguments(for: "append"))
    try await process.arrival(at: "start")
    #expect(AcknowledgementJournal.numbers(in: directory.file("journal")) == [])
    process.open("start")
    #expect(await process.end() == .exited(0))
    #expect(AcknowledgementJournal.numbers(in: directory.file("journal")) == [1, 2, 3, 4, 5])
  }

  @Test func aStoppedPeerStandsStillAndAKilledOneIsGone() async throws {
    let journal = directory.file("journal")
    var settings = settings()
    settings.first = 100  // 13 is refused by the peers' table
    let process = try PeerProcess.start(peer, arguments: settings.arguments(for: "write"))
    try await process.pass("start")
    #expect(await eventually { AcknowledgementJournal.count(in: journal) > 10 })
    try await process.stop()
    let before = AcknowledgementJournal.count(in: journal)
    // A stopped process cannot move however often this one is given the processor.
    for _ in 0..<1000 { await Task.yield() }
    #expect(AcknowledgementJournal.count(in: journal) == before)
    process.resume()
    #expect(await eventually { AcknowledgementJournal.count(in: journal) > before })
    #expect(await process.kill() == .killed(signal: SIGKILL))
    #expect(process.ending == .killed(signal: SIGKILL))
  }

  @Test func aPeerThatEndedIsNotWaitedForAtAGate() async throws {
    let process = try PeerProcess.start(peer, arguments: ["nonsense"])
    await #expect(throws: PeerProcess.Failure.self) { try await process.arrival(at: "start") }
    #expect(await process.end() == .exited(64))
    #expect(throws: PeerProcess.Failure.self) { try PeerProcess.start("/nonexistent") }
  }

  @Test func aGroupPassesTheStartingLineTogether() async throws {
    let settings = settings(count: 3)
    let files = (0..<4).map { directory.file("journal-\($0)") }
    let group = try PeerGroup.start(4, of: peer) { index in
      var own = settings
      own.journal = files[index]
      return own.arguments(for: "append")
    }
    for process in group.peers { try await process.arrival(at: "start") }
    #expect(files.allSatisfy { AcknowledgementJournal.count(in: $0) == 0 })
    for process in group.peers { process.open("start") }
    #expect(await group.end().allSatisfy { $0 == .exited(0) })
    #expect(files.allSatisfy { AcknowledgementJournal.count(in: $0) == 3 })
  }

  @Test func theCheckSeesWhatIsLostDoubledAndOutOfOrder() {
    let check = AcknowledgementCheck(
      acknowledged: [1, 2, 3, 101], found: [1, 3, 2, 2, 4, 101], writer: { $0 / 100 })
    #expect(check.lost == [] && check.doubled == [2] && check.misordered == [2, 2])
    #expect(!check.holds)
    #expect(AcknowledgementCheck(acknowledged: [1, 2], found: [2]).lost == [1])
    #expect(AcknowledgementCheck(acknowledged: [1], found: [1, 2]).holds)
  }
}
