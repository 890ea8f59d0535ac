// SPDX-License-Identifier: Apache-2.0

import CHoldfast

#if canImport(Darwin)
  import Darwin
#endif

/// The filesystem a path is on, and whether WAL may be used there (row C14).
///
/// A -wal needs shared memory that is the same for all who map it, which only one machine's own filesystems
/// give. What is not known to give it counts as not giving it.
package struct Filesystem: Hashable, Sendable {
  /// The type as the mount table names it, as in `ext4`.
  package var type: String
  /// Where it is mounted.
  package var mountPoint: String
  /// Whether WAL is known to work on it.
  package var isCoherent: Bool { Self.coherent.contains(type) }

  private static let coherent: Set<String> = [
    "ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "tmpfs", "ramfs", "overlay", "apfs",
    "hfs",
  ]

  /// Makes a filesystem.
  package init(type: String, mountPoint: String) {
    self.type = type
    self.mountPoint = mountPoint
  }

  /// The filesystem a canonical path is on.
  /// - Parameter mountTable: what to look it up in; nil for the kernel's table for this process.
  /// - Returns: nil when the table does not say.
  package static func of(_ path: String, mountTable: String? = nil) -> Filesystem? {
    if let mountTable { return find(path, inMountTable: mountTable) }
    #if os(Linux)
      return find(
        path, inMountTable: String(decoding: ProcFile.bytes("/proc/self/mountinfo"), as: UTF8.self))
    #elseif canImport(Darwin)
      var info = statfs()
      let directory = String(path.dropLast(path.fileName.count))
      guard unsafe statfs(directory.isEmpty ? "/" : directory, &info) == 0 else { return nil }
      func text<Characters>(_ characters: Characters) -> String {
        unsafe withUnsafeBytes(of: characters) { raw in
          unsafe String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
        }
      }
      return Filesystem(type: text(info.f_fstypename), mountPoint: text(info.f_mntonname))
    #else
      return nil
    #endif
  }

  /// Whether the kernel itself calls the filesystem by the number of one on the list, for every opening: that takes
  /// no descriptor and no reading of the table. False says nothing.
  static func isKnownCoherent(_ path: String) -> Bool {
    let directory = String(path.dropLast(path.fileName.count))
    let magic = unsafe chf_filesystem_magic(path)
    // <linux/magic.h>: ext2 to ext4, xfs, btrfs, tmpfs, overlay, f2fs.
    let known: Set<UInt32> = [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630, 0xf2f5_2010]
    return known.contains(magic != 0 ? magic : unsafe chf_filesystem_magic(directory))
  }

  /// Finds a canonical path in a mount table of proc_pid_mountinfo(5): the longest mount point that is the
  /// path or above it, and of several at one place the last, which hides the others.
  /// - Returns: nil when no mount holds the path.
  package static func find(_ path: String, inMountTable table: String) -> Filesystem? {
    mount(of: path, in: table).map { Filesystem(type: $0.type, mountPoint: $0.point) }
  }

  /// The device of the filesystem a canonical path is on, as `/proc/locks` has it; nil when the table does not
  /// say.
  ///
  /// On btrfs and on overlays over several filesystems stat(2) gives files another one.
  static func lockDevice(of path: String, mountTable: String? = nil) -> UInt64? {
    #if os(Linux)
      let table = mountTable ?? String(decoding: ProcFile.bytes("/proc/self/mountinfo"), as: UTF8.self)
    #else
      let table = mountTable ?? ""
    #endif
    return mount(of: path, in: table)?.device
  }

  private static func mount(
    of path: String, in table: String
  ) -> (type: String, point: String, device: UInt64?)? {
    var best: (type: String, point: String, device: UInt64?)?
    for line in table.split(separator: "\n") {
      let fields = line.split(separator: " ")
      guard let dash = fields.firstIndex(of: "-"), dash >= 6, dash + 1 < fields.count else { continue }
      let point = unescaped(fields[4])
      guard point == "/" || path == point || path.hasPrefix(point + "/") else { continue }
      guard point.utf8.count >= best?.point.utf8.count ?? 0 else { continue }
      let numbers = fields[2].split(separator: ":").compactMap { UInt64($0) }
      let device = numbers.count == 2 ? numbers[0] << 32 | numbers[1] : nil
      best = (String(fields[dash + 1]), point, device)
    }
    return best
  }

  /// Blanks, tabs, newlines and backslashes are written as a backslash and three octal digits.
  private static func unescaped(_ field: Substring) -> String {
    let bytes = Array(field.utf8)
    var plain: [UInt8] = []
    var at = 0
    while at < bytes.count {
      let digits = bytes[(at + 1)...].prefix(3)
      if bytes[at] == UInt8(ascii: "\\"), digits.count == 3,
        let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 8)
      {
        plain.append(value)
        at += 4
      } else {
        plain.append(bytes[at])
        at += 1
      }
    }
    return String(decoding: plain, as: UTF8.self)
  }
}
