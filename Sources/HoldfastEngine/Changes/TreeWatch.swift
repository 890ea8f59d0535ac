// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Tells which files below some directories are written to, whoever does it, from the kernel (inotify(7)).
///
/// Directories made later are watched too. Where the system offers no watch, or no more of them, that everything may
/// have changed is told every two seconds.
///
/// `@unchecked Sendable`: it has one user at a time, and only ``stop()`` may be called beside it, which writes to a pipe.
package final class TreeWatch: @unchecked Sendable {
  /// What is to be looked at.
  package enum Change: Sendable, Hashable {
    /// These files were written to, made or moved in.
    case files(Set<String>)
    /// Nobody knows what changed.
    case everything
    /// Nothing did, for as long as it was waited.
    case nothing
  }

  private struct Watched {
    var path: String
    /// How many directories below it are watched.
    var depth: Int
  }

  private let descriptor: Int32
  private let stopReading: Int32
  private let stopWriting: Int32
  private var watched: [Int32: Watched] = [:]
  /// Whether a directory could not be watched.
  private var isPartial = false
  private static let pollingInterval = Duration.seconds(2)

  /// A watch of nothing.
  package init() {
    #if os(Linux)
      descriptor = inotify_init1(Int32(IN_CLOEXEC) | Int32(IN_NONBLOCK))
    #else
      descriptor = -1
    #endif
    var ends: [Int32] = [-1, -1]
    if unsafe pipe(&ends) == 0 {
      for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    }
    (stopReading, stopWriting) = (ends[0], ends[1])
    isPartial = descriptor < 0
  }

  deinit {
    for descriptor in [descriptor, stopReading, stopWriting] where descriptor >= 0 { close(descriptor) }
  }

  /// Watches a directory and those below it, to a depth. Again, it changes nothing.
  package func add(_ directory: String, depth: Int) {
    var ignored: Set<String> = []
    add(directory, depth: depth, found: &ignored)
  }

  /// Ends a wait, now or the next; may be called by anybody.
  package func stop() {
    var byte: UInt8 = 0
    _ = unsafe write(stopWriting, &byte, 1)
  }

  /// Waits for a change. Blocks.
  ///
  /// - Returns: nil when it was told to stop.
  package func wait(atMost longest: Duration) -> Change? {
    let limit = isPartial ? min(longest, Self.pollingInterval) : longest
    var polled = [
      pollfd(fd: stopReading, events: Int16(POLLIN), revents: 0),
      pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
    ]
    let deadline = ContinuousClock.now + limit
    var found: Set<String> = []
    // What is written in one go comes as many events: a moment's quiet ends it.
    var quiet: ContinuousClock.Instant?
    while true {
      let until = min(deadline, quiet ?? deadline)
      let rest = max(.zero, ContinuousClock.now.duration(to: until))
      let milliseconds = Int32(
        clamping: rest.components.seconds * 1000 + rest.components.attoseconds / 1_000_000_000_000_000 + 1)
      let count = unsafe poll(&polled, nfds_t(polled.count), milliseconds)
      if count < 0, errno == EINTR { continue }
      if polled[0].revents != 0 || count < 0 { return nil }
      if polled[1].revents != 0 {
        if !read(&found) { return .everything }
        if quiet == nil, !found.isEmpty { quiet = ContinuousClock.now + .milliseconds(50) }
        continue
      }
      if !found.isEmpty { return .files(found) }
      if ContinuousClock.now >= deadline { return isPartial ? .everything : .nothing }
    }
  }

  /// Takes in what the kernel tells.
  /// - Returns: false when it lost count.
  private func read(_ found: inout Set<String>) -> Bool {
    #if os(Linux)
      var buffer = [UInt8](repeating: 0, count: 65_536)
      let descriptor = descriptor
      let count = unsafe buffer.withUnsafeMutableBytes { bytes in
        unsafe systemRead(descriptor, bytes.baseAddress, bytes.count)
      }
      guard count > 0 else { return true }
      var start = 0
      while start + 16 <= count {
        func word(_ offset: Int) -> UInt32 {
          (0..<4).reduce(0) { $0 | UInt32(buffer[start + offset + $1]) << UInt32(8 * $1) }
        }
        let (watch, mask, length) = (Int32(bitPattern: word(0)), word(4), Int(word(12)))
        let name = buffer[(start + 16)..<min(start + 16 + length, count)].prefix { $0 != 0 }
        start += 16 + length
        if mask & UInt32(IN_Q_OVERFLOW) != 0 { return false }
        if mask & UInt32(IN_IGNORED) != 0 {
          watched[watch] = nil
          continue
        }
        guard let directory = watched[watch], !name.isEmpty else { continue }
        let path = directory.path + "/" + String(decoding: name, as: UTF8.self)
        if mask & UInt32(IN_ISDIR) == 0 {
          found.insert(path)
        } else if directory.depth > 0 {
          // What was written into it before it was watched is told now.
          add(path, depth: directory.depth - 1, found: &found)
        }
      }
    #endif
    return true
  }

  private func add(_ path: String, depth: Int, found: inout Set<String>) {
    #if os(Linux)
      guard descriptor >= 0 else { return }
      let mask = UInt32(IN_MODIFY | IN_CREATE | IN_MOVED_TO) | UInt32(IN_ONLYDIR | IN_DONT_FOLLOW)
      let watch = unsafe inotify_add_watch(descriptor, path, mask)
      guard watch >= 0 else {
        // One that is gone again, or a link, is none; a limit of the system's is told by others.
        if errno == ENOSPC || errno == ENOMEM || errno == EACCES { isPartial = true }
        return
      }
      watched[watch] = Watched(path: path, depth: depth)
      guard let entries = unsafe opendir(path) else { return }
      defer { unsafe closedir(entries) }
      var below: [String] = []
      while let entry = unsafe readdir(entries) {
        let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
          unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
        }
        if name == "." || name == ".." { continue }
        let child = path + "/" + name
        var info = stat()
        guard unsafe lstat(child, &info) == 0 else { continue }
        if info.st_mode & S_IFMT == S_IFDIR {
          if depth > 0 { below.append(child) }
        } else {
          found.insert(child)
        }
      }
      for child in below { add(child, depth: depth - 1, found: &found) }
    #endif
  }
}

/// read(2), by a name that no method has.
private func systemRead(_ descriptor: Int32, _ bytes: UnsafeMutableRawPointer?, _ count: Int) -> Int {
  unsafe read(descriptor, bytes, count)
}
