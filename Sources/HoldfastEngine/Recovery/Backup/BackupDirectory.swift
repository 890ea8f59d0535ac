// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// What backups need of a directory: its names, files that are there whole or not at all, and syncs.
enum BackupDirectory {
  /// Makes the directory if need be, for its owner only, and returns its canonical path.
  static func make(_ path: String) throws(StoreError) -> String {
    if unsafe mkdir(path, 0o700) == 0 {
      _ = unsafe chmod(path, 0o700)
    } else if errno != EEXIST {
      throw .opening(path, errno: errno)
    }
    let canonical = try CanonicalPath.of(path)
    var info = stat()
    guard unsafe stat(canonical, &info) == 0 else { throw .opening(path, errno: errno) }
    guard info.st_mode & S_IFMT == S_IFDIR else { throw .opening(path, errno: ENOTDIR) }
    return canonical
  }

  /// The names in a directory, sorted; none when it cannot be read.
  static func names(in directory: String) -> [String] {
    guard let stream = unsafe opendir(directory) else { return [] }
    defer { unsafe closedir(stream) }
    var names: [String] = []
    while let entry = unsafe readdir(stream) {
      let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { raw in
        unsafe String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// Writes a small file so that it has all its bytes, on the disk, when it has its name.
  static func write(_ bytes: [UInt8], to path: String) throws(StoreError) {
    let temporary = temporary(of: path)
    remove(temporary)
    let descriptor = unsafe open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw .opening(temporary, errno: errno) }
    var failure: Int32 = 0
    let count = unsafe bytes.withUnsafeBytes { unsafe pwrite(descriptor, $0.baseAddress, $0.count, 0) }
    if count != bytes.count {
      failure = count < 0 ? errno : ENOSPC
    } else if fsync(descriptor) != 0 {
      failure = errno
    }
    close(descriptor)
    if failure == 0, unsafe rename(temporary, path) != 0 { failure = errno }
    guard failure == 0 else {
      remove(temporary)
      throw .writing(path, errno: failure)
    }
  }

  /// What a small file is called while it is written.
  static func temporary(of path: String) -> String { path + ".partial" }

  /// Takes a name away; one that is not there is no error.
  static func remove(_ path: String) { _ = unsafe unlink(path) }

  /// Makes names that were given or taken away last through a power cut.
  static func sync(_ directory: String) throws(StoreError) {
    let descriptor = unsafe open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .opening(directory, errno: errno) }
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else { throw .writing(directory, errno: errno) }
  }
}

/// The room left on a device.
enum FreeSpace {
  /// What is left beside a copy, so that its manifest and its directory fit too.
  private static let margin: Int64 = 1 << 20

  /// - Parameter sparing: whether a twentieth of the device, up to 1 GiB, is to stay free for those who did not ask for
  ///   the copy.
  /// - Throws: ``StoreError`` with code `diskFull` when `bytes` do not fit into `directory`.
  static func require(_ bytes: Int64, in directory: String, sparing: Bool = false) throws(StoreError) {
    var info = statvfs()
    // Where the system does not tell, the copy finds out.
    guard unsafe statvfs(directory, &info) == 0 else { return }
    let free = Int64(clamping: UInt64(info.f_bavail).multipliedReportingOverflow(by: UInt64(info.f_frsize)).0)
    let all = Int64(clamping: UInt64(info.f_blocks).multipliedReportingOverflow(by: UInt64(info.f_frsize)).0)
    let needed = bytes + (sparing ? max(margin, min(1 << 30, all / 20)) : margin)
    guard free < needed else { return }
    throw StoreError(
      .diskFull,
      """
      \(directory) has \(free) bytes free and \(needed) are needed, so nothing was copied: free some space or \
      name another directory.
      """, path: directory)
  }
}

extension StoreError {
  /// A file of ours that could not be written, synced, linked or renamed.
  static func writing(_ path: String, errno code: Int32) -> StoreError {
    let reason = unsafe String(cString: strerror(code))
    return switch code {
    case ENOSPC, EDQUOT:
      StoreError(
        .diskFull, "Writing \(path.fileName) failed (\(reason)): free some space and try again.", path: path)
    case EACCES, EPERM, EROFS:
      StoreError(
        .permission,
        "Writing \(path.fileName) was refused (\(reason)): give this user write access to its directory.",
        path: path)
    default:
      StoreError(
        .io, "Writing \(path.fileName) failed (\(reason)): check the disk and try again.", path: path)
    }
  }
}
