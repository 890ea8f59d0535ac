// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

/// A test with processes of its own on a database of its own.
struct PeerTest {
  let directory: TemporaryDirectory
  let peer: String

  init() throws {
    directory = try TemporaryDirectory()
    peer = try PeerProcess.builtExecutable(named: "HoldfastTestPeer")
  }

  var database: String { directory.file("numbers.db") }

  func start(
    _ scenario: EngineScenarioName, first: UInt64 = 1, count: UInt64? = nil,
    _ change: (inout PeerSettings) -> Void = { _ in }
  ) throws -> PeerProcess {
    try PeerProcess.start(peer, arguments: arguments(scenario, first: first, count: count, change))
  }

  /// Several peers; each has 101 and its index as its first number.
  func start(
    _ number: Int, of scenario: EngineScenarioName, count: UInt64? = nil,
    _ change: @escaping @Sendable (inout PeerSettings) -> Void = { _ in }
  ) throws -> PeerGroup {
    let all = (0..<number).map { arguments(scenario, first: UInt64($0 + 101), count: count, change) }
    return try PeerGroup.start(number, of: peer) { all[$0] }
  }

  private func arguments(
    _ scenario: EngineScenarioName, first: UInt64, count: UInt64?, _ change: (inout PeerSettings) -> Void
  ) -> [String] {
    var settings = PeerSettings(
      database: database, journal: directory.file("journal-\(first)"), first: first, count: count)
    change(&settings)
    return settings.arguments(for: scenario.rawValue)
  }

  /// The file with the peers' schema.
  func open() async throws -> StateFile {
    try await StateFile.open(database, migrations: numbers)
  }

  /// The numbers in the file, in their order, as any other program sees them.
  func numbersInFile(_ path: String? = nil) throws -> [Int] {
    let foreign = try ForeignConnection(path ?? database, busyTimeout: 60_000)
    return try foreign.text("SELECT group_concat(value) FROM (SELECT value FROM number ORDER BY id)")?
      .split(separator: ",").compactMap { Int($0) } ?? []
  }

  func integrity(_ path: String? = nil) throws -> String? {
    try ForeignConnection(path ?? database, busyTimeout: 60_000).text("PRAGMA integrity_check")
  }
}

/// The scenarios of the test peer that are about state files, by the name its command line takes.
enum EngineScenarioName: String {
  case turns, holdTurn, openFresh, commitFast, spill, race, forkWithFile, fewDescriptors, openAndClose, write,
    migrate, doctorTrials, repair, faultEveryCall, fillDisk, useWithoutRights, fillWAL
}

func insertNumber(_ number: Int) -> @Sendable (Database) throws -> Void {
  { db in try db.cachedStatement(sql: "INSERT INTO number(value) VALUES (?)").execute(arguments: [number]) }
}

/// Whether the long variants are asked for: `HOLDFAST_SOAK=1`.
let isSoak = ProcessInfo.processInfo.environment["HOLDFAST_SOAK"] == "1"
