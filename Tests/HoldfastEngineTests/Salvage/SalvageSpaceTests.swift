// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

#if os(Linux)
  /// A disk that has no room, or runs out of it in the middle.
  @Suite(.enabled(if: SmallDisk.isAllowed, "a small disk can be mounted only by root on Linux"))
  struct SalvageSpaceTests {
    private let directory: TemporaryDirectory
    private let pages: MemoryPages
    private var path: String { directory.file("a.db") }

    init() throws {
      directory = try TemporaryDirectory()
      pages = try makeDatabase(
        directory.file("a.db"), "",
        """
        CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT NOT NULL, body TEXT); CREATE INDEX t_name ON t(name);
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)
          INSERT INTO t SELECT i, 'name ' || i, printf('%.60c', 'b') || i FROM n;
        """)
      try FileManager.default.createDirectory(
        atPath: directory.file("disk"), withIntermediateDirectories: true)
    }

    /// Salvages onto a disk of its own and says how it went and what is on the disk then.
    private func salvage(
      bytes: Int, from source: any PageSource, asks: Bool
    ) async throws -> (code: StoreError.Code?, names: [String]) {
      let disk = directory.file("disk")
      return try await SmallDisk.run(at: disk, bytes: bytes) {
        var code: StoreError.Code?
        var options = SalvageOptions()
        if !asks { options.freeSpace = { _ in nil } }
        do {
          let report = try Salvage.run(source, into: disk + "/out.db", options: options)
          #expect(report.tables.first?.recovered == 2500)
        } catch let error as StoreError {
          code = error.code
        }
        return (code, try FileManager.default.contentsOfDirectory(atPath: disk).sorted())
      }
    }

    @Test func aDiskThatIsSeenToBeTooSmallIsLeftAlone_C09() async throws {
      let (code, names) = try await salvage(bytes: 512 << 10, from: FileImage(path: path), asks: true)
      #expect(code == .diskFull)
      #expect(names == [])
    }

    /// Wherever the room ends: in the copy, in a table, in an index, at the check.
    @Test(arguments: [true, false])
    func aDiskThatFillsUpIsLeftAsItWas_C09(copies: Bool) async throws {
      let source: any PageSource = try copies ? pages : FileImage(path: path)
      var bytes = 32 << 10
      var refusals = 0
      while true {
        let (code, names) = try await salvage(bytes: bytes, from: source, asks: false)
        guard let code else {
          #expect(names == ["out.db"])
          break
        }
        #expect(code == .diskFull, "\(bytes) bytes")
        #expect(names == [], "\(bytes) bytes")
        refusals += 1
        bytes += 64 << 10
        try #require(bytes < 32 << 20)
      }
      #expect(refusals > 3)
      #expect(try [UInt8](Data(contentsOf: URL(filePath: path))) == pages.bytes)
    }
  }
#endif
