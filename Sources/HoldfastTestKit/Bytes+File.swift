// SPDX-License-Identifier: Apache-2.0

import Foundation

extension [UInt8] {
  /// The whole file.
  public init(contentsOf path: String) throws {
    self = try Array(Data(contentsOf: URL(fileURLWithPath: path)))
  }

  /// Writes the bytes as the whole file, in place.
  public func write(to path: String) throws {
    try Data(self).write(to: URL(fileURLWithPath: path))
  }
}
