// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Small files beside transcripts.
enum TextFile {
  /// A whole file's text; nil when it is not there, cannot be read, or is longer than `most` bytes.
  static func contents(_ path: String, most: Int) -> String? {
    guard let handle = FileHandle(forReadingAtPath: path) else { return nil }
    defer { try? handle.close() }
    guard let data = try? handle.read(upToCount: most + 1), data.count <= most else { return nil }
    return String(decoding: data, as: UTF8.self)
  }

  /// Its first bytes, at most so many; nil when it cannot be read.
  static func beginning(_ path: String, most: Int) -> [UInt8]? {
    guard let handle = FileHandle(forReadingAtPath: path) else { return nil }
    defer { try? handle.close() }
    return (try? handle.read(upToCount: most)).flatMap { $0 }.map(Array.init)
  }
}
