// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A directory of a test's own, gone when the test is.
public final class TemporaryDirectory: Sendable {
  /// Its absolute path, without a trailing slash.
  public let path: String

  /// Makes the directory, mode 0700, under the system's place for temporary files.
  public init() throws {
    path = NSTemporaryDirectory().trimmingSuffix("/") + "/holdfast-test-" + UUID().uuidString
    try FileManager.default.createDirectory(
      atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// The path of a file in it.
  public func file(_ name: String) -> String { path + "/" + name }
}

extension String {
  fileprivate func trimmingSuffix(_ suffix: String) -> String {
    count > suffix.count && hasSuffix(suffix) ? String(dropLast(suffix.count)) : self
  }
}
