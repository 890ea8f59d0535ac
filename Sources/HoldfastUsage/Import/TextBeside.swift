// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastEngine

/// Small files beside a log, which say what it does not.
enum TextBeside {
  /// A file's first bytes, at most so many; nil when it cannot be read.
  static func beginning(_ path: String, most: Int) -> [UInt8]? {
    guard FileWriteStamp(path: path) != nil, let handle = FileHandle(forReadingAtPath: path) else {
      return nil
    }
    defer { try? handle.close() }
    var bytes: [UInt8] = []
    while bytes.count < most {
      guard let piece = try? handle.read(upToCount: most - bytes.count), !piece.isEmpty else { break }
      bytes += piece
    }
    return bytes
  }

  /// Its only line.
  static func line(_ path: String) -> String? {
    beginning(path, most: 4096).map {
      String(decoding: $0, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }
  }

  /// The file as JSON; nil when it is none, or longer than `most` bytes.
  static func json(_ path: String, most: Int = 4 << 20) -> JSONTape? {
    guard let bytes = beginning(path, most: most + 1), bytes.count <= most else { return nil }
    var tape = JSONTape()
    tape.bytes = bytes
    return tape.scan() ? tape : nil
  }
}
