// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The size of a file by its name: never by a descriptor, whose close would drop SQLite's locks (row B01).
enum FileSize {
  /// In bytes; nil when there is no such file.
  static func of(_ path: String) -> Int64? {
    var found = stat()
    return unsafe stat(path, &found) == 0 ? Int64(found.st_size) : nil
  }
}
