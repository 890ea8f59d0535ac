// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

@Suite struct DoctorFuzzTests {
  /// Files damaged in every way there is, each before the doctor, the engine and the repair (``DoctorTrial``).
  ///
  /// 200 from number 1 on; `HOLDFAST_FUZZ_FILES` and `HOLDFAST_FUZZ_SEED` say otherwise, 10,000 in the long form,
  /// where `HOLDFAST_FUZZ_PEER` names an optimised peer and `HOLDFAST_FUZZ_PLACE` a directory in memory. In processes
  /// of their own, so that a crash is a finding with its number like any other.
  @Test func noDamagedFileIsChangedByLookingAndNoReadableRowIsLostByRepair_C09() async throws {
    let environment = ProcessInfo.processInfo.environment
    let first = UInt64(environment["HOLDFAST_FUZZ_SEED"] ?? "") ?? 1
    let count = UInt64(environment["HOLDFAST_FUZZ_FILES"] ?? "") ?? (isSoak ? 10_000 : 200)
    let peer = try environment["HOLDFAST_FUZZ_PEER"] ?? PeerProcess.builtExecutable(named: "HoldfastTestPeer")
    let chunk = max(1, min(250, (count + 1) / 2))
    let starts = Array(stride(from: first, to: first + count, by: Int(chunk)))
    var totals = FuzzTotals()
    await withTaskGroup(of: FuzzTotals.self) { group in
      var waiting = starts[...]
      func next() {
        guard let start = waiting.popFirst() else { return }
        let size = min(chunk, first + count - start)
        group.addTask { await FuzzTotals.of(peer, from: start, count: size) }
      }
      // Two at a time.
      next()
      next()
      for await part in group {
        totals.add(part)
        if count > 1000 { print(([totals.description] + part.findings).joined(separator: "\n")) }
        next()
      }
    }
    print("doctor trials from \(first): \(totals)")
    #expect(totals.files == Int(count))
    for finding in totals.findings { Issue.record("\(finding)") }
    #expect(totals.verdicts.count > 4 || count < 50)
    #expect(totals.outcomes["repaired", default: 0] > 0 || count < 50)
  }
}

@Suite struct DoctorTrialTests {
  /// Files that once failed a trial: rows of a search index that is made anew counted as lost (1098, 1119), a wrong
  /// count of reserved bytes hid every row (530, 1448, 1736) or the schema of a table (5552), a -wal called -journal,
  /// which is hot for SQLite and is no journal (1365, 2029), a -wal of another database that SQLite reads nonsense from
  /// (2119), a header at odds with the root pages, which only the check of the whole file sees (1359, 1772).
  @Test(arguments: [1098, 1119, 530, 1448, 1736, 5552, 1365, 2029, 2119, 1359, 1772] as [UInt64])
  func aFileThatOnceFailedDoesNotFailAgain_C09(seed: UInt64) async throws {
    #expect(try await DoctorTrial.run(seed: seed).failures == [])
  }
}

/// What came of many trials.
private struct FuzzTotals: Sendable, CustomStringConvertible {
  var files = 0
  var verdicts: [String: Int] = [:]
  var outcomes: [String: Int] = [:]
  var scanned = 0
  var recovered = 0
  var replaced = 0
  var findings: [String] = []

  /// Runs the trials in a peer; one that ends early died of the file behind the last it told of.
  static func of(_ executable: String, from first: UInt64, count: UInt64) async -> FuzzTotals {
    var totals = FuzzTotals()
    let settings = PeerSettings(first: first, count: count)
    var next = first
    do {
      let place = ProcessInfo.processInfo.environment["HOLDFAST_FUZZ_PLACE"]
      let peer = try PeerProcess.start(
        executable, arguments: settings.arguments(for: "doctorTrials"),
        environment: place.map { ["TMPDIR": $0] } ?? [:])
      try await peer.pass("start")
      while let line = await peer.word() {
        totals.take(line)
        next += 1
      }
      let ending = await peer.end()
      if ending != .exited(0) {
        totals.findings.append("\(next) ended the process: \(ending)")
        // The rest is still owed.
        if next + 1 < first + count {
          totals.files += 1
          totals.add(await of(executable, from: next + 1, count: first + count - next - 1))
        }
      }
    } catch {
      totals.findings.append("\(next): \(error)")
    }
    return totals
  }

  private mutating func take(_ line: String) {
    let words = line.split(separator: " ")
    files += 1
    guard words.count >= 7 else {
      findings.append(line)
      return
    }
    verdicts[String(words[1]), default: 0] += 1
    outcomes[String(words[2]), default: 0] += 1
    scanned += Int(words[3]) ?? 0
    recovered += Int(words[4]) ?? 0
    replaced += Int(words[5]) ?? 0
    if line.contains(" | ") { findings.append(line) }
  }

  mutating func add(_ other: FuzzTotals) {
    files += other.files
    verdicts.merge(other.verdicts, uniquingKeysWith: +)
    outcomes.merge(other.outcomes, uniquingKeysWith: +)
    scanned += other.scanned
    recovered += other.recovered
    replaced += other.replaced
    findings += other.findings
  }

  var description: String {
    func list(_ counts: [String: Int]) -> String {
      counts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
    }
    return """
      \(files) files (\(list(verdicts))); \(list(outcomes)); \(scanned) rows could be read before and \(recovered) \
      after, \(replaced) of the former replaced; \(findings.count) findings
      """
  }
}
