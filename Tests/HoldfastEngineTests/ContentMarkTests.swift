// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

@Suite struct ContentMarkTests {
  private func header(counter: UInt32 = 7, pages: UInt32 = 4, cookie: UInt32 = 1, root: UInt32 = 0) -> [UInt8]
  {
    var bytes = Array("SQLite format 3\0".utf8) + [0x10, 0, 2, 2] + [UInt8](repeating: 0, count: 80)
    for (offset, word) in [(24, counter), (28, pages), (40, cookie), (52, root)] {
      for index in 0..<4 { bytes[offset + index] = UInt8(truncatingIfNeeded: word >> (24 - 8 * index)) }
    }
    return bytes
  }

  @Test func onlyWhatACheckpointCanWriteIsTakenForTheSameDatabase_B03() {
    let mark = ContentMark(header: header(), size: 16_384)
    func becomes(_ header: [UInt8], size: Int64 = 16_384) -> Bool {
      mark.mayBecome(ContentMark(header: header, size: size))
    }
    #expect(becomes(header()))
    #expect(becomes(header(), size: 20_480))
    #expect(!becomes(header(), size: 12_288))
    #expect(becomes(header(counter: 8, pages: 2), size: 8192))
    #expect(!becomes(header(counter: 6)))
    #expect(becomes(header(pages: 5)))
    #expect(!becomes(header(pages: 3)))
    #expect(becomes(header(pages: 3, cookie: 2)))
    #expect(!becomes(header(cookie: 0)))
    #expect(!becomes([]))
    #expect(!becomes([UInt8](repeating: 0, count: 100)))
    let last = ContentMark(header: header(counter: .max), size: 16_384)
    #expect(last.mayBecome(ContentMark(header: header(counter: 0), size: 16_384)))
    let autoVacuum = ContentMark(header: header(root: 3), size: 16_384)
    #expect(autoVacuum.mayBecome(ContentMark(header: header(pages: 3, root: 3), size: 12_288)))
    #expect(ContentMark(header: header(), size: 16_384).isWhole)
    #expect(!ContentMark(header: header(), size: 16_383).isWhole)
    #expect(!ContentMark(header: [], size: 0).isWhole)
  }

  /// Whatever SQLite itself does to a file in WAL mode, by one connection or two, is never taken for an
  /// overwritten file.
  @Test(arguments: [UInt64](1...8))
  func whatSQLiteDoesIsNeverTakenForOverwriting_B03(seed: UInt64) throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("a.db")
    var random = SplitMix64(seed: seed)
    let connections = try (0..<(seed % 2 == 0 ? 1 : 2)).map { _ in try ForeignConnection(path) }
    try connections[0].run(
      """
      PRAGMA auto_vacuum = \(seed % 3); PRAGMA journal_mode = WAL;
      CREATE TABLE note(id INTEGER PRIMARY KEY, text)
      """)
    let file = try LockFile(path: path, creates: false)
    var mark = ContentMark(descriptor: file.descriptor)
    for step in 0..<400 {
      let connection = connections[Int.random(in: 0..<connections.count, using: &random)]
      let sql =
        switch Int.random(in: 0..<12, using: &random) {
        case 0: "VACUUM"
        case 1: "PRAGMA incremental_vacuum"
        case 2: "CREATE TABLE IF NOT EXISTS t\(step % 9)(x); INSERT INTO t\(step % 9) VALUES (zeroblob(9000))"
        case 3: "DROP TABLE IF EXISTS t\(step % 9)"
        case 4: "DELETE FROM note WHERE id % 3 = \(step % 3)"
        case 5: "BEGIN; INSERT INTO note(text) VALUES (zeroblob(20000)); ROLLBACK"
        case 6: "PRAGMA wal_checkpoint(TRUNCATE)"
        case 7, 8: "PRAGMA wal_checkpoint(PASSIVE)"
        default: "INSERT INTO note(text) VALUES (zeroblob(\(Int.random(in: 0..<9000, using: &random))))"
        }
      try connection.run(sql)
      let now = ContentMark(descriptor: file.descriptor)
      #expect(mark.mayBecome(now), "\(sql): \(mark) became \(now)")
      mark = now
    }
  }
}
