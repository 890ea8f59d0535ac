// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastTestKit
import HoldfastUsage
import Testing

/// Ledgers of homes that lie in one directory, by name.
private struct LedgerHomes: Sendable {
  let directory = try? TemporaryDirectory()

  func path(_ name: String) throws -> String { try #require(directory).file(name) }

  func open(_ name: String) async throws -> any UsageLedger {
    try await SQLiteUsageLedger.open(home: path(name))
  }

  /// Keeps `usage.db` from being written, as another program's transaction does.
  func hold(_ name: String) throws -> @Sendable () async throws -> Void {
    let peer = try ForeignConnection(path(name) + "/usage.db", busyTimeout: 60_000)
    try peer.run("BEGIN IMMEDIATE")
    return { try peer.run("COMMIT") }
  }
}

@Suite("The usage ledger's promises, kept on SQLite")
struct UsageLedgerPromisesTests {
  private var promises: UsageLedgerConformance {
    let homes = LedgerHomes()
    return UsageLedgerConformance(open: { try await homes.open($0) }, hold: { try homes.hold($0) })
  }

  @Test func acceptedRowsAreReported() async throws { try await promises.acceptedRowsAreReported() }
  @Test func aUIDCountsOnce() async throws { try await promises.aUIDCountsOnce() }
  @Test func absurdRowsAreRefused_D15() async throws { try await promises.absurdRowsAreRefused() }
  @Test func unknownIsNotZero() async throws { try await promises.unknownIsNotZero() }
  @Test func aFlushIsABarrier() async throws { try await promises.aFlushIsABarrier() }
  @Test func rowsAreAcceptedWhileItIsHeld_G05() async throws {
    try await promises.rowsAreAcceptedWhileItIsHeld()
  }
  @Test func closingLosesNothing_B09() async throws { try await promises.closingLosesNothing() }
  @Test func reportsAreThoseOfTheRows() async throws { try await promises.reportsAreThoseOfTheRows() }
  @Test func linesAreOrderedAndLimited() async throws { try await promises.linesAreOrderedAndLimited() }
  @Test func seriesAreThoseOfTheRows() async throws { try await promises.seriesAreThoseOfTheRows() }
  @Test func overviewsAreThoseOfTheRows() async throws { try await promises.overviewsAreThoseOfTheRows() }
  @Test func blocksFollowEachOther() async throws { try await promises.blocksFollowEachOther() }
  @Test func pruningKeepsTheSums() async throws { try await promises.pruningKeepsTheSums() }
  @Test func aLogLandsOnce() async throws { try await promises.aLogLandsOnce() }
  @Test func laterLinesBringARequestUpToDate() async throws {
    try await promises.laterLinesBringARequestUpToDate()
  }
  @Test func oneRequestIsOneRow() async throws { try await promises.oneRequestIsOneRow() }
  @Test func marksNeverGoBack() async throws { try await promises.marksNeverGoBack() }
}

/// That the suite every ledger has to pass cannot be passed by one that does not keep its promises.
@Suite("Usage ledger: whether a broken promise is found out")
struct UsageLedgerConformanceTests {
  /// Runs a promise against ledgers that stand behind another, altered or not.
  private func ask(_ alteration: LedgerAlteration, altered: Bool) async throws {
    let homes = LedgerHomes()
    let opened = Monitor<[any UsageLedger]>([])
    let ledgers = UsageLedgerConformance { name in
      let ledger = try await homes.open(name)
      opened.withLock { $0.append(ledger) }
      return AlteredLedger(ledger, altered ? alteration : nil)
    } hold: {
      try homes.hold($0)
    }
    let outcome: Result<Void, any Error>
    do {
      outcome = .success(try await alteration.promise(ledgers))
    } catch {
      outcome = .failure(error)
    }
    for ledger in opened.withLock({ $0 }) { await ledger.close() }
    try outcome.get()
  }

  @Test("a ledger that breaks one promise is found out by it", arguments: LedgerAlteration.allCases)
  func brokenPromiseIsFound(_ alteration: LedgerAlteration) async throws {
    await #expect(throws: BrokenPromise.self) { try await ask(alteration, altered: true) }
  }

  @Test("a ledger of another's making that breaks none passes", arguments: LedgerAlteration.allCases)
  func keptPromiseIsFound(_ alteration: LedgerAlteration) async throws {
    try await ask(alteration, altered: false)
  }
}
