// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

extension LineReader {
  /// The lines of what a command was told to read: a file, or `-` for standard input.
  ///
  /// - Throws: ``Failure`` with code 66 or 77.
  static func input(_ path: String, maximumBytes: Int) throws -> LineReader {
    do {
      return try LineReader(path == "-" ? .standardInput : .stream(path), maximumBytes: maximumBytes)
    } catch {
      throw Failure(error.code == .permission ? ExitStatus.permission : ExitStatus.noInput, error.message)
    }
  }
}
