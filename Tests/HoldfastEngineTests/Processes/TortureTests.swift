// SPDX-License-Identifier: Apache-2.0

import HoldfastTestKit
import Testing

@testable import HoldfastEngine

@Suite(.serialized) struct TortureTests {
  /// Workers that write, read, spool, checkpoint and reopen, killed and stopped at random beside a foreign
  /// writer: everything acknowledged is there once.
  @Test func everyAcknowledgedWriteOfKilledProcessesIsThereOnce_B10() async throws {
    let test = try PeerTest()
    let (processes, kills) = isSoak ? (8, 2000) : (4, 60)
    let run = Torture(
      .init(
        processes: processes, kills: kills, seed: 10, directory: test.directory.path,
        program: [test.peer, "torture"]))
    let report = try await run.run()
    print("torture of \(processes) processes: \(report)")
    #expect(report.holds, "\(report)")
    #expect(report.kills == kills)
    #expect(report.acknowledged > kills)
    #expect(report.foreignRows > 0)
  }
}
