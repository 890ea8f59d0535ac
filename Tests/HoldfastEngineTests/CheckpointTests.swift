// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastEngine
import HoldfastTestKit
import Testing

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
    let text = String(repeating: "x", count: 8000)
    while file.status().walBytes < 8 * limit { try await file.write(insertNote(text)) }
    #expect(file.walReaders().map(\.pid) == [getpid()])
    #expect(try reader.text("SELECT count(*) FROM note") == "1")
    try reader.run("COMMIT")
    #expect(file.walReaders().isEmpty)
    let cutBack = try await eventually {
      try await file.write(insertNote("small"))
      return file.status().walBytes <= limit + 64 * 8192
    }
    #expect(cutBack)
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
