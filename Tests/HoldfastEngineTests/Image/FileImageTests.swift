// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

@Suite struct FileImageTests {
  static let shapes: [ImageShape] = {
    var shapes: [ImageShape] = []
    for (index, size) in [512, 1024, 4096, 65_536].enumerated() {
      for mode in ["wal", "delete"] {
        let vacuum = ["none", "full", "incremental"][index % 3]
        shapes.append(
          ImageShape(pageSize: size, journalMode: mode, autoVacuum: vacuum, seed: UInt64(index + 1)))
      }
    }
    for mode in ["wal", "delete"] {
      shapes.append(ImageShape(journalMode: mode, encoding: "UTF-16le", seed: 11))
      shapes.append(ImageShape(pageSize: 1024, journalMode: mode, encoding: "UTF-16be", seed: 12))
      shapes.append(ImageShape(pageSize: 1024, journalMode: mode, synchronous: "off", seed: 13))
      shapes.append(ImageShape(pageSize: 512, journalMode: mode, synchronous: "full", reserved: 32, seed: 14))
    }
    return shapes
  }()

  @Test(arguments: shapes)
  func imageOfAKilledWriterHasThePagesSQLiteRecovers(shape: ImageShape) throws {
    let fixture = try ImageFixture(shape)
    defer { fixture.keep() }
    let copy = try fixture.killed()
    let image = try ImageFixture.image(copy)
    #expect(image.repairs.isEmpty)
    #expect(image.pageSize == shape.pageSize)
    if shape.journalMode == "wal" {
      #expect(!image.changes.fromWAL.isEmpty)
    } else {
      #expect(!image.changes.fromJournal.isEmpty)
    }
    let expected = try ImageFixture.recovered(copy)
    let found = try ImageFixture.bytes(of: image)
    #expect(found.count == expected.count)
    let differing = (0..<Int(image.pageCount)).filter {
      let range = ($0 * shape.pageSize)..<(($0 + 1) * shape.pageSize)
      return range.upperBound <= expected.count && found[range] != expected[range]
    }
    #expect(differing == [])
  }

