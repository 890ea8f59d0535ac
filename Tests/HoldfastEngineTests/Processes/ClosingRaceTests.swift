// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

@Suite struct ClosingRaceTests {
  /// What the callers were told.
  private struct Answers {
    var acknowledged: Set<Int> = []
    var refused: Set<Int> = []
    var others: [String] = []
  }

  /// Eight tasks append until they are told that the file is closed, and it is closed under them: every
  /// write is there or was refused, and none is both or neither.
  @Test func aCloseDuringAppendsLosesNothingItAcknowledged_B09() async throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("a.db")
    var random = SplitMix64(seed: 9)
    var expected: Set<Int> = []
    var refusedInAll = 0
    for round in 0..<(isSoak ? 10_000 : 100) {
      let file = try await StateFile.open(path, migrations: notes)
      let answers = Monitor(Answers())
      let enough = Int.random(in: 0..<40, using: &random)
      let reached = DispatchSemaphore(value: 0)
      if enough == 0 { reached.signal() }
      await withTaskGroup(of: Void.self) { group in
        for task in 0..<8 {
          group.addTask {
            for count in 0... {
              let number = (round * 8 + task) * 1_000_000 + count
              do {
                try await file.write(insertNote("\(number)"))
                let so = answers.withLock { answers in
                  answers.acknowledged.insert(number)
                  return answers.acknowledged.count
                }
                if so == enough { reached.signal() }
              } catch let error as StoreError where error.code == .closed && error.outcome == .notApplied {
                answers.withLock { _ = $0.refused.insert(number) }
                return
              } catch {
                answers.withLock { $0.others.append("\(error)") }
                return
              }
            }
          }
        }
        await BlockingWait.on(reached)
        await file.close()
      }
      let told = answers.withLock { $0 }
      #expect(told.others == [])
      #expect(told.refused.count == 8)
      expected.formUnion(told.acknowledged)
      refusedInAll += told.refused.count
      guard round % 50 == 49 else { continue }
      let found =
        try ForeignConnection(path).text("SELECT group_concat(text) FROM note")?
        .split(separator: ",").compactMap { Int($0) } ?? []
      #expect(Set(found) == expected)
      #expect(found.count == expected.count)
    }
    #expect(refusedInAll > 0)
    #expect(try ForeignConnection(path).text("PRAGMA integrity_check") == "ok")
  }
}
