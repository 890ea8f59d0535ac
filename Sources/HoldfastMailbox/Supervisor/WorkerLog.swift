// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Where a worker's standard output and error go: `worker.log` in its mailbox, appended to, with one older one kept.
enum WorkerLog {
  static let fileName = "worker.log"
  /// A log that is longer when a worker starts is set aside first.
  static let longest: off_t = 16 << 20

  /// - Throws: `StoreError` when the file cannot be opened; a symbolic link is refused.
  static func open(_ path: String) throws(StoreError) -> LockFile {
    let file = try LockFile(path: path)
    var found = stat()
    if unsafe fstat(file.descriptor, &found) == 0, found.st_size > longest {
      _ = unsafe rename(path, path + ".1")
      file.close()
      return try append(LockFile(path: path))
    }
    return append(file)
  }

  private static func append(_ file: LockFile) -> LockFile {
    _ = fcntl(file.descriptor, F_SETFL, fcntl(file.descriptor, F_GETFL) | O_APPEND)
    return file
  }
}