  @Test(arguments: shapes)
  func sqliteReadsAnImageAndNothingIsWritten(shape: ImageShape) throws {
    let fixture = try ImageFixture(shape)
    defer { fixture.keep() }
    let copy = try fixture.killed()
    let before = try FileStates(fixture.directory.path)
    let image = try ImageFixture.image(copy)
    let map = PageMap(image)
    #expect(map.problems == [])
    let queue = try ImageVFS.open(image)
    let found = try queue.read { db in
      #expect(try String.fetchOne(db, sql: "PRAGMA integrity_check") == "ok")
      #expect(try IntegrityCheck(map).run(on: db) == .init(tables: ["plain", "keyed"]))
      return try ImageFixture.rows { try String.fetchOne(db, sql: $0) }
    }
    #expect(throws: (any Error).self) {
      try queue.inDatabase { try $0.execute(sql: "DELETE FROM plain") }
    }
    try queue.close()
    #expect(try FileStates(fixture.directory.path) == before)
    #expect(image.isCurrent)
    // What SQLite itself says of the same files, which changes them.
    let connection = try ForeignConnection(copy)
    #expect(try ImageFixture.rows { try connection.text($0) } == found)
    #expect(found[0] != nil)
  }

  @Test func writtenImageIsTheDatabaseInRollbackMode() throws {
    let fixture = try ImageFixture(ImageShape(pageSize: 1024))
    defer { fixture.keep() }
    let image = try ImageFixture.image(try fixture.killed())
    let target = fixture.directory.file("written")
    var shares: [Double] = []
    try image.write(to: target) { shares.append($0) }
    #expect(shares.last == 1)
    var expected = try ImageFixture.bytes(of: image)
    (expected[18], expected[19]) = (1, 1)
    #expect(try [UInt8](contentsOf: target) == expected)
    let mode = try FileManager.default.attributesOfItem(atPath: target)[.posixPermissions] as? Int
    #expect(mode == 0o600)
    let error = #expect(throws: StoreError.self) { try image.write(to: target) }
    #expect(error?.code == .cannotOpen)
  }

  @Test func checksumsOfTheOtherByteOrderAreRead() throws {
    let fixture = try ImageFixture(ImageShape(pageSize: 512))
    defer { fixture.keep() }
    let copy = try fixture.killed()
    var wal = try [UInt8](contentsOf: copy + "-wal")
    let little = try ImageFixture.bytes(of: try ImageFixture.image(copy))
    wal[3] |= 1
    var sum = CommittedFrames.Checksum()
    sum.add(wal, in: 0..<24, bigEndian: true)
    wal.setBigEndian32(sum.first, at: 24)
    wal.setBigEndian32(sum.second, at: 28)
    let salts = Array(wal[16..<24])
    var at = 32
    while at + 536 <= wal.count, Array(wal[(at + 8)..<(at + 16)]) == salts {
      sum.add(wal, in: at..<(at + 8), bigEndian: true)
      sum.add(wal, in: (at + 24)..<(at + 536), bigEndian: true)
      wal.setBigEndian32(sum.first, at: at + 16)
      wal.setBigEndian32(sum.second, at: at + 20)
      at += 536
    }
    try wal.write(to: copy + "-wal")
    #expect(try ImageFixture.bytes(of: try ImageFixture.image(copy)) == little)
    // SQLite reads them too.
    #expect(try ImageFixture.recovered(copy) == little)
  }

  @Test(arguments: shapes)
  func overwrittenHeaderIsRebuiltFromTheRest_C06(shape: ImageShape) throws {
    let fixture = try ImageFixture(shape)
    defer { fixture.keep() }
    let copy = try fixture.killed()
    // Everything in one file, as after a checkpoint or a rollback.
    var bytes = try ImageFixture.recovered(copy)
    let sound = fixture.directory.file("sound")
    try bytes.write(to: sound)
    let expected = try ImageFixture.rows { try ForeignConnection(sound).text($0) }
    bytes.replaceSubrange(0..<100, with: [UInt8](repeating: 0xa5, count: 100))
    let broken = fixture.directory.file("broken")
    try bytes.write(to: broken)
    let image = try FileImage(path: broken)
    #expect(image.isHeaderRebuilt)
    #expect(!image.repairs.isEmpty)
    #expect(image.pageSize == shape.pageSize)
    #expect(image.layout.reserved == Int(shape.reserved))
    #expect((image.layout.largestRoot != 0) == (shape.autoVacuum != "none"))
    let queue = try ImageVFS.open(image)
    let found = try queue.read { db in try ImageFixture.rows { try String.fetchOne(db, sql: $0) } }
    #expect(found == expected)
  }

  @Test func pageSizeAndPageOneComeFromTheWAL_C06() throws {
    let fixture = try ImageFixture(ImageShape(pageSize: 2048))
    defer { fixture.keep() }
    let copy = try fixture.killed()
    let expected = try ImageFixture.bytes(of: try ImageFixture.image(copy))
    var bytes = try [UInt8](contentsOf: copy)
    for index in 0..<100 { bytes[index] = 0xff }
    try bytes.write(to: copy)
    let image = try ImageFixture.image(copy)
    #expect(image.pageSize == 2048)
    #expect(try ImageFixture.bytes(of: image) == expected)
    #expect(image.repairs.isEmpty)
  }

  @Test func lostPageOneLeavesAnEmptySchemaThatSaysSo() throws {
    let fixture = try ImageFixture(ImageShape(journalMode: "delete"))
    defer { fixture.keep() }
    var bytes = try ImageFixture.recovered(try fixture.killed())
    for index in 0..<4096 { bytes[index] = 0 }
    let broken = fixture.directory.file("broken")
    try bytes.write(to: broken)
    let image = try FileImage(path: broken)
    #expect(image.repairs.contains { $0.contains("schema is lost") })
    #expect(PageMap(image).unreachablePages.count == Int(image.pageCount) - 1)
    let queue = try ImageVFS.open(image)
    #expect(try queue.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM sqlite_schema") } == 0)
  }

  @Test func truncatedFileIsReadAsFarAsItGoes() throws {
    let fixture = try ImageFixture(ImageShape(pageSize: 512, journalMode: "delete"))
    defer { fixture.keep() }
    let bytes = try ImageFixture.recovered(try fixture.killed())
    let cut = fixture.directory.file("cut")
    let half = bytes.count / 512 / 2 * 512 + 100
    try Array(bytes[..<half]).write(to: cut)
    let image = try FileImage(path: cut)
    #expect(image.pageCount == UInt32(half / 512 + 1))
    #expect(image.repairs.count == 1)
    #expect(try image.page(image.pageCount)?.suffix(412).allSatisfy { $0 == 0 } == true)
    let queue = try ImageVFS.open(image)
    #expect(try queue.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM sqlite_schema") } == 3)
  }

  @Test func closingAnImageDropsNoLockOfThisProcess_B01() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("db")
    let connection = try ForeignConnection(path)
    try connection.run("CREATE TABLE t(x); BEGIN IMMEDIATE; INSERT INTO t VALUES(1)")
    let held = LockTable.holders(ofDatabaseAt: path)
    #expect(!held.isEmpty)
    do {
      let image = try FileImage(path: path)
      #expect(image.pageCount > 0)
    }
    #expect(LockTable.holders(ofDatabaseAt: path).count == held.count)
  }
}

/// Names, bytes and times of a directory's files.
struct FileStates: Equatable {
  var bytes: [String: [UInt8]] = [:]
  var times: [String: Date] = [:]

  init(_ directory: String) throws {
    for name in try FileManager.default.contentsOfDirectory(atPath: directory) {
      let path = directory + "/" + name
      bytes[name] = try [UInt8](contentsOf: path)
      times[name] = try FileManager.default.attributesOfItem(atPath: path)[.modificationDate] as? Date
    }
  }
}
