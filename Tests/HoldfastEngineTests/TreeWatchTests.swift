// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastEngine
import HoldfastTestKit
import Testing

#if os(Linux)
  @Suite("Watching directories")
  struct TreeWatchTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func write(_ name: String) throws -> String {
      let path = directory.file(name)
      try Data("x".utf8).write(to: URL(fileURLWithPath: path))
      return path
    }

    private func make(_ name: String) throws {
      try FileManager.default.createDirectory(
        atPath: directory.file(name), withIntermediateDirectories: true)
    }

    /// Waits until the files are told, in one change or several.
    private func told(_ watch: TreeWatch, _ files: Set<String>) -> Bool {
      var seen: Set<String> = []
      while !files.isSubset(of: seen) {
        guard case .files(let more)? = watch.wait(atMost: .seconds(30)) else { return false }
        seen.formUnion(more)
      }
      return true
    }

    @Test("files are told that are written below, in directories made later too, to a depth")
    func filesBelowAreTold() throws {
      try make("a/b")
      let watch = TreeWatch()
      watch.add(directory.path, depth: 2)
      #expect(told(watch, [try write("one"), try write("a/b/two")]))
      try make("c/d")
      #expect(told(watch, [try write("c/d/three")]))
      try make("a/b/deeper")
      _ = try write("a/b/deeper/unseen")
      let last = try write("last")
      guard case .files(let files)? = watch.wait(atMost: .seconds(30)) else {
        Issue.record("nothing was told")
        return
      }
      #expect(files == [last])
    }

    @Test("nothing is told where nothing changes, and a wait ends when it is told to")
    func quietAndStop() {
      let watch = TreeWatch()
      watch.add(directory.path, depth: 0)
      #expect(watch.wait(atMost: .milliseconds(1)) == .nothing)
      watch.stop()
      #expect(watch.wait(atMost: .seconds(600)) == nil)
    }

    @Test("a directory that is not there is watched once it is and is added")
    func missingDirectories() throws {
      let watch = TreeWatch()
      watch.add(directory.file("later"), depth: 1)
      try make("later")
      watch.add(directory.file("later"), depth: 1)
      watch.add(directory.file("later"), depth: 1)
      #expect(told(watch, [try write("later/file")]))
    }
  }
#endif
