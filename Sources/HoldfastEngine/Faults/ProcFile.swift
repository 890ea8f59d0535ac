// SPDX-License-Identifier: Apache-2.0

#if os(Linux)
  #if canImport(Glibc)
    import Glibc
  #else
    import Musl
  #endif

  /// The few files of proc(5) the engine reads.
  enum ProcFile {
    /// The whole file as bytes; empty when it cannot be read (gone, or another user's).
    static func bytes(_ path: String) -> [UInt8] {
      let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
      guard descriptor >= 0 else { return [] }
      defer { _ = close(descriptor) }
      var all: [UInt8] = []
      var chunk = [UInt8](repeating: 0, count: 16_384)
      while true {
        let count = unsafe chunk.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress, $0.count) }
        guard count > 0 else { return all }
        all += chunk[..<count]
      }
    }

    static func lines(_ path: String) -> [Substring] {
      String(decoding: bytes(path), as: UTF8.self).split(separator: "\n")
    }

    /// The ids of all processes visible here.
    static func processes() -> [Int32] {
      names(in: "/proc").compactMap { Int32($0) }
    }

    /// The descriptors this process has open.
    static func descriptors() -> [Int32] {
      names(in: "/proc/self/fd").compactMap { Int32($0) }
    }

    /// The files a process has open, by identity; empty when it is gone or another user's.
    static func filesOpen(inProcess pid: Int32) -> Set<FileIdentity> {
      // stat(2) of such a name is that of the open file, whatever its path stands for by now.
      Set(names(in: "/proc/\(pid)/fd").compactMap { FileIdentity(path: "/proc/\(pid)/fd/\($0)") })
    }

    /// The `lock:` lines of every file a process has open.
    static func lockLines(ofProcess pid: Int32) -> [Substring] {
      names(in: "/proc/\(pid)/fdinfo").flatMap { name in
        lines("/proc/\(pid)/fdinfo/\(name)").filter { $0.hasPrefix("lock:") }
      }
    }

    static func isStopped(_ pid: Int32) -> Bool {
      // The state is the first field behind the command's closing parenthesis: T stopped, t traced.
      let text = String(decoding: bytes("/proc/\(pid)/stat"), as: UTF8.self)
      guard let paren = text.lastIndex(of: ")") else { return false }
      let state = text[text.index(after: paren)...].drop(while: { $0 == " " }).first
      return state == "T" || state == "t"
    }

    /// The command line on one line, masked and cut for a message.
    static func command(ofProcess pid: Int32) -> String {
      let words = bytes("/proc/\(pid)/cmdline").split(separator: 0).map {
        String(decoding: $0, as: UTF8.self)
      }
      let name = String(decoding: bytes("/proc/\(pid)/comm"), as: UTF8.self)
      return CommandLineText.brief(words.isEmpty ? [name.filter { $0 != "\n" }] : words)
    }

    /// The names in a directory, without those that begin with a dot.
    static func names(in directory: String) -> [String] {
      guard let stream = unsafe opendir(directory) else { return [] }
      defer { unsafe closedir(stream) }
      var names: [String] = []
      while let entry = unsafe readdir(stream) {
        let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { raw in
          unsafe String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
        }
        if !name.hasPrefix(".") { names.append(name) }
      }
      return names
    }
  }
#endif
