// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Which file a path or descriptor stands for: device and inode, with the device as `/proc/locks` has it.
struct FileIdentity: Hashable, Sendable {
  var device: UInt64
  var inode: UInt64

  init(device: UInt64, inode: UInt64) {
    self.device = device
    self.inode = inode
  }

  /// The file now at `path`, or nil when there is none.
  init?(path: String) {
    var info = stat()
    guard unsafe stat(path, &info) == 0 else { return nil }
    self.init(info)
  }

  /// The file behind an open descriptor.
  init?(descriptor: Int32) {
    var info = stat()
    guard unsafe fstat(descriptor, &info) == 0 else { return nil }
    self.init(info)
  }

  private init(_ info: stat) {
    #if os(Linux)
      // glibc's encoding of dev_t, see makedev(3): major in bits 8-19 and 32-63, minor in 0-7 and 20-31.
      let raw = UInt64(info.st_dev)
      let major = (raw >> 8) & 0xfff | (raw >> 32) & 0xffff_f000
      let minor = raw & 0xff | (raw >> 12) & 0xffff_ff00
      device = major << 32 | minor
    #else
      device = UInt64(bitPattern: Int64(info.st_dev))
    #endif
    inode = UInt64(info.st_ino)
  }
}

/// The size in bytes of the file behind an open descriptor.
func fileSize(of descriptor: Int32) -> Int64? {
  var info = stat()
  return unsafe fstat(descriptor, &info) == 0 ? Int64(info.st_size) : nil
}

/// The size of the file at `path` in bytes, or nil when there is none.
func fileSize(_ path: String) -> Int64? {
  var info = stat()
  return unsafe stat(path, &info) == 0 ? Int64(info.st_size) : nil
}
