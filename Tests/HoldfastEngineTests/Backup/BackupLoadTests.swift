// SPDX-License-Identifier: Apache-2.0

import HoldfastTestKit
import Testing

@testable import HoldfastEngine

@Suite(.serialized) struct BackupLoadTests {
  /// What `make soak` does with 1 GB and looks at the clock for (`holdfast torture --backup`), in small: processes that
  /// write, a backup beside them, its restored copy, and every row where it was promised to be.
  @Test(arguments: [false, true])
  func aBackupBesideProcessesThatWriteHasWhatWasAcknowledgedAndCostsNoRow_C18(isCompressed: Bool) async throws
  {
    let test = try PeerTest()
    var configuration = BackupLoad.Configuration(
      bytes: 32 << 20, rate: 400, writers: 2, control: .zero, after: .zero, directory: test.directory.path,
      program: [test.peer, "backup-load"])
    configuration.isCompressed = isCompressed
    let report = try await BackupLoad(configuration).run()
    #expect(report.holds, "\(report)")
    #expect(report.during.writes > 0)
    #expect(report.databaseBytes >= 30 << 20)
    #expect(
      isCompressed ? report.backupBytes < report.databaseBytes : report.backupBytes >= report.databaseBytes)
  }
}
