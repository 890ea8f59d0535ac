// SPDX-License-Identifier: Apache-2.0

import CHoldfast

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A file read by position and never written, whose descriptor is closed only when that drops nobody's lock.
///
/// POSIX locks belong to (process, inode): closing any descriptor of a database drops the locks that SQLite
/// holds on it elsewhere in this process (row B01). Opening drops none. So all images of one file share one
/// descriptor, and when the last is gone it is closed only if this process has the file open nowhere else;
/// otherwise it is kept for the next image, at most one a file.
final class ImageFile: Sendable {
  let path: String
  let identity: FileIdentity
  private let descriptor: Int32
  private let isShared: Bool
  /// The state in which the file was when it was opened.
  private let stamp: Stamp

  /// Size and times, by which a later writer shows.
  struct Stamp: Equatable {
    var size: Int64
    var modified: Int64

    init(_ descriptor: Int32) {
      var info = stat()
      let isKnown = unsafe fstat(descriptor, &info) == 0
      size = isKnown ? Int64(info.st_size) : 0
      #if canImport(Darwin)
        let time = info.st_mtimespec
      #else
        let time = info.st_mtim
      #endif
      modified = isKnown ? Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec) : 0
    }
  }

  private struct Pooled {
    var descriptor: Int32
    var users: Int
  }

  private static let pool = Monitor<[FileIdentity: Pooled]>([:])

  /// Opens a regular file.
  /// - Parameter borrowed: a descriptor of it that the caller keeps open for longer than this lives.
  /// - Throws: ``StoreError`` with code `permission`, `cannotOpen` or `io`.
  init(_ path: String, through borrowed: Int32? = nil) throws(StoreError) {
    self.path = path
    if let borrowed {
      guard let identity = FileIdentity(descriptor: borrowed) else { throw .opening(path, errno: EBADF) }
      (descriptor, self.identity, isShared) = (borrowed, identity, false)
    } else {
      (descriptor, identity) = try Self.pool.withLock { pool throws(StoreError) in
        try Self.acquire(path, from: &pool)
      }
      isShared = true
    }
    stamp = Stamp(descriptor)
  }

  deinit {
    guard isShared else { return }
    Self.pool.withLock { Self.release(identity, from: &$0) }
  }

  private static func acquire(
    _ path: String, from pool: inout [FileIdentity: Pooled]
  ) throws(StoreError) -> (Int32, FileIdentity) {
    // Asked before opening: opening a pipe would wait for its other end.
    var info = stat()
    guard unsafe stat(path, &info) == 0 else { throw .opening(path, errno: errno) }
    guard info.st_mode & S_IFMT == S_IFREG else {
      throw StoreError(
        .cannotOpen, "\(path.fileName) is not a regular file: give the database's own name.", path: path)
    }
    if let identity = FileIdentity(path: path), let known = pool[identity] {
      pool[identity]?.users += 1
      return (known.descriptor, identity)
    }
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
      let code = errno
      guard code == EACCES || code == EPERM else { throw .opening(path, errno: code) }
      throw StoreError(
        .permission, "Reading \(path.fileName) was refused: give this user the right to read it.", path: path)
    }
    guard let identity = FileIdentity(descriptor: descriptor) else { throw .opening(path, errno: errno) }
    if let known = pool[identity] {
      // The path changed its file between the two looks; the one that is open already serves as well. The new
      // descriptor is not closed, for the reason above: this happens once in a great while.
      pool[identity]?.users += 1
      return (known.descriptor, identity)
    }
    pool[identity] = Pooled(descriptor: descriptor, users: 1)
    return (descriptor, identity)
  }

  private static func release(_ identity: FileIdentity, from pool: inout [FileIdentity: Pooled]) {
    pool[identity]?.users -= 1
    // Every release looks at all that are kept, so that what is in nobody's way any more goes.
    for (identity, kept) in pool where kept.users == 0 {
      guard !isOpenElsewhere(identity, than: kept.descriptor) else { continue }
      _ = close(kept.descriptor)
      pool[identity] = nil
    }
  }

  private static func isOpenElsewhere(_ identity: FileIdentity, than own: Int32) -> Bool {
    #if os(Linux)
      // None can be listed in a process that changed its user: then nothing is known, and it is kept.
      let descriptors = ProcFile.descriptors()
      return descriptors.isEmpty
        || descriptors.contains { $0 != own && FileIdentity(descriptor: $0) == identity }
    #else
      (0..<getdtablesize()).contains { $0 != own && FileIdentity(descriptor: $0) == identity }
    #endif
  }

  /// In bytes, when it was opened.
  var size: Int64 { stamp.size }

  /// Whether nobody has written to the file since it was opened, and the path still names it.
  var isUnchanged: Bool { Stamp(descriptor) == stamp && FileIdentity(path: path) == identity }

  /// Whether anybody, this process too, holds a lock of the bytes SQLite locks in a database (`os.h`,
  /// PENDING_BYTE and the 511 behind it). Nothing is locked by asking.
  var isLocked: Bool {
    var isBlocked: Int32 = 0
    return unsafe chf_ofd_probe(descriptor, Int16(F_WRLCK), 0x4000_0000, 512, &isBlocked) == 0
      && isBlocked != 0
  }

  /// Fills `buffer` from `offset` on.
  /// - Returns: how many bytes there were; fewer at the end of the file.
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(StoreError) -> Int {
    var done = 0
    while done < buffer.count {
      let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
      let count = unsafe pread(descriptor, rest.baseAddress, rest.count, off_t(offset + Int64(done)))
      if count == 0 { break }
      if count < 0 {
        if errno == EINTR { continue }
        let reason = unsafe String(cString: strerror(errno))
        throw StoreError(
          .io,
          """
          Reading \(path.fileName) failed at byte \(offset + Int64(done)) (\(reason)): check the disk and \
          the kernel's log.
          """, path: path)
      }
      done += count
    }
    return done
  }

  /// Up to `count` bytes from `offset` on; fewer at the end of the file.
  func bytes(at offset: Int64, count: Int) throws(StoreError) -> [UInt8] {
    guard offset >= 0, offset < size, count > 0 else { return [] }
    var bytes = [UInt8](repeating: 0, count: Int(min(Int64(count), size - offset)))
    let outcome = unsafe bytes.withUnsafeMutableBytes { buffer in
      Result { () throws(StoreError) in try unsafe read(into: buffer, at: offset) }
    }
    let got = try outcome.get()
    return got == bytes.count ? bytes : Array(bytes[..<got])
  }
}
