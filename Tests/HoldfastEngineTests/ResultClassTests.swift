// SPDX-License-Identifier: Apache-2.0

import GRDB
import Testing

@testable import HoldfastEngine

@Suite struct ResultClassTests {
  /// SQLite's documented codes (<https://www.sqlite.org/rescode.html>), each with a text that says something else.
  @Test(arguments: [
    (5, ResultClass.lock, "vtable constructor failed: messages_fts"), (6, .lock, "no such table: t"),
    (15, .lock, "locking protocol"), (261, .lock, "die Datenbank ist gesperrt"), (773, .lock, ""),
    (262, .lock, "disk I/O error"), (517, .staleSnapshot, "database is locked"),
    (264, .readOnlyTransient, "attempt to write a readonly database"), (520, .readOnlyTransient, "?"),
    (776, .readOnlyTransient, "database disk image is malformed"), (1288, .readOnlyTransient, ""),
    (8, .readOnly, "database is locked"), (1032, .readOnly, "moved"), (1544, .readOnly, "directory"),
    (13, .full, "database is locked"), (11, .damagedFile, "database is locked"),
    (523, .damagedFile, "sequence"),
    (779, .damagedFile, "index"), (267, .damagedIndex, "database disk image is malformed"),
    (26, .notADatabase, "database is locked"), (14, .cannotOpen, "database is locked"),
    (10, .io, "database is locked"),
    (1034, .io, "fsync"), (3850, .io, "lock"), (19, .constraint, "database is locked"),
    (2067, .constraint, "unique"),
    (787, .constraint, "foreign key"), (3, .permission, ""), (23, .permission, ""), (9, .interrupted, ""),
    (1, .statement, "database is locked"),
  ])
  func onlyTheExtendedCodeDecides_A14(code: Int, expected: ResultClass, text: String) {
    let error = DatabaseError(resultCode: ResultCode(rawValue: Int32(code)), message: text)
    #expect(ResultClass(extendedCode: error.extendedResultCode.rawValue) == expected)
    let described = StoreError(error, path: "/tmp/a.db", doing: "Writing to")
    #expect((described.code == .deadline) == expected.isTransient || expected == .interrupted)
  }
}
