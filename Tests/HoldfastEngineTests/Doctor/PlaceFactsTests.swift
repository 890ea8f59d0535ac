// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import HoldfastEngine

@Suite struct PlaceFactsTests {
  private var facts: FileFacts {
    var facts = FileFacts(path: "/a/x.db")
    facts.database = .init(size: 8192)
    facts.database?.owner = 1000
    facts.header = PageLayout.magic + [16, 0, 1, 1, 0, 64, 32, 32] + [UInt8](repeating: 0, count: 76)
    return facts
  }

  private func codes(
    _ facts: FileFacts, _ users: FileUsers = FileUsers(), _ change: (inout PlaceFacts) -> Void = { _ in }
  ) -> [String] {
    var place = PlaceFacts(user: 1000)
    change(&place)
    return place.findings(facts, users).map(\.code)
  }

  @Test func aPrivateFileOnALocalDiskIsNothingToTellOf() {
    var local = facts
    local.filesystem = Filesystem(type: "ext4", mountPoint: "/")
    #expect(codes(local).isEmpty)
  }

  @Test(arguments: [(0o644, "world-readable"), (0o666, "world-writable"), (0o602, "world-writable")])
  func whatOthersMayDoIsToldWhereTheyCanReachIt_C12(mode: Int, code: String) {
    var open = facts
    open.database?.mode = UInt16(mode)
    #expect(codes(open) == [code])
    #expect(codes(open) { $0.isReachableByOthers = false }.isEmpty)
  }

  @Test func aSidecarOfAnotherUserIsTold_C11() {
    var mixed = facts
    mixed.wal = .init(size: 0)
    mixed.wal?.owner = 0
    #expect(codes(mixed) == ["other-owner"])
  }

  @Test func whatItsOwnUserMayNotWriteIsTold_C11() {
    var closed = facts
    closed.database?.isWritable = false
    closed.directoryIsWritable = false
    #expect(codes(closed) == ["not-writable", "directory-not-writable"])
    // To others it is not to be writable anyway.
    #expect(codes(closed) { $0.user = 1001 }.isEmpty)
  }

  @Test func aSharedFilesystemIsGraverForWAL_C14() {
    var shared = facts
    shared.filesystem = Filesystem(type: "nfs4", mountPoint: "/a")
    #expect(codes(shared) == ["shared-filesystem"])
    (shared.header[18], shared.header[19]) = (2, 2)
    #expect(codes(shared) == ["wal-on-shared-filesystem"])
  }

  @Test func whoPinsAHugeLogIsNamed_A12() throws {
    var huge = facts
    huge.wal = .init(size: 65 << 20)
    huge.wal?.owner = 1000
    let reader = FileUser(
      pid: 4711, command: "sleepy", locks: ["a SHARED lock", "a read transaction (mark 1)"])
    let other = FileUser(pid: 4712, command: "idle", locks: ["a SHARED lock"])
    let finding = try #require(
      PlaceFacts(user: 1000).findings(huge, FileUsers(processes: [reader, other])).first)
    #expect(finding.code == "huge-wal")
    #expect(finding.message.contains("4711") && !finding.message.contains("4712"))
    let nobody = try #require(PlaceFacts(user: 1000).findings(huge, FileUsers(processes: [other])).first)
    #expect(nobody.code == "huge-wal" && nobody.message.contains("Nobody reads now"))
    huge.wal?.size = 64 << 20
    #expect(codes(huge).isEmpty)
  }

  @Test func theNewestBackupIsOffered_C18() throws {
    var place = PlaceFacts(user: 1000)
    #expect(place.backupFinding == nil)
    place.backups = [
      .init(path: "/a/backups/old", time: UnixTime(nanoseconds: 1)),
      .init(path: "/a/backups/new", time: UnixTime(nanoseconds: 2)),
    ]
    let finding = try #require(place.backupFinding)
    #expect(finding.message.hasPrefix("2 backups") && finding.message.contains("/a/backups/new"))
    #expect(finding.remedy.contains("holdfast restore /a/backups/new"))
  }
}
