// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastEngine
import HoldfastTestKit
import Testing

@testable import HoldfastSessions

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

@Suite("Line file")
struct LineFileTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  private func lines(_ text: Data, most: Int = LineFile.maximumBytes) throws -> [(LineFile.Line, Int)] {
    let path = directory.file("lines")
    try text.write(to: URL(fileURLWithPath: path))
    let file = try LineFile(path, maximumBytes: most)
    var line: [UInt8] = []
    var found: [(LineFile.Line, Int)] = []
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
    #expect { _ = try LineFile(directory.file("gone")) } throws: { ($0 as? StoreError)?.code == .missing }
    #expect { _ = try LineFile(directory.path) } throws: { ($0 as? StoreError)?.code == .cannotOpen }
    #expect(unsafe mkfifo(directory.file("pipe"), 0o600) == 0)
    #expect { _ = try LineFile(directory.file("pipe")) } throws: { ($0 as? StoreError)?.code == .cannotOpen }
  }
}
