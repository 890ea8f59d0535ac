// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

/// Where the files of a database are, and who may read them.
@Suite(.serialized) struct PathTests {
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  /// The names as the kernel has them.
  private func names(in path: String) throws -> [String] {
    let open = unsafe try #require(unsafe opendir(path))
    defer { unsafe closedir(open) }
    var names: [String] = []
    while let entry = unsafe readdir(open) {
      let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) {
        unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  @Test(arguments: ["a?b#c %41 é", "file:x?mode=memory", "日本 語", "vfs=none&cache=shared", "it's \"quoted\""])
  func aNameIsTakenAsItIs_C13(name: String) async throws {
    let inside = directory.file(name)
    try #require(unsafe mkdir(inside, 0o700) == 0)
    let path = inside + "/" + name + ".db"
    let file = try await StateFile.open(path, migrations: notes)
    try await file.write(insertNote("kept"))
    #expect(try await file.read(countNotes) == 1)
    let there = try names(in: directory.path)
    #expect(there == [name])
    #expect(
      try names(in: inside) == [".db", ".db-lane", ".db-shm", ".db-wal"].map { name + $0 })
    await file.close()
    let reader = try ForeignReader(path)
    #expect(try await reader.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM note") } == 1)
    #expect(try names(in: directory.path) == [name])
  }

  @Test func filesAreForTheirOwnerAloneWhateverTheUmask_C12() async throws {
    let before = umask(0)
    defer { umask(before) }
    let file = try await StateFile.open(directory.file("a.db"), migrations: notes)
    try await file.write(insertNote("private"))
    for name in ["a.db", "a.db-wal", "a.db-shm", "a.db-lane"] {
      let attributes = try FileManager.default.attributesOfItem(atPath: directory.file(name))
      #expect(attributes[.posixPermissions] as? Int == 0o600, "\(name)")
    }
    await file.close()
  }

  @Test(arguments: ["-wal", "-shm", "-journal", "-lane"])
  func aPlantedLinkBesideADatabaseIsRefusedAndNotFollowed_C12(suffix: String) async throws {
    let victim = directory.file("victim")
    try Data("somebody's".utf8).write(to: URL(fileURLWithPath: victim))
    let path = directory.file("a.db")
    try FileManager.default.createSymbolicLink(atPath: path + suffix, withDestinationPath: victim)
    await #expect {
      try await StateFile.open(path, migrations: notes)
    } throws: { error in
      guard let error = error as? StoreError else { return false }
      return error.code == .permission && error.message.contains("a.db" + suffix)
    }
    #expect(try Data(contentsOf: URL(fileURLWithPath: victim)) == Data("somebody's".utf8))
    #expect(try names(in: directory.path) == ["a.db" + suffix, "victim"])
  }

  @Test func aLinkThatLeadsNowhereIsNotFollowedToMakeAFile_C12() async throws {
    let elsewhere = directory.file("elsewhere.db")
    let path = directory.file("a.db")
    try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: elsewhere)
    await #expect {
      try await StateFile.open(path, migrations: notes)
    } throws: {
      ($0 as? StoreError)?.code == .permission
    }
    #expect(try names(in: directory.path) == ["a.db"])
  }

  @Test func aLinkToADatabaseIsTheDatabase_A09() async throws {
    let path = directory.file("real.db")
    let file = try await StateFile.open(path, migrations: notes)
    try FileManager.default.createSymbolicLink(
      atPath: directory.file("link.db"), withDestinationPath: path)
    let linked = try await StateFile.open(directory.file("link.db"))
    #expect(linked.path == file.path)
    await file.close()
    await linked.close()
  }
}
