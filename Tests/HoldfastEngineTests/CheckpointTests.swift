// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

@Suite struct CheckpointTests {
  /// While a reader holds its snapshot the WAL can only grow; when it goes, the file is cut back, also if
  /// nobody writes much any more.
  @Test func aReaderThatPinsTheWALIsNamedAndTheFileIsCutBackWhenItGoes_A12() async throws {
    let directory = try TemporaryDirectory()
    let limit = 1 << 20
    let file = try await StateFile.open(
      directory.file("a.db"),
      configuration: .init(durability: .processDeathOnly, checkpointPages: 64, walSizeLimit: limit),
      migrations: notes)
    try await file.write(insertNote("seen"))
    let reader = try ForeignConnection(file.path)
    try reader.run("BEGIN")
    #expect(try reader.text("SELECT count(*) FROM note") == "1")
    let text = String(repeating: "x", count: 100_000)
    var written = 1
    while file.status().walBytes < 24 * limit {
      try await file.write(insertNote(text))
      written += 1
    }
    #expect(file.walReaders().map(\.pid) == [getpid()])
    #expect(try reader.text("SELECT count(*) FROM note") == "1")
    try reader.run("COMMIT")
    // The fold that begins now has a reader of its own for a moment.
    #expect(await eventually { file.walReaders().isEmpty })
    var last = file.status().walBytes
    var largestCut: Int64 = 0
    let cutBack = try await eventually {
      try await file.write(insertNote("small"))
      written += 1
      let bytes = file.status().walBytes
      largestCut = max(largestCut, last - bytes)
      last = bytes
      return bytes <= limit + 64 * 8192
    }
    #expect(cutBack)
    #expect(largestCut <= WALTail.piece)
    await file.close()
    let after = try ForeignConnection(file.path)
    #expect(try after.text("SELECT count(*) FROM note") == "\(written)")
    #expect(try after.text("PRAGMA integrity_check") == "ok")
  }

  /// One write, after which the WAL starts over, is enough: the rest is cut with nobody writing.
  @Test func aLargeWALIsCutBackWhileNobodyWrites_A12() async throws {
    let directory = try TemporaryDirectory()
    let limit = 1 << 20
    let file = try await StateFile.open(
      directory.file("a.db"), configuration: .init(durability: .processDeathOnly, walSizeLimit: limit),
      migrations: notes)
    let reader = try ForeignConnection(file.path)
    try reader.run("BEGIN")
    _ = try reader.text("SELECT count(*) FROM note")
    let text = String(repeating: "x", count: 100_000)
    while file.status().walBytes < 18 * limit { try await file.write(insertNote(text)) }
    try reader.run("COMMIT")
    #expect(try await eventually { try await file.checkpoint().isComplete })
    try await file.write(insertNote("starts over"))
    #expect(await eventually { file.status().walBytes <= limit })
    #expect(try ForeignConnection(file.path).text("PRAGMA integrity_check") == "ok")
    await file.close()
  }

  @Test func aBlockedCheckpointIsFinishedWhileNobodyWrites_A12() async throws {
    let directory = try TemporaryDirectory()
    let file = try await StateFile.open(
      directory.file("a.db"), configuration: .init(durability: .processDeathOnly, checkpointPages: 8),
      migrations: notes)
    let reader = try ForeignConnection(file.path)
    try reader.run("BEGIN")
    _ = try reader.text("SELECT count(*) FROM note")
    for round in 0..<40 { try await file.write(insertNote("\(round)")) }
    let before = file.status().bytes
    try reader.run("COMMIT")
    // No write and no call from here on: the writer comes back to it by itself.
    #expect(await eventually { file.status().bytes > before || file.status().walBytes == 0 })
    await file.close()
  }
}
