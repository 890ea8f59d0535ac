// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A segment file's name: `<stream>-<id>.spool`.
struct SegmentName: Hashable, Sendable {
  let stream: String
  let id: SegmentID

  init(stream: String, id: SegmentID) {
    self.stream = stream
    self.id = id
  }

  /// Reads a file's name; nil for anything that is not a segment of this stream.
  init?(_ file: String, stream: String) {
    guard file.hasPrefix(stream + "-"), file.hasSuffix(".spool"),
      let id = SegmentID(file.dropFirst(stream.utf8.count + 1).dropLast(6))
    else { return nil }
    self.init(stream: stream, id: id)
  }

  func path(in directory: String) -> String { "\(directory)/\(stream)-\(id).spool" }
}

/// The directory that holds the segments: private to its user, and read by name only.
struct SpoolDirectory: Sendable {
  /// Its canonical path.
  let path: String
  /// Names the directory in the cursor table: two homes that drain into one database must not take each
  /// other's cursors for leftovers.
  let identity: String

  /// Makes the directory with mode 0700 where it is missing, parents included, and resolves it.
  static func open(_ path: String) throws(StoreError) -> SpoolDirectory {
    try make(path)
    guard let resolved = unsafe realpath(path, nil) else {
      throw .spool("cannot resolve the spool's directory", path: path, errno: errno)
    }
    defer { unsafe free(resolved) }
    var status = stat()
    guard unsafe stat(resolved, &status) == 0 else {
      throw .spool("cannot examine the spool's directory", path: path, errno: errno)
    }
    guard status.st_mode & S_IFMT == S_IFDIR else {
      throw .spool("cannot use it as the spool's directory", path: path, errno: ENOTDIR)
    }
    let canonical = unsafe String(cString: resolved)
    return SpoolDirectory(path: canonical, identity: "\(status.st_ino) \(canonical)")
  }

  private static func make(_ path: String) throws(StoreError) {
    if unsafe mkdir(path, 0o700) == 0 {
      // As for files: the mode is what is wanted, whatever the umask took away.
      _ = unsafe chmod(path, 0o700)
      return
    }
    switch errno {
    case EEXIST: return
    case ENOENT:
      guard let cut = path.lastIndex(of: "/"), cut != path.startIndex else { break }
      try make(String(path[..<cut]))
      if unsafe mkdir(path, 0o700) == 0 || errno == EEXIST { return }
    default: break
    }
    throw .spool("cannot make the spool's directory", path: path, errno: errno)
  }

  /// The segments of `stream` that are there now.
  func segments(of stream: String) -> [SegmentName] {
    guard let handle = unsafe opendir(path) else { return [] }
    defer { unsafe closedir(handle) }
    var names: [SegmentName] = []
    while let entry = unsafe readdir(handle) {
      let file = unsafe withUnsafeBytes(of: entry.pointee.d_name) { bytes in
        unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if let name = SegmentName(file, stream: stream) { names.append(name) }
    }
    return names
  }

  /// Makes removals durable. A cursor row may be forgotten only once its segment cannot come back with a
  /// power loss: without its cursor, what it holds would land a second time.
  func synchronize() -> Bool {
    let descriptor = Self.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    return fsync(descriptor) == 0
  }

  private static func open(_ path: String, _ flags: Int32) -> Int32 {
    #if canImport(Glibc)
      unsafe Glibc.open(path, flags)
    #elseif canImport(Musl)
      unsafe Musl.open(path, flags)
    #else
      unsafe Darwin.open(path, flags)
    #endif
  }
}

/// The system's own words for an `errno`.
func describe(errno code: Int32) -> String {
  unsafe String(cString: strerror(code))
}

extension StoreError {
  /// A system call of the spool that failed.
  static func spool(_ what: String, path: String, errno code: Int32) -> StoreError {
    let (kind, advice): (Code, String) =
      switch code {
      case ENOSPC, EDQUOT, EFBIG: (.diskFull, "free some space; appends work again by themselves")
      case EACCES, EPERM: (.permission, "give this user write access to the directory")
      case EROFS: (.readOnly, "put the spool on a writable filesystem")
      case ENOENT, ENOTDIR, ELOOP: (.cannotOpen, "check that the directory still exists")
      case EMFILE, ENFILE: (.cannotOpen, "raise the limit of open files")
      default: (.io, "check the disk and the kernel's log")
      }
    return StoreError(kind, "The spool \(what): \(path) (\(describe(errno: code))); \(advice).", path: path)
  }
}
