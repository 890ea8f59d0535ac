// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Which file it is and when it last changed: while this stays the same nobody has written to it.
package struct FileWriteStamp: Sendable, Hashable {
  /// The file system's device.
  package var device: Int64
  /// The file's number on it.
  package var inode: Int64
  /// Its length in bytes.
  package var size: Int64
  /// When it was last written, in nanoseconds since 1970.
  package var modified: Int64

  /// What a mark of an earlier look says.
  package init(device: Int64, inode: Int64, size: Int64, modified: Int64) {
    (self.device, self.inode, self.size, self.modified) = (device, inode, size, modified)
  }

  /// The regular file at a path, links followed; nil when there is none.
  package init?(path: String) {
    var info = stat()
    guard unsafe stat(path, &info) == 0, info.st_mode & S_IFMT == S_IFREG else { return nil }
    self.init(info)
  }

  /// The file behind a descriptor.
  init?(descriptor: Int32) {
    var info = stat()
    guard unsafe fstat(descriptor, &info) == 0 else { return nil }
    self.init(info)
  }

  private init(_ info: stat) {
    #if canImport(Darwin)
      let time = info.st_mtimespec
    #else
      let time = info.st_mtim
    #endif
    self.init(
      device: Int64(truncatingIfNeeded: info.st_dev), inode: Int64(truncatingIfNeeded: info.st_ino),
      size: Int64(info.st_size), modified: Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec))
  }

  /// Whether it is the same file, whatever was written to it.
  package func isSameFile(as other: FileWriteStamp) -> Bool { device == other.device && inode == other.inode }
}
