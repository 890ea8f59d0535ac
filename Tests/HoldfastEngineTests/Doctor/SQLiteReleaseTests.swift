// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import HoldfastEngine

@Suite struct SQLiteReleaseTests {
  @Test(
    arguments: [
      (3, 6, 23, false), (3, 7, 0, true), (3, 40, 1, true), (3, 44, 5, true), (3, 44, 6, false),
      (3, 45, 0, true), (3, 50, 6, true), (3, 50, 7, false), (3, 51, 0, true), (3, 51, 2, true),
      (3, 51, 3, false), (3, 52, 0, false), (3, 53, 0, false),
    ] as [(Int32, Int32, Int32, Bool)])
  func versionsWithTheWALResetBugAreKnown_B12(_ major: Int32, _ minor: Int32, _ patch: Int32, _ has: Bool) {
    #expect(SQLiteRelease(major, minor, patch).hasWALResetBug == has)
  }

  @Test func aReleaseIsWrittenAsSQLiteWritesIt() {
    #expect(SQLiteRelease(number: 3_040_001) == SQLiteRelease(3, 40, 1))
    #expect(SQLiteRelease(3, 51, 3).description == "3.51.3")
    #expect(SQLiteRelease(3, 52, 0).isWithdrawn)
    #expect(!SQLiteRelease(3, 51, 3).isWithdrawn)
  }
}
