// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine

/// A peer that uses the engine in every way at once.
final class TortureWorker: Sendable {
  private struct Failing: Error {}

  private struct State {
    var count: UInt64 = 0
    var longestWait = Duration.zero
    /// A number this process was told is durable.
    var lastWritten: UInt64?
  }

  private let peer: TorturePeer
  private let link: PeerLink
  private let state = Monitor(State())
  private let journal: AcknowledgementJournal
  private let spoolJournal: AcknowledgementJournal

  init(_ peer: TorturePeer, _ link: PeerLink) throws {
    self.peer = peer
    self.link = link
    journal = try AcknowledgementJournal(path: peer.journal)
    // A kill needs no sync, and without one it comes at every moment of an append.
    spoolJournal = try AcknowledgementJournal(path: peer.spoolJournal, synced: false)
  }

  func run() async throws {
    var random = SplitMix64(seed: peer.seed)
    while true {
      let began = ContinuousClock.now
      let file = try await StateFile.open(
        peer.database, configuration: peer.stateFile, migrations: TorturePeer.migrations)
      link.tell("open \(began.duration(to: .now).milliseconds)")
      let spool = try Spool.open(peer.spoolConfiguration)
      spool.startDraining(into: file, apply: TorturePeer.land)
      for _ in 0..<Int.random(in: 50..<400, using: &random) {
        await step(file, spool, &random)
      }
      await spool.close()
      await file.close()
    }
  }

  private func step(_ file: StateFile, _ spool: Spool, _ random: inout SplitMix64) async {
    switch Int.random(in: 0..<100, using: &random) {
    case 0..<70: await burst(of: Int.random(in: 1...8, using: &random), random.next(), file)
    case 70..<80: await failingWrite(file)
    case 80..<92: append(Int.random(in: 1...20, using: &random), to: spool)
    case 92..<97: await readOwnWrite(file)
    default: await report { _ = try await file.checkpoint() }
    }
  }

  private func nextNumber() -> UInt64 {
    peer.number(
      state.withLock { state in
        state.count += 1
        return state.count
      })
  }

  private func burst(of callers: Int, _ salt: UInt64, _ file: StateFile) async {
    await withTaskGroup(of: Void.self) { group in
      for caller in 0..<callers {
        let number = nextNumber()
        // Most rows are small, one in a while spills over several pages.
        let text = String(repeating: "x", count: salt % 50 == UInt64(caller) ? 20_000 : 40)
        group.addTask {
          await self.report {
            let began = ContinuousClock.now
            try await file.write { try Self.insert(number, text, $0) }
            self.journal.acknowledge(number)
            self.note(wait: began.duration(to: .now), written: number)
          }
        }
      }
    }
  }

  /// Its row must never be seen.
  private func failingWrite(_ file: StateFile) async {
    let number = nextNumber()
    await report {
      do {
        try await file.write { db in
          try Self.insert(number, "failed", db)
          throw Failing()
        }
      } catch is Failing {}
    }
  }

  private func append(_ count: Int, to spool: Spool) {
    for _ in 0..<count {
      let number = nextNumber()
      do {
        try spool.append(Array(String(number).utf8))
        spoolJournal.acknowledge(number)
      } catch {
        // Full while the drain waits for its turn: refused, counted, and never acknowledged.
        if error.code != .refused { link.tell("error \(error)") }
      }
    }
  }

  private func readOwnWrite(_ file: StateFile) async {
    guard let number = state.withLock({ $0.lastWritten }) else { return }
    await report {
      let found = try await file.read { db in
        try Int.fetchOne(
          db,
          sql:
            "SELECT count(*) FROM (SELECT number FROM written ORDER BY id DESC LIMIT 20000) WHERE number = ?",
          arguments: [Int64(number)])
      }
      if found == 0 { self.link.tell("error an acknowledged write was not visible to its own process") }
    }
  }

  private func report(_ body: () async throws -> Void) async {
    do {
      try await body()
    } catch let error as StoreError where error.code == .deadline {
      link.tell("lock \(error)")
    } catch {
      link.tell("error \(error)")
    }
  }

  private func note(wait: Duration, written number: UInt64) {
    let isLongest = state.withLock { state in
      state.lastWritten = number
      guard wait > state.longestWait else { return false }
      state.longestWait = wait
      return true
    }
    if isLongest { link.tell("wait \(wait.milliseconds)") }
  }

  private static func insert(_ number: UInt64, _ text: String, _ db: Database) throws {
    try db.cachedStatement(sql: "INSERT INTO written(number, text) VALUES (?, ?)")
      .execute(arguments: [Int64(number), text])
  }
}

/// A peer that knows nothing of the engine: plain SQLite with its default settings and a busy timeout.
struct TortureForeigner {
  private let peer: TorturePeer
  private let link: PeerLink
  private let journal: AcknowledgementJournal

  init(_ peer: TorturePeer, _ link: PeerLink) throws {
    self.peer = peer
    self.link = link
    journal = try AcknowledgementJournal(path: peer.journal)
  }

  func run() throws {
    var random = SplitMix64(seed: peer.seed)
    var count: UInt64 = 0
    while true {
      let connection = try ForeignConnection(peer.database, busyTimeout: 60_000)
      for _ in 0..<Int.random(in: 1..<30, using: &random) {
        count += 1
        do {
          let hold = Int.random(in: 0..<20, using: &random)
          try connection.run(hold % 2 == 0 ? "BEGIN IMMEDIATE" : "BEGIN EXCLUSIVE")
          try connection.run("INSERT INTO foreigner(number) VALUES (\(peer.number(count)))")
          pause(milliseconds: hold)
          try connection.run("COMMIT")
          journal.acknowledge(peer.number(count))
          _ = try connection.text("SELECT count(*) FROM foreigner")
        } catch let error as ForeignConnection.Failure where error.code & 0xff == 1 {
          // The schema is made by the first worker.
          pause(milliseconds: 5)
        } catch let error as ForeignConnection.Failure where error.code & 0xff == 5 {
          // Its own busy handler gave up; only our callers are promised otherwise.
          try? connection.run("ROLLBACK")
        } catch {
          link.tell("error a foreign connection: \(error)")
        }
        pause(milliseconds: Int.random(in: 0..<30, using: &random))
      }
    }
  }
}

/// Sleeps on this peer's own thread; there is nothing else it could do.
private func pause(milliseconds: Int) {
  usleep(UInt32(milliseconds) * 1000)
}
