// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

@Suite struct FileUsersTests {
  private func describe(_ pid: Int32) -> FileUser { FileUser(pid: pid, command: "p\(pid)", locks: []) }

  @Test func aProcessWithSeveralLocksIsOneEntry_A16() {
    let users = FileUsers.merge(
      locks: [(7, "a SHARED lock"), (7, "the WAL write lock"), (7, "a SHARED lock")], openers: [7, 9],
      describe: describe)
    #expect(users.processes.map(\.pid) == [7, 9])
    #expect(users.processes[0].locks == ["a SHARED lock", "the WAL write lock"])
    #expect(users.processes[0].holdsLock)
    #expect(users.processes[1].locks == ["open, no lock"])
    #expect(!users.processes[1].holdsLock)
    #expect(!users.hasInvisibleHolder)
  }

  @Test func aLockOfAnUnseenProcessIsSaidAndNotNamed_A16() {
    for unseen in [Int32(0), -1] {
      let users = FileUsers.merge(locks: [(unseen, "a SHARED lock")], openers: [], describe: describe)
      #expect(users.processes.isEmpty)
      #expect(users.hasInvisibleHolder)
      #expect(!users.isEmpty)
    }
  }

  #if os(Linux)
    @Test func whoOnlyHasAFileOpenIsSeenAndWhoLocksItIsNamedWithTheLock_A16() throws {
      let directory = try TemporaryDirectory()
      let path = directory.file("a?b#c %41 é.db")
      #expect(FileUsers.of(path).isEmpty)
      let peer = try ForeignConnection(path)
      try peer.run("CREATE TABLE t(x)")
      let idle = try #require(FileUsers.of(path).processes.first)
      #expect(idle.pid == getpid())
      #expect(idle.locks == ["open, no lock"])
      try peer.run("BEGIN EXCLUSIVE")
      #expect(FileUsers.of(path).processes.map(\.locks) == [["an EXCLUSIVE lock"]])
      try peer.run("ROLLBACK")
      #expect(FileUsers.of(path).processes.map(\.locks) == [["open, no lock"]])
    }

    @Test func aLockThatBelongsToAnOpenFileIsAttributedToItsProcess_A16() throws {
      let directory = try TemporaryDirectory()
      let path = directory.file("x.db")
      let guarded = try LockFile(path: path)
      #expect(try guarded.tryLock(.shared, at: 0x4000_0002, length: 510))
      let users = FileUsers.of(path)
      #expect(users.processes.map(\.locks) == [["a SHARED lock"]])
      #expect(!users.hasInvisibleHolder)
      guarded.close()
      #expect(FileUsers.of(path).isEmpty)
    }
  #endif
}
