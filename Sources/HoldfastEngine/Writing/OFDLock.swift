// SPDX-License-Identifier: Apache-2.0

import CHoldfast
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A file opened for its locks: one descriptor, closed once, with kernel locks that die with it.
///
/// OFD locks (fcntl(2), "Open file description locks") belong to the open file, so neither a thread nor a
/// close of another descriptor of the same file can drop them, and a killed process leaves none behind.
/// The file's existence means nothing; only the lock does (row B07).
public final class LockFile: Sendable {
  /// The kind of a lock.
  public enum Kind: Sendable {
    /// Many may hold it.
    case shared
    /// One may hold it.
    case exclusive
  }

  /// Where the file is.
  public let path: String
  /// The descriptor, for reading and writing the file's few bytes; never closed by others.
  public let descriptor: Int32
  private let isOpen = Atomic<Bool>(true)

  /// Opens the file, making it with mode 0600 whatever the umask if there is none and `creates` is true.
  ///
  /// A symbolic link at `path` is refused: whoever planted it would choose what is locked and written.
  ///
  /// - Parameter isReadOnly: for a descriptor that is handed to others, who are to write nothing; it can carry
  ///   shared locks only.
  /// - Throws: ``StoreError`` with code `permission` or `cannotOpen`.
  public init(path: String, creates: Bool = true, isReadOnly: Bool = false) throws(StoreError) {
    let flags = (isReadOnly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW | (creates ? O_CREAT : 0)
    let opened = unsafe open(path, flags, 0o600)
    guard opened >= 0 else { throw .opening(path, errno: errno) }
    self.path = path
    self.descriptor = opened
  }

  deinit { close() }

  /// Closes the file and gives its locks back; for owners to whom the moment matters. Later calls do nothing.
  public func close() {
    guard isOpen.exchange(false, ordering: .acquiringAndReleasing) else { return }
    #if canImport(Glibc)
      _ = Glibc.close(descriptor)
    #elseif canImport(Musl)
      _ = Musl.close(descriptor)
    #else
      _ = Darwin.close(descriptor)
    #endif
  }

  /// Takes the lock if nobody is in the way.
  /// - Returns: whether it was granted.
  public func tryLock(_ kind: Kind, at start: Int64, length: Int64 = 1) throws(StoreError) -> Bool {
    let code = chf_ofd_lock(descriptor, kind.type, start, length)
    if code == 0 { return true }
    if code == EAGAIN || code == EACCES { return false }
    throw .locking(path, errno: code)
  }

  /// Waits in the kernel until the lock is granted. Call it on a thread that may block.
  public func lock(_ kind: Kind, at start: Int64, length: Int64 = 1) throws(StoreError) {
    let code = chf_ofd_lock_wait(descriptor, kind.type, start, length)
    guard code == 0 else { throw .locking(path, errno: code) }
  }

  /// Gives the lock back.
  public func unlock(at start: Int64, length: Int64 = 1) {
    _ = chf_ofd_lock(descriptor, Int16(F_UNLCK), start, length)
  }

  /// Reads whole 64-bit words of the file, in host byte order; fewer at its end.
  func read(words count: Int, at offset: Int64) -> [UInt64] {
    var words = [UInt64](repeating: 0, count: count)
    let got = unsafe words.withUnsafeMutableBytes {
      unsafe pread(descriptor, $0.baseAddress, $0.count, off_t(offset))
    }
    return Array(words[..<(max(0, got) / 8)])
  }

  /// Writes 64-bit words in host byte order. They are notes between processes of one boot: a failure costs
  /// the note, not data.
  func write(words: [UInt64], at offset: Int64) {
    _ = unsafe words.withUnsafeBytes { unsafe pwrite(descriptor, $0.baseAddress, $0.count, off_t(offset)) }
  }

  /// Whether somebody else's lock is in the way of one of `kind`.
  public func isBlocked(_ kind: Kind, at start: Int64, length: Int64 = 1) -> Bool {
    var blocked: Int32 = 0
    return unsafe chf_ofd_probe(descriptor, kind.type, start, length, &blocked) == 0 && blocked != 0
  }
}

extension LockFile.Kind {
  var type: Int16 {
    switch self {
    case .shared: Int16(F_RDLCK)
    case .exclusive: Int16(F_WRLCK)
    }
  }
}

extension StoreError {
  /// An open(2) that failed, with the remedy for the usual reasons.
  static func opening(_ path: String, errno code: Int32) -> StoreError {
    let reason = unsafe String(cString: strerror(code))
    let name = path.fileName
    switch code {
    case EACCES, EPERM, EROFS:
      return .init(
        .permission,
        "Opening \(name) was refused (\(reason)): give this user write access to it and its directory.",
        path: path)
    case ELOOP:
      return .init(
        .permission, "\(name) is a symbolic link, which is refused here: replace it by the file itself.",
        path: path)
    case ENOSPC, EDQUOT:
      return .init(
        .diskFull, "Creating \(name) failed (\(reason)): free some space and try again.", path: path)
    case EMFILE, ENFILE:
      return .init(
        .io, "Opening \(name) failed (\(reason)): raise the limit of open files (`ulimit -n`).", path: path)
    default:
      return .init(
        .cannotOpen,
        "Opening \(name) failed (\(reason)): check that its directory exists and is a directory.",
        path: path)
    }
  }

  static func locking(_ path: String, errno code: Int32) -> StoreError {
    let reason = unsafe String(cString: strerror(code))
    let name = path.fileName
    return .init(
      .io,
      "Locking \(name) failed (\(reason)): put the home on a local disk whose filesystem has file locks.",
      path: path)
  }
}
