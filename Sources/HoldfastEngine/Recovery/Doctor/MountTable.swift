// SPDX-License-Identifier: Apache-2.0

#if os(Linux)
  /// The types of the mounted filesystems, from proc_pid_mountinfo(5).
  enum MountTable {
    /// The type of the filesystem that `path`, absolute and canonical, is on; nil where it is not known.
    static func type(of path: String, in lines: [Substring] = ProcFile.lines("/proc/self/mountinfo"))
      -> String?
    {
      var best: (length: Int, type: String)?
      for line in lines {
        let fields = line.split(separator: " ")
        guard fields.count > 4, let dash = fields.firstIndex(of: "-"), dash + 1 < fields.count else {
          continue
        }
        let point = unescaped(fields[4])
        let isAbove = point == "/" || path == point || path.hasPrefix(point + "/")
        // Of two mounts at one place the later one covers the earlier.
        if isAbove, point.utf8.count >= best?.length ?? 0 {
          best = (point.utf8.count, String(fields[dash + 1]))
        }
      }
      return best?.type
    }

    /// Blanks, tabs, line feeds and backslashes are written as three octal digits.
    private static func unescaped(_ text: Substring) -> String {
      var bytes: [UInt8] = []
      var rest = Array(text.utf8)[...]
      while let byte = rest.popFirst() {
        if byte == UInt8(ascii: "\\"), rest.count >= 3,
          let value = UInt8(String(decoding: rest.prefix(3), as: UTF8.self), radix: 8)
        {
          bytes.append(value)
          rest = rest.dropFirst(3)
        } else {
          bytes.append(byte)
        }
      }
      return String(decoding: bytes, as: UTF8.self)
    }
  }
#endif
