// SPDX-License-Identifier: Apache-2.0

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A copy of a set of files in a directory of its own, for SQLite to read, recover and change at will while
/// the originals stay as they are.
final class PrivateCopy {
  private let directory: String
  /// The copied database.
  var path: String { directory + "/copy.db" }

  /// Copies the set; nil when a file changed meanwhile, so that the copy may fit no moment.
  /// - Throws: ``StoreError`` with code `io`, `diskFull` or `permission`.
  init?(of input: DoctorInput) throws {
    let place = FileManager.default.temporaryDirectory.path
    directory = place + "/holdfast-doctor-\(UUID().uuidString)"
    guard unsafe mkdir(directory, 0o700) == 0 else { throw StoreError.opening(directory, errno: errno) }
    do {
      for suffix in DoctorInput.suffixes where input.stamps[suffix] != nil {
        try FileManager.default.copyItem(atPath: input.path + suffix, toPath: path + suffix)
        _ = unsafe chmod(path + suffix, 0o600)
      }
    } catch {
      try? FileManager.default.removeItem(atPath: directory)
      throw StoreError(
        .io,
        "\(input.path.fileName) could not be copied to \(place) to be looked at: \(error).",
        path: input.path, underlying: error)
    }
    guard DoctorInput(path: input.path).stamps == input.stamps else {
      try? FileManager.default.removeItem(atPath: directory)
      return nil
    }
  }

  deinit { try? FileManager.default.removeItem(atPath: directory) }
}
