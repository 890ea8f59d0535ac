// SPDX-License-Identifier: Apache-2.0

import HoldfastTestKit
import Testing

@testable import HoldfastEngine

/// What a process has and is: its descriptors, its threads, its id.
@Suite(.serialized) struct ProcessLimitTests {
  @Test func aForkedChildMayNotUseTheFileAndItsParentGoesOn_B06() async throws {
    let test = try PeerTest()
    let process = try test.start(.forkWithFile, first: 1)
    try await process.pass("start")
    #expect(await process.word() == "refused refused refused refused refused")
    #expect(await process.word() == "2")
    #expect(await process.end() == .exited(0))
    #expect(try test.numbersInFile() == [1, 2])
    #expect(try test.integrity() == "ok")
  }

  @Test func sixtyFourDescriptorsAreEnoughForSevenFilesAndTwoHundredTasks_B08() async throws {
    let test = try PeerTest()
    let files = (0..<7).map { test.directory.file("many-\($0).db") }
    let process = try test.start(.fewDescriptors) { $0.files = files }
    try await process.pass("start")
    #expect(await process.word() == "ok")
    let most = Int(await process.word() ?? "") ?? 0
    #expect((36...64).contains(most), "\(most) descriptors")
    try await process.pass("raise")
    #expect(await process.word() == "own reader")
    let left = Int(await process.word() ?? "") ?? -1
    // What the process keeps for all files: the watches of directories and the poll of the runtime.
    #expect((0...8).contains(left), "\(left) descriptors left")
    #expect(await process.end() == .exited(0))
    let written = try files.flatMap { try test.numbersInFile($0) }
    let expected = (0..<4).flatMap { round in
      (0..<200).filter { $0 / files.count % 2 == 0 }.map { 1000 + round * 200 + $0 }
    }
    #expect(written.sorted() == expected.sorted())
  }

  @Test func aClosedFileLeavesNoThreadAndNoDescriptor_B08() async throws {
    let test = try PeerTest()
    let process = try test.start(.openAndClose, first: 1, count: 20)
    try await process.pass("start")
    var lines: [String] = []
    while let line = await process.word() { lines.append(line) }
    #expect(await process.end() == .exited(0))
    // What serves the whole process is there after the first file, and no more comes with the others.
    #expect(lines.popLast() == "hf-deadlines hf-watch hf-watch")
    #expect(lines.count == 20)
    #expect(Set(lines).count == 1, "\(lines)")
  }
}
