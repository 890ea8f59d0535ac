// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

extension FileImage {
  /// Writes the image as a database of its own, in rollback-journal mode, with mode 0600 whatever the umask.
  ///
  /// Runs of zeros are left as holes. The file and its directory are synced before this returns; after an
  /// error the unfinished file is removed. Blocks.
  ///
  /// - Parameters:
  ///   - path: a name that does not exist yet.
  ///   - progress: called after about every megabyte with the share done, 0 … 1; what it throws stops the
  ///     copy.
  /// - Throws: ``StoreError`` with code `diskFull` before anything is written when the whole image does not
  ///   fit, `permission`, `cannotOpen` (the name exists) or `io`; what `progress` throws.
  package func write(to path: String, progress: (Double) throws -> Void = { _ in }) throws {
    let directory = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    try Self.checkSpace(in: directory, for: byteCount, path: path)
    let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw Self.failure(path, errno) }
    var isOpen = true
    do {
      defer { if isOpen { _ = close(descriptor) } }
      guard fchmod(descriptor, 0o600) == 0, ftruncate(descriptor, off_t(byteCount)) == 0 else {
        throw Self.failure(path, errno)
      }
      try copyPages(to: descriptor, path: path, progress: progress)
      guard fsync(descriptor) == 0 else { throw Self.failure(path, errno) }
      isOpen = false
      guard close(descriptor) == 0 else { throw Self.failure(path, errno) }
      try Self.syncDirectory(directory, path: path)
    } catch {
      _ = unsafe unlink(path)
      throw error
    }
  }

  private func copyPages(to descriptor: Int32, path: String, progress: (Double) throws -> Void) throws {
    let chunkSize = max(pageSize, 1 << 20)
    var chunk = [UInt8](repeating: 0, count: chunkSize)
    var at: Int64 = 0
    while at < byteCount {
      let length = Int(min(Int64(chunkSize), byteCount - at))
      let outcome = unsafe chunk.withUnsafeMutableBytes { buffer in
        Result { () throws(StoreError) in
          let part = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[..<length])
          try unsafe readPresented(into: part, at: at)
          guard unsafe part.contains(where: { $0 != 0 }) else { return }
          try unsafe Self.writeAll(UnsafeRawBufferPointer(part), at: at, to: descriptor, path: path)
        }
      }
      try outcome.get()
      at += Int64(length)
      try progress(Double(at) / Double(byteCount))
    }
  }

  private static func writeAll(
    _ bytes: UnsafeRawBufferPointer, at offset: Int64, to descriptor: Int32, path: String
  ) throws(StoreError) {
    var done = 0
    while done < bytes.count {
      let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[done...])
      let count = unsafe pwrite(descriptor, rest.baseAddress, rest.count, off_t(offset + Int64(done)))
      if count < 0 {
        if errno == EINTR { continue }
        throw failure(path, errno)
      }
      done += count
    }
  }

  private static func checkSpace(in directory: String, for bytes: Int64, path: String) throws(StoreError) {
    var info = statvfs()
    guard unsafe statvfs(directory, &info) == 0 else { throw failure(path, errno) }
    let (free, overflow) = UInt64(info.f_bavail).multipliedReportingOverflow(by: UInt64(info.f_frsize))
    guard overflow || UInt64(bytes) <= free else {
      throw StoreError(
        .diskFull,
        """
        The copy \(path.fileName) needs \(bytes) bytes and its device has \(free) free: nothing was written; \
        free some space or choose another directory.
        """, path: path)
    }
  }

  private static func syncDirectory(_ directory: String, path: String) throws(StoreError) {
    let descriptor = unsafe open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw failure(path, errno) }
    defer { _ = close(descriptor) }
    guard fsync(descriptor) == 0 else { throw failure(path, errno) }
  }

  private static func failure(_ path: String, _ code: Int32) -> StoreError {
    let reason = unsafe String(cString: strerror(code))
    switch code {
    case ENOSPC, EDQUOT:
      return StoreError(
        .diskFull, "Writing \(path.fileName) failed (\(reason)): free some space and try again.", path: path)
    case EIO:
      return StoreError(
        .io, "Writing \(path.fileName) failed (\(reason)): check the disk and the kernel's log.", path: path)
    case EEXIST:
      return StoreError(
        .cannotOpen, "\(path.fileName) exists already and was left alone: choose another name.", path: path)
    default: return .opening(path, errno: code)
    }
  }
}
