// SPDX-License-Identifier: Apache-2.0

import Foundation

/// The files this process has open, from `/proc/self/fd`; for tests that count descriptors.
public enum OpenDescriptors {
  /// How many descriptors of this process are open on the file at exactly this path.
  public static func count(of path: String) throws -> Int {
    let names = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")
    // A descriptor may be gone between the listing and the look: that is no match.
    return names.filter {
      (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/" + $0)) == path
    }
    .count
  }
}
