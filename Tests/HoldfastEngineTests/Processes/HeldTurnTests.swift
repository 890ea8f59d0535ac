// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

/// Processes that stop or die with the turn, or in the queue for it.
@Suite(.serialized) struct HeldTurnTests {
  /// Waits until the peer has drawn a ticket of the lane and so stands in the queue.
  private func isQueued(_ peer: PeerProcess) async -> Bool {
    await eventually {
      ProcFile.lockLines(ofProcess: peer.pid).contains { line in
        KernelLock(line: line).map { $0.family == .ofd && $0.start >= WriteLane.firstTicket } ?? false
      }
    }
  }

  private func deadline(of file: StateFile) async throws -> StoreError {
    do {
      try await file.write(within: .milliseconds(50), insertNumber(99))
    } catch let error as StoreError {
      return error
    }
    throw PeerTestFailure(description: "a write went through while the turn was held")
  }

  private struct PeerTestFailure: Error { let description: String }

  @Test func aStoppedHolderIsNamedAndNothingIsLost_A03_A16_A17() async throws {
    let test = try PeerTest()
    let file = try await test.open()
    let holder = try test.start(.holdTurn, first: 1)
    try await holder.pass("start")
    try await holder.arrival(at: "inside")
    try await holder.stop()
    let patient = Task { try await file.write(insertNumber(2)) }
    let error = try await deadline(of: file)
    #expect(error.code == .deadline)
    #expect(error.outcome == .notApplied)
    let named = try #require(error.holders.first { $0.lock == "the turn to write" }, "\(error)")
    #expect(named.pid == holder.pid)
    #expect(named.command.hasPrefix("HoldfastTestPeer holdTurn"))
    #expect(named.isStopped)
    #expect(named.since != nil)
    #expect(error.description.contains("pid \(holder.pid) (HoldfastTestPeer holdTurn"))
    #expect(error.description.contains("stopped"))
    // Reading goes on as if nothing were.
    #expect(try await file.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM number") } == 0)
    holder.resume()
    holder.open("inside")
    #expect(await holder.word() == "written")
    try await patient.value
    #expect(await holder.end() == .exited(0))
    #expect(try test.numbersInFile() == [1, 2])
    await file.close()
  }

  /// The turn is free and the one it belongs to stands still: it is named, and a foreign client, which knows
  /// nothing of the queue, is not kept from writing.
  @Test func aStoppedWaiterIsNamedAndForeignersGoOn_A16_A17() async throws {
    let test = try PeerTest()
    let file = try await test.open()
    let holder = try test.start(.holdTurn, first: 1)
    try await holder.pass("start")
    try await holder.arrival(at: "inside")
    let waiter = try test.start(.holdTurn, first: 2)
    try await waiter.pass("start")
    #expect(await isQueued(waiter))
    try await waiter.stop()
    let patient = Task { try await file.write(insertNumber(3)) }
    holder.open("inside")
    #expect(await holder.word() == "written")
    #expect(await holder.end() == .exited(0))
    let error = try await deadline(of: file)
    #expect(error.code == .deadline)
    let named = try #require(error.holders.first { $0.lock == "the head of the write queue" }, "\(error)")
    #expect(named.pid == waiter.pid)
    #expect(named.isStopped)
    try ForeignConnection(test.database).run("INSERT INTO number(value) VALUES (4)")
    waiter.resume()
    try await waiter.pass("inside")
    #expect(await waiter.word() == "written")
    try await patient.value
    #expect(try test.numbersInFile() == [1, 4, 2, 3])
    await file.close()
  }

  @Test func aKilledHolderGivesItsTurnToTheNext_B07() async throws {
    let test = try PeerTest()
    let file = try await test.open()
    for round in 0..<10 {
      let holder = try test.start(.holdTurn, first: 1000)
      try await holder.pass("start")
      try await holder.arrival(at: "inside")
      let next = Task { try await file.write(insertNumber(round)) }
      #expect(await eventually { file.status().waitingWrites == 1 })
      #expect(await holder.kill() == .killed(signal: SIGKILL))
      try await next.value
    }
    #expect(try test.numbersInFile() == Array(0..<10))
    await file.close()
  }

  @Test func aKilledWaiterHoldsNobodyUp_B07() async throws {
    let test = try PeerTest()
    let file = try await test.open()
    for round in 0..<5 {
      let holder = try test.start(.holdTurn, first: UInt64(100 + round))
      try await holder.pass("start")
      try await holder.arrival(at: "inside")
      let waiters = try (0..<3).map { _ in try test.start(.holdTurn, first: 1000) }
      for waiter in waiters {
        try await waiter.pass("start")
        #expect(await isQueued(waiter))
      }
      let last = Task { try await file.write(insertNumber(round)) }
      // In the middle first: its successor wakes early and must not take the turn that is held.
      for index in [1, 0, 2] { #expect(await waiters[index].kill() == .killed(signal: SIGKILL)) }
      #expect(try await deadline(of: file).code == .deadline)
      holder.open("inside")
      #expect(await holder.word() == "written")
      try await last.value
      #expect(await holder.end() == .exited(0))
    }
    #expect(try test.numbersInFile() == (0..<5).flatMap { [100 + $0, $0] })
    await file.close()
  }

  /// The lane's file is a place for locks; what stands in it are notes, and whatever they say the next
  /// writer gets its turn.
  @Test(arguments: LeftoverLane.allCases)
  fileprivate func whatALeftoverLaneFileSaysBlocksNobody_B07(_ leftover: LeftoverLane) async throws {
    let test = try PeerTest()
    let lane = test.database + "-lane"
    let first = try await test.open()
    try await first.write(insertNumber(1))
    await first.close()
    try leftover.write(to: lane)
    let second = try await test.open()
    try await second.write(insertNumber(2))
    // The same under a file that is open: an editor, a copy, a disk that was full.
    try leftover.write(to: lane)
    try await second.write(insertNumber(3))
    let other = try test.start(.write, first: 100, count: 3)
    try await other.pass("start")
    for number in 4..<10 { try await second.write(insertNumber(number)) }
    #expect(await other.end() == .exited(0))
    #expect(second.lockHolders().allSatisfy { $0.pid == getpid() })
    await second.close()
    #expect(try Set(test.numbersInFile()) == Set(Array(1..<10) + [100, 101, 102]))
  }
}

/// What may be left in the lane's file.
private enum LeftoverLane: CaseIterable {
  case empty, cut, garbage, negativeTicket, lastTicketThereIs, ticketBesideTheTurn, deadHolder

  func write(to path: String) throws {
    var bytes = [UInt8](repeating: 0, count: 128)
    func set(_ word: Int64, at offset: Int) {
      for index in 0..<8 { bytes[offset + index] = UInt8(truncatingIfNeeded: word >> (8 * Int64(index))) }
    }
    switch self {
    case .empty: bytes = []
    case .cut: bytes = Array(bytes[..<43])
    case .garbage: bytes = (0..<4096).map { UInt8(truncatingIfNeeded: $0 &* 167 &+ 89) }
    case .negativeTicket: set(-1, at: 40)
    case .lastTicketThereIs: set(.max, at: 40)
    // Its byte would be the very one of the turn.
    case .ticketBesideTheTurn: set(WriteLane.turn - WriteLane.firstTicket - 1, at: 40)
    case .deadHolder:
      set(0x4846_4c31 | (4_000_000 << 32), at: WriteLane.noteOffset)
      set(7, at: 40)
    }
    let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
    try handle.truncate(atOffset: 0)
    try handle.write(contentsOf: Data(bytes))
    try handle.close()
  }
}
