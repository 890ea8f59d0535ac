// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastEngine
import HoldfastTestKit
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

@Suite("Line reader")
struct LineReaderTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  private func lines(_ text: Data, most: Int = LineReader.usualMaximum) throws -> [(LineReader.Line, Int)] {
    let path = directory.file("lines")
    try text.write(to: URL(fileURLWithPath: path))
    let file = try LineReader(.file(path), maximumBytes: most)
    var line: [UInt8] = []
    var found: [(LineReader.Line, Int)] = []
    while let kind = try file.next(into: &line) { found.append((kind, line.count)) }
    #expect(file.number == found.count)
    return found
  }

  @Test("lines are whole at any length around the size of a read, and the last may be unfinished")
  func linesAreWhole() throws {
    let piece = 256 << 10
    for length in [0, 1, piece - 2, piece - 1, piece, piece + 1, 3 * piece] {
      let text = Data(repeating: 0x61, count: length) + Data("\n\nzz".utf8)
      let found = try lines(text)
      #expect(found.map(\.0) == [.whole, .whole, .unfinished])
      #expect(found.map(\.1) == [length, 0, 2])
    }
    #expect(try lines(Data()).isEmpty)
  }

  @Test("a line that is too long is passed over, and what follows is read")
  func tooLongLineIsPassedOver() throws {
    let long = Data(repeating: 0x61, count: 3 << 20)
    #expect(try lines(long + Data("\nb\n".utf8), most: 1 << 20).map(\.0) == [.tooLong, .whole])
    #expect(try lines(long, most: 1 << 20).map(\.0) == [.tooLong])
  }

  @Test("what is no file is refused in a sentence")
  func otherThingsAreRefused() throws {
    #expect { _ = try LineReader(.file(directory.file("gone"))) } throws: {
      ($0 as? StoreError)?.code == .missing
    }
    #expect { _ = try LineReader(.file(directory.path)) } throws: { ($0 as? StoreError)?.code == .cannotOpen }
    #expect(unsafe mkfifo(directory.file("pipe"), 0o600) == 0)
    #expect { _ = try LineReader(.file(directory.file("pipe"))) } throws: {
      ($0 as? StoreError)?.code == .cannotOpen
    }
  }

  @Test("a line as long as it may be is kept, one of a byte more is not, wherever a read ends")
  func longestLineIsKept() throws {
    let piece = 256 << 10
    for most in [0, 1, 100, piece - 1, piece, piece + 1] {
      let text = Data(repeating: 0x61, count: most) + [0x0A] + Data(repeating: 0x61, count: most + 1) + [0x0A]
      let found = try lines(text + Data(repeating: 0x61, count: most), most: most)
      #expect(found.map(\.0) == [.whole, .tooLong] + (most > 0 ? [.unfinished] : []))
      #expect(found.map(\.1) == [most, 0] + (most > 0 ? [most] : []))
      #expect(try lines(Data(repeating: 0x61, count: most + 1), most: most).map(\.0) == [.tooLong])
    }
  }

  @Test("what comes by a pipe is read as it comes, and whether there is more is told without waiting")
  func pipeIsReadAsItComes() throws {
    let path = directory.file("pipe")
    #expect(unsafe mkfifo(path, 0o600) == 0)
    // Opened for both, so that neither end waits for the other.
    let writer = try #require(FileHandle(forUpdatingAtPath: path))
    let reader = try LineReader(.stream(path))
    var line: [UInt8] = []
    #expect(!reader.hasLine)
    try writer.write(contentsOf: Data("one\ntwo\nthr".utf8))
    #expect(try reader.next(into: &line) == .whole && line == Array("one".utf8))
    #expect(reader.hasLine && reader.hasLine)
    #expect(try reader.next(into: &line) == .whole && line == Array("two".utf8))
    #expect(!reader.hasLine)
    try writer.write(contentsOf: Data("ee\n\n".utf8))
    #expect(try reader.next(into: &line) == .whole && line == Array("three".utf8))
    #expect(reader.hasLine && reader.number == 3)
    #expect(try reader.next(into: &line) == .whole && line.isEmpty)
    try writer.write(contentsOf: Data("end".utf8))
    try writer.close()
    #expect(try reader.next(into: &line) == .unfinished && line == Array("end".utf8))
    #expect(try reader.next(into: &line) == nil)
    #expect(throws: StoreError.self) { _ = try LineReader(.stream(directory.path)) }
  }
}
