// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

#if os(Linux)
  /// A store of which this user may not use some file, tried by a process that has given root's rights up.
  @Suite(
    .serialized,
    .enabled(if: geteuid() == 0, "a peer can take another user's rights only where the tests run as root"))
  struct AccessTests {
    /// Nobody, on every system of the family.
    private static let nobody: UInt32 = 65_534

    /// One name of the set and what is done to it.
    struct Hindrance: CustomStringConvertible, Sendable {
      /// Behind the database's name; nil for the directory.
      var suffix: String?
      var mode: mode_t
      /// Whether it belongs to root and not to the user.
      var isForeign = false
      /// Whether the -wal and the -shm are there.
      var hasSidecars = true
      /// Whether there is a database at all.
      var isNew = false

      var description: String {
        "\(suffix.map { "the file \($0)" } ?? "the directory") \(String(mode, radix: 8))"
          + (isForeign ? " of root" : "") + (hasSidecars ? "" : " without sidecars") + (isNew ? ", new" : "")
      }
    }

    static let hindrances = [
      Hindrance(mode: 0o500, hasSidecars: false),
      Hindrance(mode: 0o500, hasSidecars: false, isNew: true),
      Hindrance(mode: 0o600),
      Hindrance(mode: 0o755, isForeign: true, hasSidecars: false),
      Hindrance(suffix: "", mode: 0o400), Hindrance(suffix: "", mode: 0),
      Hindrance(suffix: "", mode: 0o644, isForeign: true),
      Hindrance(suffix: "-wal", mode: 0o400), Hindrance(suffix: "-wal", mode: 0),
      Hindrance(suffix: "-wal", mode: 0o600, isForeign: true),
      Hindrance(suffix: "-shm", mode: 0o400), Hindrance(suffix: "-shm", mode: 0),
      Hindrance(suffix: "-shm", mode: 0o600, isForeign: true),
      Hindrance(suffix: "-lane", mode: 0o400), Hindrance(suffix: "-lane", mode: 0),
    ]

    @Test(arguments: hindrances)
    func theErrorNamesTheFileAndTheRemedyAndNothingIsDeleted_C11(_ hindrance: Hindrance) async throws {
      let test = try PeerTest()
      let home = test.directory.file("home")
      try FileManager.default.createDirectory(atPath: home, withIntermediateDirectories: false)
      let database = home + "/numbers.db"
      if !hindrance.isNew {
        let file = try await StateFile.open(database, migrations: numbers)
        try await file.write(insertNumber(1))
        await file.close()
        // The last close of a plain client folds the -wal back and removes it.
        if !hindrance.hasSidecars { _ = try test.numbersInFile(database) }
      }
      let target = hindrance.suffix.map { database + $0 } ?? home
      let all = try [home] + FileManager.default.contentsOfDirectory(atPath: home).map { home + "/" + $0 }
      for file in all { #expect(unsafe chown(file, Self.nobody, Self.nobody) == 0) }
      #expect(unsafe chmod(test.directory.path, 0o711) == 0)
      #expect(unsafe chmod(target, hindrance.mode) == 0)
      if hindrance.isForeign { #expect(unsafe chown(target, 0, 0) == 0) }
      let before = try storeSet(of: database)
      let namesBefore = try FileManager.default.contentsOfDirectory(atPath: home).sorted()

      let peer = try test.start(.useWithoutRights, first: 2) {
        $0.database = database
        $0.user = Self.nobody
      }
      try await peer.pass("start")
      for _ in 0..<2 {
        try await peer.pass("open")
        let word = try #require(await peer.word())
        #expect(word.hasPrefix("permission \(database) \(target) "), "\(word)")
        let remedy = hindrance.isForeign ? "chown \(Self.nobody) '\(target)'" : "chmod u+"
        #expect(word.contains(remedy), "\(word)")
        let after = try storeSet(of: database)
        for name in ["numbers.db", "numbers.db-wal", "numbers.db-journal"] {
          let isAsItWas = after[name] == before[name]
          #expect(isAsItWas, "\(name)")
        }
        let names = try FileManager.default.contentsOfDirectory(atPath: home).sorted()
        #expect(Set(namesBefore).isSubset(of: names))
      }

      // As the error says; the same process then goes on.
      if hindrance.isForeign {
        #expect(unsafe chown(target, Self.nobody, Self.nobody) == 0)
      } else {
        #expect(unsafe chmod(target, hindrance.suffix == nil ? 0o700 : 0o600) == 0)
      }
      try await peer.pass("open")
      let word = await peer.word()
      #expect(word == "opened", "\(word ?? "it ended")")
      await peer.kill()
      #expect(try test.numbersInFile(database) == (hindrance.isNew ? [2] : [1, 2]))
    }

    /// Nothing has to be made where everything is there.
    @Test func aReadOnlyDirectoryWithAllItsFilesIsUsed_C11() async throws {
      let test = try PeerTest()
      await (try test.open()).close()
      for suffix in ["", "-wal", "-shm", "-lane"] {
        #expect(unsafe chown(test.database + suffix, Self.nobody, Self.nobody) == 0)
      }
      #expect(unsafe chmod(test.directory.path, 0o555) == 0)
      let peer = try test.start(.useWithoutRights, first: 2) { $0.user = Self.nobody }
      try await peer.pass("start")
      try await peer.pass("open")
      let word = await peer.word()
      #expect(word == "opened", "\(word ?? "it ended")")
      await peer.kill()
      #expect(try test.numbersInFile() == [2])
    }

    @Test func aReadOnlyFilesystemIsNamed_C11() async throws {
      guard FileManager.default.isExecutableFile(atPath: "/usr/bin/unshare") else {
        print("not tried: there is no /usr/bin/unshare to mount anything with")
        return
      }
      let test = try PeerTest()
      let file = try await test.open()
      try await file.write(insertNumber(1))
      await file.close()
      let settings = PeerSettings(database: test.database)
      let peer = try PeerProcess.start(
        "/usr/bin/unshare",
        arguments: [
          "--mount", "sh", "-c",
          "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" || exit 77; exec \"$@\"",
          test.directory.path, test.peer,
        ] + settings.arguments(for: EngineScenarioName.useWithoutRights.rawValue))
      do {
        try await peer.pass("start")
      } catch {
        print("not tried: nothing can be mounted here (\(await peer.end()))")
        return
      }
      try await peer.pass("open")
      let word = try #require(await peer.word())
      #expect(word.hasPrefix("readOnly \(test.database) "), "\(word)")
      #expect(word.contains("is on a read-only filesystem"), "\(word)")
      await peer.kill()
    }
  }
#endif
