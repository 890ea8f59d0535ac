// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

extension FreeSpace {
  /// Bytes free in a directory's filesystem; nil when it cannot be asked.
  static func bytes(in directory: String) -> Int64? {
    var info = statvfs()
    guard unsafe statvfs(directory, &info) == 0 else { return nil }
    let (bytes, overflow) = UInt64(info.f_bavail).multipliedReportingOverflow(by: UInt64(info.f_frsize))
    return overflow ? .max : Int64(clamping: bytes)
  }
}
