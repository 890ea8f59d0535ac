// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

/// The copies that are kept of a database before it is repaired where it is.
@Suite struct KeptCopiesTests {
  private let directory: TemporaryDirectory
  private var path: String { directory.file("a.db") }

  init() throws { directory = try TemporaryDirectory() }

  private func keepCopy() throws -> QuarantineEntry {
    let held = try FileGuard(databasePath: path, creates: false)
    return try Quarantine.keepCopy(
      ofSet: path, verdict: .damaged, reason: "It is about to be mended.", held: held)
  }

  /// The copies are told apart by the time in their names, to the millisecond.
  private func passAMillisecond() {
    let now = UnixTime.now().description
    while UnixTime.now().description == now {}
  }

  @Test func aCopyIsOfTheWholeSet_C09() throws {
    try Data("contents".utf8).write(to: URL(filePath: path))
    let first = try keepCopy()
    passAMillisecond()
    #expect(try keepCopy() == first)
    // The -wal belongs to what is there.
    try Data("log".utf8).write(to: URL(filePath: path + "-wal"))
    #expect(try keepCopy() != first)
    #expect(Quarantine.copies(of: path).count == 2)
  }

  @Test func copiesOfOtherDatabasesDoNotCount_C09() throws {
    try Data("other".utf8).write(to: URL(filePath: directory.file("a.db-b.db")))
    let held = try FileGuard(databasePath: directory.file("a.db-b.db"), creates: false)
    _ = try Quarantine.keepCopy(
      ofSet: directory.file("a.db-b.db"), verdict: .damaged, reason: "It is another.", held: held)
    for number in 1...4 {
      try Data("contents \(number)".utf8).write(to: URL(filePath: path))
      _ = try keepCopy()
      passAMillisecond()
    }
    #expect(Quarantine.copies(of: path).count == 3)
    #expect(Quarantine.copies(of: directory.file("a.db-b.db")).count == 1)
  }
}
