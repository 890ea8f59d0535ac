// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import HoldfastEngine

@Suite struct PreflightValueTests {
  private let table = """
    27 1 254:0 / / rw - ext4 /dev/vda rw
    30 27 0:40 / /data rw shared:1 - xfs /dev/vdb rw
    31 27 0:41 / /data rw - 9p host rw
    32 27 0:42 / /a\\040b rw - virtiofs share rw
    """

  @Test(arguments: [
    ("/home/f.db", "ext4", true), ("/data/f.db", "9p", false), ("/database/f.db", "ext4", true),
    ("/a b/f.db", "virtiofs", false),
  ])
  func theNearestAndLastMountDecides(path: String, type: String, isCoherent: Bool) throws {
    let found = try #require(Filesystem.find(path, inMountTable: table))
    #expect(found.type == type)
    #expect(found.isCoherent == isCoherent)
  }

  @Test func theDeviceOfLocksIsTheMountsAndNotTheFiles_A16() {
    let table = """
      22 1 254:0 / / rw - ext4 /dev/vda rw
      40 22 0:40 / /data rw,relatime shared:1 - btrfs /dev/vdb rw
      41 22 what / /odd rw - tmpfs none rw
      """
    #expect(Filesystem.lockDevice(of: "/data/x.db", mountTable: table) == 40)
    #expect(Filesystem.lockDevice(of: "/home/x.db", mountTable: table) == 254 << 32)
    #expect(Filesystem.lockDevice(of: "/odd/x.db", mountTable: table) == nil)
  }

  @Test func aJournalsHeaderIsReadAndAZeroedOneIsNone() throws {
    let magic: [UInt8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7]
    let rest: [UInt8] = [255, 255, 255, 255, 0, 0, 0, 7, 0, 0, 0, 9, 0, 0, 2, 0, 0, 0, 16, 0]
    let header = try #require(JournalHeader(bytes: magic + rest))
    #expect(header.pageCount == -1 && header.nonce == 7 && header.initialPages == 9)
    #expect(header.sectorSize == 512 && header.pageSize == 4096)
    #expect(JournalHeader(bytes: [UInt8](repeating: 0, count: 28)) == nil)
    #expect(JournalHeader(bytes: magic) == nil)
  }
}
